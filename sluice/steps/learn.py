"""learn: teach a model by the oracle's answers to the drawn train rows, and fit the score of first answers to them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sluice.errors import BadRequest, Stop
from sluice.quality.drift import Profile, is_below, lower_scores, moved_labels
from sluice.quality.learned import learn, read, write
from sluice.quality.lessons import Lesson, Source
from sluice.quality.score import FirstAnswer, Score, as_stored, fit_scores
from sluice.quality.vectors import Vectors
from sluice.runs.document import read as read_document
from sluice.runs.drawn import Held, HeldAnswer
from sluice.runs.keys import vectors_key
from sluice.runs.taught import UNTAUGHT, Taught
from sluice.steps.drawing import drawn_answers
from sluice.steps.lessons import earlier, teacher_of
from sluice.steps.services import Run
from sluice.steps.texts import drawn_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.quality.learned import Drawn, Learned
    from sluice.steps.lessons import Earlier
    from sluice.steps.services import Services


def run(services: Services, run_id: str) -> dict[str, object]:
    """Write `learned.bin`, before it `taught.json`, and `held.json` where there is no certificate.

    What stands is left alone. The seconds stand beside the model, which is the same bytes for the same rows.

    Rows that were drawn to teach do, and what earlier runs have to teach; never an answer that was bought for the
    sample: the score would depend on it.
    """
    opened = Run(services.work, run_id)
    if services.work.exists(opened.keys.learned):
        return {}
    began = time.monotonic()
    answers = drawn_answers(opened)
    times = Counter(row.key for row in opened.draws.teaching)
    before = earlier(opened)
    own = [
        Lesson(key, text, answers.oracle[key], Source.ORACLE, times[key])
        for key, text in drawn_texts(opened)
        if key in times and key in answers.oracle
    ]
    # Of no other drawn record, though an earlier run knows it: the score would look at which rows were sampled.
    # The judge refuses whatever the score; the score learns of the word wrong what it is worth beside the others.
    given = answers.refused | answers.first
    firsts = {key: FirstAnswer(*first) for key, first in given.items() if key in times}
    answers_itself = opened.tier(0).is_learned
    held: dict[str, HeldAnswer] = {}
    try:
        model, drawn = learn([*own, *before.records], teacher_of(opened), _vectors(opened, before.left_out))
        if answers_itself:
            score = None
            answered = model.held_answers(drawn).items()
            held = {key: _held(sure, list(labels)) for key, (labels, sure) in answered if key in times}
        else:
            score, held = _fitted(model, drawn, firsts)
    except BadRequest as error:
        if answers_itself and opened.task.quality is not None:
            raise Stop(f"the learned tier cannot be taught: {error}. Put a model in its place") from None
        _put_held(opened, own, before, {}, untaught=str(error))
        services.work.put(opened.keys.learned, UNTAUGHT + str(error).encode())
        return {"untaught": str(error)}
    _put_held(opened, own, before, held)
    told = _told(model, own, before, time.monotonic() - began)
    told = msgspec.structs.replace(told, scores=_lower_scores(model, drawn))
    if (profile := Profile.of(before.records)) is not None:
        opened.store.put(opened.keys.profile, profile.write())
        told = msgspec.structs.replace(told, profile={"drawn": profile.drawn, "beyond": profile.beyond})
    services.work.put(opened.keys.taught, _in_service(opened, told, before).write())
    services.work.put(opened.keys.learned, write(replace(model, score=score)))
    return {"lessons": len(own) + len(before.records)}


def _vectors(opened: Run, left_out: list[str]) -> Vectors | None:
    """The word vectors that somebody has brought for the task; a run does without those that it cannot read."""
    kept = opened.store.find(vectors_key(opened.task.name))
    try:
        return None if kept is None else Vectors.read(kept)
    except BadRequest as error:
        left_out.append(f"word vectors: {error}")
        return None


def _fitted(
    model: Learned, drawn: Drawn, firsts: dict[str, FirstAnswer]
) -> tuple[dict[str, Any], dict[str, HeldAnswer]]:
    """The score as it is kept, and what it is of records that were held out: without the judge's words, too."""
    score, scores = fit_scores(model, drawn, firsts)
    alone: dict[str, float] = {}
    if any(answer.facts for answer in firsts.values()):
        unjudged = {key: answer._replace(facts=frozenset()) for key, answer in firsts.items()}
        alone = fit_scores(model, drawn, unjudged)[1]
    return score.document(), {key: _held(sure, alone=alone.get(key)) for key, sure in scores.items()}


def _told(model: Learned, own: Sequence[Lesson], before: Earlier, seconds: float) -> Taught:
    by = {name: value for name, value in model.taught_by.items() if name != "labels"}
    return Taught(
        seconds=round(seconds, 3),
        runs=sorted({run for head in before.heads for run in head.runs}),
        left_out=before.left_out,
        labels=moved_labels(own, before.records) if before.records else [],
        keys=sorted({lesson.key for lesson in before.records} - {lesson.key for lesson in own}),
        **by,
    )


def _lower_scores(model: Learned, drawn: Drawn) -> dict[str, Any] | None:
    """How sure the model is of drawn rows of this run, beside those of earlier ones."""
    sure: dict[bool, list[float]] = {True: [], False: []}
    was = dict(zip(drawn.keys, drawn.earlier.tolist(), strict=True))
    for key, (_, score) in model.held_answers(drawn).items():
        sure[was[key]].append(score)
    return lower_scores(sure[False], sure[True])


def _in_service(opened: Run, told: Taught, before: Earlier) -> Taught:
    """Whether a learned tier keeps to what the latest run with one in service stated; a certificate says it itself."""
    stated = next((head.agreement for head in before.heads if head.agreement is not None), None)
    if stated is None or told.here is None or not opened.tier(0).is_learned or opened.task.quality is not None:
        return told
    return msgspec.structs.replace(told, stated=stated, out_of_service=is_below(told.here, stated))


def _held(sure: float, labels: list[str] | None = None, alone: float | None = None) -> HeldAnswer:
    return HeldAnswer(score=_stored(sure), labels=labels, alone=None if alone is None else _stored(alone))


def _stored(score: float) -> int:
    return int(as_stored(np.array([score]))[0])


def _put_held(
    opened: Run,
    own: Sequence[Lesson],
    before: Earlier,
    answers: dict[str, HeldAnswer],
    untaught: str | None = None,
) -> None:
    """Keep what measures a score; where there is a certificate, whose sample does, what measures a judge beside it.

    A drawn record that an earlier run has taught is known by heart, whether or not this one teaches it.
    """
    if opened.task.quality is not None:
        if opened.judges(0):
            opened.store.put(opened.keys.held, Held(taught=[], answers=answers, untaught=untaught).write())
    else:
        known = {lesson.key for lesson in before.records} & opened.draws.keys
        taught = list(dict.fromkeys([*(lesson.key for lesson in own), *sorted(known)]))
        held = Held(taught=taught, answers=answers, untaught=untaught)
        opened.store.put(opened.keys.held, held.write())


def held_of(opened: Run) -> Held:
    """What models say of drawn records that had not been taught by them.

    Of a run with a certificate that is nothing, or what measures its judge.
    """
    data = opened.store.find(opened.source.held)
    return Held(taught=[], answers={}) if data is None else read_document(Held, data, opened.source.held)


def taught(opened: Run) -> tuple[Learned, Score | None] | None:
    """The model that learn has written, and the score of another tier's answers; None where nothing could be taught."""
    kept = opened.store.get(opened.keys.learned)
    if kept.startswith(UNTAUGHT):
        return None
    model = read(kept, teacher_of(opened))
    return model, None if model.score is None else Score.read(model.score)
