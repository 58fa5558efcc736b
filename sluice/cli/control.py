"""What changes runs (approve, cancel, resume, rejudge): the deployed functions are asked, and they decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.cli.exits import ExitCode, UsageError, complain, report_change
from sluice.cli.standing import CANCELLING, GOING_ON, WAITING, beginning, standing
from sluice.task.file import load_task

if TYPE_CHECKING:
    from sluice.cli.cloud import Cloud


def cancel_run(cloud: Cloud, run: str, *, as_json: bool = False) -> ExitCode:
    """Have a run stopped and closed, and say what happens next."""
    now = standing(cloud, run)
    if now.status not in GOING_ON | {WAITING}:
        hint = f"; `sluice resume {run}` goes on with it" if now.status == "failed" else ""
        raise UsageError(f"run {run} has ended already: {now.status}{hint}")
    cloud.sweep({"run": run, "reason": "cancelled"})
    again = "is being cancelled already" if now.status == CANCELLING else "is being cancelled"
    text = (
        f"run {run} {again}.\n"
        "Nothing more is sent, and its Bedrock jobs are stopped. About two minutes later, a pause for jobs that were\n"
        "just being created, the run is closed: what was answered is kept and published, every row accounted for.\n"
        f"`sluice resume {run}` buys what is missing after that."
    )
    report_change({"run_id": run, "status": CANCELLING}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def approve_run(cloud: Cloud, run: str, *, as_json: bool = False) -> ExitCode:
    """Agree to the cost of a run that waits for it, so that it goes on."""
    beginning(cloud, run)
    execution = cloud.start({"approve": {"run": run}})["execution"]
    text = f"run {run} is approved and goes on (execution {execution})."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def resume_run(cloud: Cloud, run: str, max_usd: float | None, *, as_json: bool = False) -> ExitCode:
    """Start a further execution of a run, which buys only what is missing."""
    now = standing(cloud, run)
    if now.status in GOING_ON:
        raise UsageError(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    if now.status == WAITING:
        raise UsageError(f"run {run} waits for an approval of its cost; `sluice approve {run}` lets it go on")
    execution = cloud.start({"resume": {"run": run, "max_usd": max_usd}})["execution"]
    budget = f", for at most ${max_usd:,.2f} in all" if max_usd is not None else ""
    text = f"run {run} goes on{budget} (execution {execution}): only what is missing is bought."
    report_change({"run_id": run, "execution": execution}, text, as_json=as_json)
    return ExitCode.SUCCEEDED


def rejudge_run(cloud: Cloud, run: str, task: str, *, as_json: bool = False) -> ExitCode:
    """Start a run that judges the stored answers of another by a task file; nothing is bought."""
    beginning(cloud, run)
    new = str(cloud.start({"rejudge": {"run": run, "task": load_task(task).model_dump(mode="json")}})["run"])
    complain(f"the answers of {run} are judged again; nothing is bought")
    report_change({"run_id": new, "judges": run}, new, as_json=as_json)
    return ExitCode.SUCCEEDED
