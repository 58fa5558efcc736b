"""What the oracle says where it is asked about sampled records once more: compared with what it said, and nothing else.

Such answers stand nowhere in the results and are kept for no later run. What they took stands on the rows of their
records, and as a term of its own in the books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.decoding import decode
from sluice.models.prices import cost
from sluice.runs import accounting
from sluice.runs.books import Counts

if TYPE_CHECKING:
    from sluice.runs.job import Ended, Prepared
    from sluice.runs.state import JobItem, PlannedJob
    from sluice.steps.judging import Judged
    from sluice.steps.services import Run


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """What the oracle said of a record the second time, None where that is no valid answer, and what it took."""

    labels: list[str] | None
    tokens: tuple[int, int]
    usd: float | None


def keep_repeats(run: Run, item: JobItem, job: PlannedJob, prepared: Prepared, ended: Ended, judged: Judged) -> Counts:
    """Keep the answers of a job by record, None where one is not valid, and return its books.

    Nothing is asked a third time: what has no valid answer compares nothing.
    """
    tier = run.tier(job.tier)
    found = {
        key: Repeat(
            labels=list(verdict.labels or ()) if verdict is not None and verdict.reason is None else None,
            tokens=(judged.tokens_in[n], judged.tokens_out[n]),
            usd=cost(
                tier.price,
                prepared.transport,
                judged.tokens_in[n],
                judged.tokens_out[n],
                judged.cached[0][n],
                judged.cached[1][n],
            ),
        )
        for n, (key, verdict) in enumerate(zip(judged.sent, judged.verdicts, strict=True))
    }
    run.store.put(run.keys.repeats(item.round, item.job), msgspec.json.encode(found))
    tokens = sum(judged.tokens_in), sum(judged.tokens_out)
    cached = sum(judged.cached[0]), sum(judged.cached[1])
    buys = run.start.judges is None
    fillers = cost(tier.price, prepared.transport, *judged.filler_tokens) if buys else 0.0
    usd = cost(tier.price, prepared.transport, *tokens, *cached)
    return Counts(
        round=item.round,
        job=item.job,
        tier=job.tier,
        attempt=job.attempt,
        purpose=job.purpose,
        transport=prepared.transport,
        status=ended.status,
        message=ended.message or judged.commonest_message,
        submitted=ended.submitted,
        ended=ended.ended,
        records=0,
        sent=0,
        held_back=0,
        answered=0,
        errored=0,
        missing=0,
        accepted=0,
        retried=0,
        escalated=0,
        unresolved=0,
        duplicates=judged.duplicates,
        unknown=judged.unknown,
        unreadable=judged.unreadable,
        reasons={},
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost_usd=accounting.total([usd, fillers]),
        fillers=prepared.fillers if buys else 0,
        filler_tokens=judged.filler_tokens if buys else (0, 0),
        filler_usd=fillers,
        repeats=len(found),
        repeat_tokens=tokens,
        repeat_usd=usd,
        pending=[],
    )


def repeats_of(run: Run) -> dict[str, Repeat]:
    """The records that the oracle was asked about once more, by key; of jobs that were settled."""
    found: dict[str, Repeat] = {}
    if run.task.quality is None:  # each part of a run asks: others pay for no look
        return found
    for key, _ in run.store.keys(run.keys.repeats_prefix):
        if run.store.exists(run.keys.counts_of(key)):
            found |= decode(run.store.get(key), dict[str, Repeat])
    return found
