"""Tasks and inputs as a program names them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sluice.errors import BadRequest
from sluice.local.answers import Arrangement, arranged
from sluice.models.catalog import Catalog, Model
from sluice.models.fitting import check_models
from sluice.task import file as task_file
from sluice.task.task import Task

Inputs = str | Path | Sequence[str | Path]
Who = str | Sequence[str] | None
USUAL_REGION = "us-east-1"


def load_task(name_or_path: str | Path) -> Task:
    """Load the task of this name in the folder `tasks`, or the one in the file at this path.

    Raises:
        BadTask: there is none, or it has mistakes; `problems` holds a sentence for each.

    """
    return task_file.load_task(str(name_or_path))


def runnable(task: Task | str | Path, region: str) -> tuple[Task, tuple[Model, ...]]:
    """Take or load a task, and find its models.

    Raises:
        BadTask: it cannot be run in this Region.
        BadSetting: the catalogue of models that this folder lays over the built-in one has mistakes.

    """
    known = task if isinstance(task, Task) else load_task(task)
    source = None if isinstance(task, Task) else str(task)
    return known, check_models(known, catalog_here(), region, source, servers=True)


def answered(task: Task | str | Path, answers: Who, region: str) -> tuple[Arrangement, Catalog]:
    """Take or load a task, find who answers each of its tiers, and the models with those that only this run knows.

    Raises:
        BadTask: it cannot be run in this Region.
        BadRequest: a source of answers that there is not, or a tier that nobody answers.
        BadSetting: the catalogue of models that this folder lays over the built-in one has mistakes.

    """
    found = arranged(task if isinstance(task, Task) else load_task(task), answers, catalog_here())
    catalog = catalog_here().with_servers(found.answers.servers)
    check_models(found.task, catalog, region, None if isinstance(task, Task) else str(task), servers=True)
    return found, catalog


def catalog_here() -> Catalog:
    """Load the models, with those that this folder or SLUICE_MODELS lays over them."""
    return Catalog.of_project(Path(), os.environ)


def region_here(region: str | None) -> str:
    """The Region whose models are meant where none is named."""
    return region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or USUAL_REGION


def listed(inputs: Inputs) -> list[str]:
    """The names of inputs, of which there may be one alone.

    Raises:
        BadRequest: there is none.

    """
    names = [str(inputs)] if isinstance(inputs, str | Path) else [str(name) for name in inputs]
    if not names:
        raise BadRequest("there are no inputs: name one or more")
    return names
