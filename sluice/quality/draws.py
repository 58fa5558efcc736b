"""Which rows are drawn: the smallest of keyed hashes of the rows' places, so that whoever draws again draws the same.

Rows are drawn, never records: not by a record's key, not one row for each text, and not by the hash that breaks ties of
scores. With 30% of the rows from 60 texts, such draws break a certificate in most runs (`make prove` shows it).
"""

from __future__ import annotations

import heapq
import json
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.runs.state import Input

T = TypeVar("T")
SEED_BYTES = 16


def seed_of(task_version: str, inputs: Iterable[Input]) -> str:
    """The seed of a run's draws, 32 hex digits: the same for the same task over the same frozen objects."""
    frozen = [(each.uri, each.version, each.etag, each.bytes) for each in inputs]
    told = json.dumps([task_version, frozen], ensure_ascii=True, separators=(",", ":"))
    return blake2b(told.encode(), digest_size=SEED_BYTES).hexdigest()


class Ranks:
    """Ranks of rows under a seed: 64-bit BLAKE2b (RFC 7693) with the seed as key, of source and line."""

    def __init__(self, seed: str) -> None:
        self._keyed = blake2b(key=bytes.fromhex(seed), digest_size=8)

    def of(self, source: str, line: int) -> int:
        """The rank of a row: its input's URI, and its line there, of fixed width so that no two rows read alike."""
        row = self._keyed.copy()
        row.update(line.to_bytes(8, "big") + source.encode("utf-8", "surrogatepass"))
        return int.from_bytes(row.digest(), "big")


class Ranked(NamedTuple, Generic[T]):
    """A row by its rank; equal ranks stand in the order of source and line. `note` is what is kept of it."""

    rank: int
    source: str
    line: int
    note: T


class Smallest(Generic[T]):
    """The rows with the smallest ranks of those that pass by, in the memory of so many rows."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: list[tuple[int, _Falling[T]]] = []

    def offer(self, row: Ranked[T]) -> None:
        """Keep a row if it is among the smallest so far."""
        if len(self._kept) < self.count:
            heapq.heappush(self._kept, (-row.rank, _Falling(row)))
        elif self._kept and row.rank <= -self._kept[0][0]:
            heapq.heappushpop(self._kept, (-row.rank, _Falling(row)))

    def takes(self, rank: int) -> bool:
        """Whether a row of this rank may be kept: so nothing else of it has to be known before."""
        return len(self._kept) < self.count or bool(self._kept and rank <= -self._kept[0][0])

    def rows(self) -> list[Ranked[T]]:
        """The rows that are kept, by rank."""
        return sorted((falling.row for _, falling in self._kept), key=_place)


class _Falling(Generic[T]):
    """A row that stands before those that come after it, as a heap of the largest needs it."""

    __slots__ = ("row",)

    def __init__(self, row: Ranked[T]) -> None:
        self.row = row

    def __lt__(self, other: _Falling[T]) -> bool:
        return _place(self.row) > _place(other.row)


def _place(row: Ranked[T]) -> tuple[int, str, int]:
    return row[:3]


class Draws(NamedTuple, Generic[T]):
    """What was drawn: the sample has the smallest ranks, the train rows the next."""

    sample: list[Ranked[T]]
    train: list[Ranked[T]]


def draw(streams: Sequence[Iterable[Ranked[T]]], sample: int, train: int) -> Draws[T]:
    """Draw from streams that are each in the order of ranks, reading no more of them than is drawn."""
    drawn = list(islice(heapq.merge(*streams, key=_place), sample + train))
    return Draws(drawn[:sample], drawn[sample:])
