"""Joining rows with the attempts at their records, into the results table. All joins are Arrow's."""

from __future__ import annotations


from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sluice.prices import cost
from sluice.reasons import Outcome, Reason, Status
from sluice.rows import CUT, KEY, PLACE, RAW, REASONS
from sluice.table import ATTEMPT, ATTEMPTS, RowColumns, field_columns, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.state import FrozenTier, Start
    from sluice.task import Task

PLACE_DIGITS = 8  # of the source, behind the key


class Attempts(NamedTuple):
    """The attempts that one job made at records of a shard: a table of `ATTEMPTS`, and what they have in common."""

    table: pa.Table
    round: int
    tier: int
    transport: str


class Records(NamedTuple):
    """The records of a shard: their columns, and the attempts as a list each."""

    keys: pa.Array
    columns: dict[str, pa.Array]


class Joined(NamedTuple):
    """A merged part, and how many values of each kept column did not parse."""

    table: pa.Table
    kept_invalid: dict[str, int]


def join_attempts(task: Task, start: Start, found: Sequence[Attempts], end_reason: str | None) -> Records:
    """One row per record: its last attempt, its trail, its tokens and cost over all attempts.

    `end_reason` is why no further round was sent, if something was still pending.
    """
    table = _attempts_table(task, start, found)
    keys = pc.unique(table["key"].combine_chunks())
    record = pc.index_in(table["key"].combine_chunks(), value_set=keys).cast(pa.int64())
    if len(found) > 1:
        order = pc.sort_indices(pc.add(pc.multiply(record, 1000), table["round"].combine_chunks().cast(pa.int64())))
        table, record = table.take(order), record.take(order)
    table = table.combine_chunks()
    counts = pc.value_counts(record).field("counts") if len(table) else pa.array([], pa.int64())
    ends = pc.cumulative_sum(counts.cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    last = table.take(pc.subtract(ends, 1)).combine_chunks()
    columns = {name: _chunk(last[name]) for name in ("labels", "confidence", "tier", "model", "outcome", "reason")}
    trail = pa.StructArray.from_arrays([_chunk(table[field.name]) for field in ATTEMPT], fields=list(ATTEMPT))
    columns["trail"] = pa.ListArray.from_arrays(offsets, trail)
    columns["attempts"] = counts.cast(pa.int16())
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        columns[name] = _sums(_chunk(table[name]), _chunk(record))
    columns |= _outcome_columns(columns, end_reason)
    columns |= field_columns(task, _accepted_only(columns["status"], _chunk(last["fields"])).to_pylist())
    return Records(keys, columns)


def _chunk(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _accepted_only(status: pa.Array, values: pa.Array) -> pa.Array:
    """Values of accepted records, null for the others."""
    return pc.if_else(pc.equal(status, Status.ACCEPTED.value), values, pa.scalar(None, values.type))


def _attempts_table(task: Task, start: Start, found: Sequence[Attempts]) -> pa.Table:
    tables = []
    for attempts in found:
        table, tier = attempts.table, start.tiers[attempts.tier]
        one = None if task.many else pc.list_element(_padded(_chunk(table["labels"])), 0)
        extra = {
            "round": pa.repeat(pa.scalar(attempts.round, pa.int16()), len(table)),
            "tier": pa.repeat(pa.scalar(attempts.tier, pa.int8()), len(table)),
            "model": pa.repeat(pa.scalar(tier.model_id), len(table)),
            "label": pa.nulls(len(table), pa.string()) if one is None else one,
            "cost_usd": _costs(tier, attempts.transport, table),
        }
        for name, column in extra.items():
            table = table.append_column(name, column)
        tables.append(table)
    if tables:
        return pa.concat_tables(tables)
    extra_types = {"round": pa.int16(), "tier": pa.int8(), "model": pa.string(), "label": pa.string()}
    fields = [*ATTEMPTS, *(pa.field(n, t) for n, t in extra_types.items()), pa.field("cost_usd", pa.float64())]
    return pa.schema(fields).empty_table()


def _padded(labels: pa.ListArray) -> pa.ListArray:
    """Lists with null in place of the empty ones, which have no first element."""
    empty = pc.equal(pc.list_value_length(labels), 0)
    return pc.if_else(pc.fill_null(empty, False), pa.scalar([None], labels.type), labels)


def _costs(tier: FrozenTier, transport: str, table: pa.Table) -> pa.Array:
    per_input = cost(tier.price, transport, 1, 0)
    per_output = cost(tier.price, transport, 0, 1)
    if per_input is None or per_output is None:
        return pa.nulls(len(table), pa.float64())
    of_input = pc.multiply(table["input_tokens"].cast(pa.float64()), per_input)
    return _chunk(pc.add(of_input, pc.multiply(table["output_tokens"].cast(pa.float64()), per_output)))


def _sums(values: pa.Array, record: pa.Array) -> pa.Array:
    """The sum over each record's attempts; null where one of them is (an unknown price)."""
    option = pc.ScalarAggregateOptions(skip_nulls=False)
    groups = pa.table({"record": record, "value": values}).group_by("record", use_threads=False)
    return _chunk(groups.aggregate([("value", "sum", option)])["value_sum"])


def _outcome_columns(columns: dict[str, pa.Array], end_reason: str | None) -> dict[str, pa.Array]:
    """Status and reason of each record; labels and confidence only of accepted ones."""
    outcome, reason = columns["outcome"], columns["reason"]
    accepted = pc.equal(outcome, Outcome.ACCEPTED.value)
    status = pc.if_else(accepted, Status.ACCEPTED.value, Status.UNRESOLVED.value)
    if end_reason is not None:
        open_ = pc.is_in(outcome, value_set=pa.array([Outcome.ESCALATED.value, Outcome.RETRIED.value]))
        reason = pc.if_else(open_, end_reason, reason)
    kept = {"status": status, "reason": reason}
    for name in ("labels", "confidence"):
        kept[name] = _accepted_only(status, columns[name])
    return kept


class Place(NamedTuple):
    """Rows of one segment: the stored lines, and what is added to the line numbers of one source."""

    lines: Sequence[bytes]
    first_source: int
    line_base: int


class Firsts(NamedTuple):
    """The records of a shard as prepare saw them: key and place of the first row, and how many rows share it."""

    places: pa.Array
    rows: pa.Array


def read_firsts(lines: Sequence[bytes]) -> Firsts:
    """From the lines of `records.txt`: key, place, a blank, the number of rows."""
    whole = pa.array(lines, pa.binary())
    return Firsts(
        pc.binary_slice(whole, 0, PLACE).cast(pa.string()),
        pc.binary_slice(whole, PLACE + 1, PLACE + 20).cast(pa.string()).cast(pa.int64()),
    )


def join_rows(
    task: Task,
    start: Start,
    places: Sequence[Place],
    sources: Sequence[str],
    records: Records,
    firsts: Firsts,
    end_reason: str | None,
) -> Joined:
    """The results of some stored rows, in the order of the input; every row stands there once, whatever it lacks."""
    lines = [line for place in places for line in place.lines]
    stored = pa.array(lines, pa.binary())
    key = pc.binary_slice(stored, 0, KEY).cast(pa.string())
    source = pc.binary_slice(stored, KEY, KEY + PLACE_DIGITS).cast(pa.string()).cast(pa.int64())
    number = _line_numbers(pc.binary_slice(stored, KEY + PLACE_DIGITS, PLACE), source, places)
    flags = pc.binary_slice(stored, PLACE, RAW).cast(pa.string())
    rejected = pc.index_in(flags, value_set=pa.array([chr(flag) for flag in REASONS]))
    at = pc.index_in(key, value_set=records.keys)
    first = pc.index_in(pc.binary_slice(stored, 0, PLACE).cast(pa.string()), value_set=firsts.places)
    twins = firsts.rows.take(pc.index_in(key, value_set=pc.utf8_slice_codeunits(firsts.places, 0, KEY)))
    columns = {name: column.take(at) for name, column in records.columns.items()}
    reads, invalid = RowColumns(task).read([line[RAW:] for line in lines])
    columns |= reads
    columns |= {
        "source": pa.array(sources, pa.string()).take(source),
        "line": number,
        "record": pc.if_else(pc.is_null(rejected), key, pa.scalar(None, pa.string())),
        "shared": pc.fill_null(pc.greater(twins, 1), False),
        "truncated": pc.equal(flags, chr(CUT)),
        "run_id": pa.repeat(pa.scalar(start.run), len(lines)),
        "task": pa.repeat(pa.scalar(task.name), len(lines)),
        "task_version": pa.repeat(pa.scalar(start.task_version), len(lines)),
        "score": pa.nulls(len(lines), pa.float64()),
        "label": pa.nulls(len(lines), pa.string()) if task.many else _first_label(columns["labels"]),
    }
    columns |= _costs_on_first(columns, first)
    columns |= _unasked(columns, rejected, end_reason or Reason.MISSING)
    table = pa.table([columns[field.name] for field in schema(task)], schema=schema(task))
    place = pa.table([source, number], ["source", "line"])
    order = pc.sort_indices(place, [("source", "ascending"), ("line", "ascending")])
    return Joined(table.take(order), invalid)


def _first_label(labels: pa.ListArray) -> pa.Array:
    return pc.list_element(_padded(labels), 0)


def _line_numbers(digits: pa.Array, source: pa.Array, places: Sequence[Place]) -> pa.Array:
    """Line numbers within the object: rows of a segment's first source go on where the span before ended."""
    number = digits.cast(pa.string()).cast(pa.int64())
    if not any(place.line_base for place in places):
        return number
    chunks, begin = [], 0
    for place in places:
        count = len(place.lines)
        here = pc.equal(source.slice(begin, count), place.first_source)
        base = pc.if_else(here, place.line_base, 0)
        chunks.append(pc.add(number.slice(begin, count), base))
        begin += count
    return pa.concat_arrays(chunks) if chunks else number


def _costs_on_first(columns: dict[str, pa.Array], first: pa.Array) -> dict[str, pa.Array]:
    """Tokens and cost stand on a record's first row, 0 on its twins, so that sums hold."""
    is_first = pc.is_valid(first)
    made = {}
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        column = columns[name]
        made[name] = pc.if_else(is_first, column, pa.scalar(0, column.type))
    return made


def _unasked(columns: dict[str, pa.Array], rejected: pa.Array, why: str) -> dict[str, pa.Array]:
    """Rows that no attempt belongs to: rejected ones with their reason, others unresolved."""
    was_rejected = pc.is_valid(rejected)
    reasons = pa.array([reason.value for reason in REASONS.values()]).take(rejected)
    status = pc.if_else(was_rejected, Status.REJECTED.value, pc.fill_null(columns["status"], Status.UNRESOLVED.value))
    untouched = pc.is_null(columns["attempts"])
    made = {
        "status": status,
        "reason": pc.if_else(was_rejected, reasons, pc.if_else(untouched, why, columns["reason"])),
        "attempts": pc.fill_null(columns["attempts"], 0),
        "trail": _empty_for_null(columns["trail"]),
    }
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        made[name] = pc.if_else(untouched, pa.scalar(0, columns[name].type), columns[name])
    return made


def _empty_for_null(trail: pa.ListArray) -> pa.ListArray:
    """Nested lists cannot be filled by a kernel: take from one empty list put behind them."""
    if not trail.null_count:
        return trail
    with_empty = pa.concat_arrays([trail, pa.array([[]], trail.type)])
    numbers = pa.array(range(len(trail)), pa.int64())
    return with_empty.take(pc.if_else(pc.is_null(trail), len(trail), numbers))
