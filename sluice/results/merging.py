"""Joining rows with the attempts at their records, into the results table. All joins are Arrow's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.models.prices import cost
from sluice.reasons import Outcome, Reason, Status
from sluice.results.judged import answers_at, with_what_was_judged
from sluice.results.standing import Measured, became_of
from sluice.results.table import ATTEMPT, ATTEMPTS, RowColumns, field_columns, schema
from sluice.rows.record import CUTS, KEY, PLACE, RAW, REASONS, SOURCE
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.results.standing import Standing
    from sluice.runs.state import FrozenTier, Start
    from sluice.task.task import Task

FLAGS = pa.array([chr(flag) for flag in REASONS])
CUT_FLAGS = pa.array([chr(flag) for flag in CUTS])
REJECTED_FOR = pa.array([reason.value for reason in REASONS.values()])
OPEN = pa.array([end.value for end in (Outcome.ESCALATED, Outcome.RETRIED, Outcome.JUDGED)])  # it is sent again
HIGHEST_SCORE = 2**32 - 1  # as a score is stored
SUMMED = ("input_tokens", "output_tokens", "cost_usd")


class Attempts(NamedTuple):
    """The attempts that one job made at records of a shard: a table of `ATTEMPTS`, and what they have in common."""

    table: pa.Table
    round: int
    tier: int
    transport: str
    judge: bool = False  # they are the judge's, about answers of the tier


def attempts_in(data: bytes) -> Attempts:
    """The attempts of an object that check has written."""
    with pa.ipc.open_stream(data) as stream:
        about: dict[str, Any] = msgspec.json.decode(stream.schema.metadata[b"attempts"])
        return Attempts(stream.read_all().replace_schema_metadata(None), **about)


class Firsts(NamedTuple):
    """The records of a shard as prepare met them: whether several rows share it, and where the first of those is."""

    keys: pa.Array
    shared: pa.Array
    sources: pa.Array
    lines: pa.Array


class FirstAnswers(NamedTuple):
    """Of the records that were sent more than once (by number): the first answer that could be read, and its tier."""

    records: pa.Array
    answers: pa.Array
    tiers: pa.Array


class Records(NamedTuple):
    """The records of a shard that were sent.

    `columns` has one row more than `keys`: the last says what stands at a row of which no record was sent.
    """

    keys: pa.Array
    columns: dict[str, pa.Array]
    firsts: FirstAnswers


class Place(NamedTuple):
    """Rows of one segment: the stored lines, and what is added to the line numbers of one source."""

    lines: Sequence[bytes]
    first_source: int
    line_base: int


class Joined(NamedTuple):
    """Merged rows, the number of each one's record, and how many values of each kept column did not parse."""

    table: pa.Table
    records: pa.Array
    kept_invalid: dict[str, int]


def read_firsts(lines: Sequence[bytes]) -> Firsts:
    """From the lines of `records.txt`: the key and, if several rows share it, source and line of the first."""
    whole = pa.array(lines, pa.binary())
    shared = pc.greater(pc.binary_length(whole), KEY)
    placed = pc.if_else(shared, whole, pa.scalar(None, whole.type))
    return Firsts(
        pc.binary_slice(whole, 0, KEY).cast(pa.string()),
        shared,
        _number(placed, KEY, SOURCE),
        _number(placed, SOURCE, PLACE),
    )


def _number(stored: pa.Array, begin: int, end: int) -> pa.Array:
    return pc.binary_slice(stored, begin, end).cast(pa.string()).cast(pa.int64())


def join_attempts(
    task: Task,
    start: Start,
    found: Sequence[Attempts],
    firsts: Firsts,
    end_reason: str | None,
    standing: Standing | Measured | None = None,
) -> Records:
    """One row per record: the attempt that counts, its trail, tokens and cost over all attempts, its first row.

    `end_reason` is why no further round was sent, if something was still pending; `standing` says of a run
    that draws rows which answers count that waited.
    """
    table, keys, counts = _by_record(_attempts_table(task, start, found), by_tier=standing is not None)
    table = _with_what_followed(table)
    table = table if start.judge is None else with_what_was_judged(table)
    if standing is not None:
        table = _with_what_stands(table, standing)
    ends = pc.cumulative_sum(counts)
    decisive = _decisive(table, keys, ends, by_first=start.judges is not None or isinstance(standing, Measured))
    last = table.take(decisive if start.judge is None else answers_at(table).take(decisive)).combine_chunks()
    columns = {name: _chunk(last[name]) for name in ("labels", "confidence", "tier", "model", "outcome", "reason")}
    trail = pa.StructArray.from_arrays([_chunk(table[field.name]) for field in ATTEMPT], fields=list(ATTEMPT))
    columns["trail"] = _lists(trail, ends)
    columns["attempts"] = counts.cast(pa.int16())
    columns |= {name: _sums(_chunk(table[name]), counts, ends) for name in SUMMED}
    columns |= _settled(columns, end_reason)
    if task.answer.fields:
        columns |= field_columns(task, _accepted_only(columns["status"], _chunk(last["fields"])).to_pylist())
    columns["score"] = _scores(keys, standing)
    columns["label"] = pa.nulls(len(keys), pa.string()) if task.many else _first_label(columns["labels"])
    at = pc.index_in(keys, value_set=firsts.keys)
    columns |= {"first_source": firsts.sources.take(at), "first_line": firsts.lines.take(at)}
    columns["shared"] = pc.fill_null(firsts.shared.take(at), False)
    return Records(keys, _with_unsent(columns, end_reason or Reason.MISSING), _first_answers(table, counts, ends))


def _by_record(table: pa.Table, *, by_tier: bool = False) -> tuple[pa.Table, pa.Array, pa.Array]:
    """The attempts ordered by record and round, the records' keys, and how many attempts each has.

    `by_tier`: those of an earlier tier come first, whenever they were made, since the oracle is asked about drawn
    records in the first round.
    """
    of = _chunk(table["key"])
    keys = pc.unique(of)
    if len(keys) == len(of):
        return table, keys, pa.repeat(pa.scalar(1, pa.int64()), len(keys))
    record = pc.index_in(of, value_set=keys)
    order = pc.sort_indices(
        pa.table([record, _chunk(table["tier"]), _chunk(table["round"])], ["record", "tier", "round"]),
        [(name, "ascending") for name in ("record", *["tier"] * by_tier, "round")],
    )
    return table.take(order).combine_chunks(), keys, pc.value_counts(record.take(order)).field("counts")


def _with_what_followed(table: pa.Table) -> pa.Table:
    """The attempts in their order, where those that were refused say what came of it: the attempt behind them."""
    refused = pc.equal(table["outcome"], Outcome.REFUSED.value)
    if not pc.any(refused).as_py():
        return table
    key, tier = _chunk(table["key"]), _chunk(table["tier"])
    next_key = pa.concat_arrays([key.slice(1), pa.nulls(1, key.type)])
    next_tier = pa.concat_arrays([tier.slice(1), pa.nulls(1, tier.type)])
    followed = pc.fill_null(pc.equal(key, next_key), False)
    went = pc.if_else(pc.greater(next_tier, tier), Outcome.ESCALATED.value, Outcome.RETRIED.value)
    became = pc.if_else(followed, went, Outcome.UNRESOLVED.value)
    outcome = pc.if_else(_chunk(refused), became, _chunk(table["outcome"]))
    return table.set_column(table.schema.get_field_index("outcome"), "outcome", outcome)


def _with_what_stands(table: pa.Table, standing: Standing | Measured) -> pa.Table:
    """The attempts, where those that waited say what became of them."""
    waited = pc.equal(table["outcome"], Outcome.SCORED.value)
    told = (table[name].filter(waited).to_pylist() for name in ("key", "reason", "tier", "judge"))
    became = [became_of(standing, *each) for each in zip(*told, strict=True)]
    for name, values in zip(("outcome", "reason"), zip(*became, strict=True) if became else (), strict=False):
        column = pc.replace_with_mask(_chunk(table[name]), _chunk(waited), pa.array(values, pa.string()))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _scores(keys: pa.Array, standing: Standing | Measured | None) -> pa.Array:
    """The score of each record's first answer, from 0 to 1; null where it has none."""
    if standing is None:
        return pa.nulls(len(keys), pa.float64())
    scores = standing.scores
    found = [None if (score := scores.get(key)) is None else score / HIGHEST_SCORE for key in keys.to_pylist()]
    return pa.array(found, pa.float64())


def _decisive(table: pa.Table, keys: pa.Array, ends: pa.Array, *, by_first: bool) -> pa.Array:
    """Where the attempt stands that counts: the last, or before it the first accepted one.

    `by_first`: there may be such a one, of stored answers that are judged again, and of records drawn for an audit.
    """
    last = pc.subtract(ends, 1)
    if not by_first:
        return last
    stands = pc.equal(_chunk(table["outcome"]), Outcome.ACCEPTED.value)
    accepted = pc.indices_nonzero(pc.and_not(stands, _chunk(table["judge"])))  # a judge's word is no answer
    record = pc.index_in(_chunk(table["key"]).take(accepted), value_set=keys)
    firsts = pa.table([record, accepted], ["record", "at"]).group_by("record").aggregate([("at", "min")])
    here = pc.index_in(pa.array(range(len(keys)), pa.int32()), value_set=_chunk(firsts["record"]))
    return pc.coalesce(_chunk(firsts["at_min"]).take(here).cast(pa.int64()), last.cast(pa.int64()))


def _attempts_table(task: Task, start: Start, found: Sequence[Attempts]) -> pa.Table:
    """All attempts with what their jobs have in common as columns."""
    tables = []
    for attempts in found or [Attempts(ATTEMPTS.empty_table(), 0, 0, Transport.BATCH)]:
        table, tier = attempts.table, start.tiers[attempts.tier]
        tier = start.judge if attempts.judge and start.judge is not None else tier
        for field in ATTEMPTS:
            if field.name not in table.column_names:  # of an earlier version, which did not keep it
                table = table.append_column(field, pa.nulls(len(table), field.type))
        labels = _chunk(table["labels"])
        extra = {
            "round": pa.repeat(pa.scalar(attempts.round, pa.int16()), len(table)),
            "tier": pa.repeat(pa.scalar(attempts.tier, pa.int8()), len(table)),
            "judge": pa.repeat(pa.scalar(attempts.judge), len(table)),
            "model": pa.repeat(pa.scalar(tier.called), len(table)),
            "label": pa.nulls(len(table), pa.string()) if task.many else _first_label(labels),
            "cost_usd": _costs(tier, attempts.transport, table),
        }
        for name, column in extra.items():
            table = table.append_column(name, column)
        tables.append(table)
    return pa.concat_tables(tables)


def _costs(tier: FrozenTier, transport: str, table: pa.Table) -> pa.Array:
    """What each attempt cost, null for an unknown price."""
    per_input, per_output = cost(tier.price, transport, 1, 0), cost(tier.price, transport, 0, 1)
    if per_input is None or per_output is None:
        return pa.nulls(len(table), pa.float64())
    usd = pc.add(_times(table["input_tokens"], per_input), _times(table["output_tokens"], per_output))
    for name, one in (("cache_read_tokens", (1, 0)), ("cache_write_tokens", (0, 1))):
        more = (cost(tier.price, transport, 1, 0, *one) or 0.0) - per_input
        if more:
            usd = pc.add(usd, _times(pc.coalesce(table[name], 0), more))
    return _chunk(usd)


def _times(tokens: pa.ChunkedArray, usd: float) -> pa.ChunkedArray:
    return pc.multiply(tokens.cast(pa.float64()), usd)


def _sums(values: pa.Array, counts: pa.Array, ends: pa.Array) -> pa.Array:
    """The sum over each record's attempts, in their order; null where one of them is (an unknown price)."""
    starts = pc.subtract(ends, counts)
    sums = values.take(starts)
    for n in range(1, pc.max(counts).as_py() or 0):
        there = pc.greater(counts, n)
        nth = values.take(pc.if_else(there, pc.add(starts, n), starts))
        sums = pc.if_else(there, pc.add(sums, nth), sums)
    return sums


def _first_answers(table: pa.Table, counts: pa.Array, ends: pa.Array) -> FirstAnswers:
    """Look at the attempts of a record from its last to its first: what remains is the earliest with labels."""
    again = pc.indices_nonzero(pc.greater(counts, 1)).cast(pa.int64())
    counts, starts = counts.take(again), pc.subtract(ends, counts).take(again)
    labels, tiers = _chunk(table["labels"]), _chunk(table["tier"])
    answers, of_tier = pa.nulls(len(again), pa.string()), pa.nulls(len(again), tiers.type)
    for n in reversed(range(pc.max(counts).as_py() or 0)):
        at = pc.if_else(pc.greater(counts, n), pc.add(starts, n), None)
        words = in_words(labels.take(at))
        of_tier = pc.if_else(pc.is_valid(words), tiers.take(at), of_tier)
        answers = pc.coalesce(words, answers)
    return FirstAnswers(again, answers, of_tier)


def in_words(labels: pa.ListArray) -> pa.Array:
    """Each list of labels as one text, null where there is none."""
    return pc.binary_join(labels, ", ")


def _lists(values: pa.Array, ends: pa.Array) -> pa.Array:
    """`values` as one list per end."""
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, values)


def _first_label(labels: pa.ListArray) -> pa.Array:
    """The first label of each list, null where there is none: an empty list has no first element to take."""
    empty = pc.fill_null(pc.equal(pc.list_value_length(labels), 0), False)
    return pc.list_element(pc.if_else(empty, pa.scalar([None], labels.type), labels), 0)


def _settled(columns: dict[str, pa.Array], end_reason: str | None) -> dict[str, pa.Array]:
    """Status and reason of each record; labels and confidence only of accepted ones."""
    accepted = pc.equal(columns["outcome"], Outcome.ACCEPTED.value)
    status = pc.if_else(accepted, Status.ACCEPTED.value, Status.UNRESOLVED.value)
    reason = columns["reason"]
    if end_reason is not None:
        reason = pc.if_else(pc.is_in(columns["outcome"], value_set=OPEN), end_reason, reason)
    kept = {name: _accepted_only(status, columns[name]) for name in ("labels", "confidence")}
    return {"status": status, "reason": reason, **kept}


def _accepted_only(status: pa.Array, values: pa.Array) -> pa.Array:
    """Values of accepted records, null for the others."""
    return pc.if_else(pc.equal(status, Status.ACCEPTED.value), values, pa.scalar(None, values.type))


def _with_unsent(columns: dict[str, pa.Array], why: str) -> dict[str, pa.Array]:
    """The columns with one row more, for rows of which no record was sent."""
    unsent = {"status": Status.UNRESOLVED.value, "reason": why, "attempts": 0, "trail": [], "shared": False}
    unsent |= dict.fromkeys(SUMMED, 0)
    return {
        name: pa.concat_arrays([column, pa.array([unsent.get(name)], column.type)]) for name, column in columns.items()
    }


def _chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


class RowJoin:
    """Joins stored rows with the records of their shard, batch by batch."""

    def __init__(self, task: Task, start: Start, sources: Sequence[str], records: Records) -> None:
        self.records = records.columns
        self.places = {key: n for n, key in enumerate(records.keys.cast(pa.binary()).to_pylist())}
        self.sources = pa.array(sources, pa.string())
        self.reader = RowColumns(task)
        self.schema = schema(task)
        self.same = {"run_id": start.run, "task": task.name, "task_version": start.task_version}

    def join(self, places: Sequence[Place]) -> Joined:
        """The results of some stored rows, in their order; every row stands there once, whatever it lacks."""
        lines = [line for place in places for line in place.lines]
        of, unsent = self.places.get, len(self.places)
        stored = pa.array(lines, pa.binary())
        why = _rejected_for(stored)
        # By its flag, not by its key: where it was stored before keys of places had a domain, a text may have its key.
        at = pc.if_else(pc.is_valid(why), unsent, pa.array([of(line[:KEY], unsent) for line in lines], pa.int64()))
        columns = {name: column.take(at) for name, column in self.records.items()}
        source = _number(stored, KEY, SOURCE)
        line = _line_numbers(_number(stored, SOURCE, PLACE), source, places)
        columns |= _costs_on_first(columns, source, line)
        columns |= {"source": self.sources.take(source), "line": line, **_of_row(stored, why, columns)}
        read, invalid = self.reader.read([line[RAW:] for line in lines])
        columns |= read
        for name, value in self.same.items():
            columns[name] = pa.repeat(pa.scalar(value, self.schema.field(name).type), len(lines))
        table = pa.table([columns[name] for name in self.schema.names], schema=self.schema)
        return Joined(table, at, {name: len(values) for name, values in invalid.items()})


def _line_numbers(number: pa.Array, source: pa.Array, places: Sequence[Place]) -> pa.Array:
    """Line numbers within the object: rows of a segment's first source go on where the span before ended."""
    if not any(place.line_base for place in places):
        return number
    chunks, begin = [], 0
    for place in places:
        count = len(place.lines)
        here = pc.equal(source.slice(begin, count), place.first_source)
        chunks.append(pc.add(number.slice(begin, count), pc.if_else(here, place.line_base, 0)))
        begin += count
    return pa.concat_arrays(chunks)


def _costs_on_first(columns: dict[str, pa.Array], source: pa.Array, line: pa.Array) -> dict[str, pa.Array]:
    """Tokens and cost stand on a record's first row, 0 on its twins, so that sums hold."""
    at_place = pc.and_(pc.equal(columns["first_source"], source), pc.equal(columns["first_line"], line))
    first = pc.or_(pc.invert(columns["shared"]), pc.fill_null(at_place, False))
    return {name: pc.if_else(first, columns[name], pa.scalar(0, columns[name].type)) for name in SUMMED}


def _flags(stored: pa.Array) -> pa.Array:
    return pc.binary_slice(stored, PLACE, RAW).cast(pa.string())


def _rejected_for(stored: pa.Array) -> pa.Array:
    """Why stored rows were rejected, null for good ones."""
    return REJECTED_FOR.take(pc.index_in(_flags(stored), value_set=FLAGS))


def _of_row(stored: pa.Array, why: pa.Array, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """What the stored rows say themselves: their record, whether the text was cut, why they were rejected."""
    rejected = pc.is_valid(why)
    key = pc.binary_slice(stored, 0, KEY).cast(pa.string())
    return {
        "status": pc.if_else(rejected, Status.REJECTED.value, columns["status"]),
        "reason": pc.if_else(rejected, why, columns["reason"]),
        "record": pc.if_else(rejected, pa.scalar(None, pa.string()), key),
        "truncated": pc.is_in(_flags(stored), value_set=CUT_FLAGS),
    }
