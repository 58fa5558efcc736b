"""Reading what a job or a part selects: the rows of a shard, one ranged read per segment; slices of pending records."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from sluice.containers import split_lines
from sluice.planning import MARK_EVERY
from sluice.rows import stored_lines
from sluice.state import Pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.state import PlannedJob, PlannedSegment
    from sluice.steps.services import Run
    from sluice.store import ObjectWriter, Store

AHEAD = 8  # ranged reads under way at once: a shard of a large run is thousands of small ones
AHEAD_BYTES = 16 * 1024 * 1024


class SegmentRows(NamedTuple):
    """The stored rows of a shard in one segment."""

    segment: PlannedSegment
    lines: list[bytes]


def shard_rows(run: Run, shard: int, first: int = 0, last: int | None = None) -> Iterator[SegmentRows]:
    """The rows of a shard, segment by segment in the order of the input, from segment `first` to before `last`."""
    segments = run.plan.segments
    cuts = array("I")
    width = len(segments) * cuts.itemsize
    cuts.frombytes(run.store.read_range(run.source.cuts, shard * width, 2 * width))
    wanted = range(first, len(segments) if last is None else last)

    sizes = {n: cuts[len(segments) + n] - cuts[n] for n in wanted}

    def load(n: int) -> bytes:
        return run.store.read_range(run.source.rows(segments[n].span), segments[n].begin + cuts[n], sizes[n])

    with ThreadPoolExecutor(AHEAD) as pool:
        for numbers in _groups([n for n in wanted if sizes[n]], sizes):
            blocks = pool.map(load, numbers)
            for n in numbers:
                yield SegmentRows(segments[n], stored_lines(next(blocks)))  # the block itself is not kept


def _groups(numbers: list[int], sizes: dict[int, int]) -> Iterator[list[int]]:
    """Segments to read at once: up to `AHEAD`, together up to `AHEAD_BYTES` or a single one."""
    group: list[int] = []
    for n in numbers:
        if group and (len(group) == AHEAD or sum(sizes[m] for m in group) + sizes[n] > AHEAD_BYTES):
            yield group
            group = []
        group.append(n)
    if group:
        yield group


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

    def __init__(self, store: Store, key: str, tier: int, attempt: int) -> None:
        self.store, self.key, self.tier, self.attempt = store, key, tier, attempt
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
        )
