"""approval: a run that can cost more than `approve_above_usd` waits, before anything is sent, until somebody agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.aws.events import Event
from sluice.runs.state import Approval

if TYPE_CHECKING:
    from sluice.steps.services import Run, Services


def must_wait(services: Services, opened: Run) -> bool:
    """Whether the run has to wait for an approval; if so it is noted, and said on the event bus at least once."""
    limit = opened.settings.approve_above_usd
    if limit is None or opened.approved:
        return False
    ceiling, expected = opened.plan.ceiling_usd, opened.plan.expected_usd
    if ceiling is not None and ceiling <= limit:
        return False
    noted = Approval(ceiling_usd=ceiling, expected_usd=expected, approve_above_usd=limit, at=services.now().isoformat())
    services.work.put(opened.keys.approval, noted.write())
    detail = {"ceiling_usd": ceiling, "expected_usd": expected, "approve_above_usd": limit}
    services.announce(Event.APPROVAL_NEEDED, {"run_id": opened.id, "task": opened.task.name, **detail})
    return True
