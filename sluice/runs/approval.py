"""Why a run waits for somebody to approve its cost."""

from __future__ import annotations

from sluice.runs.document import Document


class Approval(Document, frozen=True, kw_only=True):
    """Why an execution ended before anything was sent: what the run can cost is above a limit.

    `ceiling_usd` is held against `approve_above_usd`, and `all_tiers_usd`, what it is expected to cost if every record
    goes through every tier, against `approve_above_expected_usd`. A cost is None where a price is unknown, a limit
    where there is none.
    """

    ceiling_usd: float | None
    expected_usd: float | None
    approve_above_usd: float | None
    at: str
    all_tiers_usd: float | None = None
    approve_above_expected_usd: float | None = None

    @property
    def passed(self) -> str:
        """The setting whose limit the run passes."""
        ceiling, limit = self.ceiling_usd, self.approve_above_usd
        return "approve_above_usd" if beyond(ceiling, limit) else "approve_above_expected_usd"

    @property
    def limit_usd(self) -> float:
        """That limit."""
        limit: float = getattr(self, self.passed)
        return limit


def beyond(usd: float | None, limit: float | None) -> bool:
    """Whether a cost is above a limit, if there is one; an unknown cost is above any."""
    return limit is not None and (usd is None or usd > limit)
