"""`records.txt`: the records of a job in their order, as prepare lists them."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING

from sluice.rows.record import KEY, PLACE
from sluice.steps.selection import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.runs.state import PlannedSegment

PLACE_BYTES = PLACE - KEY
LISTED = 4096  # lines of the list written at once


class ListedRecords:
    """Records in order: the key of each and, for those of a shard, the place of the first row, as its span counted."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.places = bytearray()  # `PLACE_BYTES` each
        self.segments: list[tuple[int, PlannedSegment]] = []  # each with the first record that comes from it

    def add(self, keys: Sequence[bytes], places: Sequence[bytes], segment: PlannedSegment | None) -> None:
        """Take records of one segment, or, without places, pending ones."""
        if segment is not None and (not self.segments or self.segments[-1][1] is not segment):
            self.segments.append((len(self.keys), segment))
        self.keys += keys
        self.places += b"".join(places)

    def lines(self, repeated: set[bytes]) -> Iterator[bytes]:
        """Lines of `records.txt`: the key, and behind one that several rows share the place of the first of them."""
        for at in range(0, len(self.keys), LISTED):
            keys: Iterable[bytes] = self.keys[at : at + LISTED]
            if not repeated.isdisjoint(keys):
                keys = [key + self._place(n) if key in repeated else key for n, key in enumerate(keys, at)]
            yield b"\n".join(keys) + b"\n"

    def _place(self, n: int) -> bytes:
        segment = self.segments[bisect_right(self.segments, n, key=itemgetter(0)) - 1][1]
        place = self.places[n * PLACE_BYTES : (n + 1) * PLACE_BYTES]
        return b"%08d%012d" % place_of(self.keys[n] + place, segment)
