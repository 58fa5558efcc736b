"""approval: a run that can cost more than `approve_above_usd` waits, before anything is sent, until somebody agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice import costs
from sluice.events import Event
from sluice.state import Approval

if TYPE_CHECKING:
    from sluice.steps.services import Run, Services


def must_wait(services: Services, opened: Run) -> bool:
    """Whether the run has to wait for an approval; if so it is noted, and said on the event bus at least once."""
    limit = opened.settings.approve_above_usd
    if limit is None or opened.approved:
        return False
    ceiling, expected = costs_of(opened)
    if ceiling is not None and ceiling <= limit:
        return False
    noted = Approval(ceiling_usd=ceiling, expected_usd=expected, approve_above_usd=limit, at=services.now().isoformat())
    services.work.put(opened.keys.approval, noted.write())
    detail = {"ceiling_usd": ceiling, "expected_usd": expected, "approve_above_usd": limit}
    services.publish_event(Event.APPROVAL_NEEDED, {"run_id": opened.id, "task": opened.task.name, **detail})
    return True


def costs_of(opened: Run) -> tuple[float | None, float | None]:
    """The most that a run can cost, and what it is expected to cost, in dollars; None where a price is unknown."""
    tiers, load = opened.start.tiers, costs.Load.of_plan(opened.task, opened.plan)
    expected = costs.run_expected_usd(tiers, load, opened.settings.min_records_per_job)
    return costs.run_ceiling_usd(opened.task, tiers, load), expected
