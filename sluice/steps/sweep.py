"""sweep: clean up behind a run that is cancelled, or whose execution failed, timed out or was aborted.

A cancelled run is closed by a further execution, which submits nothing, settles what was sent, and publishes
what there is, with the books balanced. A run that broke off keeps what it has and waits to be resumed.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.bedrock import TERMINAL, job_name
from sluice.runs.books import Findings
from sluice.steps.plan import counts_so_far
from sluice.steps.resume import begin_again, execute_again
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.steps.services import Services

CANCELLED = "cancelled"
ABORTED = "ABORTED"
CLOSINGS = 3  # in a row, before a run that cannot be closed is left to its user


def run(services: Services, event: dict[str, Any]) -> dict[str, Any]:
    """Stop the run's Bedrock jobs, twice with a pause, and see to its end; safe to call again.

    The event is `{"run", "reason": "cancelled"}`, or EventBridge's report that an execution ended.
    """
    detail = event.get("detail")
    run_id = event["run"] if detail is None else json.loads(detail["input"])["run"]
    opened = Run(services.work, run_id)
    if not opened.exists or services.work.exists(opened.keys.published):
        return {"stopped": 0}
    if detail is not None and detail["name"] != opened.execution:
        return _late(services, opened)
    cancelled = detail is None or detail["status"] == ABORTED or opened.cancelled
    if cancelled:
        services.work.put_new(opened.keys.cancel, json.dumps({"at": services.now().isoformat()}).encode())
        if services.workflow is not None:
            services.workflow.stop(opened.execution, CANCELLED)
    stopped = stop_jobs(services, run_id)
    services.sleep(opened.settings.sweep_seconds)  # a submit that was inside Create has come back by then
    if Run(services.work, run_id).execution == opened.execution:  # else these jobs are its successor's
        stopped += stop_jobs(services, run_id)
    if detail is None or (cancelled and _closings(opened) < CLOSINGS):
        return {"stopped": stopped, "execution": _close(services, opened)}
    _summarize(services, opened, detail)
    return {"stopped": stopped}


def _late(services: Services, opened: Run) -> dict[str, Any]:
    """A late report of an execution that has a successor, which a sweep that died may have noted without starting."""
    if opened.resumptions and opened.resumptions[-1].cancelled:
        begin_again(services, opened)
    return {"stopped": 0}


def stop_jobs(services: Services, run_id: str) -> int:
    """Stop all Bedrock jobs of a run that have not ended; returns how many."""
    prefix = job_name(run_id, 0, 0).removesuffix("0-00000")
    stopped = 0
    for job in services.bedrock.jobs(prefix):
        if job.name.startswith(prefix) and job.status not in TERMINAL:
            services.bedrock.stop_job(job.arn)
            stopped += 1
    return stopped


def _closings(opened: Run) -> int:
    """How many of the latest executions were to close the run."""
    return sum(1 for _ in takewhile(lambda item: item.cancelled, reversed(opened.resumptions)))


def _close(services: Services, opened: Run) -> str:
    """The execution that brings a cancelled run to its end; a second sweep finds it under way."""
    fresh = Run(services.work, opened.id)
    if fresh.execution != opened.execution:
        return fresh.execution
    return execute_again(services, fresh, cancelled=True)


def _summarize(services: Services, opened: Run, detail: dict[str, Any]) -> None:
    """run.json of a run that broke off: what is known, and why."""
    from sluice.steps.publish import summarize  # noqa: PLC0415 - it takes Arrow along, and few sweeps need it

    cause = detail.get("cause") or detail.get("error") or detail["status"]
    summary = summarize(services, opened, [], counts_so_far(opened), Findings(), error=_readable(str(cause)))
    services.work.put(opened.keys.summary, msgspec.json.encode(summary))


def _readable(cause: str) -> str:
    """The message inside the JSON that a Lambda error is handed over as."""
    try:
        found = json.loads(cause)
        return f"{found['errorType']}: {found['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return cause
