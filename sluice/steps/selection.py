"""Reading what a job or a part selects: the rows of a shard, one ranged read per segment; slices of pending records."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from sluice.aws.s3 import ahead
from sluice.rows.containers import lines_of, split_lines
from sluice.rows.record import KEY, PLACE, SOURCE
from sluice.runs.planning import MARK_EVERY
from sluice.runs.state import Pending
from sluice.steps.stored import StoredRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sluice.aws.s3 import ObjectWriter, Store
    from sluice.runs.state import PlannedJob, PlannedSegment, RunPlan
    from sluice.steps.services import Run

AHEAD = 8  # ranged reads under way at once: a shard of a large run is thousands of small ones
PIECE_BYTES = 1024 * 1024


class SegmentRows(NamedTuple):
    """The stored rows of a shard in one segment."""

    segment: PlannedSegment
    lines: list[bytes]


def shard_of(plan: RunPlan, key: str) -> int:
    """The shard of a record."""
    return bisect_right(plan.bounds, int(key[: plan.depth], 16)) - 1


def place_of(line: bytes, segment: PlannedSegment) -> tuple[int, int]:
    """Source and line of a stored row, the line as its object counts it, not as the piece that one span read."""
    source, number = int(line[KEY:SOURCE]), int(line[SOURCE:PLACE])
    return source, number + (segment.line_base if source == segment.first_source else 0)


def shard_rows(run: Run, shard: int, first: int = 0, last: int | None = None) -> Iterator[SegmentRows]:
    """The rows of a shard, segment by segment in the order of the input, from segment `first` to before `last`."""
    whole: SegmentRows | None = None
    for found in shard_blocks(run, shard, first, last):
        if whole is not None and found.segment is whole.segment:
            whole.lines.extend(found.lines)
            continue
        if whole is not None:
            yield whole
        whole = found
    if whole is not None:
        yield whole


def shard_blocks(run: Run, shard: int, first: int = 0, last: int | None = None) -> Iterator[SegmentRows]:
    """The same, about a megabyte at a time: what is used up before more comes stays in the processor's cache."""
    segments = run.plan.segments
    cuts = array("I")
    width = len(segments) * cuts.itemsize
    cuts.frombytes(run.store.read_range(run.source.cuts, shard * width, 2 * width))

    rows = StoredRows(run.store, run.source)

    def load(piece: tuple[int, int, int]) -> tuple[int, bytes]:
        n, begin, end = piece
        return n, rows.read(segments[n].span, segments[n].begin + begin, end - begin)

    wanted = range(first, len(segments) if last is None else last)
    pieces = _pieces((n, cuts[n], cuts[len(segments) + n]) for n in wanted)
    for number, blocks in groupby(ahead(load, pieces, AHEAD), key=itemgetter(0)):
        for lines in _whole_rows(block for _, block in blocks):
            yield SegmentRows(segments[number], lines)


def _pieces(ranges: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Ranges of segments as (segment, begin, end), cut into reads of `PIECE_BYTES`."""
    for n, begin, end in ranges:
        for at in range(begin, end, PIECE_BYTES):
            yield n, at, min(at + PIECE_BYTES, end)


def _whole_rows(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The stored rows of a segment, of which each block has some, and the last of them perhaps not to its end."""
    carry: list[bytes] = []
    for block in blocks:
        lines = lines_of(block)
        carry.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0], carry = b"".join(carry), [lines.pop()]
        if not lines[0]:  # before the first row
            del lines[0]
        if lines:
            yield lines
    if row := b"".join(carry):
        yield [row]


def pending_lines(run: Run, job: PlannedJob) -> Iterator[list[bytes]]:
    """The pending records of a job as lines `key text`, in order, a list per block."""
    for part in job.pending:
        skip, left = part.first - part.seek_first, part.count
        for lines in split_lines(run.store.blocks(part.key, part.seek), run.settings.max_file_bytes):
            taken = lines[skip : skip + left]
            skip = max(0, skip - len(lines))
            left -= len(taken)
            if taken:
                yield taken
            if not left:
                break


class PendingWriter:
    """Records that are to be sent in a later round: lines `key text`, the text escaped as in the request."""

    def __init__(
        self,
        store: Store,
        key: str,
        tier: int,
        attempt: int,
        pack: int | None = None,
        last: int | None = None,
        *,
        router: bool = False,
        judge: bool = False,
    ) -> None:
        self.store, self.key, self.tier, self.attempt, self.pack, self.last = store, key, tier, attempt, pack, last
        self.router, self.judge = router, judge
        self.marks: list[int] = []
        self.records = 0
        self._out: ObjectWriter | None = None

    def add(self, key: bytes, escaped: bytes) -> None:
        """Take one record; the object begins with the first."""
        if self._out is None:
            self._out = self.store.writer(self.key)
        if self.records % MARK_EVERY == 0:
            self.marks.append(self._out.size)
        self._out.write(b"%b %b\n" % (key, escaped))
        self.records += 1

    def close(self) -> Pending | None:
        """Finish the object; None when there were no records."""
        if self._out is None:
            return None
        self._out.close()
        return Pending(
            key=self.key,
            tier=self.tier,
            attempt=self.attempt,
            records=self.records,
            bytes=self._out.size,
            marks=self.marks,
            pack=self.pack,
            last=self.last,
            router=self.router,
            judge=self.judge,
        )
