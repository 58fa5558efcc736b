"""`scores/<shard>.bin`: the records of a shard that have a valid first answer, by key, each with its place among all.

Little-endian and of fixed width, since who sends the records has neither Arrow nor numpy: 16 bytes of the key, the
score as 32 bits, the 64-bit hash that breaks ties, and how many rows have the record as 32 bits.

`scores/<shard>.floors`, of a task with floors: of each of these records, in this order, the number of the floor of the
label that it was given, 16 bits, from 1 in the order of the task; 0 where the label has none.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from sluice.runs.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.keys import Keys
    from sluice.steps.services import Run

FLOOR = struct.Struct("<H")
ENTRY = struct.Struct("<16sIQI")
HIGHEST = 2**32 - 1  # of a stored score
HIGHEST_TIE = 2**64 - 1


class Scored(NamedTuple):
    """A record with a valid first answer; `floor` is the number of its label's floor, 0 for none."""

    key: str
    place: Place
    rows: int
    floor: int = 0


def scores_of(opened: Run, shard: int) -> Iterator[Scored]:
    """The scores of a shard, by key; none before they are written."""
    yield from scores_in(opened, opened.keys, shard)


def scores_in(opened: Run, keys: Keys, shard: int) -> Iterator[Scored]:
    """The same under these keys: a run that judges the answers of another takes the scores of that one."""
    data = opened.store.find(keys.scores(shard)) or b""
    floors = opened.store.get(keys.floors(shard)) if data and has_floors(opened) else bytes(len(data))
    numbers = FLOOR.iter_unpack(floors[: len(data) // ENTRY.size * FLOOR.size])
    for (key, score, tie, rows), (floor,) in zip(ENTRY.iter_unpack(data), numbers, strict=True):
        yield Scored(key.hex(), Place(score=score, tie=tie), rows, floor)


def has_floors(opened: Run) -> bool:
    """Whether the run's task promises something of single labels."""
    quality = opened.task.quality
    return quality is not None and bool(quality.floors)


def entry(key: str, score: int, tie: int, rows: int) -> bytes:
    """A record as it is stored."""
    return ENTRY.pack(bytes.fromhex(key), score, tie, rows)
