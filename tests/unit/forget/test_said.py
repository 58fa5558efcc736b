"""What is left of corrections when rows go: what stood of a text that stays stands of it still, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.aws.folder import Folder
from sluice.forget.finding import Held
from sluice.forget.said import lines_instead
from sluice.results.corrections import TAKEN_OUT, Correction, Corrections
from sluice.results.settled import question_of, settled_by_people
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.results.corrections import Mark

TASK = parse_task(
    {"name": "t", "input": {"text": "text"}, "labels": ["red", "blue"], "tiers": [{"model": "nova-micro"}]}, "t"
)
NOW, TEXT, ALONE = question_of(TASK), "a" * 32, "b" * 32
GONE, STAYS = (1, 2), 9  # lines of one input
HELD = {TEXT: Held("s3://in/a.jsonl", STAYS, "tom")}


def say(line: int, by: str, label: str | None, **more: Any) -> Correction:
    """A correction of a row, with what one that moves would have to lose."""
    place: dict[str, Any] = {"source": "s3://in/a.jsonl", "line": line, "record": TEXT, "id": f"{line}"}
    about: dict[str, Any] = {"at": "2026-11-28T10:00:00+00:00", "run": "r", "question": NOW, "note": "jane called"}
    labels = None if label is None else [label]
    return Correction(**place | about | more, by=by, labels=labels, drawn=True, version="1")


def forget(folder: Path, *objects: list[Correction]) -> tuple[list[Any], list[Any], list[list[Correction | None]]]:
    """What later runs take for settled before and after, and the lines of each object: None of one taken out."""
    store = Folder("", folder)
    log = Corrections(store, "t")
    for entries in objects:
        log.add(entries)
    before = settled_by_people(TASK, log)
    lines = {log.key(number): store.get(log.key(number)).splitlines() for number in range(1, len(objects) + 1)}
    instead = lines_instead(log, lambda said: said.line in GONE or said.record == ALONE, HELD)
    for key, texts in instead.items():
        for number, text in texts.items():
            lines[key][number - 1] = text.encode()
        store.put(key, b"".join(line + b"\n" for line in lines[key]))
    after = Corrections(store, "t")
    after.refresh()
    left = [
        [None if line == TAKEN_OUT else msgspec.json.decode(line, type=Correction) for line in found]
        for found in lines.values()
    ]
    return before, settled_by_people(TASK, after), left


FIRST: Mark = (1, 1)
CASES: dict[str, list[list[Correction]]] = {
    "agreed": [[say(1, "ann", "red")], [say(2, "bob", "red")]],
    "withdrawn": [[say(1, "ann", "red")], [say(1, "ann", None, withdraws=FIRST)]],
    "withdrawn of one row": [[say(1, "ann", "red")], [say(2, "ann", "blue")], [say(1, "ann", None, withdraws=FIRST)]],
    "decided": [[say(1, "ann", "red")], [say(1, "bob", "blue", seen=FIRST)]],
    "changed": [[say(1, "ann", "red")], [say(1, "ann", "blue")]],
    "in conflict": [[say(1, "ann", "red")], [say(1, "bob", "blue")]],
    "contradicted": [[say(1, "ann", "red"), say(2, "ann", "blue")]],
    "also of a row that stays": [[say(STAYS, "ann", "red")], [say(1, "bob", "red")]],
    "taken back of the row that stays": [
        [say(STAYS, "ann", "red")],
        [say(STAYS, "ann", None, withdraws=FIRST)],
        [say(1, "bob", "blue")],
    ],
    "of a row that stays under other labels": [[say(STAYS, "ann", "red", question="old")], [say(1, "ann", "red")]],
}


@pytest.mark.parametrize("case", CASES)
def test_later_runs_go_by_what_they_went_by_before(case: str, tmp_path: Path) -> None:
    """What was taken back stays so, what was decided stays decided, and what was in conflict settles nothing."""
    before, after, left = forget(tmp_path, *CASES[case])
    assert after == before
    said = [line for entries in left for line in entries if line is not None]
    assert {line.line for line in said} <= {STAYS}
    moved = [line for line in said if not any(line in entries for entries in CASES[case])]
    assert all(
        (line.id, line.note, line.drawn, line.version, line.seen) == ("tom", "", False, None, None) for line in moved
    )
    assert len(moved) <= 1


def test_an_object_speaks_of_a_row_once(tmp_path: Path) -> None:
    """SQL orders what was said of a row by the objects' numbers: what moves finds one that says nothing of its row."""
    entries = [say(STAYS, "ann", "red", question="old"), say(1, "bob", "red")]
    before, after, left = forget(tmp_path, [say(2, "eve", "red")], entries)
    assert before == after
    assert [[line and line.by for line in found] for found in left] == [["bob"], ["ann", None]]
    _, _, left = forget(tmp_path / "none", entries)
    assert left == [[entries[0], None]]


def test_of_a_text_that_nobody_has_any_more_nothing_is_left(tmp_path: Path) -> None:
    """Wherever it was said: under another place, of a run whose results are gone, too."""
    _, after, left = forget(tmp_path, [say(7, "ann", "red", record=ALONE), say(8, "ann", "red", record="c" * 32)])
    assert [line and line.line for line in left[0]] == [None, 8]
    assert [record.record for record in after] == ["c" * 32]
