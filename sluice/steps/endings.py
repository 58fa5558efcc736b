"""What becomes of records behind their attempts, and how many of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.answers.refusals import REFUSED_JOB
from sluice.reasons import Outcome, Reason, about
from sluice.results.table import ATTEMPTS
from sluice.runs.job import THROTTLED
from sluice.task.router import SIMPLE

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from collections.abc import Set as AbstractSet

    from sluice.answers.judge import Verdict
    from sluice.steps.judging import Judged
    from sluice.steps.services import Run


# Why no answer came, by how the job ended.
MISSING = {
    "Expired": Reason.JOB_EXPIRED,
    "Failed": Reason.JOB_FAILED,
    "Stopped": Reason.JOB_STOPPED,
    REFUSED_JOB: Reason.RECORD_REFUSED,
    THROTTLED: Reason.THROTTLED,
}


class Ending(NamedTuple):
    """What becomes of a record behind an attempt, and why.

    `split`: it goes again, at most so many in a request. `routed`: the router has left it to the tier that it asked.
    """

    outcome: Outcome
    reason: Reason | None = None
    split: int = 0
    routed: bool = False


class Traits(NamedTuple):
    """What decides about a record beside its verdict.

    `fewer`: in requests of how many it goes again, 0 if it was alone. `last`: the last tier that it may be sent to.
    """

    fewer: int
    is_drawn: bool
    last: int


class Waiting(NamedTuple):
    """Which answers of a tier below the last wait for others, and of which records the last is asked anyway.

    `scores`: all that pass do, for their scores. Those of `drawn` records do for the last tier's answer.
    """

    scores: bool
    drawn: AbstractSet[str]
    next_is_last: bool

    @classmethod
    def of(cls, run: Run, tier: int) -> Waiting:
        """What waits of the answers of this tier."""
        last = len(run.start.tiers) - 1
        drawn = run.draws.keys if run.draws_rows and tier < last else frozenset()
        return cls(run.task.gives_scores and tier == 0 and tier < last, drawn, tier + 1 == last)

    def has_asked(self, key: str) -> bool:
        """Whether the next tier is asked about a record whatever becomes of it here."""
        return self.next_is_last and key in self.drawn

    def hold(self, ending: Ending, *, is_drawn: bool) -> Ending:
        """The same where something waits: `scored`, with what failed of it, or what the judge has said of it."""
        if ending.outcome is Outcome.ACCEPTED and (self.scores or is_drawn):
            return Ending(Outcome.SCORED, ending.reason)
        if ending.outcome is Outcome.ESCALATED and is_drawn and self.next_is_last:
            return Ending(Outcome.SCORED, ending.reason)
        return ending


def name_of(ending: Ending, *, throttled: bool) -> str | None:
    """Among which pending records one stands that is sent again or goes on; None for one that does neither."""
    to = {Outcome.RETRIED: "fill" if throttled else "retry", Outcome.ESCALATED: "next", Outcome.REFUSED: "refused"}
    to[Outcome.JUDGED] = "judge"
    if ending.routed:
        return "simple"
    return to.get(ending.outcome) if not ending.split else "alone" if ending.split == 1 else "half"


def routed(verdict: Verdict, onward: Outcome, *, heard: bool, buys: bool) -> Ending | None:
    """Where a record goes by the router's word, or by what it wrote instead; None where it said nothing.

    An answer that cannot be read is no reason to trust the first tier with the record. `heard`: the verdict is one on
    what the router wrote. `onward`: what sending the record on comes to; unresolved where no tier is left.
    """
    if verdict.reason is not None and not (heard and buys and about(verdict.reason) == "answer"):
        return None
    if not buys:
        return Ending(Outcome.UNRESOLVED, Reason.ROUTED)
    if verdict.labels == (SIMPLE,) or onward is Outcome.UNRESOLVED:
        return Ending(Outcome.RETRIED, Reason.ROUTED, routed=True)
    return Ending(Outcome.ESCALATED, verdict.reason or Reason.ROUTED)


def as_said(verdict: Verdict) -> Verdict:
    """What router or judge said, as it is kept: no label of the task, but in place of one."""
    if verdict.labels is None:
        return verdict
    return verdict._replace(labels=None, detail=verdict.labels[0])


def numbered(kinds: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Where each kind stands last, in the order in which they first come; and of each element the number of its kind.

    Records are many and kinds few: what depends on the kind alone is worked out once for each.
    """
    at = dict(zip(kinds, range(len(kinds)), strict=True))
    number = {kind: n for n, kind in enumerate(at)}
    return list(at.values()), list(map(number.__getitem__, kinds))


def tally(endings: Sequence[Ending], of: Sequence[int]) -> tuple[Counter[Outcome], dict[str, int], dict[str, int]]:
    """Count outcomes, reasons of all that was not accepted, and reasons of what goes on to the next tier.

    `of`: of each record the number of its ending.
    """
    outcomes: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    onward: Counter[str] = Counter()
    for n, count in Counter(of).items():
        outcome, reason, *_ = endings[n]
        outcomes[outcome] += count
        if reason not in {None, Reason.JUDGE_AGREED} and outcome is not Outcome.ACCEPTED:
            reasons[reason.value] += count
            if outcome is Outcome.ESCALATED:
                onward[reason.value] += count
    return outcomes, dict(reasons), dict(onward)


def attempts_of(
    sent: Sequence[str], judged: Judged, verdicts: Sequence[Verdict], endings: Sequence[Ending], of: Sequence[int]
) -> pa.RecordBatch:
    """All attempts; of each record the number of its verdict. Verdicts repeat, and are converted once each."""
    values: dict[str, list[Any]] = {
        "outcome": [ending.outcome.value for ending in endings],
        "reason": [None if ending.reason is None else ending.reason.value for ending in endings],
        "labels": [verdict.labels for verdict in verdicts],
        "confidence": [verdict.confidence for verdict in verdicts],
        "fields": [verdict.fields for verdict in verdicts],
        "detail": [verdict.detail for verdict in verdicts],
    }
    at, count = pa.array(of, pa.int32()), len(sent)
    columns = {name: pc.take(pa.array(found, ATTEMPTS.field(name).type), at) for name, found in values.items()}
    columns["key"] = pa.array(sent, pa.string())
    of_tokens = (judged.tokens_in, judged.tokens_out, *judged.cached)
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    for name, tokens in zip(names, of_tokens, strict=True):
        columns[name] = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(tokens)])
    return pa.record_batch([columns[name] for name in ATTEMPTS.names], schema=ATTEMPTS)


def attempts_stream(attempts: pa.RecordBatch, about: dict[str, object]) -> bytes:
    """Attempts as they are kept, with what is the same for all of them."""
    schema = ATTEMPTS.with_metadata({"attempts": msgspec.json.encode(about)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_batch(attempts.replace_schema_metadata(schema.metadata))
    return bytes(sink.getvalue().to_pybytes())
