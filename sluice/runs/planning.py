"""Cutting a run into jobs: balanced shards of the bucket range, balanced packs of what is sent again, merge parts.

A cut is balanced when no two jobs differ by more than a bucket: 120,001 records under a limit of 100,000 are two jobs
of about 60,000, and no tail falls below Bedrock's minimum while the whole is above it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from sluice.runs.state import Pending, Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK_EVERY = 64  # records between two noted byte offsets of a pending object
SKETCH = 1024  # keys in a segment's sketch: the estimate's standard error is 1/sqrt(SKETCH), about 3%
MARGIN = 1.1  # three standard errors
ABOVE = "g"  # above every hex digit
HELD_KEYS = 16 * SKETCH
SMALL = 12  # hex digits of a key that a sketch keeps: 48 bits, so that a million million keys rarely meet
LEAST_PIECE = 8  # a piece of an object that goes on is at least this part of a span: a request costs as much as MBs
MAX_ITEMS = 60_000  # of a map: an array in S3 that stays small to read, and a number of children that ends in a day
FINE_BYTES = 10 * 1024**3  # above, buckets are 65,536 instead of 4,096


class Limits(NamedTuple):
    """What a job may hold: records, bytes of its file."""

    records: int
    file_bytes: int


def bucket_depth(input_bytes: int) -> int:
    """Hex digits of the key that name a bucket: enough buckets for shards to be balanced, few enough to index."""
    return 3 if input_bytes <= FINE_BYTES else 4


class DistinctKeys:
    """How many distinct keys segments have together, estimated from the smallest keys of each, in flat memory.

    Keys are uniform hashes, so the share of the key space below the largest key that every sketch can vouch for tells
    how many there are in all (Bar-Yossef et al., 2002, "Counting distinct elements in a data stream": the k-th minimum
    value). `MARGIN` is added, since a shard that turns out too large costs a further round.
    """

    def __init__(self) -> None:
        self._smallest: set[str] = set()
        self._below = ABOVE  # every key up to here is among them

    def add(self, sketch: Sequence[str]) -> None:
        """Take the smallest keys of one more segment, in order; fewer than `SKETCH` are all that it has."""
        if len(sketch) >= SKETCH:
            self._below = min(self._below, sketch[-1])
        self._smallest.update(sketch[: bisect_right(sketch, self._below)])
        if len(self._smallest) > HELD_KEYS:
            kept = self._vouched()[: HELD_KEYS // 2]
            self._below = min(self._below, kept[-1])
            self._smallest = set(kept)

    def estimate(self, upper: int) -> int:
        """At most `upper`, which is the sum of what each segment has; exact where no sketch was cut short."""
        found = self._vouched()
        if self._below == ABOVE:
            return min(upper, len(found))
        kth = found[:SKETCH]
        share = (int(kth[-1], 16) + 1) / float(16**SMALL)
        return min(upper, math.ceil(MARGIN * (len(kth) - 1) / share))

    def _vouched(self) -> list[str]:
        return sorted(key for key in self._smallest if key <= self._below)


def span_size(input_bytes: int, span_bytes: int) -> int:
    """How much one partition worker reads: `span_bytes`, or as much more as `MAX_ITEMS` workers need for all."""
    return max(span_bytes, math.ceil(input_bytes / (MAX_ITEMS // 2)))


def cut_shards(records: Sequence[int], weights: Sequence[int], limits: Limits) -> list[int]:
    """Bounds of balanced shards over buckets: shard s holds the buckets bounds[s] to before bounds[s + 1].

    `records` are the distinct keys and `weights` the request bytes of each bucket. A shard above the limits is left
    only where a single bucket is; prepare holds back what does not fit.
    """
    total, bytes_ = sum(records), sum(weights)
    shards = max(1, math.ceil(total / limits.records), math.ceil(bytes_ / limits.file_bytes))
    shards = min(shards, max(1, sum(1 for count in records if count)))
    running = list(accumulate(records))
    bytes_running = list(accumulate(weights))
    first, bounds = shards, _even_bounds(running, shards)
    while shards <= min(len(records), first + first // 4 + 1):
        bounds = _even_bounds(running, shards)
        if _within(bounds, running, bytes_running, limits):
            return bounds
        shards += max(1, shards // 200)
    # Buckets too large to be spread evenly: the shards that they overfill are halved on their own.
    return [0, *_halved(bounds, running, bytes_running, limits)]


def _halved(
    bounds: Sequence[int], running: Sequence[int], bytes_running: Sequence[int], limits: Limits
) -> Iterator[int]:
    """The ends of the shards, those above a limit cut in the middle until they are below it or one bucket.

    A stack, and no recursion: where the buckets grow towards one end, each cut takes off a single one.
    """
    ahead = list(pairwise(bounds))[::-1]
    while ahead:
        begin, end = ahead.pop()
        if _within((begin, end), running, bytes_running, limits):
            yield end
            continue
        before = running[begin - 1] if begin else 0
        middle = bisect_left(running, (before + running[end - 1]) / 2, begin, end)
        middle = min(max(middle, begin + 1), end - 1)
        ahead += [(middle, end), (begin, middle)]


def _even_bounds(running: Sequence[int], shards: int) -> list[int]:
    """Bounds at which the running sum is nearest to even shares."""
    total, bounds = (running[-1] if running else 0), [0]
    for shard in range(1, shards):
        goal = total * shard / shards
        at = bisect_left(running, goal)
        before = running[at - 1] if at else 0
        at = at if goal - before < running[at] - goal else at + 1
        if bounds[-1] < at < len(running):
            bounds.append(at)
    return [*bounds, len(running)]


def _within(bounds: Sequence[int], running: Sequence[int], bytes_running: Sequence[int], limits: Limits) -> bool:
    for begin, end in pairwise(bounds):
        if end - begin <= 1:
            continue
        for sums, limit in ((running, limits.records), (bytes_running, limits.file_bytes)):
            if sums[end - 1] - (sums[begin - 1] if begin else 0) > limit:
                return False
    return True


def pack_pending(pending: Sequence[Pending], limits: Limits, constant_bytes: int) -> list[list[Slice]]:
    """Balanced jobs over pending records of one tier and attempt; slices stay in the order of the objects.

    `constant_bytes` is what a request has besides its text.
    """
    total = sum(item.records for item in pending)
    if total == 0:
        return []
    bytes_ = sum(item.bytes for item in pending) + total * constant_bytes
    jobs = max(math.ceil(total / limits.records), math.ceil(bytes_ / limits.file_bytes))
    packs: list[list[Slice]] = [[] for _ in range(min(jobs, total))]
    at = 0
    for item in pending:
        first = 0
        while first < item.records:
            job = at * len(packs) // total
            end = math.ceil(total * (job + 1) / len(packs))  # the first record of the next job
            count = min(item.records - first, end - at)
            packs[job].append(slice_of(item, first, count))
            first += count
            at += count
    return packs


def slice_of(pending: Pending, first: int, count: int) -> Slice:
    """`count` records of a pending object from `first` on, with the nearest noted offset before them."""
    mark = first // MARK_EVERY
    return Slice(key=pending.key, first=first, count=count, seek=pending.marks[mark], seek_first=mark * MARK_EVERY)


def cut_parts(segment_bytes: Sequence[int], part_bytes: int) -> list[tuple[int, int]]:
    """Merge parts of a shard: runs of segments of about `part_bytes`; a shard of the usual size is one part."""
    parts: list[tuple[int, int]] = []
    first = size = 0
    for n, bytes_ in enumerate(segment_bytes):
        if size and size + bytes_ > part_bytes:
            parts.append((first, n))
            first, size = n, 0
        size += bytes_
    if size or not parts:
        parts.append((first, len(segment_bytes)))
    return parts


def cut_spans(
    sizes: Sequence[tuple[int, bool]], span_bytes: int, max_pieces: int = 1000
) -> list[list[tuple[int, int, int]]]:
    """Spans over objects given as (bytes, whole): lists of (object, begin, end) of about `span_bytes`.

    An object that cannot be read by range (`whole`) is one piece. `max_pieces` keeps a span, which is an item of a
    Distributed Map, far under Step Functions' 256 KiB.
    """
    spans: list[list[tuple[int, int, int]]] = []
    current: list[tuple[int, int, int]] = []
    room = span_bytes
    for n, (size, whole) in enumerate(sizes):
        begin = 0
        while begin < size:
            worth = whole or size - begin <= room or room * LEAST_PIECE >= span_bytes
            if current and (room <= 0 or len(current) >= max_pieces or (whole and size > room) or not worth):
                spans.append(current)
                current, room = [], span_bytes
            end = size if whole or size - begin <= room * 1.25 else begin + room
            current.append((n, begin, end))
            room -= end - begin
            begin = end
    return [*spans, current] if current else spans
