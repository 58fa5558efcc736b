"""The stored scores of all shards, as who decides by them reads and counts them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sluice.aws.s3 import ahead
from sluice.runs.drawn import ShardItem
from sluice.runs.state import Place
from sluice.steps.scores import ENTRY, FLOOR, has_floors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from sluice.runs.drawn import Floor
    from sluice.steps.services import Run

AT_ONCE = 16  # shards' scores that are read together
STORED = np.dtype([("key", "<u8"), ("rest", "<u8"), ("score", "<u4"), ("tie", "<u8"), ("rows", "<u4")])
assert STORED.itemsize == ENTRY.size


class Shard(NamedTuple):
    """The stored scores of a shard, and the number of each label's floor, 0 for none."""

    number: int
    scores: NDArray[np.void]
    floors: NDArray[np.uint16]


def stored(opened: Run) -> Iterator[Shard]:
    """The scores of each shard."""
    with_floors = has_floors(opened)

    def load(shard: int) -> Shard:
        scores = np.frombuffer(opened.store.get(opened.keys.scores(shard)), STORED)
        kept = opened.store.get(opened.keys.floors(shard)) if with_floors else bytes(FLOOR.size * len(scores))
        return Shard(shard, scores, np.frombuffer(kept, "<u2"))

    yield from ahead(load, [item.shard for item in _items(opened)], AT_ONCE)


def _items(opened: Run) -> list[ShardItem]:
    return [ShardItem(**item) for item in json.loads(opened.store.get(opened.keys.shards))]


def among(stored: NDArray[np.void], keys: AbstractSet[str]) -> dict[int, str]:
    """Which of these records stand there, by their number: few of many, so that half of a key finds them."""
    halves = np.array([int.from_bytes(bytes.fromhex(key)[:8], "little") for key in keys], np.uint64)
    at = np.flatnonzero(np.isin(stored["key"], halves)).tolist()
    return {n: key for n in at if (key := stored[n].tobytes()[:16].hex()) in keys}


def places_of(opened: Run, keys: AbstractSet[str]) -> dict[str, Place]:
    """Where the answers to these records stand; those without a valid one have no place."""
    found = {}
    for shard in stored(opened):
        for n, key in among(shard.scores, keys).items():
            found[key] = Place(score=int(shard.scores["score"][n]), tie=int(shard.scores["tie"][n]))
    return found


class Counted(NamedTuple):
    """What a certificate comes to, apart from drawn records: records with a place, those it covers with their rows.

    `below`: of each shard how many records it does not cover. `by_floor`: the covered rows by their label's floor.
    """

    scored: int
    accepted: int
    rows: int
    below: list[tuple[int, int]]
    by_floor: list[int]

    @classmethod
    def of(
        cls,
        opened: Run,
        drawn: AbstractSet[str],
        threshold: Place | None,
        floors: Collection[Floor] = (),
        *,
        drawn_go_on: bool = False,
    ) -> Counted:
        """Count; `drawn_go_on`: the next tier is not the one that is asked about drawn records anyway."""
        scored = accepted = 0
        below = list[tuple[int, int]]()
        by_floor: NDArray[np.int64] = np.zeros(len(floors) + 1, np.int64)
        for shard in stored(opened):
            out = list(among(shard.scores, drawn))
            onward = int((~_above(shard.scores[out], threshold)).sum()) if drawn_go_on else 0
            kept, called = np.delete(shard.scores, out), np.delete(shard.floors, out)
            covered = _above(kept, threshold)
            for n, floor in enumerate(floors, 1):
                mine = called == n
                covered[mine] &= False if floor.refused else _above(kept[mine], floor.threshold)
            scored += len(kept)
            accepted += int(covered.sum())
            by_floor += np.bincount(called[covered], kept["rows"][covered], len(by_floor)).astype(np.int64)
            if onward := onward + len(kept) - int(covered.sum()):
                below.append((shard.number, onward))
        return cls(scored, accepted, int(by_floor.sum()), below, by_floor.tolist())


def _above(stored: NDArray[np.void], threshold: Place | None) -> NDArray[np.bool_]:
    """Which of these scores stand above a threshold."""
    if threshold is None:
        return np.ones(len(stored), np.bool_)
    score, ties = stored["score"], stored["tie"]
    found: NDArray[np.bool_] = (score > threshold.score) | (
        (score == threshold.score) & (ties > np.uint64(threshold.tie))
    )
    return found
