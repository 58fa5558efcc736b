"""The first cut of a run: from the indexes of its spans to shards, their places in each segment, and the merge parts.

A run of a thousand million rows has thousands of indexes of a megabyte. They stream by, twice: for the sums over all
segments, and, when these have told where the shards begin, for where that is in each segment.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.answers.requests import RequestWriter
from sluice.aws.s3 import ahead
from sluice.budget import costs, whole
from sluice.errors import BadInput, Stop
from sluice.runs import accounting, planning
from sluice.runs.document import read
from sluice.runs.state import Part, PlannedSegment, RunPlan, Segment, SpanIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.steps.services import Run

TABLES = 3  # rows, bytes, distinct keys per bucket
NUMBER = 4  # bytes of a u32
EXPANSION = 1.2  # how much a text may grow by being escaped, on the whole
AHEAD = 8  # indexes that are read at once
BLOCK = 1024 * 1024


class Opened(NamedTuple):
    """A span's index: its head, where the tables begin behind it, and what of them came along with it."""

    head: SpanIndex
    tables_begin: int
    tables: bytes


class Totals:
    """What all segments hold together, bucket by bucket."""

    def __init__(self, depth: int) -> None:
        zeros = pa.array([0] * 16**depth, pa.int64())
        self.rows, self.bytes, self.distinct = zeros, zeros, zeros
        self.keys = planning.DistinctKeys()
        self.rejected: dict[str, int] = {}
        self.settled = 0
        self.input_rows: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.segments: list[PlannedSegment] = []
        self.byte_tables: list[tuple[int, int]] = []  # of each segment: the span, and where the table of bytes begins
        self.looked_at = (0.0, 0.0)
        self.routed: dict[int, tuple[int, int]] = {}
        self._lines: dict[int, int] = {}

    def add(self, found: Opened, tables: Iterator[bytes]) -> None:
        """Take the index of the next span."""
        index = found.head
        first = index.pieces[0].source if index.pieces else 0
        base = self._lines.get(first, 0)
        for piece in index.pieces:
            self._lines[piece.source] = self._lines.get(piece.source, 0) + piece.lines
            name = str(piece.source)
            self.input_rows[name] = self.input_rows.get(name, 0) + piece.rows
        self.refused = {**index.refused, **self.refused}
        for n, (segment, table) in enumerate(zip(index.segments, tables, strict=True)):
            self._add_segment(segment, table)
            size = NUMBER * 16**index.depth
            self.byte_tables.append((index.span, found.tables_begin + (n * TABLES + 1) * size))
            place = PlannedSegment(span=index.span, begin=segment.begin, first_source=first, line_base=base)
            self.segments.append(place)

    def _add_segment(self, segment: Segment, tables: bytes) -> None:
        size = len(tables) // TABLES
        rows, bytes_, distinct = (counts_of(tables, n * size, size) for n in range(TABLES))
        self.rows = pc.add(self.rows, rows)
        self.bytes = pc.add(self.bytes, bytes_)
        self.distinct = pc.add(self.distinct, distinct)
        self.keys.add(segment.sketch)
        self.rejected = accounting.merged([self.rejected, segment.rejected])
        for route, counts in segment.routed.items():
            before = self.routed.get(route, (0, 0))
            self.routed[route] = before[0] + counts[0], before[1] + counts[1]
        self.settled += segment.settled
        bytes_, tokens = segment.looked_at
        # A segment's rows stand for all of it, so that a small one weighs no more than its part.
        weight = segment.bytes / bytes_ if bytes_ else 0.0
        self.looked_at = self.looked_at[0] + weight * bytes_, self.looked_at[1] + weight * tokens

    @property
    def token_bytes(self) -> float | None:
        """Stored bytes for each token of the texts, by the rows that were looked at."""
        bytes_, tokens = self.looked_at
        return bytes_ / tokens if tokens else None


def counts_of(data: bytes, begin: int, size: int) -> pa.Array:
    """A number per bucket from a table of u32."""
    numbers = pa.py_buffer(data).slice(begin, size)
    return pa.Array.from_buffers(pa.uint32(), size // NUMBER, [None, numbers]).cast(pa.int64())


def cut_run(opened: Run) -> None:
    """Cut the bucket range into shards, and write where each begins in each segment.

    Raises:
        BadInput: of an object that several workers read, one could read its piece and another could not.

    """
    if opened.store.exists(opened.keys.plan):
        return
    totals = Totals(opened.start.depth)
    for found in ahead(lambda span: _open(opened, span), range(opened.start.spans), AHEAD):
        totals.add(found, _tables(opened, found))
    totals.refused |= {str(n): item.refused for n, item in enumerate(opened.inputs.inputs) if item.refused}
    for name in totals.refused.keys() & totals.input_rows.keys():  # some of its pieces could be read, some could not
        raise BadInput(totals.refused[name])
    upper = pc.sum(totals.distinct).as_py() or 0
    distinct = totals.keys.estimate(upper) if len(totals.segments) > 1 else upper
    bounds = _bounds(opened, totals, distinct / upper if upper else 0.0)
    cuts = _write_cuts(opened, bounds, totals)
    shard_rows, shard_bytes = _between(totals.rows, bounds), _between(totals.bytes, bounds)
    plan = RunPlan(
        depth=opened.start.depth,
        rows=sum(shard_rows),
        bytes=sum(shard_bytes),
        rejected=totals.rejected,
        settled=totals.settled,
        input_rows=totals.input_rows,
        distinct=distinct,
        bounds=bounds,
        shard_rows=shard_rows,
        segments=totals.segments,
        refused=dict(sorted(totals.refused.items(), key=lambda item: int(item[0]))),
        routed=dict(sorted(totals.routed.items())),
        token_bytes=totals.token_bytes,
    )
    _write_parts(opened, cuts, shard_bytes, len(totals.segments))
    opened.store.put(opened.keys.plan, _priced(opened, plan).write())


def _priced(opened: Run, plan: RunPlan) -> RunPlan:
    """Note what the run can cost, and is expected to."""
    tiers, load = opened.start.tiers, costs.Load.of_plan(opened.task, plan)
    least = opened.settings.min_records_per_job
    return msgspec.structs.replace(
        plan,
        ceiling_usd=whole.run_ceiling_usd(opened.task, tiers, load, least, opened.start.judge),
        expected_usd=whole.run_expected_usd(tiers, load, least, drawn=opened.task.drawn, judge=opened.start.judge),
    )


def _open(opened: Run, span: int) -> Opened:
    """The head, and of the tables what its blocks brought along: of a span of one segment all."""
    key, data = opened.keys.index(span), b""
    try:
        for block in opened.store.blocks(key):
            data += block
            if (end := data.find(b"\n")) >= 0:
                index = read(SpanIndex, data[:end], key)
                return Opened(index, end + 1, _rest(opened, key, index, data[end + 1 :], end + 1))
    except Stop as error:
        if opened.store.exists(key):
            raise
        raise Stop(f"span {span} has not been read ({key}): see the log of the step partition") from error
    raise Stop(f"{key} is damaged: it has no head")


def _rest(opened: Run, key: str, index: SpanIndex, got: bytes, begin: int) -> bytes:
    """The table of the first segment to its end; those behind it are read when their turn comes."""
    wanted = TABLES * NUMBER * 16**index.depth if index.segments else 0
    missing = wanted - len(got)
    return got + opened.store.read_range(key, begin + len(got), missing) if missing > 0 else got


def _tables(opened: Run, index: Opened) -> Iterator[bytes]:
    """The three tables of each segment of a span."""
    size = TABLES * NUMBER * 16**index.head.depth
    key = opened.keys.index(index.head.span)
    for at in range(0, len(index.head.segments) * size, size):
        got = index.tables[at : at + size]
        yield got if len(got) == size else opened.store.read_range(key, index.tables_begin + at, size)


def _bounds(opened: Run, totals: Totals, share: float) -> list[int]:
    """The shards' bounds; `share` is how many of the segments' distinct keys are distinct among all."""
    settings = opened.settings
    records = [round(count * share) for count in totals.distinct.to_pylist()]
    constant = RequestWriter(opened.task, opened.start.tiers[0]).constant_bytes
    weights = [
        round(bytes_ * share * EXPANSION) + count * constant
        for bytes_, count in zip(totals.bytes.to_pylist(), records, strict=True)
    ]
    limits = planning.Limits(settings.max_records_per_job, settings.max_file_bytes)
    return planning.cut_shards(records, weights, limits)


def _between(counts: pa.Array, bounds: Sequence[int]) -> list[int]:
    """The sums of counts per bucket from each bound to the next."""
    running = pc.cumulative_sum(counts).to_pylist()
    return [running[end - 1] - (running[begin - 1] if begin else 0) for begin, end in pairwise(bounds)]


def _write_cuts(opened: Run, bounds: Sequence[int], totals: Totals) -> array[int]:
    """`cuts.bin`: for each bound a row of u32, the bound's offset in each segment."""
    segments, size = len(totals.segments), NUMBER * 16**opened.start.depth
    matrix = array("I", bytes(NUMBER * len(bounds) * segments))
    inner = pa.array([bound - 1 for bound in bounds[1:]], pa.int64())

    def load(place: tuple[int, int]) -> bytes:
        return opened.store.read_range(opened.keys.index(place[0]), place[1], size)

    for column, table in enumerate(ahead(load, totals.byte_tables, AHEAD)):
        offsets = pc.cumulative_sum(counts_of(table, 0, size)).take(inner).cast(pa.uint32())
        matrix[segments + column :: segments] = array("I", offsets.buffers()[1].to_pybytes()[: NUMBER * len(inner)])
    with opened.store.writer(opened.keys.cuts) as out:
        view = memoryview(matrix).cast("B")
        for at in range(0, len(view), BLOCK):
            out.write(bytes(view[at : at + BLOCK]))
    return matrix


def _write_parts(opened: Run, cuts: array[int], shard_bytes: Sequence[int], segments: int) -> None:
    """`parts.json`: each shard is a part, or several when its rows are many; one without rows is none.

    A run without any row has one part all the same, so that its results are a table with columns instead of nothing.
    """
    parts: list[Part] = []
    for shard, bytes_ in enumerate(shard_bytes):
        if not bytes_:
            continue
        whole = [(0, segments)]
        several = bytes_ > opened.settings.part_bytes
        for first, last in _runs_of_segments(opened, cuts, shard, segments) if several else whole:
            parts.append(Part(run=opened.id, part=len(parts), shard=shard, first=first, last=last))
    nothing = Part(run=opened.id, part=0, shard=0, first=0, last=0)
    opened.store.put(opened.keys.parts, msgspec.json.encode(parts or [nothing]))


def _runs_of_segments(opened: Run, cuts: array[int], shard: int, segments: int) -> list[tuple[int, int]]:
    low, high = (cuts[(shard + n) * segments : (shard + n + 1) * segments] for n in (0, 1))
    return planning.cut_parts([end - begin for begin, end in zip(low, high, strict=True)], opened.settings.part_bytes)
