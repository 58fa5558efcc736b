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
    from collections.abc import Callable, Iterable, Sequence

    from sluice.runs.state import Input

T = TypeVar("T")
SEED_BYTES = 16


def seed_of(task_version: str, inputs: Iterable[Input], settled: bytes = b"") -> str:
    """The seed of a run's draws, 32 hex digits: the same for the same task over the same names and bytes.

    Texts that people have `settled` leave the population. Whoever chose them may have known what an earlier run had
    drawn, and how its answers did: only ranks under a seed that nobody knew by then are uniform over what is left.
    """
    frozen = [(each.uri, each.etag, each.bytes) for each in inputs]
    told = json.dumps([task_version, frozen], ensure_ascii=True, separators=(",", ":")).encode()
    return blake2b(told + settled, digest_size=SEED_BYTES).hexdigest()


class Ranks:
    """Ranks of rows under a seed: 64-bit BLAKE2b (RFC 7693) with the seed as key, of a row's place.

    Its place is its input's URI, the first byte of the piece in which it was read, and its line there: what is known of
    it while the input is read, and no two rows share. Whoever reads the same objects in the same pieces finds the same.
    """

    def __init__(self, seed: str) -> None:
        self._keyed = blake2b(key=bytes.fromhex(seed), digest_size=8)

    def of(self, source: str, line: int, begin: int = 0) -> int:
        """The rank of a row: a number of 64 bits."""
        return int.from_bytes(self.piece(source, begin)(b"%012d" % line), "big")

    def piece(self, source: str, begin: int) -> Callable[[bytes], bytes]:
        """The ranks of a piece's rows as 8 bytes, from a line as twelve digits; fixed widths let no two read alike."""
        piece = self._keyed.copy()
        piece.update(begin.to_bytes(8, "big") + source.encode("utf-8", "surrogatepass") + b"\n")

        def rank(line: bytes) -> bytes:
            row = piece.copy()
            row.update(line)
            return row.digest()

        return rank


class Ranked(NamedTuple, Generic[T]):
    """A row by its rank; equal ranks stand in the order of source and line. `note` is what is kept of it."""

    rank: int
    source: str
    line: int
    note: T


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
