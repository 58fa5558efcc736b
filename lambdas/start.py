"""start: an S3 event, a tick of the schedule or a command begins a run, lets one go on, or judges one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import deployment, step
from sluice.steps import rejudge, resume, start
from sluice.task import parse_task

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, str | None]:
    if "resume" in event:
        wanted = event["resume"]
        return {"run": wanted["run"], "execution": resume.run(services, wanted["run"], wanted.get("max_usd"))}
    if "approve" in event:
        wanted = event["approve"]
        return {"run": wanted["run"], "execution": resume.approve(services, wanted["run"])}
    if "rejudge" in event:
        wanted = event["rejudge"]
        return {"run": rejudge.run(services, wanted["run"], parse_task(wanted["task"], "the task to judge by"))}
    return {"run": start.run(services, deployment(), event)}
