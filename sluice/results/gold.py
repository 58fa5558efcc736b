"""Known answers beside the given ones: how often an accepted row got the label that its owner knows to be right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sluice.rows.paths import MISSING, Picker, look_up, value_in
from sluice.rows.record import UNDECODED, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from sluice.task.task import Task

Tally = dict[str, int]


NO_LABEL = "no label of the task"  # a known answer that the task has no label for: rows' words stay out of the books


class GoldCount:
    """Counts the rows of a task that have a known answer; a known answer is a label, or a list of labels."""

    def __init__(self, task: Task) -> None:
        self.path = task.input.gold if task.labels else None
        self.labels = task.labels.keys()
        self.known = 0
        self.compared: Counter[tuple[int, str | None, bool]] = Counter()  # tier, confidence, right
        self.mistakes: Counter[tuple[str, str]] = Counter()  # known, given
        self._picker = Picker([self.path or ""], Any, MISSING)

    def add(self, raws: Sequence[bytes], results: pa.Table) -> None:
        """Take raw rows with their results, in the same order."""
        known = [self.known_answer(raw) for raw in raws]
        columns = (results[name].to_pylist() for name in ("labels", "tier", "confidence"))
        for gold, labels, tier, confidence in zip(known, *columns, strict=True):
            if gold is None:
                continue
            self.known += 1
            if labels is not None:
                right = set(labels) == gold
                self.compared[tier, confidence, right] += 1
                if not right:
                    self.mistakes[self._in_words(gold), ", ".join(labels)] += 1

    def _in_words(self, gold: set[str]) -> str:
        return ", ".join(sorted(gold)) if gold <= self.labels else NO_LABEL

    def known_answer(self, raw: bytes) -> set[str] | None:
        """The labels that a row is known to have; None when it says nothing that could be labels."""
        assert self.path is not None
        try:
            value = value_in(self._picker.decode(raw), self._picker.places[0])
        except UNDECODED:
            row = parse_object(raw)
            value = look_up(row, self.path) if isinstance(row, dict) else None
        listed: Any = value if isinstance(value, list) else [value]
        return set(listed) if all(isinstance(item, str) for item in listed) else None

    def tally(self) -> Tally | None:
        """The counts as a flat document that adds up over parts; None for a task without known answers."""
        if self.path is None:
            return None
        tiers: Counter[str] = Counter()
        for (tier, _, right), count in self.compared.items():
            tiers[f"accepted_{tier}"] += count
            tiers[f"right_{tier}"] += count if right else 0
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
