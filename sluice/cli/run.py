"""`sluice run`: everything is checked, then the local workflow runs under a display, then its summary is printed."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from sluice.cli.display import costs_of, display_for
from sluice.cli.exits import OF_STATUS, ExitCode, UsageError, complain, complain_of_task, print_json, reader_may_leave
from sluice.cli.requests import check_answers, check_faults, check_out, find_inputs, parse_settings
from sluice.cli.tasks import load_runnable_task
from sluice.errors import BadInput, BadSetting, BadTask, SluiceError
from sluice.figures import dollars
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sluice.cli.display import Display
    from sluice.local.cloud import LocalCloud
    from sluice.runs.state import Approval
    from sluice.task.task import Task

    Runner = Callable[..., dict[str, Any]]

LOOK_SECONDS = 0.4  # the runner offers a look far more often than a person can read
REFUSED = {error.__name__ for error in (BadInput, BadSetting, BadTask)}


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    out: Path
    answers: str
    settings: list[str]
    region: str
    faults: Path | None
    json: bool


@dataclass(frozen=True, slots=True)
class Job:
    """The same, made sure of."""

    inputs: list[Path]
    task: Task
    settings: dict[str, object]


def run_files(request: Request, runner: Runner | None = None) -> ExitCode:
    """Run a request; `runner` takes the place of the local runner in tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended is a Ctrl-C, so that the run is cancelled
    try:
        job = made_sure(request)
        document = _execute(request, job, runner or local_runner())
    except BadTask as error:
        complain_of_task(error)
        return ExitCode.USAGE
    except (UsageError, BadSetting, BadInput) as error:
        complain(str(error))
        return ExitCode.USAGE
    except KeyboardInterrupt:
        complain("cancelled before there was anything to keep")
        return ExitCode.CANCELLED
    except SluiceError as error:
        complain(str(error))
        # A step's own error arrives by its name alone.
        return ExitCode.USAGE if getattr(error, "kind", None) in REFUSED else ExitCode.FAILED
    _hand_over(document, request)
    return OF_STATUS.get(str(document.get("status")), ExitCode.FAILED)


def made_sure(request: Request) -> Job:
    """Check everything that can be checked before anything is started: task, models, inputs, settings, places."""
    task, _ = load_runnable_task(request.task, request.region)
    changes = parse_settings(request.settings)
    settings = Settings().override(changes)
    check_answers(request.answers)
    check_faults(request.faults)
    inputs = find_inputs(request.inputs)
    check_out(request.out)
    return Job(inputs, task, {name: getattr(settings, name) for name in changes})


def local_runner() -> Runner:
    """Load the runner of this machine."""
    from sluice.local.runner import run_local  # noqa: PLC0415 (a wrong request is refused without loading moto)

    return run_local


def _execute(request: Request, job: Job, runner: Runner) -> dict[str, Any]:
    # Whatever a library prints belongs on standard error: standard output is for run.json or the summary.
    with redirect_stdout(sys.stderr), display_for(sys.stderr, job.task.name) as display:
        return runner(
            inputs=job.inputs,
            task=job.task,
            out=request.out,
            answers=request.answers,
            settings=job.settings,
            region=request.region,
            faults=request.faults,
            on_progress=Looks(display),
            approve=lambda asked: approved(asked, display),
        )


def approved(asked: Approval, display: Display) -> bool:
    """Ask whether a run may cost what it can; where nobody can be asked, say why nothing is sent."""
    question = f"{costs_of(asked)}, and approve_above_usd is {dollars(asked.approve_above_usd)}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        complain(f"{question}: nothing is sent. To allow it: --set approve_above_usd=USD")
        return False
    with display.paused():
        try:
            return typer.confirm(f"{question}. Send it?", err=True)
        except typer.Abort:
            return False


class Looks:
    """Shows the run on the display when the last look is long enough ago."""

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self._display = display
        self._clock = clock
        self._next = 0.0
        self._watch: Any = None

    def __call__(self, cloud: LocalCloud, run: str) -> None:
        """Look at a run of the local cloud."""
        if self._clock() < self._next:
            return
        from sluice.aws.s3 import Store  # noqa: PLC0415
        from sluice.runs.progress import Watch  # noqa: PLC0415

        if self._watch is None:
            self._watch = Watch(Store(cloud.s3, cloud.bucket("SLUICE_WORK_BUCKET")), run)
        with suppress(SluiceError):  # a run goes on when a look at it fails
            self._display.show(self._watch.look())
        self._next = self._clock() + LOOK_SECONDS


def _hand_over(document: dict[str, Any], request: Request) -> None:
    from sluice.cli.summary import places_in  # noqa: PLC0415
    from sluice.report.report import render  # noqa: PLC0415
    from sluice.results.run_document import read_run  # noqa: PLC0415

    (request.out / "report.html").write_text(render(document), encoding="utf-8")
    show(document, places_in(request.out, read_run(document)), as_json=request.json)


def show(document: dict[str, Any], places: Mapping[str, str], *, as_json: bool) -> None:
    """Print run.json, or the summary that is made of it."""
    from sluice.cli.summary import print_summary  # noqa: PLC0415
    from sluice.results.run_document import read_run  # noqa: PLC0415

    if as_json:
        print_json(document)
        return
    with reader_may_leave():
        print_summary(read_run(document), places)
