"""certify: the threshold above which first answers stand, out of the sampled rows, and what can be promised of them."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sluice.quality.certificate import (
    STEPS,
    Promise,
    SampledRow,
    Threshold,
    by_gold,
    certify,
    certify_labels,
    furthest_step,
    last_safe_step,
    wrong_at,
)
from sluice.quality.intervals import clustered_share
from sluice.runs.document import read
from sluice.runs.drawn import (
    CERTIFIED,
    MEASURED,
    Accuracy,
    Certificate,
    Differing,
    Floor,
    PieceLines,
    Repeats,
    SampledAnswer,
)
from sluice.runs.state import HIGHEST, Place
from sluice.steps import score_gate
from sluice.steps.counted import STORED, Counted, among, places_of, stored
from sluice.steps.drawing import drawn_answers
from sluice.steps.judge_worth import judged_rows
from sluice.steps.repeats import repeats_of
from sluice.steps.services import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sluice.quality.certificate import Certified, KnownRow
    from sluice.runs.drawn import DrawnRow, Draws
    from sluice.steps.drawing import DrawnAnswers
    from sluice.steps.services import Services

MOST_SORTED = 2_000_000  # records whose scores are held together, at 32 bytes each


def run(services: Services, run_id: str) -> dict[str, int]:
    """Write `certificate.json`, once for all executions of the run; one that stands is left alone.

    Of a task without `quality` it is `score.json`, which promises nothing.
    """
    opened = Run(services.work, run_id)
    if opened.certificate is not None:
        return {}
    if opened.task.quality is None:
        return score_gate.run(opened, at=services.now().isoformat())
    find = certified if opened.start.judges is None else measured
    certificate = find(opened, at=services.now().isoformat())
    services.work.put_new(opened.keys.certificate, certificate.write())
    return {"accepted_rows": certificate.accepted_rows}


def certified(opened: Run, *, at: str) -> Certificate:
    """The certificate that the stored scores and answers of a run allow."""
    quality, draws, answers = opened.task.quality, opened.draws, drawn_answers(opened)
    assert quality is not None, "the task asks for a certificate"
    places = places_of(opened, {row.key for row in draws.sample})
    sampled = sampled_rows(draws, answers, places)
    found = certify(Promise(quality.kept, quality.delta), draws.population, [row for row, _ in sampled])
    assert found.threshold is not None, "plan has refused a sample that is too small"
    accuracy = None if quality.accuracy is None else _accuracy(opened, places, found.threshold)
    threshold = _place(found) if accuracy is None or accuracy.taken is None else _at(accuracy, accuracy.taken)
    floors = _floors(opened, draws, answers, [row for row, _ in sampled])
    counted = Counted.of(opened, draws.keys, threshold, floors)
    agreeing = sum(not row.bad for row, _ in sampled)
    told = _all_told(opened, answers, sampled)
    return Certificate(
        agree=str(quality.kept),
        delta=str(quality.delta),
        population=draws.population,
        sample=len(sampled),
        train=len(draws.train),
        at_most=found.at_most,
        disagreements=found.disagreements,
        threshold=threshold,
        seed=draws.seed,
        task_version=opened.start.task_version,
        models=[tier.called for tier in opened.start.tiers],
        packs=[tier.pack for tier in opened.start.tiers],
        learned=blake2b(opened.store.get(opened.keys.learned), digest_size=16).hexdigest(),
        drawn_records=len(draws.keys),
        scored_records=counted.scored,
        accepted_records=counted.accepted,
        accepted_rows=counted.rows,
        sampled_accepted=sum(_above_it(row, threshold) for row, _ in sampled),
        sampled_agreeing=agreeing,
        sampled_unanswered=sum(drawn.key not in answers.oracle for _, drawn in sampled),
        best_share=float(min(Fraction(1), Fraction(agreeing, len(sampled)) + 1 - Fraction(quality.kept))),
        below=counted.below,
        sampled=told,
        repeats=_repeats(told),
        pieces=_pieces(opened),
        at=at,
        floors=[
            msgspec.structs.replace(floor, accepted_rows=rows)
            for floor, rows in zip(floors, counted.by_floor[1:], strict=True)
        ],
        status=CERTIFIED if accuracy is None or accuracy.safe is not None else MEASURED,
        against=quality.against,
        open=(draws.gold or []).count(None),
        accuracy=accuracy,
        judged=judged_rows(opened, threshold),
    )


def measured(opened: Run, *, at: str) -> Certificate:
    """What the sample shows where the answers of a certified run were judged again, under the thresholds of that run.

    It promises nothing: what the sample says was known when the task was changed.
    """
    key = opened.source.certificate
    base = read(Certificate, opened.store.get(key), key)
    draws, answers = opened.draws, drawn_answers(opened)
    sampled = sampled_rows(draws, answers, places_of(opened, {row.key for row in draws.sample}))
    numbers = {floor.label: number for number, floor in enumerate(base.floors, 1)}

    def stands(row: SampledRow) -> bool:
        place = None if row.place is None else Place(score=row.place[0], tie=row.place[1])
        return place is not None and base.stands(place, numbers.get(row.label or "", 0))

    differing = clustered_share((drawn.key, row.bad and stands(row)) for row, drawn in sampled)
    counted = Counted.of(opened, draws.keys, base.threshold, base.floors)
    told = _all_told(opened, answers, sampled)
    return msgspec.structs.replace(
        base,
        status=MEASURED,
        based_on=opened.start.judges,
        differing=Differing(rows=differing.count, of=differing.of, low=differing.low, high=differing.high),
        task_version=opened.start.task_version,
        scored_records=counted.scored,
        accepted_records=counted.accepted,
        accepted_rows=counted.rows,
        sampled_accepted=sum(stands(row) for row, _ in sampled),
        sampled_agreeing=sum(not row.bad for row, _ in sampled),
        sampled_unanswered=sum(drawn.key not in answers.oracle for _, drawn in sampled),
        below=counted.below,
        sampled=told,
        repeats=_repeats(told),
        accuracy=None,
        floors=[
            msgspec.structs.replace(floor, accepted_rows=rows)
            for floor, rows in zip(base.floors, counted.by_floor[1:], strict=True)
        ],
        at=at,
    )


def _place(found: Certified) -> Place | None:
    above = None if found.threshold is None else found.threshold.above
    return None if above is None else Place(score=above[0], tie=above[1])


def _floors(opened: Run, draws: Draws, answers: DrawnAnswers, sampled: list[SampledRow]) -> list[Floor]:
    """The floors of single labels, within the rows that the first tier calls so; their accepted rows are not counted.

    Like the population of all, theirs leaves the train rows out.
    """
    quality = opened.task.quality
    assert quality is not None, "the task asks for a certificate"
    labels = list(quality.floors)
    rows: NDArray[np.int64] = np.zeros(len(labels) + 1, np.int64)
    for shard in stored(opened) if labels else ():
        rows += np.bincount(shard.floors, shard.scores["rows"], len(rows)).astype(np.int64)
    taught = Counter(answers.first[row.key][0] for row in draws.train if row.key in answers.first)
    populations = {label: int(rows[n]) - taught[label,] for n, label in enumerate(labels, 1)}
    found = certify_labels(quality.floors, quality.delta, populations, sampled)
    return [
        Floor(
            label=label,
            keep=str(quality.floors[label]),
            population=each.population,
            sample=each.drawn,
            at_most=each.at_most,
            disagreements=each.disagreements,
            threshold=_place(each),
            accepted_rows=0,
        )
        for label, each in found.items()
    ]


def sampled_rows(draws: Draws, answers: DrawnAnswers, places: dict[str, Place]) -> list[tuple[SampledRow, DrawnRow]]:
    """The sampled rows as the rule takes them, beside those that were drawn.

    One that shares a train record has the oracle's label, and agrees; a missing answer of the oracle does not. Against
    what people say, a row is bad by that.
    """
    if draws.gold is not None:
        known = known_rows(draws, answers, places)
        return [(row, drawn) for (row, _), drawn in zip(known, draws.sample, strict=True)]
    taught = {row.key for row in draws.train}
    found = []
    for drawn in draws.sample:
        place, first, oracle = places.get(drawn.key), answers.first.get(drawn.key), answers.oracle.get(drawn.key)
        agrees = first is not None and oracle is not None and set(first[0]) == set(oracle)
        bad = drawn.key not in taught and not agrees
        label = first[0][0] if place is not None and first is not None and len(first[0]) == 1 else None
        found.append((SampledRow(None if place is None else (place.score, place.tie), bad=bad, label=label), drawn))
    return found


def known_rows(draws: Draws, answers: DrawnAnswers, places: dict[str, Place]) -> list[tuple[SampledRow, KnownRow]]:
    """The sampled rows by what people say of them, as either promise counts them."""
    taught, found = {row.key for row in draws.train}, []
    for drawn, gold in zip(draws.sample, draws.gold or (), strict=True):
        place, first = places.get(drawn.key), answers.first.get(drawn.key)
        said = (None if first is None else first[0]), answers.oracle.get(drawn.key), gold
        found.append(by_gold(None if place is None else (place.score, place.tie), *said, taught=drawn.key in taught))
    return found


def _accuracy(opened: Run, places: dict[str, Place], worse: Threshold) -> Accuracy:
    """What fixed steps allow: their thresholds depend on scores alone, and on nothing that a person has said."""
    quality, draws = opened.task.quality, opened.draws
    assert quality is not None, "the task asks for a certificate"
    assert quality.accuracy is not None, "the task asks for an accuracy"
    known = [row for _, row in known_rows(draws, drawn_answers(opened), places)]
    thresholds = _steps(opened, draws)
    steps = [None, *(Threshold(None if place is None else (place.score, place.tie)) for place in thresholds)]
    wrong = [wrong_at(known, step) for step in steps]
    promise = Promise(quality.accuracy, quality.delta)
    safe = last_safe_step(wrong, promise, draws.population, len(known))
    return Accuracy(
        promised=str(quality.accuracy),
        at_most=promise.most(draws.population, len(known)),
        thresholds=thresholds,
        wrong=wrong,
        safe=safe,
        taken=None if safe is None else furthest_step(steps, safe, worse),
    )


def _steps(opened: Run, draws: Draws) -> list[Place | None]:
    """Thresholds above which 5, 10, … 100% of the population stand, as near as whole records come.

    The train rows are none of it. Of a large run some of the records stand for all, which lie in the order of a hash.
    """
    every, population = max(1, -(-opened.plan.distinct // MOST_SORTED)), draws.population
    taught = Counter(row.key for row in draws.train)
    shards = []
    for shard in stored(opened):
        scores = shard.scores[::every].copy()
        for n, key in among(scores, set(taught)).items():
            scores["rows"][n] -= taught[key]
        shards.append(scores)
    scored = np.concatenate([np.empty(0, STORED), *shards])
    scored = scored[np.lexsort((scored["tie"], scored["score"]))[::-1]]
    rows = np.cumsum(scored["rows"].astype(np.int64)) * every
    found: list[Place | None] = []
    for step in range(1, STEPS + 1):
        accepted = int(np.searchsorted(rows, population * step // STEPS, side="right"))
        last = accepted < len(scored)
        found.append(Place(score=int(scored["score"][accepted]), tie=int(scored["tie"][accepted])) if last else None)
    return found


def _at(accuracy: Accuracy, step: int) -> Place | None:
    return accuracy.thresholds[step - 1] if step else HIGHEST


def _above_it(row: SampledRow, threshold: Place | None) -> bool:
    return Threshold(None if threshold is None else (threshold.score, threshold.tie)).accepts(row.place)


def _all_told(opened: Run, answers: DrawnAnswers, sampled: list[tuple[SampledRow, DrawnRow]]) -> list[SampledAnswer]:
    gold, repeated, told = opened.draws.gold or [None] * len(sampled), repeats_of(opened), []
    for (row, drawn), said in zip(sampled, gold, strict=True):
        found = _told(drawn, answers, row, said)
        if drawn.key in repeated:  # of rows of one record the first
            found = msgspec.structs.replace(found, repeated=True, again=repeated.pop(drawn.key).labels)
        told.append(found)
    return told


def _repeats(told: list[SampledAnswer]) -> Repeats | None:
    """How often the oracle agrees with itself; None where it was not asked twice."""
    asked = sum(row.repeated for row in told)
    share = clustered_share((row.key, row.agrees) for row in told if row.compares)
    if not asked:
        return None
    return Repeats(asked=asked, answered=share.of, agreeing=share.count, low=share.low, high=share.high)


def _told(drawn: DrawnRow, answers: DrawnAnswers, row: SampledRow, gold: list[str] | None) -> SampledAnswer:
    first, oracle = answers.first.get(drawn.key), answers.oracle.get(drawn.key)
    return SampledAnswer(
        source=drawn.source,
        line=drawn.line,
        key=drawn.key,
        place=None if row.place is None else Place(score=row.place[0], tie=row.place[1]),
        first=None if first is None else list(first[0]),
        oracle=None if oracle is None else list(oracle),
        bad=row.bad,
        gold=gold,
    )


def _pieces(opened: Run) -> list[PieceLines]:
    """The pieces in which the rows were read, as ranks know them."""
    begins = {
        (span["span"], source): begin
        for span in json.loads(opened.store.get(opened.keys.spans))
        for source, begin, _ in span["pieces"]
    }
    found = {(source, begin): 0 for (_, source), begin in begins.items()}
    for segment in opened.plan.segments:
        found[segment.first_source, begins[segment.span, segment.first_source]] = segment.line_base
    return [PieceLines(source=source, begin=begin, lines=lines) for (source, begin), lines in sorted(found.items())]
