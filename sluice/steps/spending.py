"""What the runs of a day come to, for the limit on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.runs.accounting import total
from sluice.steps.plan import counts_so_far
from sluice.steps.services import Run

if TYPE_CHECKING:
    import datetime as dt

    from sluice.steps.services import Services

EXECUTION = re.compile(r"(.*-[0-9a-f]{10})(-\d+)?")  # of a run: the first one is called like it


@dataclass(frozen=True)
class Spent:
    """Dollars of a day's runs, and the runs of which nobody can tell, since a price is unknown."""

    usd: float
    unknown: list[str]

    def passes(self, limit: float) -> str | None:
        """Why nothing more may be spent; None when something may."""
        if self.unknown:
            return f"what the run {self.unknown[0]} costs is unknown, since a price is; give prices in models.yaml"
        return f"today's runs come to ${self.usd:,.2f}" if self.usd >= limit else None


def spent_since(services: Services, moment: dt.datetime) -> Spent:
    """What the runs come to whose executions began since `moment`."""
    costs = {run: cost_of(Run(services.work, run)) for run in runs_begun_since(services, moment)}
    known = [usd for usd in costs.values() if usd is not None]
    return Spent(sum(known), [run for run, usd in costs.items() if usd is None])


def runs_begun_since(services: Services, moment: dt.datetime) -> list[str]:
    """The runs of which an execution began since `moment`."""
    if services.workflow is None:
        return []
    names = (EXECUTION.fullmatch(name) for name in services.workflow.begun_since(moment))
    return sorted({match[1] for match in names if match})


def cost_of(opened: Run) -> float | None:
    """Dollars of a run's settled jobs, or what it is expected to cost where that is more and it is not published yet.

    None when a price is unknown.
    """
    if opened.start.judges is not None:
        return 0.0
    so_far = total(books.cost_usd for books in counts_so_far(opened))
    ended = opened.waiting or opened.store.exists(opened.keys.published)
    if so_far is None or ended or not opened.store.exists(opened.keys.plan):
        return so_far
    expected = opened.plan.expected_usd
    return None if expected is None else max(so_far, expected)
