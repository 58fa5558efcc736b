"""`sluice pilot`: a sample is answered by the first and the strongest tier, before everything is bought."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice.api.forecasting import asked_for, trial_of
from sluice.api.local import local_runner
from sluice.budget.costs import ESCALATED
from sluice.cli.display import busy, display_for
from sluice.cli.exits import ExitCode, complain, reader_may_leave
from sluice.cli.findings import print_pilot
from sluice.cli.options import parse_settings
from sluice.cli.plan import READING, progress
from sluice.cli.run import approved
from sluice.figures import dollars, short_model
from sluice.forecast.trial import FINDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sluice.api.local import Runner
    from sluice.aws.s3 import Store
    from sluice.forecast.trial import Purchase
    from sluice.task.task import Task


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    records: int
    seed: int
    answers: list[str]
    out: Path | None
    settings: list[str]
    region: str
    json: bool


def pilot_run(request: Request, bucket: Callable[[str], Store], runner: Runner | None = None) -> ExitCode:
    """Draw a sample, have it answered, and print what it says of all; `bucket` gives the buckets of S3 inputs."""
    run_local = runner or local_runner()
    settings = parse_settings(request.settings)
    asked = asked_for(request.inputs, request.task, settings, ESCALATED, request.region)
    trial = trial_of(asked, request.records, request.seed, request.answers, request.out, settings)
    for note in trial.notes:
        complain(note)
    shown = partial(_under_display, run_local)
    try:
        with ExitStack() as reading:
            say = reading.enter_context(busy(READING))

            def before(purchase: Purchase) -> None:
                reading.close()
                if "bedrock" in trial.answers.kinds:
                    complain(announcement(purchase))

            made = trial.run(bucket, shown, progress(say), before)
    except KeyboardInterrupt:
        complain("the pilot broke off, it was cancelled")
        return ExitCode.CANCELLED
    with reader_may_leave():
        if request.json:
            sys.stdout.buffer.write((trial.out / FINDINGS).read_bytes())
        else:
            print_pilot(made, trial.out)
    return ExitCode.SUCCEEDED


def announcement(purchase: Purchase) -> str:
    """Say what Bedrock is about to be asked, and what that is expected to cost."""
    calls = ", ".join(f"{short_model(model)} {count:,}" for model, count in purchase.calls)
    return f"calls of Bedrock, about: {calls}; they are expected to cost {dollars(purchase.expected_usd)}"


def _under_display(runner: Runner, *, task: Task, **asked: Any) -> Mapping[str, Any]:
    with redirect_stdout(sys.stderr), display_for(sys.stderr, task.name) as display:
        return runner(task=task, **asked, on_progress=display.show, approve=lambda cost: approved(cost, display))
