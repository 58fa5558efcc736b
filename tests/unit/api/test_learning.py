"""Teaching a model by earlier runs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.api.learning import bring_vectors, learn, learned, remove_vectors
from sluice.errors import BadRequest
from sluice.local.faults import draw
from sluice.quality.lessons import unpack_lessons
from sluice.quality.teaching import Earlier, lessons_of
from sluice.results.corrections import Correction
from sluice.results.folder import Kept
from sluice.results.published import Published
from sluice.runs.drawn import Draws
from sluice.runs.keys import vectors_key
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.task.task import Task

LABELS = ("red", "green", "blue")
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def task_of(**changes: Any) -> Task:
    made = {
        "name": "t",
        "input": {"text": "text", "gold": "known", "keep_input": True},
        "labels": list(LABELS),
        "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
        "audit": {"rows": 60},
    }
    return parse_task({**made, **changes}, "t")


def answer(model: str, text: str) -> str:
    """The cheap model is unsure of a third; the strongest says the colour, but for one text."""
    unsure = "nova" in model and draw(6, text) < 0.33
    label = "blue" if "odd" in text else text.split(maxsplit=1)[0]
    return json.dumps({"label": label, "confidence": "unsure" if unsure else "likely"})


def text_of(n: int) -> str:
    return "red odd one" if n % 20 == 0 else f"{LABELS[n % 3]} thing {n}"


@pytest.fixture(scope="module")
def earlier() -> Earlier:
    cloud = Cloud(answer, {"min_records_per_job": 1})
    rows = [{"text": text_of(n), **({"known": LABELS[n % 3]} if n < 5 else {})} for n in range(240)]
    summary = cloud.run(task_of(), {"a.jsonl": jsonl(rows)})
    published = Published(cloud.results, summary["run_id"], "results/t/", origins=list)
    row = next(row for row in cloud.rows() if row["line"] == 42)
    said = Correction(
        source=row["source"], version=None, line=42, record=row["record"], labels=["green"], fields={}, by="ann",
        at="2026-11-20T12:00:00+00:00", note="", run=summary["run_id"],
    )  # fmt: skip
    published.corrections.add([said])
    return Earlier(published, summary, Kept(cloud.results.get(f"reports/{summary['run_id']}/draws.json"), None))


def test_each_source_teaches_and_drawn_rows_alone_measure(earlier: Earlier) -> None:
    """The last tier's answers with how many drawn rows have their text; corrections and known answers with none."""
    lessons = list(lessons_of(earlier, task_of()))
    drawn = Counter(row.key for row in msgspec.json.decode(earlier.kept.draws or b"", type=Draws).sample)
    told = {row.key: row for row in lessons if row.source == "oracle"}
    assert {key: row.drawn for key, row in told.items() if row.drawn} == drawn
    assert len(told) > len(drawn)
    assert all(row.labels == ("blue" if "odd" in row.text else row.text.split()[0],) for row in told.values())
    others = {(row.source.value, row.text, row.labels, row.drawn) for row in lessons if row.source != "oracle"}
    gold = {("gold", text_of(n), (LABELS[n % 3],), 0) for n in range(5)}
    assert others == gold | {("correction", text_of(41), ("green",), 0)}


def test_what_it_was_taught_by_is_stored_with_its_version(earlier: Earlier, tmp_path: Path) -> None:
    """The same rows are the same version; the agreement is that on drawn rows, with its interval; it can be read."""
    told = learn(task_of(), [earlier], tmp_path)
    again = learn(task_of(), [earlier], tmp_path)
    assert (told["version"], told["teacher"]) == (again["version"], again["teacher"])
    assert told["teacher"]["model"] == MODEL
    by = told["taught_by"]
    assert by["sources"] == {"correction": 1, "drawn": 82, "escalated": by["records"] - 88, "gold": 5}
    assert by["agreement"]["of"] == by["drawn"]["rows"] == 90
    assert by["agreement"]["low"] < by["agreement"]["count"] / 90 <= by["agreement"]["high"]
    assert by["seconds"] > 0
    folder = tmp_path / "t"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    lessons = f"{told['teacher']['fingerprint']}/2026-11-20_learn-{told['version']}.lessons"
    assert files == {f"{told['version']}.bin", f"{told['version']}.json", lessons}
    assert json.loads((folder / f"{told['version']}.json").read_text())["taught_by"]["labels"] == by["labels"]
    assert learned(told["path"], task_of(), MODEL).answer(["green thing"])[0][0] == ("green",)


def test_what_people_said_reaches_the_next_runs(earlier: Earlier, tmp_path: Path) -> None:
    """Here and in a deployment a file of all that taught, which a run over other rows takes up."""
    work = Cloud(answer).work
    told = learn(task_of(), [earlier], tmp_path, upload=work)
    [key] = [key for key, _ in work.keys("learned/t/")]
    data = (tmp_path / key.removeprefix("learned/")).read_bytes()
    assert work.get(key) == data
    kept = unpack_lessons(data, key)
    assert Counter(lesson.source.value for lesson in kept.records) == {"correction": 1, "gold": 5, "oracle": 136}
    assert kept.head.runs == [earlier.published.run]
    assert kept.head.agreement == told["taught_by"]["agreement"]


def test_word_vectors_lie_in_the_project_and_in_a_deployment(earlier: Earlier, tmp_path: Path) -> None:
    """Where runs and `learn` find them, until they are taken away."""
    (tmp_path / "words.vec").write_text("3 2\nred 1 0\ngreen 0 1\nblue 1 1\n")
    work = Cloud(answer).work
    told = bring_vectors(task_of(), tmp_path / "words.vec", tmp_path, upload=work)
    assert (told["words"], told["dimensions"], told["path"]) == (3, 2, str(tmp_path / "vectors/t.bin"))
    assert work.get(vectors_key("t")) == (tmp_path / vectors_key("t")).read_bytes()
    assert learn(task_of(), [earlier], tmp_path / "learned")["taught_by"]["vectors"] == {"words": 3, "dimensions": 2}
    assert remove_vectors(task_of(), tmp_path)["removed"] == [told["path"]]
    assert remove_vectors(task_of(), tmp_path, upload=work)["removed"] == ["vectors/t.bin"]
    assert not work.exists(vectors_key("t"))
    assert "vectors" not in learn(task_of(), [earlier], tmp_path / "learned")["taught_by"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["red", "green", "blue", "grey"]}, "1 labels are new"),
        ({"labels": {"red": "warm", "green": "", "blue": ""}}, "its prompt changed"),
        ({"tiers": [{"model": "nova-micro"}, {"model": "nova-pro"}]}, "another teacher"),
        ({"tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5", "pack": 5}]}, "pack was 1, is 5"),
        ({"name": "other"}, "is of the task t"),
    ],
)
def test_another_teacher_is_refused(earlier: Earlier, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Labels, prompt, model and pack decide what it answers; the message says what has changed."""
    with pytest.raises(BadRequest, match=said):
        learn(task_of(**changes), [earlier], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_teacher_is_not_read(earlier: Earlier, tmp_path: Path) -> None:
    """What was stored before the labels changed answers no more."""
    told = learn(task_of(), [earlier], tmp_path)
    with pytest.raises(BadRequest, match="1 labels are new"):
        learned(told["path"], task_of(labels=["red", "green", "blue", "grey"]), MODEL)


def test_without_drawn_rows_nothing_can_be_said_of_it(earlier: Earlier, tmp_path: Path) -> None:
    """What went on to the last tier is hard, and tells nothing of the rest."""
    with pytest.raises(BadRequest, match="0 drawn records have an answer"):
        learn(task_of(), [earlier._replace(kept=Kept(None, None))], tmp_path)
