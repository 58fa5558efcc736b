"""What becomes of records behind their attempts, and how many of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Outcome, Reason
from sluice.results.table import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.answers.judge import Verdict
    from sluice.steps.judging import Judged


class Ending(NamedTuple):
    """What becomes of a record behind an attempt, and why. `split`: it goes again, at most so many in a request."""

    outcome: Outcome
    reason: Reason | None = None
    split: int = 0


def split_name(ending: Ending) -> str | None:
    """Among which pending records one stands whose request held others; None for what goes on otherwise."""
    return None if not ending.split else "alone" if ending.split == 1 else "half"


def tally(
    outcomes: Sequence[Ending],
) -> tuple[Counter[Outcome], dict[str, int], dict[str, int]]:
    """Count outcomes, reasons of all that was not accepted, and reasons of what goes on to the next tier."""
    of: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    onward: Counter[str] = Counter()
    for (outcome, reason, _), count in Counter(outcomes).items():
        of[outcome] += count
        if reason is not None:
            reasons[reason.value] += count
            if outcome is Outcome.ESCALATED:
                onward[reason.value] += count
    return of, dict(reasons), dict(onward)


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
