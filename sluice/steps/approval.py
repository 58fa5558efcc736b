"""approval: a run that can cost more than a limit waits, before anything is sent, until somebody agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.aws.events import Event
from sluice.budget.costs import Load
from sluice.budget.whole import all_tiers_usd
from sluice.runs.approval import Approval, beyond

if TYPE_CHECKING:
    from sluice.steps.services import Run, Services


def must_wait(services: Services, opened: Run) -> bool:
    """Whether the run has to wait for an approval; if so it is noted, and said on the event bus at least once.

    `approve_above_expected_usd` stands by itself, so it is not asked of a run whose answers cost nothing.
    """
    if opened.approved:
        return False
    plan, settings = opened.plan, opened.settings
    noted = Approval(
        ceiling_usd=plan.ceiling_usd,
        expected_usd=plan.expected_usd,
        approve_above_usd=settings.approve_above_usd,
        at=services.now().isoformat(),
        all_tiers_usd=all_tiers_usd(
            opened.start.tiers,
            Load.of_plan(opened.task, plan),
            settings.min_records_per_job,
            opened.start.judge,
        ),
        approve_above_expected_usd=settings.approve_above_expected_usd if _asks_bedrock(opened.start.answers) else None,
    )
    ceiling_passed = beyond(noted.ceiling_usd, noted.approve_above_usd)
    if not ceiling_passed and not beyond(noted.all_tiers_usd, noted.approve_above_expected_usd):
        return False
    services.work.put(opened.keys.approval, noted.write())
    costs = {name: value for name, value in msgspec.structs.asdict(noted).items() if name not in {"at", "format"}}
    services.announce(Event.APPROVAL_NEEDED, {"run_id": opened.id, "task": opened.task.name, **costs})
    return True


def _asks_bedrock(answers: str) -> bool:
    """Whether some tier's answers cost what Bedrock takes: `bedrock`, or one of `0=openai:… 1=bedrock`."""
    return answers == "bedrock" or any(part.endswith("=bedrock") for part in answers.split())
