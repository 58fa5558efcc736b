"""The score of a first tier's answer: how likely the oracle gives the same.

It is calibrated over what a learned model thinks of that answer, how often its label stood, the model's own word for
how sure it is, and facts about the form of its reply. All of it is known before the oracle is asked, and fitted to
drawn rows that the model had not seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sluice.errors import BadRequest
from sluice.quality.calibration import Calibrator, calibrate, log_odds
from sluice.quality.learned import FEWEST_DRAWN, FOLDS, chances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sluice.quality.features import Rows
    from sluice.quality.learned import Drawn, Learned

    Floats = NDArray[np.float64]

BEFORE = 2.0  # rows of average agreement that are added to a label's own, so that a rare one is about average
SELDOM = 10  # rows, below which a word or a fact says nothing
HIGHEST = 2**32 - 1


class FirstAnswer(NamedTuple):
    """A valid answer of the first tier: its labels, the stated word, and facts that hold of its reply."""

    labels: tuple[str, ...]
    word: str | None = None
    facts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Records:
    """Of each label: how many drawn rows got it first, and in how many the oracle said the same."""

    rows: dict[str, int]
    agreed: dict[str, int]
    average: float

    def facts(self, answers: Sequence[FirstAnswer]) -> Floats:
        """The log odds of the poorest label's record, and the logarithm of how many rows it rests on."""
        found = np.zeros((len(answers), 2))
        for at, answer in enumerate(answers):
            shares = [(self._share(label), self.rows.get(label, 0)) for label in answer.labels]
            found[at] = min(shares, default=(self.average, 0))
        return np.column_stack([log_odds(found[:, 0]), np.log1p(found[:, 1])])

    def _share(self, label: str) -> float:
        agreed, rows = self.agreed.get(label, 0), self.rows.get(label, 0)
        return (agreed + BEFORE * self.average) / (rows + BEFORE)


@dataclass(frozen=True, slots=True)
class Score:
    """Scores answers of one first tier; `said` are the words and facts that were seen often enough."""

    records: Records
    said: tuple[str, ...]
    calibrator: Calibrator

    def of(self, model: Learned, texts: Sequence[str], answers: Sequence[FirstAnswer]) -> Floats:
        """The probability, between 0 and 1, that the oracle gives each answer."""
        return self.of_counted(model, model.count(texts), answers)

    def of_counted(self, model: Learned, counts: Rows, answers: Sequence[FirstAnswer]) -> Floats:
        """The same of texts whose features have been counted."""
        if not answers:
            return np.zeros(0)
        facts = _facts(model, model.probabilities_of(counts), answers)
        return self.calibrator.probabilities(
            np.column_stack([facts, self.records.facts(answers), _said(answers, self.said)])
        )

    def document(self) -> dict[str, Any]:
        """As it is kept in the file of the model."""
        records = {"rows": self.records.rows, "agreed": self.records.agreed, "average": self.records.average}
        return {"records": records, "said": list(self.said), "calibrator": self.calibrator.document()}

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Score:
        """The score of such a document."""
        return cls(Records(**kept["records"]), tuple(kept["said"]), Calibrator.read(kept["calibrator"]))


def fit_score(model: Learned, drawn: Drawn, answers: Mapping[str, FirstAnswer]) -> Score:
    """Fit to the drawn records that have a valid first answer, by key.

    Raises:
        BadRequest: too few of them do.
    """
    return fit_scores(model, drawn, answers)[0]


def fit_scores(model: Learned, drawn: Drawn, answers: Mapping[str, FirstAnswer]) -> tuple[Score, dict[str, float]]:
    """The same, with the scores of the records that were held out, by key: what models say that had not seen them.

    Raises:
        BadRequest: as of `fit_score`.
    """
    places = [at for at, key in enumerate(drawn.keys) if key in answers]
    given = [answers[drawn.keys[at]] for at in places]
    agreed = np.array([drawn.truths[at] == set(answer.labels) for at, answer in zip(places, given, strict=True)])
    times, folds = drawn.times[places], drawn.folds[places]
    held = np.flatnonzero(folds >= 0)
    if len(held) < FEWEST_DRAWN:
        raise BadRequest(f"{len(held):,} drawn records have a first answer; a score takes {FEWEST_DRAWN:,} or more")
    record = np.zeros((len(places), 2))
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(inside):
            before = _records([given[at] for at in outside.tolist()], agreed[outside], times[outside])
            record[inside] = before.facts([given[at] for at in inside.tolist()])
    said = _often_said(given, times)
    facts = _facts(model, drawn.probabilities[places], given)
    facts = np.column_stack([facts, record, _said(given, said)])[held]
    calibrator = calibrate(facts, agreed[held], times[held])
    keys = [drawn.keys[places[at]] for at in held.tolist()]
    scores = dict(zip(keys, calibrator.probabilities(facts).tolist(), strict=True))
    return Score(_records(given, agreed, times), said, calibrator), scores


def tie(key: str) -> int:
    """The 64-bit hash that orders answers of one score, by the record's key."""
    told = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"sluice-tie")
    return int.from_bytes(told.digest(), "big")


def as_stored(scores: Floats) -> NDArray[np.uint32]:
    """Scores as 32-bit integers in the same order."""
    return np.rint(np.clip(scores, 0.0, 1.0) * HIGHEST).astype(np.uint32)


def _facts(model: Learned, probabilities: NDArray[np.float32], answers: Sequence[FirstAnswer]) -> Floats:
    mask, untaught = model.mask([answer.labels for answer in answers])
    thought = chances(probabilities, mask, several=model.teacher.several, untaught=untaught)
    given = np.clip(thought.given, 0.0, 1.0)
    return np.column_stack([thought.facts(), given, thought.given >= thought.other])


def _records(answers: Sequence[FirstAnswer], agreed: NDArray[np.bool_], times: NDArray[np.int64]) -> Records:
    rows: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for answer, right, many in zip(answers, agreed.tolist(), times.tolist(), strict=True):
        for label in answer.labels:
            rows[label] += many
            good[label] += many * right
    average = float((agreed * times).sum() + 1) / float(times.sum() + 2)
    return Records(dict(sorted(rows.items())), dict(sorted(good.items())), average)


def _named(answer: FirstAnswer) -> set[str]:
    return {f"fact {fact}" for fact in answer.facts} | ({f"word {answer.word}"} if answer.word else set())


def _often_said(answers: Sequence[FirstAnswer], times: NDArray[np.int64]) -> tuple[str, ...]:
    rows: Counter[str] = Counter()
    for answer, many in zip(answers, times.tolist(), strict=True):
        rows.update(dict.fromkeys(_named(answer), many))
    return tuple(sorted(name for name, count in rows.items() if count >= SELDOM))


def _said(answers: Sequence[FirstAnswer], said: Sequence[str]) -> Floats:
    named = [_named(answer) for answer in answers]
    return np.array([[float(name in each) for name in said] for each in named]).reshape(len(answers), len(said))
