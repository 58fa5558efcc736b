"""What the drawn rows of an audited run tell: how often the last tier says what a tier below had accepted."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.quality.intervals import clustered_share
from sluice.reasons import Outcome
from sluice.results.audited import RunAudit, TierAudit
from sluice.results.merging import attempts_in
from sluice.runs.accounting import Settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.steps.services import Run


class _Found(NamedTuple):
    """Of drawn records: which tier below the last accepted which labels, and what the last one says."""

    below: dict[str, tuple[int, frozenset[str]]]
    last: dict[str, frozenset[str]]


def audit(opened: Run) -> tuple[RunAudit, Settled] | None:
    """What the drawn rows tell, and what became of their records in the books; None for a run without an audit."""
    if not opened.is_audited or not opened.store.exists(opened.source.draws):
        return None
    draws, found = opened.draws, _answers(opened)
    compared = [(row.key, *found.below[row.key]) for row in draws.sample if row.key in found.below.keys() & found.last]
    agreeing = clustered_share((key, labels == found.last[key]) for key, _, labels in compared)
    tiers = [
        TierAudit(
            tier=tier,
            compared=sum(of == tier for _, of, _ in compared),
            agreeing=sum(of == tier and labels == found.last[key] for key, of, labels in compared),
        )
        for tier in range(len(opened.start.tiers) - 1)
    ]
    told = RunAudit(
        drawn=len(draws.sample),
        population=draws.population,
        records=len(draws.keys),
        compared=len(compared),
        agreeing=agreeing.count,
        low=agreeing.low,
        high=agreeing.high,
        unanswered=sum(row.key not in found.last for row in draws.sample),
        oracle=opened.start.tiers[-1].called,
        seed=draws.seed,
        tiers=tiers,
    )
    return told, Settled(_by_tier(found, answered=True), _by_tier(found, answered=False))


def refused_draws(opened: Run) -> dict[int, int]:
    """By tier the drawn records that it refused, and that were passed to nobody: the last one was asked about them."""
    if not opened.draws_rows or not opened.store.exists(opened.source.draws):
        return {}
    last, latest = len(opened.start.tiers) - 1, dict[str, tuple[int, int, str]]()
    for round_, tier, row in _attempts(opened):
        if tier < last:
            latest[row["key"]] = max(latest.get(row["key"], (-1, -1, "")), (tier, round_, row["outcome"]))
    return dict(Counter(tier for tier, _, outcome in latest.values() if outcome == Outcome.REFUSED))


def _by_tier(found: _Found, *, answered: bool) -> dict[int, int]:
    """Records that a tier had accepted, by tier: those of which the last tier gave an answer, or the others."""
    counts: dict[int, int] = {}
    for key, (tier, _) in found.below.items():
        if (key in found.last) == answered:
            counts[tier] = counts.get(tier, 0) + 1
    return counts


def _answers(opened: Run) -> _Found:
    found = _Found({}, {})
    for _, tier, row in _attempts(opened):
        labels = frozenset(row["labels"] or ())
        if tier + 1 == len(opened.start.tiers):
            if row["outcome"] == Outcome.ACCEPTED:
                found.last[row["key"]] = labels
        elif row["outcome"] == Outcome.SCORED and row["reason"] is None:
            found.below[row["key"]] = min(
                found.below.get(row["key"], (tier, labels)), (tier, labels), key=itemgetter(0)
            )
    return found


def _attempts(opened: Run) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for key, _ in opened.store.keys(opened.keys.drawn_prefix):
        attempts = attempts_in(opened.store.get(key))
        for row in attempts.table.select(["key", "outcome", "reason", "labels"]).to_pylist():
            yield attempts.round, attempts.tier, row
