"""sweep: clean up behind a run that was cancelled, or whose execution failed, timed out or was aborted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.bedrock import TERMINAL, job_name
from sluice.steps.plan import round_counts
from sluice.steps.publish import summarize
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.state import Counts
    from sluice.steps.services import Services


def run(services: Services, event: dict[str, Any]) -> dict[str, int]:
    """Stop the run's Bedrock jobs and write a truthful summary; safe to call again.

    The event is `{"run", "reason"}`, or EventBridge's report that an execution ended.
    """
    if "run" in event:
        run_id, reason = event["run"], event.get("reason", "cancelled")
    else:
        run_id, reason = event["detail"]["name"], event["detail"]["status"]
    opened = Run(services.work, run_id)
    if not services.work.exists(opened.keys.start):
        return {"stopped": 0}
    if reason == "cancelled":
        services.work.put_new(opened.keys.cancel, msgspec.json.encode({"at": services.now().isoformat()}))
        if services.workflow is not None:
            services.workflow.stop(run_id, "cancelled")
    stopped = stop_jobs(services, run_id)
    _summarize(services, opened, event, reason)
    return {"stopped": stopped}


def stop_jobs(services: Services, run_id: str) -> int:
    """Stop all Bedrock jobs of a run that have not ended; returns how many."""
    prefix = job_name(run_id, 0, 0).removesuffix("0-00000")
    stopped = 0
    for job in services.bedrock.jobs(prefix):
        if job.name.startswith(prefix) and job.status not in TERMINAL:
            services.bedrock.stop_job(job.arn)
            stopped += 1
    return stopped


def _summarize(services: Services, opened: Run, event: dict[str, Any], reason: str) -> None:
    """run.json of a run that did not get to publish: what is known, and why it ended."""
    done = services.work.find(opened.keys.summary)
    if done is not None and msgspec.json.decode(done)["status"] in {"succeeded", "over_limit"}:
        return
    detail = event.get("detail", {})
    cause = detail.get("cause") or detail.get("error") or reason
    if not services.work.exists(opened.keys.plan):
        return
    summary = summarize(services, opened, [], _counts_so_far(opened), error=str(cause))
    if reason == "cancelled":
        summary |= {"status": "cancelled", "error": None}
    services.work.put(opened.keys.summary, msgspec.json.encode(summary))


def _counts_so_far(opened: Run) -> list[Counts]:
    """The books of all jobs that have any."""
    found: list[Counts] = []
    number = 0
    while opened.store.exists(opened.keys.jobs(number)):
        found += round_counts(opened, number, forgiving=True)
        number += 1
    return found
