from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sluice.cli.seen import seen_in
from sluice.errors import BadInput
from sluice.figures import row_number
from sluice.models.catalog import Catalog
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from pathlib import Path


def seen(file: Path, **given: Any) -> dict[str, Any]:
    """What a run would find in a file."""
    given = {"text": "text", **given}
    task = parse_task({"name": "t", "input": given, "labels": ["a", "b"], "tiers": [{"model": "nova-micro"}]}, "t")
    return seen_in(file, task, Catalog.load(), "us-east-1")


def rows_file(folder: Path, rows: list[Any]) -> Path:
    file = folder / "in.jsonl"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return file


def test_rejected_rows_are_told_by_file_and_reason(tmp_path: Path) -> None:
    """With how many there are, the first places, and the number of the row as a spreadsheet shows it."""
    file = tmp_path / "in.csv"
    file.write_text("id,text\n" + "".join(f"{n},\n" for n in range(5)) + "5,fine\n6,x,y\n")
    said = seen(file)
    assert said["rows"] == {"in": 7, "good": 1, "rejected": 6}
    assert {item["reason"]: item["rows"] for item in said["rejected"]} == {"row_not_csv": 1, "text_missing": 5}
    assert "5 rows are rejected, text_missing: in.csv row 2, in.csv row 3, in.csv row 4, …" in said["cautions"]
    assert "1 row is rejected, row_not_csv: in.csv row 8" in said["cautions"]


def test_values_that_do_not_parse_are_told_before_the_run(tmp_path: Path) -> None:
    """By column, with their kinds and places, and never with the value; a date says what would make it one."""
    rows = [{"text": "x", "at": "2024-01-15", "n": 1}, {"text": "y", "at": 45306, "n": "secret"}, {"text": "z"}]
    said = seen(rows_file(tmp_path, rows), keep={"at": "timestamp", "n": "int"})
    assert {item["field"]: (item["rows"], item["kinds"]) for item in said["kept"]} == {
        "at": (1, {"number": 1}),
        "n": (1, {"text": 1}),
    }
    told = "\n".join(said["cautions"])
    assert "input.keep.at: 1 value does not parse as timestamp and will be null (1 number; in.jsonl line 2)" in told
    assert "unix_seconds" in told
    assert "secret" not in told


def test_gold_outside_the_labels_and_ids_that_repeat_are_told(tmp_path: Path) -> None:
    """Known answers that are no label, ids that several rows have, rows without one."""
    rows = [
        {"text": "t0", "id": 1, "gold": "a"},
        {"text": "t1", "id": 1, "gold": "c"},
        {"text": "t2", "gold": None},
    ]
    said = seen(rows_file(tmp_path, rows), id="id", gold="gold")
    assert (said["gold"]["known"], said["gold"]["no_label"]["rows"]) == (2, 1)
    assert said["ids"] == {"missing": 1, "repeated": 1}
    told = "\n".join(said["cautions"])
    for words in ("1 of 2 known answers", "1 row has the id of an earlier one", "1 row has no id"):
        assert words in told


def test_texts_that_will_be_cut_are_told(tmp_path: Path) -> None:
    """A text above `max_tokens` is cut or rejected, as the task says, and either is told."""
    file = rows_file(tmp_path, [{"text": "x" * 100}, {"text": "short"}])
    cut = seen(file, max_tokens=10, when_longer="cut")
    assert cut["cut"]["rows"] == 1
    assert "input.max_tokens: 1 text is longer and will be cut in the middle (in.jsonl line 1)" in cut["cautions"]
    assert seen(file, max_tokens=10)["rejected"][0]["reason"] == "text_too_long"


def test_a_sample_without_a_fault_has_no_cautions(tmp_path: Path) -> None:
    """Nothing is said of rows that a run would take as they are."""
    said = seen(rows_file(tmp_path, [{"text": "x", "id": 1, "n": 2}]), id="id", keep={"n": "int"})
    assert said["cautions"] == []


def test_a_sample_is_a_file_of_this_machine(tmp_path: Path) -> None:
    """One that is not there is told by its path."""
    with pytest.raises(BadInput, match=r"nothing\.jsonl"):
        seen(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("s3://b/in.jsonl", "line 1,200"),
        ("s3://b/in.CSV.gz", "row 1,201"),
        ("/a/in.tsv", "row 1,201"),
        ("in.parquet", "row 1,200"),
        ("in.csv.jsonl", "line 1,200"),
    ],
)
def test_a_row_has_the_number_that_its_program_shows(uri: str, number: str) -> None:
    """An editor's line; a spreadsheet's row, which counts the header."""
    assert row_number(uri, 1200) == number
