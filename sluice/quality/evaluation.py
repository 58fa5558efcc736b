"""What known answers say of a run: how often it was right, by tier, label, stated confidence and slice.

Rows whose answer somebody happened to know say nothing of the others: intervals for all rows, and shares of labels that
are corrected for errors, come from uniformly drawn ones alone, and only where the answer to each of these is known.
Precision, recall and F1 are those of answered rows, and macro means are over the labels that were known or given at
least once, as scikit-learn has them; 0 where there is nothing to divide by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.quality.intervals import clustered_share, label_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BANDS = 10  # of scores
PAIRS = 200  # known and given answers in the document, the most frequent first
VALUES = 50  # of a sliced column, the most frequent first


class Answer(NamedTuple):
    """What an attempt of a tier gave: its labels as the trail writes them."""

    tier: int
    words: str
    confidence: str | None = None


class Shown(NamedTuple):
    """An answer that a judge was shown: its labels as the trail writes them, and whether that let it pass."""

    words: str
    stood: bool


class Given(NamedTuple):
    """Labels, and the tier that gave them."""

    labels: frozenset[str] | None
    tier: int | None


class Row(NamedTuple):
    """A row with a valid text: what is known of it (None: nothing), and what it was given (None: no label).

    `drawn`: it was drawn uniformly to measure by. `undrawn` is what it would have been given, had its record not been
    drawn for the last tier; None where that is what it was given.
    """

    record: str
    known: frozenset[str] | None
    given: frozenset[str] | None
    tier: int | None = None
    score: float | None = None
    answers: Sequence[Answer] = ()
    shown: Sequence[Shown] = ()
    drawn: bool = False
    slices: Mapping[str, str] = {}
    undrawn: Given | None = None

    @property
    def stands(self) -> Given:
        """What it was given, or would have been as one of the rows that were not drawn."""
        return self.undrawn or Given(self.given, self.tier)

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
    """Counts rows; `document` tells what they came to. Holds counters, and the drawn rows with a known answer.

    `by_oracle`: what is known is what the last tier says of drawn rows; where it says nothing valid, no label is true.
    """

    def __init__(self, tiers: int, *, by_oracle: bool = False) -> None:
        self.tiers = tiers
        self.by_oracle = by_oracle
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
        self.measured: list[tuple[str, frozenset[str], frozenset[str]]] = []  # record, labels it stands with, true ones
        self.undrawn: Counter[str] = Counter()  # rows by the labels that they stand with
        self.unknown = 0  # drawn rows of which nothing is known

    def add(self, row: Row) -> None:
        """Count a row."""
        self.rows += 1
        self._add_share(row)
        self._add_escalation(row)
        if row.known is None:
            return
        self.known += 1
        self._add_answers(row, in_words(row.known))
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
        for column, value in row.slices.items():
            self.slices.setdefault(column, {}).setdefault(value, Tally()).add(row.right)

    def _add_share(self, row: Row) -> None:
        """Count the labels that a row stands with; a drawn one beside those that are true."""
        stands = row.stands
        self.undrawn.update(stands.labels or ())
        if not row.drawn:
            return
        self.unknown += row.known is None
        self.measured.append((row.record, stands.labels or frozenset(), row.known or frozenset()))
        if row.known is not None and stands.labels is not None:
            self.drawn.append((row.record, stands.tier or 0, stands.labels == row.known))

    def _add_answers(self, row: Row, known: str) -> None:
        """Count what each tier said, accepted or not, by its stated confidence; and the answer that has the score."""
        answers = [(answer, _same(answer.words, known)) for answer in _last_of_each(row.answers)]
        for answer, right in answers:
            if answer.tier < self.tiers:
                self.alone[answer.tier].add(right)
            if answer.confidence is not None:
                self.confidence.setdefault((answer.tier, answer.confidence), Tally()).add(right)
        if row.score is not None and answers:
            self.bands.setdefault(min(BANDS - 1, int(row.score * BANDS)), Tally()).add(answers[0][1])

    def _add_escalation(self, row: Row) -> None:
        """Count what stronger tiers made of an answer that was not accepted; known answers say whether rightly."""
        answers = _last_of_each(row.answers)
        if row.undrawn is not None and row.undrawn.tier != row.tier:
            return  # the last tier was asked since the row was drawn, not since its answer would not do
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
            "label_shares": self._label_shares(),
            "slices": {column: _values(values) for column, values in sorted(self.slices.items())},
        }

    def _interval(self, tier: int | None) -> dict[str, Any] | None:
        """The interval for all rows, or all that a tier settled; None without uniformly drawn rows."""
        rows = [(record, right) for record, at, right in self.drawn if tier in (None, at)]
        if not rows or not self._all_known:
            return None
        share = clustered_share(rows)
        return {"right": share.count, "of": share.of, "share": share.value, "low": share.low, "high": share.high}

    @property
    def _all_known(self) -> bool:
        """Whether the drawn rows speak for all: those that somebody left open are not like the others."""
        return self.by_oracle or not self.unknown

    def _label_shares(self) -> dict[str, Any] | None:
        """Of all rows the share that truly has each label; None without uniformly drawn rows, all of them known."""
        if not self.measured or not self._all_known:
            return None
        labels = set(self.undrawn).union(*(said | true for _, said, true in self.measured))
        found = []
        for label in sorted(labels, key=lambda each: (-self.undrawn[each], each)):
            given = self.undrawn[label]
            drawn = [(record, label in said, label in true) for record, said, true in self.measured]
            told = label_share(given, self.rows, drawn)
            found.append({"label": label, "given": given, "given_share": given / self.rows, **asdict(told)})
        return {
            "of": self.rows,
            "drawn": len(self.measured),
            "records": len({record for record, *_ in self.measured}),
            "labels": found,
        }

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
