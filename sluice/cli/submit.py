"""`sluice submit`: files and objects become one run at once; without any, what waits for a task does."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.cli.control import STARTING
from sluice.cli.display import busy, byte_bar
from sluice.cli.exits import ExitCode, complain, print_json, reader_may_leave
from sluice.cli.options import parse_settings
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sluice.api.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Submission:
    """What `sluice submit` is asked for."""

    inputs: list[str]
    task: str
    settings: list[str]
    again: bool
    json: bool


def submit(deployment: Deployment, asked: Submission) -> ExitCode:
    """Begin one run of all inputs together, or runs of what waits for the task."""
    if not asked.inputs:
        return sweep_now(deployment, asked)
    settings = parse_settings(asked.settings)
    with busy(STARTING):
        run = deployment.submit(
            asked.inputs, asked.task, settings=settings, again=asked.again, on_upload=uploading
        ).run_id
    _show([run], {"run_id": run, "runs": [run]}, as_json=asked.json)
    return ExitCode.SUCCEEDED


@contextmanager
def uploading(file: Path, uri: str) -> Iterator[Callable[[int], None]]:
    """Show that a file is uploaded, and how far that is."""
    print(f"uploading {file} to {uri}", file=sys.stderr, flush=True)
    with byte_bar("uploading", file.stat().st_size) as advance:
        yield advance


def sweep_now(deployment: Deployment, asked: Submission) -> ExitCode:
    """Have what waits for a deployed task run now, whatever its trigger."""
    if asked.settings or asked.again:
        raise BadRequest("--set and --again are for inputs: what waits is run with the deployed settings")
    with busy(STARTING):
        swept = deployment.sweep(asked.task)
    _show(swept.runs, msgspec.to_builtins(swept), as_json=asked.json)
    for notice in swept.refused:
        complain(f"s3://{notice['bucket']}/{notice['key']}: {notice['reason']}")
    for problem in swept.problems:
        complain(problem)
    if swept.held:
        complain(f"what waits goes on waiting: {swept.held}")
    elif not swept.runs and not swept.problems:
        complain(f"nothing waits for the task {asked.task}")
    return ExitCode.FAILED if swept.problems else ExitCode.SUCCEEDED


def _show(runs: list[str], document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    elif runs:
        with reader_may_leave():
            print("\n".join(runs))
    for run in runs:
        complain(f"`sluice watch {run}` shows how it goes on")
