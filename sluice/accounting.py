"""The books: rows and records in, what became of them, what they cost. What does not balance is not published."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sluice.errors import Unbalanced
from sluice.prices import cost
from sluice.prompts import answer_tokens, prompt_tokens
from sluice.rows import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.state import Counts, FrozenTier, PartBooks, RunPlan
    from sluice.task import Task

BUDGET_MARGIN = 1.25  # over the expected cost of a round: token counts are estimates
BATCH, ON_DEMAND = "batch", "on_demand"


def check_job(counts: Counts) -> None:
    """Hold one job's books: what was sent came back somehow, and every record went somewhere.

    Raises:
        Unbalanced: with the figures.

    """
    came = counts.answered + counts.errored + counts.missing
    went = counts.accepted + counts.retried + counts.escalated + counts.unresolved + counts.held_back
    left = sum(pending.records for pending in counts.pending)
    wrong = []
    if counts.sent != came:
        wrong.append(f"{counts.sent} records sent, {came} answered, errored or missing")
    if counts.records != went:
        wrong.append(f"{counts.records} records, {went} accounted for")
    if left != counts.retried + counts.escalated + counts.held_back:
        wrong.append(f"{left} records pending, {counts.retried + counts.escalated + counts.held_back} to be sent again")
    if wrong:
        raise Unbalanced(f"round {counts.round}, job {counts.job}: {'; '.join(wrong)}")


def check_run(plan: RunPlan, parts: Sequence[PartBooks], jobs: Sequence[Counts]) -> None:
    """Hold the run's books: every row of the inputs stands in the parts once, and every job balances.

    Raises:
        Unbalanced: with all that is wrong.

    """
    wrong = []
    rows = sum(part.rows for part in parts)
    settled = sum(part.accepted + part.unresolved + part.rejected for part in parts)
    rejected = sum(part.rejected for part in parts)
    if rows != plan.rows:
        wrong.append(f"{plan.rows} rows were read and {rows} merged")
    if settled != rows:
        wrong.append(f"{rows} rows were merged and {settled} have a status")
    if rejected != sum(plan.rejected.values()):
        wrong.append(f"{sum(plan.rejected.values())} rows were rejected and {rejected} stand as rejected")
    for counts in jobs:
        try:
            check_job(counts)
        except Unbalanced as error:
            wrong.append(str(error))
    if wrong:
        raise Unbalanced("the books do not balance, nothing is published: " + "; ".join(wrong))


def expected_usd(task: Task, tier: FrozenTier, transport: str, records: int, text_bytes: int) -> float | None:
    """What sending records is expected to cost, None when the price is unknown.

    Tokens are estimated from bytes (`BYTES_PER_TOKEN`), the answer from its form.
    """
    tokens_in = records * prompt_tokens(task) + text_bytes // BYTES_PER_TOKEN
    return cost(tier.price, transport, tokens_in, records * answer_tokens(task))


def tier_books(tiers: Sequence[FrozenTier], jobs: Iterable[Counts]) -> list[dict[str, Any]]:
    """`tiers` of run.json: what each tier was sent and what came of it."""
    books: list[dict[str, Any]] = []
    counts = list(jobs)
    for number, tier in enumerate(tiers):
        mine = [item for item in counts if item.tier == number]
        figures = ("sent", "answered", "errored", "missing", "accepted", "retried", "escalated", "unresolved")
        transports = {item.transport for item in mine if item.sent}
        costs = [item.cost_usd for item in mine]
        books.append(
            {
                "tier": number,
                "model": tier.model_id,
                "transport": transports.pop() if len(transports) == 1 else "mixed" if transports else "none",
                **{name: sum(getattr(item, name) for item in mine) for name in figures},
                "input_tokens": sum(item.input_tokens for item in mine),
                "output_tokens": sum(item.output_tokens for item in mine),
                "cost_usd": total(costs),
            }
        )
    return books


def total(costs: Iterable[float | None]) -> float | None:
    """A sum of dollars, unknown as soon as one of them is."""
    listed = list(costs)
    return None if None in listed else sum(item for item in listed if item is not None)


def baseline_usd(task: Task, tiers: Sequence[FrozenTier], jobs: Sequence[Counts]) -> float | None:
    """What the last tier on every record of the first round would have cost, from the tokens that were really used.

    The last tier's own answers tell its tokens; where it was not asked, the first tier's stand for them.
    """
    last = tiers[-1]
    first_round = [item for item in jobs if item.round == 0]
    records = sum(item.sent for item in first_round)
    asked = [item for item in jobs if item.tier == len(tiers) - 1 and item.answered] or [
        item for item in first_round if item.answered
    ]
    answered = sum(item.answered for item in asked)
    if not records:
        return 0.0 if last.price else None
    tokens_in = sum(item.input_tokens for item in first_round if item.answered)
    answered_first = sum(item.answered for item in first_round) or 1
    per_answer = sum(item.output_tokens for item in asked) / answered if answered else answer_tokens(task)
    transport = BATCH if last.batch else ON_DEMAND
    return cost(last.price, transport, round(tokens_in / answered_first * records), round(per_answer * records))


def merged(counters: Iterable[dict[str, int]]) -> dict[str, int]:
    """Counters added up, the most frequent first."""
    sums: Counter[str] = Counter()
    for counter in counters:
        sums.update(counter)
    return dict(sums.most_common())
