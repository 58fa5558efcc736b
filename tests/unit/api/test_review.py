"""Right labels from a sheet: each line checked, the good ones kept as a layer over the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sluice.api.quality import evaluate
from sluice.api.review import take_sheet
from sluice.errors import BadRequest
from sluice.results.view import Look, View
from sluice.results.wanted import Wanted
from sluice.task.file import parse_task
from tests.harness.drive import Cloud
from tests.harness.reviewed import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sluice.results.published import Published

CSV = b"id,text\n01,about a\n02,odd one\n03,about c\n03,odd too\n=5,about a\n,\n"
TASK: dict[str, Any] = {
    "name": "t",
    "input": {"id": "id", "text": "text"},
    "labels": ["about", "odd", "none"],
    "none": "none",
    "answer": {"fields": {"stars": {"type": "integer"}}},
    "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
}


def answer(_model: str, text: str) -> str:
    return json.dumps({"label": "odd" if "odd" in text else "about", "confidence": "certain", "stars": 3})


@pytest.fixture(scope="module")
def made() -> tuple[Cloud, dict[str, Any]]:
    cloud = Cloud(answer)
    return cloud, dict(cloud.run(parse_task(TASK, "t"), {"a.csv": CSV}))


@pytest.fixture
def run(made: tuple[Cloud, dict[str, Any]]) -> Published:
    """The rows of a run of a task of whose rows nobody has said anything yet."""
    cloud, summary = made
    for key in [key for key in cloud.s3.objects if key[1].startswith("corrections/")]:
        del cloud.s3.objects[key]
    return opened(cloud, summary)


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "sheet.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def layer(run: Published, *columns: str) -> list[list[Any]]:
    names = ["line", *(columns or ("correction", "corrected_label"))]
    rows = [row for batch in run.batches(Wanted(), names) for row in batch.to_pylist()]
    return sorted([row[name] for name in names] for row in rows)


def test_each_line_that_cannot_be_taken_is_named(run: Published, sheet: Callable[..., Path]) -> None:
    """With its line in the file and what would do; no word of the sheet is repeated; the others are taken."""
    lines = [
        "id;source;line;label;run_id",
        "02;;;about;",
        "02;;;odd;",
        "7;;;odd;",
        "01;;;Odd;",
        "01;;;secret text;",
        "03;;;odd;",
        ";a.csv;6;odd;",
        ";a.csv;x;odd;",
        ";;;odd;",
        "01;;;odd;another",
        "01;;;;",
        "01;;;odd;;x",
        "'=5;;;about;",
    ]
    taken = take_sheet(run, sheet("\n".join(lines)), by="ann")
    assert taken.problems == [
        (3, "says something of the row of line 2 again"),
        (4, "names a row that the run does not have"),
        (5, "has a label that the task does not have: did you mean odd?"),
        (6, "has a label that the task does not have; there are: about, odd, none"),
        (7, "names 2 rows: give source and line (or file and row) instead"),
        (8, "is about a row that was rejected (text_missing), which has no answer"),
        (9, "has no number in the column line"),
        (10, "names no row: it has neither an id nor a place"),
        (11, f"is about another run than {run.run}"),
        (13, "has 6 cells under a header of 5: quote what has a separator"),
    ]
    assert (taken.taken, taken.same, taken.empty, taken.conflicts) == (2, 1, 1, [])
    assert layer(run) == [
        [1, "confirmed", "about"],  # the text of row 5
        [2, "corrected", "about"],
        [3, None, None],
        [4, None, None],
        [5, "confirmed", "about"],
        [6, None, None],
    ]


def test_a_sheet_that_results_wrote_comes_back(run: Published, sheet: Callable[..., Path]) -> None:
    """By file and row as they are shown there, below the header; fields with their types, notes, `none`."""
    text = "file,row,label,corrected_label,corrected_stars,note\na.csv,3,odd,none,5,seen\na.csv,2,about,,,\n"
    taken = take_sheet(run, sheet(text), by="ann")
    assert (taken.taken, taken.empty, taken.problems) == (1, 1, [])
    names = ("corrected_label", "corrected_fields", "corrected_by", "corrected_note")
    assert layer(run, *names)[1] == [2, "none", '{"stars":5}', "ann", "seen"]
    wrong = take_sheet(run, sheet("file,row,corrected_label,corrected_stars\na.csv,3,odd,many\n"), by="ann")
    assert wrong.problems == [(2, "has no value for stars in corrected_stars: it takes integer")]


def test_the_same_sheet_twice_says_nothing_new(run: Published, sheet: Callable[..., Path]) -> None:
    """It is written once; from another person it is another's word."""
    file = sheet('{"id": "02", "label": "about"}\n', "sheet.jsonl")
    take_sheet(run, file, by="ann")
    again = take_sheet(run, file, by="ann")
    assert (again.taken, again.known) == (0, 1)
    assert take_sheet(run, file, by="ben").taken == 1
    assert layer(run, "corrected_by")[1] == [2, "ann, ben"]


def test_a_conflict_is_kept_and_named(run: Published, sheet: Callable[..., Path]) -> None:
    """The row shows no corrected label until one who has seen both decides."""
    take_sheet(run, sheet("id,label\n02,about\n"), by="ann")
    taken = take_sheet(run, sheet("id,label\n02,none\n"), by="ben")
    assert (taken.taken, taken.conflicts) == (1, [(2, "ann, ben")])
    assert layer(run, "correction", "corrected_label", "corrected_note")[1] == [
        2,
        "conflict",
        None,
        "ann: about; ben: none",
    ]
    assert take_sheet(run, sheet("id,label\n02,none\n"), by="cat", over=True).conflicts == []
    assert layer(run, "correction", "corrected_label", "corrected_by")[1] == [2, "corrected", "none", "cat"]


def test_columns_of_corrections_come_with_the_first(
    made: tuple[Cloud, dict[str, Any]], run: Published, sheet: Callable[..., Path]
) -> None:
    """Until then they are shown where they are named, and empty; the model's own label stays what it was."""
    assert "correction" not in run.schema.names
    assert layer(run, "corrected_label")[1] == [2, None]
    look = Look(columns=["row", "label", "corrected_label"], text=False)
    assert [row["corrected_label"] for batch in View(run, look).batches() for row in batch.to_pylist()] == [None] * 6
    take_sheet(run, sheet("id,label\n02,about\n"), by="ann")
    fresh = opened(*made)
    rows = [row for batch in View(fresh, Look(where="correction = 'corrected'")).batches() for row in batch.to_pylist()]
    assert [(row["row"], row["label"], row["corrected_label"]) for row in rows] == [(3, "odd", "about")]
    assert fresh.table(Wanted(limit=2)).schema.names[-7:-6] == ["correction"]


def test_corrections_are_known_answers(
    made: tuple[Cloud, dict[str, Any]], run: Published, sheet: Callable[..., Path]
) -> None:
    """They speak for their rows and for those of the same text; a row in conflict says nothing."""
    summary = made[1]
    with pytest.raises(BadRequest, match="nobody has corrected"):
        evaluate(run, summary, "corrections")
    take_sheet(run, sheet("id,label\n01,about\n02,about\n"), by="ann")
    found = evaluate(run, summary, "corrections")
    assert (found["known"], found["right"], found["interval"]) == (3, 2, None)
    take_sheet(run, sheet("id,label\n02,none\n"), by="ben")
    assert evaluate(run, summary, "corrections")["known"] == 2


def test_only_drawn_rows_measure(
    made: tuple[Cloud, dict[str, Any]], run: Published, sheet: Callable[..., Path]
) -> None:
    """An interval for all rows comes from what the desk's uniform sample says, and not from rows of the same text."""
    lines = ['{"source": "a.csv", "line": 1, "corrected_labels": ["about"], "drawn": true, "seen": null}']
    lines += ['{"id": "02", "corrected_labels": ["about"], "drawn": false}']
    assert take_sheet(run, sheet("\n".join(lines), "said.jsonl"), by="ann").taken == 2
    found = evaluate(run, made[1], "corrections")
    assert (found["known"], found["interval"]["right"], found["interval"]["of"]) == (3, 1, 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.xlsx", "PK", "is no xlsx workbook that could be read"),
        ("a.doc", "x", "is none of"),
        ("a.csv", "text,label\nx,odd\n", "names no rows"),
        ("a.csv", "id,text\n1,x\n", "no column of right labels"),
        ("a.csv", "id,id,label\n1,1,x\n", "two columns that are called id"),
        ("a.csv", "", "is empty"),
        ("a.csv", 'id,label\n1,"odd\n', "is no CSV"),
        ("a.jsonl", "[]\n", "line 1 is no JSON object"),
    ],
)
def test_what_is_no_sheet_is_refused(
    run: Published, sheet: Callable[..., Path], name: str, text: str, said: str
) -> None:
    """Whole, with what would be one."""
    with pytest.raises(BadRequest, match=said):
        take_sheet(run, sheet(text, name), by="ann")
    assert not run.corrections.rows
