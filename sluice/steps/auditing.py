"""What became of answers that waited in a run that draws rows and promises nothing, and what the drawn rows tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sluice.quality.intervals import clustered_share
from sluice.reasons import Outcome, Reason
from sluice.results.answered import answers_in
from sluice.results.audited import RunAudit, TierAudit
from sluice.results.merging import attempts_in
from sluice.results.standing import Measured
from sluice.runs.accounting import Settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.results.merging import Attempts
    from sluice.runs.books import Counts
    from sluice.steps.services import Run


class DrawnOnes(NamedTuple):
    """Of drawn records: which tier below the last would have been accepted, with its labels, and what the last says.

    `became`: what became of their answers that waited, as (tier, outcome, reason), with how many.
    """

    below: dict[str, tuple[int, frozenset[str]]]
    last: dict[str, frozenset[str]]
    became: Counter[tuple[int, str, str | None]]


def drawn_ones(opened: Run, jobs: Iterable[Counts]) -> DrawnOnes | None:
    """What the tiers say of drawn records in these jobs; None for a run that draws none, or under a certificate."""
    if not opened.promises_nothing or not opened.store.exists(opened.source.draws):
        return None
    last, gate = len(opened.start.tiers) - 1, opened.score_gate
    with_books = {(books.round, books.job) for books in jobs}  # of a cancelled run not all have any
    kept = (attempts for job, attempts in _attempts(opened) if (attempts.round, job) in with_books)
    answers = list(answers_in(kept))
    found = DrawnOnes({}, {}, Counter())
    for answer in answers:
        if answer.tier == last and answer.outcome == Outcome.ACCEPTED:
            found.last[answer.key] = frozenset(answer.labels)
    enough = None if gate is None else frozenset(gate.drawn_accepted)
    why = Reason.LOW_SCORE if gate is None else gate.falls_short
    standing = Measured(found.last.keys(), {}, enough, gives_scores=opened.task.gives_scores, falls_short=why)
    for answer in answers:
        if answer.tier < last and answer.outcome == Outcome.SCORED:
            outcome, reason = standing.of(answer.key, answer.reason, answer.tier)
            found.became[answer.tier, outcome, reason] += 1
            if outcome == Outcome.ACCEPTED or reason == Reason.DRAWN:
                here = answer.tier, frozenset(answer.labels)
                found.below[answer.key] = min(found.below.get(answer.key, here), here, key=_tier)
    return found


def _tier(found: tuple[int, frozenset[str]]) -> int:
    return found[0]


def audit(opened: Run, found: DrawnOnes) -> RunAudit | None:
    """What the sampled rows tell of the tiers below the last; None where none was drawn to measure by.

    A record that taught measures nothing, unless what had not seen it has answered.
    """
    draws = opened.draws
    if not draws.sample and opened.task.audit is None:
        return None
    unseen = set() if opened.score_gate is None else set(opened.score_gate.unseen)
    both = found.below.keys() & found.last.keys() - unseen
    compared = [(row.key, *found.below[row.key]) for row in draws.sample if row.key in both]
    agreeing = clustered_share((key, labels == found.last[key]) for key, _, labels in compared)
    tiers = [
        TierAudit(
            tier=tier,
            compared=sum(of == tier for _, of, _ in compared),
            agreeing=sum(of == tier and labels == found.last[key] for key, of, labels in compared),
        )
        for tier in range(len(opened.start.tiers) - 1)
    ]
    return RunAudit(
        drawn=len(draws.sample),
        population=draws.population,
        records=len({row.key for row in draws.sample}),
        compared=len(compared),
        agreeing=agreeing.count,
        low=agreeing.low,
        high=agreeing.high,
        unanswered=sum(row.key not in found.last for row in draws.sample),
        oracle=opened.start.tiers[-1].called,
        seed=draws.seed,
        tiers=tiers,
    )


def settled(opened: Run, found: DrawnOnes, jobs: Sequence[Counts]) -> Settled:
    """What became of all answers that waited: of drawn records one by one, of others by what their scores decide."""
    standing, unsettled = Counter[int](), Counter[int]()
    onward: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for (tier, outcome, reason), count in found.became.items():
        if outcome == Outcome.ACCEPTED:
            standing[tier] += count
        elif reason is None:
            unsettled[tier] += count
        else:
            onward[tier][reason] += count
    others = sum(books.scored for books in jobs if books.tier == 0)
    others -= sum(count for (tier, _, _), count in found.became.items() if tier == 0)
    if (gate := opened.score_gate) is None:
        unsettled[0] += others
    else:
        standing[0] += gate.accepted_records
        onward[0][gate.falls_short.value] += others - gate.accepted_records
    return Settled(+standing, {tier: +reasons for tier, reasons in onward.items()}, +unsettled)


def refused_draws(opened: Run) -> dict[int, int]:
    """By tier the drawn records that it refused, and that were passed to nobody: the last one was asked about them."""
    if not opened.draws_rows or not opened.store.exists(opened.source.draws):
        return {}
    last, latest = len(opened.start.tiers) - 1, dict[str, tuple[int, int, str]]()
    for _, attempts in _attempts(opened):
        for row in attempts.table.select(["key", "outcome"]).to_pylist() if attempts.tier < last else ():
            here = attempts.tier, attempts.round, row["outcome"]
            latest[row["key"]] = max(latest.get(row["key"], (-1, -1, "")), here)
    return dict(Counter(tier for tier, _, outcome in latest.values() if outcome == Outcome.REFUSED))


def _attempts(opened: Run) -> Iterator[tuple[int, Attempts]]:
    """The attempts at drawn records, each with the number of their job in its round."""
    for key, _ in opened.store.keys(opened.keys.drawn_prefix):
        yield opened.keys.job_of(key), attempts_in(opened.store.get(key))
