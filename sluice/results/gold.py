"""Known answers beside the given ones: how often an accepted row got the label that its owner knows to be right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sluice.rows.paths import MISSING, Picker, look_up, value_in
from sluice.rows.record import UNDECODED, parse_object
from sluice.task.spelling import Names, as_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from sluice.task.task import Task

Tally = dict[str, int]


class GoldCount:
    """Counts the rows of a task that have a known answer; a known answer is a label, or a list of labels.

    One that is none of the labels is counted apart, since no answer could agree with it. It is no text of the books.
    """

    def __init__(self, task: Task) -> None:
        self.path = task.input.gold if task.labels else None
        self.labels = Names(task.labels)
        self.known = self.outside = 0
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
            if None in gold:
                self.outside += 1
                continue
            if labels is not None and tier is None:  # people's own word, which says nothing of the run
                continue
            self.known += 1
            if labels is not None:
                right = set(labels) == gold
                self.compared[tier, confidence, right] += 1
                if not right:
                    self.mistakes[", ".join(sorted(filter(None, gold))), ", ".join(labels)] += 1

    def known_answer(self, raw: bytes) -> set[str | None] | None:
        """The labels that a row is known to have, with None for what is no label; None when it says nothing."""
        assert self.path is not None
        try:
            value = value_in(self._picker.decode(raw), self._picker.places[0])
        except UNDECODED:
            row = parse_object(raw)
            value = look_up(row, self.path) if isinstance(row, dict) else None
        words = known_words(value)
        return None if words is None else {self.labels.find(word) for word in words}

    def tally(self) -> Tally | None:
        """The counts as a flat document that adds up over parts; None for a task without known answers."""
        if self.path is None:
            return None
        tiers: Counter[str] = Counter()
        for (tier, _, right), count in self.compared.items():
            tiers[f"accepted_{tier}"] += count
            tiers[f"right_{tier}"] += count if right else 0
        return {"known": self.known, "outside": self.outside, **tiers}


def known_words(value: Any) -> list[str] | None:
    """The words of a known answer, of numbers and truths their JSON; None of a row that says nothing there."""
    listed = value if isinstance(value, list) else [value]
    words = [None if item is None else as_word(item) for item in listed]
    told = [word.strip() for word in words if word is not None]
    return told if len(told) == len(listed) and all(told) else None


def agreement(tallies: Iterable[Tally | None], tiers: int) -> Mapping[str, Any] | None:
    """`gold` of run.json: rows with a known answer, accepted ones among them, right ones; in all and by tier.

    `outside` are those whose known answer is no label of the task: they count nowhere else.
    """
    sums: Counter[str] = Counter()
    given = [tally for tally in tallies if tally is not None]
    if not given:
        return None
    for tally in given:
        sums.update(tally)
    by_tier = [{"tier": n, "accepted": sums[f"accepted_{n}"], "right": sums[f"right_{n}"]} for n in range(tiers)]
    in_all = {name: sum(int(tier[name]) for tier in by_tier) for name in ("accepted", "right")}
    return {"known": sums["known"], "outside": sums["outside"], **in_all, "tiers": by_tier}
