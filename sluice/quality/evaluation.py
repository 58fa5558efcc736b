"""What known answers say of a run: how often it was right, by tier, label, stated confidence and slice.

Rows whose answer somebody happened to know say nothing of the others: an interval for all rows comes from uniformly
drawn ones alone. Precision, recall and F1 are those of answered rows, and macro means are over the labels that were
known or given at least once, as scikit-learn has them; 0 where there is nothing to divide by.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.quality.intervals import clustered_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BANDS = 10  # of scores
PAIRS = 200  # known and given answers in the document, the most frequent first
VALUES = 50  # of a sliced column, the most frequent first


class Answer(NamedTuple):
    """What an attempt of a tier gave: its labels as the trail writes them."""

    tier: int
    words: str


class Row(NamedTuple):
    """A row with a valid text: what is known of it (None: nothing), and what it was given (None: no label)."""

    record: str
    known: frozenset[str] | None
    given: frozenset[str] | None
    tier: int | None = None
    confidence: str | None = None
    score: float | None = None
    answers: Sequence[Answer] = ()
    drawn: bool = False
    slices: Mapping[str, str] = {}

    @property
    def right(self) -> bool:
        """Whether it was given what is known to be right."""
        return self.known is not None and self.given == self.known


class Tally:
    """Right ones of so many."""

    def __init__(self) -> None:
        self.right = self.of = 0

    def add(self, right: bool) -> None:
        """Count a row."""
        self.of += 1
        self.right += right

    def told(self) -> dict[str, Any]:
        """The counts, and their share; None of nothing."""
        return {"right": self.right, "of": self.of, "share": self.right / self.of if self.of else None}


class Evaluation:
    """Counts rows; `document` tells what they came to. Holds counters, and the drawn rows with a known answer."""

    def __init__(self, tiers: int) -> None:
        self.tiers = tiers
        self.rows = self.known = self.unanswered = 0
        self.overall = Tally()
        self.accepted = [Tally() for _ in range(tiers)]
        self.alone = [Tally() for _ in range(tiers)]
        self.given: Counter[str] = Counter()
        self.truth: Counter[str] = Counter()
        self.both: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.confidence: dict[tuple[int, str], Tally] = {}
        self.bands: dict[int, Tally] = {}
        self.slices: dict[str, dict[str, Tally]] = {}
        self.escalated: Counter[str] = Counter()
        self.wasted: Counter[int] = Counter()  # attempts of stronger tiers that changed nothing, by tier
        self.too_early = Tally()
        self.drawn: list[tuple[str, int, bool]] = []

    def add(self, row: Row) -> None:
        """Count a row."""
        self.rows += 1
        self._add_escalation(row)
        if row.known is None:
            return
        self.known += 1
        for answer in _last_of_each(row.answers):
            if answer.tier < self.tiers:
                self.alone[answer.tier].add(_same(answer.words, in_words(row.known)))
        if row.given is None:
            self.unanswered += 1
            return
        self._add_answered(row, row.known, row.given)

    def _add_answered(self, row: Row, known: frozenset[str], given: frozenset[str]) -> None:
        self.overall.add(row.right)
        self.truth.update(known)
        self.given.update(given)
        self.both.update(known & given)
        self.pairs[in_words(known), in_words(given)] += 1
        tier = row.tier or 0
        if tier < self.tiers:
            self.accepted[tier].add(row.right)
            if tier < self.tiers - 1:
                self.too_early.add(not row.right)
        if row.confidence is not None:
            self.confidence.setdefault((tier, row.confidence), Tally()).add(row.right)
        if row.score is not None:
            self.bands.setdefault(min(BANDS - 1, int(row.score * BANDS)), Tally()).add(row.right)
        for column, value in row.slices.items():
            self.slices.setdefault(column, {}).setdefault(value, Tally()).add(row.right)
        if row.drawn:
            self.drawn.append((row.record, tier, row.right))

    def _add_escalation(self, row: Row) -> None:
        """Count what stronger tiers made of an answer that was not accepted; known answers say whether rightly."""
        answers = _last_of_each(row.answers)
        if row.given is None or row.tier is None or len(answers) < 2 or answers[0].tier >= row.tier:
            return
        before, after = answers[0].words, answers[-1].words
        self.escalated["rows"] += 1
        if _same(before, after):
            self.escalated["unchanged"] += 1
            self.wasted.update(answer.tier for answer in row.answers if answer.tier > answers[0].tier)
        elif row.known is not None:
            was, now = _same(before, in_words(row.known)), row.right
            self.escalated["mended" if now and not was else "spoiled" if was and not now else "still_wrong"] += 1

    def document(self, usd_per_attempt: Sequence[float | None] = ()) -> dict[str, Any]:
        """All figures; `usd_per_attempt` of each tier prices the escalations that changed nothing."""
        return {
            "rows": self.rows,
            "known": self.known,
            "unanswered": self.unanswered,
            **self.overall.told(),
            "interval": self._interval(None),
            "tiers": [
                {"tier": n, **tally.told(), "interval": self._interval(n)} for n, tally in enumerate(self.accepted)
            ],
            "alone": [{"tier": n, **tally.told()} for n, tally in enumerate(self.alone)],
            "macro": self._macro(),
            "labels": [self._label(label) for label in self._labels()],
            "confusion": _pairs(self.pairs),
            "confidence": [
                {"tier": tier, "confidence": word, **tally.told()}
                for (tier, word), tally in sorted(self.confidence.items())
            ],
            "scores": [
                {"low": band / BANDS, "high": (band + 1) / BANDS, **tally.told()}
                for band, tally in sorted(self.bands.items())
            ],
            "escalations": {**_counts(self.escalated), "unchanged_usd": self._wasted(usd_per_attempt)},
            "accepted_too_early": {"wrong": self.too_early.right, "of": self.too_early.of},
            "slices": {column: _values(values) for column, values in sorted(self.slices.items())},
        }

    def _interval(self, tier: int | None) -> dict[str, Any] | None:
        """The interval for all rows, or all that a tier settled; None without uniformly drawn rows."""
        rows = [(record, right) for record, at, right in self.drawn if tier in (None, at)]
        if not rows:
            return None
        share = clustered_share(rows)
        return {"right": share.count, "of": share.of, "share": share.value, "low": share.low, "high": share.high}

    def _labels(self) -> list[str]:
        return sorted(self.truth.keys() | self.given.keys())

    def _label(self, label: str) -> dict[str, Any]:
        both, given, known = self.both[label], self.given[label], self.truth[label]
        return {
            "label": label,
            "known": known,
            "given": given,
            "both": both,
            "precision": both / given if given else 0.0,
            "recall": both / known if known else 0.0,
            "f1": 2 * both / (given + known),
        }

    def _macro(self) -> dict[str, float] | None:
        labels = [self._label(label) for label in self._labels()]
        return {name: sum(each[name] for each in labels) / len(labels) for name in MEANS} if labels else None

    def _wasted(self, usd: Sequence[float | None]) -> float | None:
        """About what the escalations that changed nothing cost; None where a price is unknown."""
        total = 0.0
        for tier, attempts in self.wasted.items():
            price = usd[tier] if tier < len(usd) else None
            if price is None:
                return None
            total += price * attempts
        return total


MEANS = ("precision", "recall", "f1")
ESCALATIONS = ("rows", "unchanged", "mended", "spoiled", "still_wrong")


def in_words(labels: Iterable[str]) -> str:
    """Labels as one text, in one order."""
    return ", ".join(sorted(labels))


def _same(one: str, other: str) -> bool:
    """Whether two texts name the same labels, in whatever order."""
    return one == other or sorted(one.split(", ")) == sorted(other.split(", "))


def _last_of_each(answers: Sequence[Answer]) -> list[Answer]:
    """The last answer of each tier, the first tier first."""
    return [answer for _, answer in sorted({answer.tier: answer for answer in answers}.items())]


def _pairs(pairs: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"known": known, "given": given, "rows": rows} for (known, given), rows in ordered[:PAIRS]]


def _counts(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in ESCALATIONS}


def _values(values: Mapping[str, Tally]) -> list[dict[str, Any]]:
    ordered = sorted(values.items(), key=lambda item: (-item[1].of, item[0]))
    return [{"value": value, **tally.told()} for value, tally in ordered[:VALUES]]
