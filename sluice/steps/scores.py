"""`scores/<shard>.bin`: the records of a shard that have a valid first answer, by key, each with its place among all.

Little-endian and of fixed width, since who sends the records has neither Arrow nor numpy: 16 bytes of the key, the
score as 32 bits, the 64-bit hash that breaks ties, and how many rows have the record as 32 bits.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from sluice.runs.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.steps.services import Run

ENTRY = struct.Struct("<16sIQI")
HIGHEST = 2**32 - 1  # of a stored score


class Scored(NamedTuple):
    """A record with a valid first answer."""

    key: str
    place: Place
    rows: int


def scores_of(opened: Run, shard: int) -> Iterator[Scored]:
    """The scores of a shard, by key; none before they are written."""
    data = opened.store.find(opened.keys.scores(shard))
    for key, score, tie, rows in ENTRY.iter_unpack(data or b""):
        yield Scored(key.hex(), Place(score=score, tie=tie), rows)


def entry(key: str, score: int, tie: int, rows: int) -> bytes:
    """A record as it is stored."""
    return ENTRY.pack(bytes.fromhex(key), score, tie, rows)


def is_above(place: Place, threshold: Place | None) -> bool:
    """Whether an answer with this place stands, under a certificate with that threshold."""
    return threshold is None or (place.score, place.tie) > (threshold.score, threshold.tie)
