"""What the oracle says where it is asked about sampled records once more: compared with what it said, and nothing else.

Such answers stand nowhere in the results, are kept for no later run, and have a term of their own in the books.
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


def keep_repeats(run: Run, item: JobItem, job: PlannedJob, prepared: Prepared, ended: Ended, judged: Judged) -> Counts:
    """Keep the answers of a job by record, None where one is not valid, and return its books.

    Nothing is asked a third time: what has no valid answer compares nothing.
    """
    found = {
        key: list(verdict.labels or ()) if verdict is not None and verdict.reason is None else None
        for key, verdict in zip(judged.sent, judged.verdicts, strict=True)
    }
    run.store.put(run.keys.repeats(item.round, item.job), msgspec.json.encode(found))
    tokens, tier = (sum(judged.tokens_in), sum(judged.tokens_out)), run.tier(job.tier)
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
        input_tokens=0,
        output_tokens=0,
        cost_usd=accounting.total([usd, fillers]),
        fillers=prepared.fillers if buys else 0,
        filler_tokens=judged.filler_tokens if buys else (0, 0),
        filler_usd=fillers,
        repeats=len(found),
        repeat_tokens=tokens,
        repeat_usd=usd,
        pending=[],
    )


def repeated_answers(run: Run) -> dict[str, list[str] | None]:
    """What the oracle said of the records that it was asked about once more, by key."""
    found: dict[str, list[str] | None] = {}
    for key, _ in run.store.keys(run.keys.repeats_prefix):
        found |= decode(run.store.get(key), dict[str, list[str] | None])
    return found
