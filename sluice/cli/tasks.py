"""`sluice schema` and `sluice check`: what a task file may hold, and whether one can be run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.cli.exits import ExitCode, complain, complain_of_task, reader_may_leave
from sluice.errors import BadSetting, BadTask
from sluice.prices import Catalog, check_models
from sluice.prompts import CLOSE, OPEN, system_prompt
from sluice.rows import join_texts
from sluice.task import json_schema, load_task

if TYPE_CHECKING:
    from sluice.prices import Model
    from sluice.task import Task


def load_runnable_task(name_or_path: str, region: str) -> tuple[Task, tuple[Model, ...]]:
    """Load a task and resolve its models; `BadTask` or `BadSetting` tells why it cannot be run in this Region."""
    task = load_task(name_or_path)
    return task, check_models(task, catalog_here(), region, name_or_path)


def catalog_here() -> Catalog:
    """Load the models, with those that this folder or SLUICE_MODELS lays over them."""
    return Catalog.of_project(Path(), os.environ)


def print_schema() -> ExitCode:
    """Print the JSON Schema of the task file."""
    with reader_may_leave():
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return ExitCode.SUCCEEDED


def check_task(name_or_path: str, region: str) -> ExitCode:
    """Print what a task does and the request that a row becomes, or every mistake of it."""
    try:
        task, models = load_runnable_task(name_or_path, region)
    except BadTask as error:
        complain_of_task(error)
        return ExitCode.USAGE
    except BadSetting as error:
        complain(str(error))
        return ExitCode.USAGE
    with reader_may_leave():
        print("\n".join([*_overview(task, models), "", *_request(task)]))
    return ExitCode.SUCCEEDED


def _overview(task: Task, models: tuple[Model, ...]) -> list[str]:
    tiers = ", then ".join(
        f"{tier.model} ({model.id}, {tier.transport.replace('_', ' ')})"
        for tier, model in zip(task.tiers, models, strict=True)
    )
    fields = ", ".join(task.answer.fields)
    return [
        f"{task.name}: can be run",
        f"  reads   {', '.join(task.input.text)}",
        f"  labels  {len(task.labels):,}" + (f", and extracts {fields}" if fields else ""),
        f"  tiers   {tiers}",
    ]


def _request(task: Task) -> list[str]:
    paths = [tuple(path.split(".")) for path in task.input.text]
    text = join_texts(paths, [f"(the row's {path})" for path in task.input.text])
    return ["--- system", system_prompt(task), "", "--- user", f"{OPEN}{text}{CLOSE}"]
