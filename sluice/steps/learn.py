"""learn: teach a model by the oracle's answers to the drawn train rows, and fit the score of first answers to them."""

from __future__ import annotations

import html
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sluice.decoding import decode
from sluice.errors import BadRequest, Stop
from sluice.quality.learned import learn, read, write
from sluice.quality.lessons import Lesson, Source
from sluice.quality.score import FirstAnswer, Score, as_stored, fit_scores
from sluice.quality.teacher import teacher_for
from sluice.rows.record import KEY
from sluice.runs.document import read as read_document
from sluice.runs.drawn import Held, HeldAnswer
from sluice.runs.taught import Taught
from sluice.steps.drawing import drawn_answers
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.quality.learned import Learned
    from sluice.quality.lessons import Teacher
    from sluice.steps.services import Services

UNTAUGHT = b"sluice-untaught 1\n"  # behind it why; what the model says of itself is then all that a score can go by


def run(services: Services, run_id: str) -> dict[str, object]:
    """Write `learned.bin`, before it `taught.json`, and `held.json` where there is no certificate.

    What stands is left alone. The seconds stand beside the model, which is the same bytes for the same rows.

    Only rows that were drawn to teach do, never an answer that was bought for the sample: the score would depend on it.
    """
    opened = Run(services.work, run_id)
    if services.work.exists(opened.keys.learned):
        return {}
    began = time.monotonic()
    answers = drawn_answers(opened)
    times = Counter(row.key for row in opened.draws.teaching)
    lessons = [
        Lesson(key, text, answers.oracle[key], Source.ORACLE, times[key])
        for key, text in _texts(opened)
        if key in times and key in answers.oracle
    ]
    firsts = {key: FirstAnswer(*first) for key, first in answers.first.items()}
    answers_itself = opened.tier(0).is_learned
    held: dict[str, HeldAnswer] = {}
    try:
        model, drawn = learn(lessons, teacher_of(opened))
        if answers_itself:
            score = None
            held = {key: _held(sure, list(labels)) for key, (labels, sure) in model.held_answers(drawn).items()}
        else:
            fitted, scores = fit_scores(model, drawn, firsts)
            score, held = fitted.document(), {key: _held(sure) for key, sure in scores.items()}
    except BadRequest as error:
        if answers_itself and opened.task.quality is not None:
            raise Stop(f"the learned tier cannot be taught: {error}. Put a model in its place") from None
        _put_held(opened, lessons, {}, untaught=str(error))
        services.work.put(opened.keys.learned, UNTAUGHT + str(error).encode())
        return {"untaught": str(error)}
    _put_held(opened, lessons, held)
    services.work.put(opened.keys.taught, _told(model, time.monotonic() - began).write())
    services.work.put(opened.keys.learned, write(replace(model, score=score)))
    return {"lessons": len(lessons)}


def _told(model: Learned, seconds: float) -> Taught:
    by = {name: value for name, value in model.taught_by.items() if name != "labels"}
    return Taught(seconds=round(seconds, 3), **by)


def _held(sure: float, labels: list[str] | None = None) -> HeldAnswer:
    return HeldAnswer(score=int(as_stored(np.array([sure]))[0]), labels=labels)


def _put_held(
    opened: Run, lessons: Sequence[Lesson], answers: dict[str, HeldAnswer], untaught: str | None = None
) -> None:
    """Keep what measures a score, where there is no certificate, whose sample does."""
    if opened.task.quality is None:
        held = Held(taught=[lesson.key for lesson in lessons], answers=answers, untaught=untaught)
        opened.store.put(opened.keys.held, held.write())


def held_of(opened: Run) -> Held:
    """What models say of drawn records that had not been taught by them; of a run with a certificate nothing."""
    data = opened.store.find(opened.source.held)
    return Held(taught=[], answers={}) if data is None else read_document(Held, data, opened.source.held)


def teacher_of(opened: Run) -> Teacher:
    """What decides which labels the oracle gives."""
    task, oracle = opened.task, opened.start.tiers[-1]
    return teacher_for(task, oracle.model_id, oracle.pack)


def taught(opened: Run) -> tuple[Learned, Score | None] | None:
    """The model that learn has written, and the score of another tier's answers; None where nothing could be taught."""
    kept = opened.store.get(opened.keys.learned)
    if kept.startswith(UNTAUGHT):
        return None
    model = read(kept, teacher_of(opened))
    return model, None if model.score is None else Score.read(model.score)


def _texts(opened: Run) -> Iterator[tuple[str, str]]:
    """The drawn records with their texts, as they were before they were escaped for a request."""
    for line in opened.store.get(opened.keys.drawn_records).split(b"\n")[:-1]:
        yield line[:KEY].decode(), html.unescape(decode(b'"' + line[KEY + 1 :] + b'"', str))
