"""What earlier runs of a task teach a later one."""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sluice.errors import Stop
from sluice.local.faults import draw
from sluice.quality.drift import Profile
from sluice.quality.features import SLOT_BITS, count
from sluice.quality.lessons import Head, Lesson, Lessons, Source, fingerprint, pack_lessons, unpack_lessons
from sluice.quality.vectors import read_text
from sluice.reasons import Reason
from sluice.report.report import render
from sluice.runs.keys import LEARNED, LessonKeys, vectors_key
from sluice.steps.new_kinds import Watch
from tests.harness.drive import Cloud, jsonl
from tests.harness.lessons import key_of, teacher
from tests.unit.steps.test_scored_runs import (
    LABELS,
    ORACLE,
    SETTINGS,
    Ran,
    holds_alone,
    label_of,
    reply,
    task_of,
    text_of,
)
from tests.unit.steps.test_scored_runs import LEARNED as LADDER

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.task.task import Task


TIERS = LADDER[::2]


def numbers(part: int) -> list[int]:
    """330 numbers that are like those of every other part."""
    found = random.Random(1).sample(range(1000, 3000), 2000)
    return found[330 * part : 330 * (part + 1)]


def run_in(cloud: Cloud, task: Task, part: int) -> Ran:
    rows = jsonl([{"text": text_of(n)} for n in numbers(part)])
    return Ran(cloud, cloud.run(task, {f"{part}.jsonl": rows}))


def kept(ran: Ran) -> Lessons:
    [key] = [key for key, _ in ran.cloud.work.keys(f"{LEARNED}/t/") if ran.id in key]
    return unpack_lessons(ran.cloud.work.get(key), key)


@pytest.fixture(scope="module")
def two() -> tuple[Ran, Ran]:
    """Two runs over different rows, with a learned tier in front."""
    cloud = Cloud(reply, SETTINGS)
    return run_in(cloud, task_of(TIERS), 1), run_in(cloud, task_of(TIERS), 2)


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


def test_word_vectors_that_were_brought_help_to_teach(tmp_path: Path) -> None:
    """It is said how many, and the model keeps its own; a run does without broken ones, and says why."""
    (tmp_path / "words.txt").write_text("".join(f"{label} {n} 1\n" for n, label in enumerate(LABELS)))
    cloud = Cloud(reply, SETTINGS)
    cloud.work.put(vectors_key("t"), vectors := read_text(tmp_path / "words.txt").write())
    ran = run_in(cloud, task_of(TIERS), 1)
    assert ran.summary["taught_by"]["vectors"] == {"words": len(LABELS), "dimensions": 2}
    assert "Word vectors" in render(ran.summary)
    assert vectors in cloud.work.get(f"runs/{ran.id}/learned.bin")
    assert any(row["tier"] == 0 for row in ran.good)
    cloud.work.put(vectors_key("t"), vectors[:-1])
    broken = run_in(cloud, task_of(TIERS), 2).summary["taught_by"]
    assert broken["vectors"] is None
    assert broken["left_out"] == ["word vectors: the file of the word vectors is not whole; read them in again"]


def test_of_the_same_rows_or_another_teacher_nothing_is_taken(two: tuple[Ran, Ran]) -> None:
    """A run that drew the same rows knows this one's sample; another prompt is another teacher. It is said."""
    first, second = two
    again = run_in(first.cloud, task_of(TIERS, budget={"max_usd": 99}), 1).summary["taught_by"]
    assert again["runs"] == [second.id]
    assert again["left_out"] == [f"{first.id} drew the same rows"]
    other = run_in(first.cloud, task_of(TIERS, description="Colours."), 3).summary["taught_by"]
    assert (other["runs"], set(other["sources"])) == ([], {"drawn"})
    assert other["left_out"] == ["3 earlier runs had another teacher: its prompt changed"]


def test_lessons_that_cannot_be_read_stop_no_run(two: tuple[Ran, Ran]) -> None:
    """Neither its own teacher's nor another one's, of which it is only said what has changed."""
    cloud = two[0].cloud
    for part, taught_by in ((3, kept(two[0]).head.teacher), (4, teacher())):
        key = LessonKeys("t", fingerprint(taught_by)).of("2026-12-24", "later")
        cloud.work.put(key, b"of a later version")
        left_out = run_in(cloud, task_of(TIERS), part).summary["taught_by"]["left_out"]
        cloud.work.delete([key])
        assert any(f"{key} holds no lessons" in said for said in left_out)


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


def test_a_run_of_the_like_is_told_so(two: tuple[Ran, Ran]) -> None:
    """Nothing is of a new kind, no label moved, and the learned tier stays in service; the first run has no measure."""
    first, second = two
    told = second.summary["drift"]
    assert (first.summary["drift"], told["out_of_service"], told["labels"]) == (None, False, [])
    assert (told["new"]["low"], told["new"]["records"]) == (0, len(scored_records(second)))
    assert told["new"]["rows"] == sum(row["record"] in scored_records(second) for row in second.good)
    assert not told["scores"]["lower"]
    assert told["scores"]["of"] + told["scores"]["of_before"] == second.summary["taught_by"]["agreement"]["records"]
    assert told["stated"] == first.summary["taught_by"]["agreement"]
    assert not [said for said in second.summary["warnings"] if "kind" in said or "service" in said]
    assert "No new kinds of rows are shown" in render(second.summary)


def test_shares_of_labels_are_those_of_rows_that_taught_by_themselves_alone(two: tuple[Ran, Ran]) -> None:
    """What gave the others their labels knows these: it cannot be corrected by them."""
    _, second = two
    told = second.summary["label_shares"]
    assert (told["drawn"], told["rows"]) == (200, 330)
    said = Counter(label_of(ORACLE, text_of(numbers(1)[row.line - 1])) for row in second.draws.train)
    for each in told["labels"]:
        assert each["low"] < each["share"] < each["high"]
        assert each["share"] == pytest.approx(said[each["label"]] / 200, abs=0.05)


def scored_records(ran: Ran) -> set[str]:
    return {row["record"] for row in ran.good if row["score"] is not None}


def foreign(n: int) -> str:
    """A text with the same words for half of the rows, and with words that nobody has seen for the others."""
    return f"ein {LABELS[n % 3]} völlig unbekanntes Gerät Nr. {n}" if n % 2 else text_of(n)


def stubborn(model: str, text: str) -> str:
    """Of what it does not know the last tier says anything."""
    label = LABELS[int(3 * draw(9, text))] if "unbekanntes" in text else label_of(ORACLE, text)
    return json.dumps({"label": label, "confidence": "likely"}) if ORACLE in model else reply(model, text)


@pytest.fixture(scope="module")
def moved() -> Ran:
    """A run whose rows are other ones, and are labelled by chance, behind one that was as ever."""
    cloud = Cloud(stubborn, SETTINGS)
    run_in(cloud, task_of(TIERS), 1)
    rows = jsonl([{"text": foreign(n)} for n in numbers(2)])
    return Ran(cloud, cloud.run(task_of(TIERS), {"other.jsonl": rows}))


def test_new_kinds_of_rows_are_counted_and_shown(moved: Ran) -> None:
    """About as many as there are, with their interval, and the farthest ones; the run warns of them."""
    new = moved.summary["drift"]["new"]
    assert 0.4 < new["low"] < new["share"] < new["high"] < 0.7
    assert len(new["examples"]) == 5
    assert all("unbekanntes" in each["text"] for each in new["examples"])
    assert any(said.startswith("New kinds of rows: about") for said in moved.summary["warnings"])
    assert "unbekanntes" in render(moved.summary)


def test_rows_that_the_model_is_less_sure_of_are_told(moved: Ran) -> None:
    """By scores of drawn rows, in a sentence that warns."""
    told = moved.summary["drift"]["scores"]
    assert told["lower"]
    assert told["below"] / told["of"] > 2 * told["before"] / told["of_before"]
    assert any(said.startswith("The learned model is less sure") for said in moved.summary["warnings"])


def test_a_learned_tier_that_agrees_less_than_it_stated_goes_out_of_service(moved: Ran) -> None:
    """Nothing of it stands, its rows go on with that reason, and the books close; it states nothing for later runs."""
    told = moved.summary["drift"]
    assert told["out_of_service"]
    assert told["here"]["count"] / told["here"]["of"] < 0.7 < told["stated"]["count"] / told["stated"]["of"]
    assert {row["tier"] for row in moved.good if row["status"] == "accepted"} == {1}
    assert {row["trail"][0]["reason"] for row in moved.good if row["trail"][0]["tier"] == 0} == {
        Reason.LEARNED_OUT_OF_SERVICE
    }
    holds_alone(moved)
    assert moved.summary["score"]["accepted_rows"] == 0
    assert any("out of service" in said for said in moved.summary["warnings"])
    assert kept(moved).head.agreement is None
    assert "out of service in this run" in render(moved.summary)


def test_a_task_that_shows_no_rows_shows_no_new_ones() -> None:
    """Neither in run.json nor in what a shard keeps."""
    profile = Profile(np.zeros(1 << SLOT_BITS, np.bool_), 0.5, 100, 1)
    texts = ["one text", "another one"]
    for examples, shown in ((True, 2), (False, 0)):
        watch = Watch(profile, examples=examples)
        watch.look(["a", "b"], texts, count(texts))
        told = watch.told(Counter({"a": 3, "b": 1}))
        assert (told.records, told.rows, told.new_records, told.new_rows) == (2, 4, 2, 4)
        assert len(told.examples) == shown
