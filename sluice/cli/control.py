"""What changes runs (approve, cancel, resume, rejudge): the deployed functions are asked, and they decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.cli.display import busy
from sluice.cli.exits import ExitCode, complain, report_change
from sluice.deployment.standing import CANCELLING

if TYPE_CHECKING:
    from sluice.api.deployment import Deployment

STARTING = "waiting for the function start"


def cancel_run(deployment: Deployment, run: str, *, as_json: bool = False) -> ExitCode:
    """Have a run stopped and closed, and say what happens next."""
    already = deployment.run(run).cancel()
    again = "is being cancelled already" if already else "is being cancelled"
    text = (
        f"run {run} {again}.\n"
        "Nothing more is sent, and its Bedrock jobs are stopped. About two minutes later, a pause for jobs that were\n"
        "just being created, the run is closed: what was answered is kept and published, every row accounted for.\n"
        f"`sluice resume {run}` buys what is missing after that."
    )
    report_change({"run_id": run, "status": CANCELLING}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def approve_run(deployment: Deployment, run: str, *, as_json: bool = False) -> ExitCode:
    """Agree to the cost of a run that waits for it, so that it goes on."""
    with busy(STARTING):
        execution = deployment.run(run).approve()
    text = f"run {run} is approved and goes on (execution {execution})."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def resume_run(
    deployment: Deployment, run: str, max_usd: float | None, *, escalate_refused: bool = False, as_json: bool = False
) -> ExitCode:
    """Start a further execution of a run, which buys only what is missing."""
    with busy(STARTING):
        execution = deployment.run(run).resume(max_usd, escalate_refused=escalate_refused)
    budget = f", for at most ${max_usd:,.2f} in all" if max_usd is not None else ""
    text = f"run {run} goes on{budget} (execution {execution}): only what is missing is bought."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def rejudge_run(deployment: Deployment, run: str, task: str, *, as_json: bool = False) -> ExitCode:
    """Start a run that judges the stored answers of another by a task file; nothing is bought."""
    with busy(STARTING):
        new = deployment.run(run).rejudge(task).run_id
    complain(f"the answers of {run} are judged again; nothing is bought")
    report_change({"run_id": new, "judges": run}, new, as_json=as_json)
    return ExitCode.SUCCEEDED
