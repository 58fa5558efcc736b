"""A learned answerer: a linear model of a task's labels, taught by the answers of the task's strongest tier.

Weights come from all lessons. What the model says of its own agreement, and how sure an answer is, comes from the
uniformly drawn rows alone, each answered by a model that has not seen its record: escalated and corrected rows are the
hard ones, and say nothing of the rest.

**The file** is a line `sluice-learned 2`, a line with the BLAKE2b digest of all that follows it, a line of JSON, and
the bytes of four arrays, little-endian and in C order: `slots` (int32, of sluice.quality.features), `worth` (float32),
`bias` (float32) and `weights` (float16, slots by labels). The JSON holds the teacher (model, a digest of its prompt,
labels, how many of them a row gets, pack), the labels that were taught (columns of the weights), by what they were
taught, the calibrator of the model's own answers, the score of first-tier answers where there is one, and how many
slots there are. Where word vectors teach, it holds how many `dimensions` they have, the weights have as many rows more,
and behind the arrays stands the file of the vectors (sluice.quality.vectors). Nothing in it is code.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sluice.errors import BadRequest
from sluice.quality.calibration import FLOOR, Calibrator, calibrate, log_odds
from sluice.quality.features import Vocabulary, count
from sluice.quality.intervals import share_of_clusters
from sluice.quality.lessons import Source, Teacher, changed
from sluice.quality.linear import Linear, fit
from sluice.quality.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from sluice.quality.features import Rows
    from sluice.quality.lessons import Lesson

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

MAGIC = b"sluice-learned 2\n"
ARRAYS = {"slots": "<i4", "worth": "<f4", "bias": "<f4", "weights": "<f2"}
MOST_WEIGHTS = 24_000_000  # features times labels: 96 MB while a model is taught, half of it while it answers
MOST_LABELS = 1_000
FEWEST_DRAWN = 50  # records, below which nothing can be said of the rest
FOLDS = 5
ENOUGH_HELD = 2_000  # records that were answered out of fold: more cost time, and tell little more
LIKELY = 0.5
SEED = 16
DIGEST = 16  # bytes


class Chance(NamedTuple):
    """What a model thinks of answers: their own probability, and the largest of any other answer."""

    given: NDArray[np.float64]
    other: NDArray[np.float64]

    def facts(self) -> NDArray[np.float64]:
        """As a calibrator takes it: log odds, how far ahead of the next answer, and the next answer's logarithm."""
        given, other = np.clip(self.given, FLOOR, 1), np.clip(self.other, FLOOR, 1)
        return np.column_stack([log_odds(given), np.log(given) - np.log(other), np.log(other)])


@dataclass(frozen=True, slots=True)
class Drawn:
    """The uniformly drawn records, and what models that have not seen them say.

    `truths` are the teacher's labels, `times` how many rows each record has, `folds` the fold in which it was held out,
    -1 where it never was; `probabilities` (records by taught labels) has a row of zeros there. `earlier`: which of them
    were drawn by earlier runs.
    """

    keys: tuple[str, ...]
    truths: tuple[frozenset[str], ...]
    times: NDArray[np.int64]
    folds: NDArray[np.int64]
    probabilities: Floats
    earlier: Mask


@dataclass(frozen=True, slots=True)
class Learned:
    """A taught model. `taught_by` and `score` are JSON values; see the module for the file."""

    teacher: Teacher
    labels: tuple[str, ...]
    vocabulary: Vocabulary
    linear: Linear
    calibrator: Calibrator
    taught_by: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] | None = None
    vectors: Vectors | None = None

    def count(self, texts: Sequence[str]) -> Rows:
        """The features of texts, as `probabilities_of` and `answer_of` take them."""
        return count(texts, self.vectors)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """The probability of each of `labels` for each text, texts by labels: before calibration."""
        return self.probabilities_of(self.count(texts))

    def probabilities_of(self, counts: Rows) -> Floats:
        """The same of texts whose features have been counted."""
        return self.linear.probabilities(self.vocabulary.weigh(counts))

    def answer(self, texts: Sequence[str]) -> list[tuple[tuple[str, ...], float]]:
        """The labels of each text in the task's order, and how likely the teacher gives the same."""
        return self.answer_of(self.count(texts))

    def answer_of(self, counts: Rows) -> list[tuple[tuple[str, ...], float]]:
        """The same of texts whose features have been counted."""
        return self._answer(self.probabilities_of(counts))

    def held_answers(self, drawn: Drawn) -> dict[str, tuple[tuple[str, ...], float]]:
        """The same for the drawn records that were held out, by key, as models say that had not seen them."""
        held = np.flatnonzero(drawn.folds >= 0)
        keys = [drawn.keys[at] for at in held.tolist()]
        return dict(zip(keys, self._answer(drawn.probabilities[held]), strict=True))

    def _answer(self, found: Floats) -> list[tuple[tuple[str, ...], float]]:
        given = own_answers(found, self.teacher)
        sure = self.calibrator.probabilities(chances(found, given, several=self.teacher.several).facts())
        return [(self._named(mask), float(p)) for mask, p in zip(given, sure, strict=True)]

    def mask(self, answers: Sequence[Iterable[str]]) -> tuple[Mask, NDArray[np.int64]]:
        """Answers as answers by labels, and how many labels of each were never taught."""
        return _mask(self.labels, answers)

    def _named(self, mask: Mask) -> tuple[str, ...]:
        return tuple(self.labels[at] for at in np.flatnonzero(mask).tolist())


def learn(lessons: Iterable[Lesson], teacher: Teacher, vectors: Vectors | None = None) -> tuple[Learned, Drawn]:
    """Teach a model: byte for byte the same from the same lessons in any order, on one architecture and numpy.

    Word vectors are one more view of a text, beside how its words are spelt.

    Raises:
        BadRequest: there are too few drawn records or labels, or too many labels.
    """
    records = _records(lessons, teacher)
    labels = _taught_labels(records, teacher)
    counts = count([record.text for record in records], vectors)
    targets, _ = _mask(labels, [record.labels for record in records])
    fit_to = partial(_fit, dimensions=0 if vectors is None else vectors.dimensions, teacher=teacher)
    drawn = _drawn(records, counts, targets, fit_to)
    vocabulary, linear = fit_to(counts, targets)
    calibrator, agreement = _own_agreement(drawn, labels, teacher)
    taught_by = {
        "records": len(records),
        "sources": dict(sorted(Counter(map(_source_of, records)).items())),
        "drawn": {"records": len(drawn.keys), "rows": int(drawn.times.sum())},
        "labels": dict(sorted(Counter(label for record in records for label in record.labels).items())),
        "agreement": agreement["agreement"],
    }
    if any(record.earlier for record in records):
        taught_by["here"] = agreement.get("here")
    if vectors is not None:
        taught_by["vectors"] = vectors.facts()
    return Learned(teacher, labels, vocabulary, linear, calibrator, taught_by, vectors=vectors), drawn


def own_answers(probabilities: Floats, teacher: Teacher) -> Mask:
    """What a model answers: its likeliest label; of several, those that are likelier than not, as many as allowed."""
    found = np.zeros(probabilities.shape, np.bool_)
    if not teacher.several:
        np.put_along_axis(found, probabilities.argmax(axis=1)[:, None], values=True, axis=1)
        return found
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : teacher.most]
    sure = np.take_along_axis(probabilities, order, axis=1) >= LIKELY
    np.put_along_axis(found, order, values=sure | (np.arange(order.shape[1]) < teacher.fewest), axis=1)
    return found


def chances(probabilities: Floats, given: Mask, *, several: bool, untaught: NDArray[np.int64] | None = None) -> Chance:
    """How likely each given answer is, and the likeliest other one; a label that was never taught is unlikely."""
    wide = probabilities.astype(np.float64)
    if not several:
        return Chance(np.where(given, wide, 0).sum(1), np.where(given, 0, wide).max(1))
    wide = np.clip(wide, FLOOR, 1 - FLOOR)
    told = np.log(np.where(given, wide, 1 - wide)).sum(1)
    sides = np.log(np.maximum(wide, 1 - wide))
    best = sides.sum(1)
    closest = (np.log(np.minimum(wide, 1 - wide)) - sides).max(1)
    is_best = (given == (wide >= LIKELY)).all(1)
    if untaught is not None:
        told = told + untaught * np.log(FLOOR)
        is_best &= untaught == 0
    return Chance(np.exp(told), np.exp(np.where(is_best, best + closest, best)))


def write(model: Learned) -> bytes:
    """The file of a model: the same bytes for the same lessons, since nothing in it tells when or how fast it was."""
    arrays = {
        "slots": model.vocabulary.slots,
        "worth": model.vocabulary.worth,
        "bias": model.linear.bias,
        "weights": model.linear.weights,
    }
    body = b"".join(np.ascontiguousarray(arrays[name], kind).tobytes() for name, kind in ARRAYS.items())
    head = {
        "teacher": asdict(model.teacher),
        "labels": model.labels,
        "taught_by": model.taught_by,
        "calibrator": model.calibrator.document(),
        "score": model.score,
        "features": len(model.vocabulary.slots),
    }
    if model.vectors is not None:
        head["dimensions"] = model.vectors.dimensions
        body += model.vectors.write()
    told = json.dumps(head, ensure_ascii=True, separators=(",", ":")).encode() + b"\n" + body
    return MAGIC + _digest(told) + told


def read(kept: bytes, teacher: Teacher) -> Learned:
    """The model of a file, for a task that has this teacher.

    Raises:
        BadRequest: it is no such file, or not whole, or was taught by another teacher.
    """
    if not kept.startswith(MAGIC):
        raise BadRequest("no learned model of this version; teach it again")
    begin = len(MAGIC) + 2 * DIGEST + 1
    told = memoryview(kept)[begin:]
    if kept[len(MAGIC) : begin] != _digest(told):
        raise BadRequest("the file of the learned model is not whole; teach it again")
    end = kept.index(b"\n", begin)
    head = json.loads(kept[begin:end])
    was = Teacher(**(head["teacher"] | {"labels": tuple(head["teacher"]["labels"])}))
    if was != teacher:
        raise BadRequest(f"the learned model was taught by another teacher: {changed(was, teacher)}; teach it again")
    labels = tuple(head["labels"])
    body, dimensions = memoryview(kept)[end + 1 :], head.get("dimensions", 0)
    (slots, worth, bias, weights), behind = _arrays(body, head["features"], dimensions, len(labels))
    return Learned(
        teacher=was,
        labels=labels,
        vocabulary=Vocabulary(slots, worth, dimensions),
        linear=Linear(weights, bias, was.several),
        calibrator=Calibrator.read(head["calibrator"]),
        taught_by=head["taught_by"],
        score=head["score"],
        vectors=Vectors.read(body[behind:]) if dimensions else None,
    )


def _digest(told: bytes | memoryview) -> bytes:
    return blake2b(told, digest_size=DIGEST).hexdigest().encode() + b"\n"


def _arrays(body: memoryview, features: int, dimensions: int, labels: int) -> tuple[list[NDArray[Any]], int]:
    """The arrays, and where they end."""
    wide = (features + dimensions, labels)
    shapes = {"slots": (features,), "worth": (features,), "bias": (labels,), "weights": wide}
    found, at = [], 0
    for name, kind in ARRAYS.items():
        values = int(np.prod(shapes[name]))
        found.append(np.frombuffer(body, kind, values, at).reshape(shapes[name]))
        at += found[-1].nbytes
    return found, at


class _Record(NamedTuple):
    """What is known of a record: the labels that it teaches, and the teacher's where it was drawn."""

    key: str
    text: str
    labels: tuple[str, ...]
    source: Source
    truth: tuple[str, ...] | None
    times: int
    earlier: bool


def _source_of(record: _Record) -> str:
    """Who says what a record's labels are; of the last tier's answers, whether it was asked because of a draw."""
    if record.source is not Source.ORACLE:
        return record.source.value
    return ("earlier_drawn" if record.earlier else "drawn") if record.times else "escalated"


def _records(lessons: Iterable[Lesson], teacher: Teacher) -> list[_Record]:
    """One for each record, by key; lessons that no answer of this task could say are left out."""
    known = frozenset(teacher.labels)
    wanted = range(teacher.fewest, teacher.most + 1) if teacher.several else range(1, 2)
    found: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        if known.issuperset(lesson.labels) and len(set(lesson.labels)) in wanted:
            found.setdefault(lesson.key, []).append(lesson)
    ranks = {source: rank for rank, source in enumerate(Source)}
    records = []
    for key in sorted(found):
        spoken = sorted(found[key], key=lambda each: (ranks[each.source], each.earlier, -each.drawn, each[1:3]))
        # What was drawn is told by the teacher, whose answer a person's does not replace: it is what is predicted.
        drawn = max(spoken, key=lambda each: (each.drawn > 0, not each.earlier, ranks[each.source]))
        truth = drawn.labels if drawn.drawn else None
        told = spoken[0]
        records.append(_Record(key, told.text, told.labels, told.source, truth, drawn.drawn, drawn.earlier))
    return records


def _taught_labels(records: Sequence[_Record], teacher: Teacher) -> tuple[str, ...]:
    drawn = sum(record.truth is not None for record in records)
    if drawn < FEWEST_DRAWN:
        raise BadRequest(f"{drawn:,} drawn records have an answer; a learned model takes {FEWEST_DRAWN:,} or more")
    if len(teacher.labels) > MOST_LABELS:
        raise BadRequest(f"{len(teacher.labels):,} labels are too many for a learned model; at most {MOST_LABELS:,}")
    taught = {label for record in records for label in record.labels}
    if len(taught) < (1 if teacher.several else 2):
        raise BadRequest(f"{len(taught):,} labels stand in the answers; a learned model takes two or more")
    return tuple(label for label in teacher.labels if label in taught)


def _mask(labels: Sequence[str], answers: Sequence[Iterable[str]]) -> tuple[Mask, NDArray[np.int64]]:
    place = {label: at for at, label in enumerate(labels)}
    mask, untaught = np.zeros((len(answers), len(labels)), np.bool_), np.zeros(len(answers), np.int64)
    for row, answer in enumerate(answers):
        for label in answer:
            if (at := place.get(label)) is None:
                untaught[row] += 1
            else:
                mask[row, at] = True
    return mask, untaught


def _fit(counts: Rows, targets: Mask, dimensions: int, teacher: Teacher) -> tuple[Vocabulary, Linear]:
    vocabulary = Vocabulary.of(counts, MOST_WEIGHTS // targets.shape[1] - dimensions, dimensions)
    return vocabulary, fit(vocabulary.weigh(counts), targets, len(vocabulary), several=teacher.several)


def _drawn(
    records: Sequence[_Record],
    counts: Rows,
    targets: Mask,
    fit_to: Callable[[Rows, Mask], tuple[Vocabulary, Linear]],
) -> Drawn:
    """Answers out of fold, of as many folds as it takes to hold enough records out: first of those of this run."""
    places = np.array([at for at, record in enumerate(records) if record.truth is not None])
    earlier = np.array([records[at].earlier for at in places.tolist()])
    turns = np.empty(len(places), np.int64)
    turns[np.lexsort((np.random.default_rng(SEED).permutation(len(places)), earlier))] = np.arange(len(places))
    wanted = min(FOLDS, ceil(ENOUGH_HELD / (len(places) / FOLDS)))
    folds = np.where(turns * FOLDS < wanted * len(places), turns % wanted, -1)
    found = np.zeros((len(places), targets.shape[1]), np.float32)
    for fold in range(FOLDS):
        held = places[folds == fold]
        if not len(held):
            continue
        others = np.setdiff1d(np.arange(len(records)), held)
        vocabulary, linear = fit_to(counts.take(others), targets[others])
        found[folds == fold] = linear.probabilities(vocabulary.weigh(counts.take(held)))
    drawn = [records[at] for at in places.tolist()]
    return Drawn(
        keys=tuple(record.key for record in drawn),
        truths=tuple(frozenset(record.truth or ()) for record in drawn),
        times=np.array([record.times for record in drawn], np.int64),
        folds=folds,
        probabilities=found,
        earlier=earlier,
    )


def _own_agreement(drawn: Drawn, labels: Sequence[str], teacher: Teacher) -> tuple[Calibrator, dict[str, Any]]:
    held = np.flatnonzero(drawn.folds >= 0)
    probabilities, times = drawn.probabilities[held], drawn.times[held]
    given = own_answers(probabilities, teacher)
    truths, untaught = _mask(labels, [drawn.truths[at] for at in held.tolist()])
    right = (given == truths).all(1) & (untaught == 0)
    calibrator = calibrate(chances(probabilities, given, several=teacher.several).facts(), right, times)
    told, here = {"agreement": _share(right, times)}, ~drawn.earlier[held]
    if here.any():
        told["here"] = _share(right[here], times[here])
    return calibrator, told


def _share(right: Mask, times: NDArray[np.int64]) -> dict[str, Any]:
    share = share_of_clusters(int(times[right].sum()), times.tolist())
    records = {"records": len(right), "records_agreeing": int(right.sum())}
    return asdict(share) | records | {"basis": "drawn rows, answered out of fold; by record"}
