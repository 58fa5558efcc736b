"""The texts of a run that has been cut into shards: each distinct record once, rendered as it would be sent."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from sluice.answers.requests import cut_middle, escape
from sluice.budget.costs import Routed
from sluice.reasons import Reason
from sluice.rows.record import CUTS, KEY, RAW, REASONS, SETTLED, RowReader
from sluice.steps.courses import add_courses
from sluice.steps.selection import place_of, shard_blocks
from sluice.task.routes import Course

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.forecast.known import Known
    from sluice.forecast.survey import Survey
    from sluice.runs.state import PlannedSegment
    from sluice.steps.selection import SegmentRows
    from sluice.steps.services import Run

SAMPLED = 2_000  # records whose characters are counted; rows lie in the order of hashes, so the first are drawn by lot
REJECTED = 10  # rejected rows that are shown


class Refused(NamedTuple):
    """A row that will be rejected: its input, its line there, why."""

    source: int
    line: int
    reason: Reason


class Drawn(NamedTuple):
    """A row that was drawn by lot: its input, its line there, the row."""

    source: int
    line: int
    raw: bytes


@dataclass
class Texts:
    """What has been read: distinct records, bytes of their escaped texts, and how many are how long.

    `sample` holds texts as a model would see them, `refused` the first rejected rows in the order of the input,
    `courses` which tiers how many records may be sent to, where routes say so.
    """

    records: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    sample: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    courses: dict[Course, list[int]] = field(default_factory=dict)  # of each the records, and their bytes

    @property
    def routed(self) -> tuple[Routed, ...]:
        """The records by their course; nothing where no route takes any."""
        return tuple(Routed(course, count, count, size) for course, (count, size) in sorted(self.courses.items()))

    @property
    def bytes(self) -> int:
        return sum(length * count for length, count in self.lengths.items())

    @property
    def sampled_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.sample)

    def longest(self, records: int) -> tuple[int, int]:
        """Bytes of the longest records together, and of the shortest among them."""
        left, total, shortest = records, 0, 0
        for length in sorted(self.lengths, reverse=True):
            if not left:
                break
            taken = min(left, self.lengths[length])
            left, total, shortest = left - taken, total + taken * length, length
        return total, shortest


class Lot:
    """Draws records so that each set of `size` is as likely as any other, in one pass and flat memory.

    Each record gets a number from the seed and its key, and those with the smallest are drawn: the same records of the
    same rows for the same seed, in whatever order they come.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed.to_bytes(8, "big", signed=True)
        self._held: list[tuple[int, Drawn]] = []

    def offer(self, lines: Sequence[bytes], segment: PlannedSegment) -> None:
        """Take the stored first rows of records."""
        for line in lines:
            digest = blake2b(line[:KEY], digest_size=8, key=self._seed).digest()
            rank = -int.from_bytes(digest, "big")
            if len(self._held) < self._size:
                heapq.heappush(self._held, (rank, _drawn(line, segment)))
            elif rank > self._held[0][0]:
                heapq.heapreplace(self._held, (rank, _drawn(line, segment)))

    @property
    def drawn(self) -> list[Drawn]:
        """The drawn rows in the order of the input."""
        return sorted(row for _, row in self._held)


def _drawn(line: bytes, segment: PlannedSegment) -> Drawn:
    return Drawn(*place_of(line, segment), line[RAW:])


def read_texts(
    opened: Run, lot: Lot | None, survey: Survey, on_shard: Callable[[int, int], None], known: Known | None = None
) -> Texts:
    """Read the rows of a planned run once; `on_shard` is told how many shards of how many have been read.

    `known` gets the records of each shard.
    """
    reading, shards = _Reading(opened, lot), len(opened.plan.shard_rows)
    for shard in range(shards):
        on_shard(shard, shards)
        reading.seen.clear()  # equal keys lie in one shard
        for found in shard_blocks(opened, shard):
            reading.take(found)
            survey.take(found)
        reading.end_shard()
        if known is not None:
            known.take(shard, reading.seen)
    return reading.texts


class _Reading:
    """The rows on their way through."""

    def __init__(self, opened: Run, lot: Lot | None) -> None:
        self.reader = RowReader(opened.task)
        self.lot = lot
        self.seen: set[bytes] = set()
        self.texts = Texts()
        self.task = opened.task if opened.plan.routed else None
        self.courses: dict[bytes, Course] = {}
        self.sizes: dict[bytes, int] = {}

    def take(self, found: SegmentRows) -> None:
        fresh = self._first_sights(found.lines, found.segment)
        escaped = [self._escaped(line) for line in fresh]
        texts = self.texts
        if self.task is not None:
            add_courses(self.task, found.lines, self.courses)
            self.sizes |= {line[:KEY]: len(text) for line, text in zip(fresh, escaped, strict=True)}
        texts.records += len(fresh)
        texts.lengths.update(map(len, escaped))
        if room := SAMPLED - len(texts.sample):
            texts.sample += [json.loads(b'"%b"' % text) for text in escaped[:room]]
        if self.lot is not None:
            self.lot.offer(fresh, found.segment)

    def end_shard(self) -> None:
        """Count what is known of the records of a shard once all of its rows have been read."""
        for key, course in self.courses.items():
            counts = self.texts.courses.setdefault(course, [0, 0])
            counts[0] += 1
            counts[1] += self.sizes[key]
        self.courses, self.sizes = {}, {}

    def _first_sights(self, lines: list[bytes], segment: PlannedSegment) -> list[bytes]:
        """The good rows whose key was not seen before; the others are noted if they will be rejected."""
        seen, fresh, refused = self.seen, [], []
        for line in lines:
            key = line[:KEY]
            if line[RAW - 1] in REASONS:
                refused.append(line)
            elif key not in seen and line[RAW - 1] != SETTLED:
                seen.add(key)
                fresh.append(line)
        if refused:
            self._note(refused, segment)
        return fresh

    def _note(self, lines: list[bytes], segment: PlannedSegment) -> None:
        found = [Refused(*place_of(line, segment), REASONS[line[RAW - 1]]) for line in lines]
        self.texts.refused = heapq.nsmallest(REJECTED, [*self.texts.refused, *found])

    def _escaped(self, line: bytes) -> bytes:
        text = self.reader.text(line[RAW:])
        return escape(cut_middle(text, self.reader.max_bytes) if line[RAW - 1] in CUTS else text)
