"""Known answers beside the given ones: how often an accepted row got the label that its owner knows to be right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.rows import UNDECODED, parse_object, row_type, walk
from sluice.table import attributes, values_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from sluice.task import Task

Tally = dict[str, int]


class GoldCount:
    """Counts the rows of a task that have a known answer; a known answer is a label, or a list of labels."""

    def __init__(self, task: Task) -> None:
        self.path = tuple(task.input.gold.split(".")) if task.input.gold and task.labels else None
        self.known = 0
        self.accepted: Counter[int] = Counter()
        self.right: Counter[int] = Counter()
        paths = [self.path or ("",)]
        self._decode = msgspec.json.Decoder(row_type(paths, Any)).decode
        self._attributes = attributes(paths, paths[0])

    def add(self, raws: Sequence[bytes], results: pa.Table) -> None:
        """Take raw rows with their results, in the same order."""
        if self.path is None:
            return
        known = [self._gold(raw) for raw in raws]
        answers = zip(known, results["labels"].to_pylist(), results["tier"].to_pylist(), strict=True)
        for gold, labels, tier in answers:
            if gold is None:
                continue
            self.known += 1
            if labels is not None:
                self.accepted[tier] += 1
                self.right[tier] += set(labels) == gold

    def _gold(self, raw: bytes) -> set[str] | None:
        """The labels that a row is known to have; None when it says nothing that could be labels."""
        assert self.path is not None
        try:
            value = values_at([self._decode(raw)], self._attributes)[0]
        except UNDECODED:
            row = parse_object(raw)
            value = walk(row, self.path) if isinstance(row, dict) else None
        listed: Any = value if isinstance(value, list) else [value]
        return set(listed) if all(isinstance(item, str) for item in listed) else None

    def tally(self) -> Tally | None:
        """The counts as a flat document that adds up over parts; None for a task without known answers."""
        if self.path is None:
            return None
        tiers = {
            f"{name}_{tier}": count for name in ("accepted", "right") for tier, count in getattr(self, name).items()
        }
        return {"known": self.known, **tiers}


def agreement(tallies: Iterable[Tally | None], tiers: int) -> Mapping[str, Any] | None:
    """`gold` of run.json: rows with a known answer, accepted ones among them, right ones; in all and by tier."""
    sums: Counter[str] = Counter()
    given = [tally for tally in tallies if tally is not None]
    if not given:
        return None
    for tally in given:
        sums.update(tally)
    by_tier = [{"tier": n, "accepted": sums[f"accepted_{n}"], "right": sums[f"right_{n}"]} for n in range(tiers)]
    in_all = {name: sum(int(tier[name]) for tier in by_tier) for name in ("accepted", "right")}
    return {"known": sums["known"], **in_all, "tiers": by_tier}
