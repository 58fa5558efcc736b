"""What a run has to teach later ones of its task, and what earlier ones have to teach it.

Kept under the task and the fingerprint of its teacher, so that a run whose labels, prompt or last tier are others finds
none. Drawn records teach and measure; those that had gone on to the last tier, which are the hard ones, teach alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sluice.errors import Stop
from sluice.quality.lessons import Head, Lesson, Source, changed, fingerprint, pack_lessons, unpack_lessons
from sluice.quality.teacher import teacher_for
from sluice.reasons import Outcome
from sluice.runs.keys import LESSONS, LessonKeys
from sluice.steps.drawing import drawn_answers
from sluice.steps.texts import drawn_texts, first_sights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store
    from sluice.quality.lessons import Teacher
    from sluice.runs.taught import Taught
    from sluice.steps.services import Run, Services

MOST_ESCALATED = 5_000  # records of a run, of its first shards: keys are hashes, so that this is a fair sample
MOST = 20_000  # records of earlier runs, the latest runs first
MOST_CELLS = 3_000_000  # records times labels: what a Lambda function is taught by within minutes


class Earlier(NamedTuple):
    """What earlier runs have to teach; `left_out` says why some of it does not, in words."""

    records: list[Lesson]
    heads: list[Head]
    left_out: list[str]


def teacher_of(opened: Run) -> Teacher:
    """What decides which labels the oracle gives."""
    task, oracle = opened.task, opened.start.tiers[-1]
    return teacher_for(task, oracle.model_id, oracle.pack)


def keep(services: Services, opened: Run, taught: Taught | None) -> None:
    """Keep what a run has to teach; one that is published again replaces it."""
    if not opened.task.gives_scores or opened.start.judges is not None or not opened.store.exists(opened.keys.draws):
        return
    lessons = [*_drawn(opened)]
    if not lessons:
        return
    lessons += _escalated(opened, {lesson.key for lesson in lessons} | opened.draws.keys)
    teacher = teacher_of(opened)
    head = Head(
        task=opened.task.name,
        runs=[opened.id],
        seeds=[opened.draws.seed],
        teacher=teacher,
        agreement=None if taught is None or taught.out_of_service else taught.here or taught.agreement,
    )
    key = LessonKeys(opened.task.name, fingerprint(teacher)).of(opened.start.date, opened.id)
    services.work.put(key, pack_lessons(head, lessons))


def earlier(opened: Run) -> Earlier:
    """What earlier runs have to teach this one.

    None of a run that drew the same rows: what it knows of this run's sample must not reach the score that is measured
    on it, and neither must what its own certificate, which came of that sample, sent to the last tier.
    """
    teacher = teacher_of(opened)
    keys = LessonKeys(opened.task.name, fingerprint(teacher))
    found, known = Earlier([], [], []), set[tuple[str, str]]()
    most = min(MOST, MOST_CELLS // max(1, len(teacher.labels)))
    for key in _latest_first(opened.store, keys.prefix):
        if len(found.records) >= most:
            break
        try:
            file = unpack_lessons(opened.store.get(key), key)
        except Stop as error:  # a run does without what it does not need
            found.left_out.append(str(error))
            continue
        if opened.id in file.head.runs:
            continue
        if opened.draws.seed in file.head.seeds:
            found.left_out.append(f"{file.head.runs[0]} drew the same rows")
            continue
        new = [lesson for lesson in file.records if (lesson.key, lesson.source) not in known]
        new = sorted(new, key=lambda lesson: not lesson.drawn)[: most - len(found.records)]
        known.update((lesson.key, lesson.source) for lesson in new)
        found.records.extend(new)
        found.heads.append(file.head)
    found.left_out.extend(_other_teachers(opened, keys, teacher))
    return found


def _latest_first(store: Store, prefix: str) -> list[str]:
    return [key for key, _ in store.keys(prefix) if key.endswith(LESSONS)][::-1]


def _other_teachers(opened: Run, keys: LessonKeys, teacher: Teacher) -> Iterator[str]:
    """Say of runs that had another teacher what has changed since the latest of them."""
    others = [key for key in _latest_first(opened.store, keys.task) if not key.startswith(keys.prefix)]
    if others:
        latest = max(others, key=lambda key: key.rpartition("/")[2])
        try:
            why = changed(unpack_lessons(opened.store.get(latest), latest).head.teacher, teacher)
        except Stop as error:  # a run does without what it does not need
            why = str(error)
        yield f"{len(others):,} earlier runs had another teacher: {why}"


def _drawn(opened: Run) -> Iterator[Lesson]:
    """The drawn records that the last tier has answered."""
    times = Counter(row.key for rows in (opened.draws.sample, opened.draws.train) for row in rows)
    if opened.draws.records is None:
        return
    answers = drawn_answers(opened).oracle
    for key, text in drawn_texts(opened):
        if key in answers:
            yield Lesson(key, text, answers[key], Source.ORACLE, times[key])


def _escalated(opened: Run, drawn: set[str]) -> Iterator[Lesson]:
    """Some of the other records that the last tier has answered."""
    left = MOST_ESCALATED
    for shard in range(len(opened.plan.shard_rows)):
        answers = dict(sorted(_oracle_answers(opened, shard, drawn).items())[:left])
        if answers:
            for key, text in first_sights(opened, shard, answers, Counter()):
                yield Lesson(key, text, answers[key], Source.ORACLE)
        left -= len(answers)
        if not left:
            break


def _oracle_answers(opened: Run, shard: int, drawn: set[str]) -> dict[str, tuple[str, ...]]:
    from sluice.results.merging import attempts_in  # noqa: PLC0415 - Arrow, which a learned tier's answers do without

    last, found = len(opened.start.tiers) - 1, dict[str, tuple[str, ...]]()
    for key, _ in opened.store.keys(opened.keys.answers(shard)):
        attempts = attempts_in(opened.store.get(key))
        if attempts.tier != last:
            continue
        for row in attempts.table.select(["key", "outcome", "labels"]).to_pylist():
            if row["outcome"] == Outcome.ACCEPTED and row["key"] not in drawn:
                found[row["key"]] = tuple(row["labels"] or ())
    return found
