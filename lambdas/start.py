"""start: an object that arrives is marked; a sweep of the inbox, or a command, begins runs, or goes on with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import deployment, logger, step
from sluice.steps import arrivals, intake, rejudge, resume, start
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.runs.inbox import Notice
    from sluice.steps.services import Services

SHOWN = 100  # notices in an answer, which has a limit


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    if "detail-type" in event:
        return receive(event, services)
    if "sweep" in event:
        return sweep(event["sweep"], services)
    if "resume" in event:
        wanted = event["resume"]
        escalates = bool(wanted.get("escalate_refused"))
        execution = resume.run(services, wanted["run"], wanted.get("max_usd"), escalate_refused=escalates)
        return {"run": wanted["run"], "execution": execution}
    if "approve" in event:
        wanted = event["approve"]
        return {"run": wanted["run"], "execution": resume.approve(services, wanted["run"])}
    if "rejudge" in event:
        wanted = event["rejudge"]
        return {"run": rejudge.run(services, wanted["run"], parse_task(wanted["task"], "the task to judge by"))}
    return {"run": start.run(services, deployment(), event)}


def receive(event: dict[str, Any], services: Services) -> dict[str, Any]:
    notice = arrivals.receive(services, deployment(), event)
    return {"refused": tell([notice] if notice else [])}


def sweep(wanted: dict[str, Any], services: Services) -> dict[str, Any]:
    swept = intake.sweep(services, deployment(), wanted)
    for problem in swept.problems:
        logger.error("what waits cannot be run", extra={"problem": problem})
    return {
        "runs": swept.runs,
        "waiting": swept.waiting,
        "overdue_seconds": swept.overdue_seconds,
        "held": swept.held,
        "problems": swept.problems,
        "refused": tell(swept.refused),
    }


def tell(refused: Iterable[Notice]) -> list[dict[str, Any]]:
    """Log what was refused, and hand back some of it."""
    details = [notice.detail for notice in refused]
    for detail in details:
        logger.warning("object refused", extra=detail)
    return details[:SHOWN]
