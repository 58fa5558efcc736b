"""What earlier runs of a task teach a later one."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sluice.errors import Stop
from sluice.quality.lessons import Head, Lesson, Lessons, Source, fingerprint, pack_lessons, unpack_lessons
from sluice.report.report import render
from sluice.runs.keys import LEARNED, LessonKeys
from tests.harness.drive import Cloud, jsonl
from tests.harness.lessons import key_of, teacher
from tests.unit.steps.test_scored_runs import LEARNED as LADDER
from tests.unit.steps.test_scored_runs import ORACLE, SETTINGS, Ran, label_of, reply, task_of, text_of

if TYPE_CHECKING:
    from sluice.task.task import Task


TIERS = LADDER[::2]


def run_in(cloud: Cloud, task: Task, first: int, count: int = 330) -> Ran:
    rows = jsonl([{"text": text_of(n)} for n in range(first, first + count)])
    return Ran(cloud, cloud.run(task, {f"{first}.jsonl": rows}))


def kept(ran: Ran) -> Lessons:
    [key] = [key for key, _ in ran.cloud.work.keys(f"{LEARNED}/t/") if ran.id in key]
    return unpack_lessons(ran.cloud.work.get(key), key)


@pytest.fixture(scope="module")
def two() -> tuple[Ran, Ran]:
    """Two runs over different rows, with a learned tier in front."""
    cloud = Cloud(reply, SETTINGS)
    return run_in(cloud, task_of(TIERS), 1), run_in(cloud, task_of(TIERS), 1001)


def test_a_run_keeps_what_the_last_tier_said_for_later_ones(two: tuple[Ran, Ran]) -> None:
    """Drawn records with how many drawn rows have them; those that had gone on to it with none."""
    first, _ = two
    found = kept(first)
    times = Counter(row.key for row in first.draws.train)
    by_oracle = {row["record"] for row in first.good if row["status"] == "accepted" and row["tier"] == 1}
    assert {lesson.key: lesson.drawn for lesson in found.records} == {key: times[key] for key in by_oracle}
    assert {lesson.drawn > 0 for lesson in found.records} == {True, False}
    assert all(lesson.labels == (label_of(ORACLE, lesson.text),) for lesson in found.records)
    assert (found.head.runs, found.head.seeds) == ([first.id], [first.draws.seed])


def test_earlier_runs_teach_a_later_one(two: tuple[Ran, Ran]) -> None:
    """It says by which rows, and by which runs; how often it agrees is told of its own rows."""
    first, second = two
    by, before = second.summary["taught_by"], kept(first).records
    own = {lesson.key for lesson in kept(second).records if lesson.drawn}
    others = Counter(lesson.drawn > 0 for lesson in before if lesson.key not in own)
    assert by["runs"] == [first.id]
    assert by["sources"] == {"drawn": len(own), "earlier_drawn": others[True], "escalated": others[False]}
    assert by["here"]["of"] <= 200 < by["agreement"]["of"]
    assert "drawn rows of earlier runs" in render(second.summary)
    assert first.summary["taught_by"]["here"] is None


def test_of_the_same_rows_or_another_teacher_nothing_is_taken(two: tuple[Ran, Ran]) -> None:
    """A run that drew the same rows knows this one's sample; another prompt is another teacher. It is said."""
    first, second = two
    again = run_in(first.cloud, task_of(TIERS, budget={"max_usd": 99}), 1).summary["taught_by"]
    assert again["runs"] == [second.id]
    assert again["left_out"] == [f"{first.id} drew the same rows"]
    other = run_in(first.cloud, task_of(TIERS, description="Colours."), 2001).summary["taught_by"]
    assert (other["runs"], set(other["sources"])) == ([], {"drawn"})
    assert other["left_out"] == ["3 earlier runs had another teacher: its prompt changed"]


def test_a_file_of_lessons_is_read_as_it_was_written() -> None:
    """In the order of the keys, as lessons of an earlier run; one that is damaged is refused, with its place."""
    told = [Lesson(key_of(text), text, ("red",), Source.ORACLE, n) for n, text in enumerate(["a", "\n\0", "ü🎈"])]
    head = Head(task="t", runs=["r"], seeds=["s"], teacher=teacher())
    data = pack_lessons(head, told)
    assert data == pack_lessons(head, told[::-1])
    found = unpack_lessons(data, "k")
    assert found.head == head
    assert {each._replace(earlier=False) for each in found.records} == set(told)
    for broken in (data[:-9], b"", zlib.compress(b"{}\n[1]")):
        with pytest.raises(Stop, match=r"^k "):
            unpack_lessons(broken, "k")


def test_another_teacher_has_another_place() -> None:
    """All that decides what it answers stands in the fingerprint."""
    teachers = (teacher(), teacher(model="a"), teacher(prompt="b"), teacher(pack=2), teacher(labels=["x"]))
    assert len({LessonKeys("t", fingerprint(each)).prefix for each in teachers}) == len(teachers)
