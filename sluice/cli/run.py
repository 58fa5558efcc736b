"""`sluice run`: the local workflow runs under a display, then its summary is printed."""

from __future__ import annotations

import signal
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from sluice.api.local import WAIT_MINUTES, Run, job_of, local_runner
from sluice.cli.display import costs_of, display_for
from sluice.cli.exits import OF_STATUS, ExitCode, complain, concluded, print_json, reader_may_leave
from sluice.cli.options import parse_settings
from sluice.errors import Interrupted
from sluice.figures import dollars
from sluice.files import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sluice.api.local import Job, Runner
    from sluice.cli.display import Display
    from sluice.runs.approval import Approval


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    out: Path
    answers: list[str]
    settings: list[str]
    region: str
    faults: Path | None
    json: bool
    wait_minutes: float = WAIT_MINUTES


def run_files(request: Request, runner: Runner | None = None) -> ExitCode:
    """Run a request; `runner` takes the place of the local runner in tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended is a Ctrl-C, so that the run is cancelled
    try:
        return concluded(lambda: _run(request, runner or local_runner()))
    except KeyboardInterrupt:
        complain("cancelled before there was anything to keep")
        return ExitCode.CANCELLED


def go_on_here(job: Callable[[], Job], *, as_json: bool, runner: Runner | None = None) -> ExitCode:
    """Run the latest run of a folder again, or judge it; to its summary and exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return concluded(lambda: _through(job(), runner or local_runner(), as_json=as_json))
    except KeyboardInterrupt:
        complain("cancelled before there was anything to keep")
        return ExitCode.CANCELLED


def _run(request: Request, runner: Runner) -> ExitCode:
    settings = parse_settings(request.settings)
    job = job_of(
        request.inputs,
        request.task,
        request.out,
        request.answers,
        settings,
        request.region,
        request.faults,
        wait_minutes=request.wait_minutes,
    )
    return _through(job, runner, as_json=request.json)


def _through(job: Job, runner: Runner, *, as_json: bool) -> ExitCode:
    for note in job.notes:
        complain(note)
    _tell_kept(job)
    run = _under_display(job, runner)
    from sluice.cli.summary import next_after, places_in  # noqa: PLC0415
    from sluice.results.run_document import read_run  # noqa: PLC0415

    document = read_run(run.summary)
    show(run.summary, places_in(run.out, document), next_after(document, run.out), as_json=as_json)
    return OF_STATUS.get(run.status, ExitCode.FAILED)


def _tell_kept(job: Job) -> None:
    """Say how much an earlier run has left that need not be asked for again."""
    from sluice.local.answers import BEDROCK, SERVER  # noqa: PLC0415
    from sluice.local.sources.kept import NAME, count_kept  # noqa: PLC0415

    if job.answers.kinds & {SERVER, BEDROCK} and (kept := count_kept(job.out)):
        complain(f"{kept:,} replies are kept in {plain(job.out / NAME)}: what they answer is not asked again")


def _under_display(job: Job, runner: Runner) -> Run:
    # Whatever a library prints belongs on standard error: standard output is for run.json or the summary.
    with redirect_stdout(sys.stderr), display_for(sys.stderr, job.task.name) as display:
        try:
            return job.run(runner, display.show, lambda asked: approved(asked, display))
        except Interrupted as stopped:  # its results hold every row
            return Run(job.out, stopped.document)


def approved(asked: Approval, display: Display) -> bool:
    """Ask whether a run may cost what it can; where nobody can be asked, say why nothing is sent."""
    question = f"{costs_of(asked)}, and {asked.passed} is {dollars(asked.limit_usd)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        complain(f"{question}: nothing is sent. To allow it: --set {asked.passed}=USD")
        return False
    with display.paused():
        try:
            return typer.confirm(f"{question}. Send it?", err=True)
        except typer.Abort:
            return False


def show(
    document: dict[str, Any], places: Mapping[str, str], next_: Mapping[str, str] | None = None, *, as_json: bool
) -> None:
    """Print run.json, or the summary that is made of it."""
    from sluice.cli.summary import print_summary  # noqa: PLC0415
    from sluice.results.run_document import read_run  # noqa: PLC0415

    if as_json:
        print_json(document)
        return
    with reader_may_leave():
        print_summary(read_run(document), places, next_)
