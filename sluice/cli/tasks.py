"""`sluice schema` and `sluice check`: what a task file may hold, whether one can be run, and what is weak about it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from sluice.answers.requests import CLOSE, OPEN, system_prompt
from sluice.api.tasks import catalog_here, runnable
from sluice.cli.display import visible
from sluice.cli.exits import ExitCode, complain_of_task, reader_may_leave
from sluice.cli.samples import sample_of, showing_columns
from sluice.errors import BadTask
from sluice.forecast.weaknesses import weaknesses
from sluice.rows.record import join_texts
from sluice.task.file import json_schema

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.forecast.weaknesses import Weakness
    from sluice.models.catalog import Model
    from sluice.task.task import Task


def print_schema() -> ExitCode:
    """Print the JSON Schema of the task file."""
    with reader_may_leave():
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return ExitCode.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Question:
    """What `sluice check` is asked."""

    task: str
    region: str
    sample: Path | None = None
    json: bool = False


def check_task(asked: Question) -> ExitCode:
    """Print what a task does, what is weak about it and the request that a row becomes; or every mistake of it."""
    try:
        task, models = runnable(asked.task, asked.region)
    except BadTask as error:
        if asked.json:
            _print_json({"task": asked.task, "ok": False, "mistakes": error.problems, "weaknesses": []})
        complain_of_task(error)
        return ExitCode.USAGE
    sample, seen = None, None
    if asked.sample is not None:
        from sluice.cli.seen import seen_in  # noqa: PLC0415 - the steps of a run, which only a sample needs

        with showing_columns():
            sample = sample_of(task, asked.sample, catalog_here().tokens.characters)
            seen = seen_in(asked.sample, task, catalog_here(), asked.region)
    found = weaknesses(task, models, sample)
    if asked.json:
        _print_json({**_document(task, models, found), **({"sample": seen} if seen else {})})
        return ExitCode.SUCCEEDED
    with reader_may_leave():
        console = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
        console.print(Text(visible("\n".join([*_overview(task, models), "", *_weak(found), "", *_sampled(seen)]))))
        print(visible("\n".join(_request(task))))
    return ExitCode.SUCCEEDED


def _sampled(seen: dict[str, Any] | None) -> list[str]:
    if seen is None:
        return []
    rows, cautions = seen["rows"], seen["cautions"]
    beginning = f"{rows['in']:,} rows of the sample, {rows['rejected']:,} of them rejected before any model"
    return [beginning + (":" if cautions else "."), *(f"  - {caution}" for caution in cautions), ""]


def _print_json(document: dict[str, Any]) -> None:
    with reader_may_leave():
        print(json.dumps(document, indent=2, ensure_ascii=False))


def _document(task: Task, models: tuple[Model, ...], found: list[Weakness]) -> dict[str, Any]:
    return {
        "task": task.name,
        "ok": True,
        "mistakes": [],
        "weaknesses": [weakness._asdict() for weakness in found],
        "models": [model.id for model in models],
        "request": {"system": system_prompt(task), "user": _user(task)},
    }


def _weak(found: list[Weakness]) -> list[str]:
    if not found:
        return ["No weakness was found."]
    count = f"{len(found):,} {'weakness' if len(found) == 1 else 'weaknesses'}"
    return [f"{count}; the task can be run all the same:", *(f"  - {weakness}" for weakness in found)]


def _overview(task: Task, models: tuple[Model, ...]) -> list[str]:
    tiers = [
        f"{tier.model} ({model.id}, {tier.transport.replace('_', ' ')})"
        for tier, model in zip(task.answerers, models, strict=True)
    ]
    judge = [f"  judge   {line}" for line in tiers[len(task.tiers) :]]
    fields, then = ", ".join(task.answer.fields), ", then\n          "
    return [
        f"{task.name}: can be run",
        f"  reads   {', '.join(task.input.text)}",
        f"  labels  {len(task.labels):,}" + (f", and extracts {fields}" if fields else ""),
        f"  tiers   {then.join(tiers[: len(task.tiers)])}",
        *judge,
    ]


def _request(task: Task) -> list[str]:
    return ["--- system", system_prompt(task), "", "--- user", _user(task)]


def _user(task: Task) -> str:
    text = join_texts(task.input.text, [f"(the row's {path})" for path in task.input.text])
    return f"{OPEN}{text}{CLOSE}"
