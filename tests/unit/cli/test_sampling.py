"""Sheets of drawn rows: written without an answer, filled in, taken, and measured by."""

from __future__ import annotations

import csv
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from sluice.api.quality import evaluate
from sluice.api.review import take_sheet
from sluice.cli.sampling import write_sample
from sluice.errors import BadRequest
from sluice.results.published import Origin, Published
from sluice.results.view import rank
from sluice.rows.containers import Reading
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ["about", "odd"]
TEXTS = ["row 0 odd", "=row 1", "row 2", 'row 3, "quoted"', "row 4 odd", "row 5", ""]


@pytest.fixture(scope="module")
def made() -> tuple[Published, dict[str, Any]]:
    """A run that calls every row about; the last row is none."""
    tiers = [{"model": "nova-micro", "transport": "on_demand"}]
    task = parse_task({"name": "t", "input": {"id": "id", "text": "text"}, "labels": LABELS, "tiers": tiers}, "t")
    cloud = Cloud(lambda _model, _text: json.dumps({"label": "about", "confidence": "certain"}))
    rows = jsonl([{"id": f"0{n}", "text": text} for n, text in enumerate(TEXTS)])
    summary = cloud.run(task, {"a.jsonl": rows})
    key = Keys(summary["run_id"]).inputs

    def origins() -> list[Origin]:
        found = read(Inputs, cloud.work.get(key), key).inputs
        return [Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading()) for item in found]

    definition = task.model_dump(mode="json")
    return Published(cloud.results, summary["run_id"], "results/t/", origins, definition), dict(summary)


def sheet_of(run: Published, path: Path, rows: int = 500, seed: int = 0) -> list[dict[str, str]]:
    write_sample(run, path, rows, seed, name="out/demo", as_json=True)
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def test_a_sheet_has_texts_and_no_answer(made: tuple[Published, dict[str, Any]], tmp_path: Path) -> None:
    """Rows that are none are left out; ids keep their zeros, and no cell is a formula."""
    found = sheet_of(made[0], tmp_path / "s.csv")
    assert list(found[0]) == ["source", "line", "id", "text", "label", "note", "drawn"]
    assert [row["text"] for row in found] == ["row 0 odd", "'=row 1", *TEXTS[2:6]]
    assert [(row["id"], row["label"], row["drawn"]) for row in found] == [(f"0{n}", "", "true") for n in range(6)]


def test_the_rows_are_those_of_the_smallest_ranks(made: tuple[Published, dict[str, Any]], tmp_path: Path) -> None:
    """The same by the same seed, as the desk draws them."""
    for seed in (0, 7):
        found = sheet_of(made[0], tmp_path / f"{seed}.csv", rows=3, seed=seed)
        ranks = sorted((rank(seed, found[0]["source"], line), line) for line in range(1, 7))
        assert [int(row["line"]) for row in found] == sorted(line for _, line in ranks[:3])


@pytest.mark.parametrize("true", ["true", "TRUE", "True"])
def test_what_was_filled_in_measures_all_rows(
    made: tuple[Published, dict[str, Any]], tmp_path: Path, true: str
) -> None:
    """However a spreadsheet writes it: the evaluation has an interval, which rows that somebody chose do not give."""
    run, summary = made
    rows = sheet_of(run, tmp_path / "s.csv")
    with (tmp_path / "filled.csv").open("w") as file:
        filled = csv.DictWriter(file, list(rows[0]))
        filled.writeheader()
        filled.writerows(row | {"label": "odd" if "odd" in row["text"] else "about", "drawn": true} for row in rows)
    taken = take_sheet(run, tmp_path / "filled.csv", by=true)
    assert (taken.taken, taken.problems) == (6, [])
    found = evaluate(run, summary, "corrections")
    assert (found["right"], found["interval"]["right"], found["interval"]["of"]) == (4, 4, 6)


def test_a_workbook_offers_the_labels(made: tuple[Published, dict[str, Any]], tmp_path: Path) -> None:
    """As a list beside the cells, from a sheet of their own."""
    write_sample(made[0], tmp_path / "s.xlsx", 500, 0, name="x", as_json=True)
    with zipfile.ZipFile(tmp_path / "s.xlsx") as book:
        page = book.read("xl/worksheets/sheet1.xml").decode()
        labels = book.read("xl/worksheets/sheet2.xml").decode()
    assert "<formula1>'labels'!$A$1:$A$2</formula1>" in page
    assert 'sqref="E2:E7"' in page
    assert [f">{label}<" in labels for label in LABELS] == [True, True]


def test_a_sheet_that_stands_is_not_written_over(
    made: tuple[Published, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody may have filled it in; another ending than a sheet's is refused, and what to do next is said."""
    write_sample(made[0], tmp_path / "s.csv", 4, 0, name="out/demo", as_json=False)
    assert "sluice evaluate out/demo --gold corrections" in capsys.readouterr().out
    with pytest.raises(BadRequest, match="may have been filled in"):
        write_sample(made[0], tmp_path / "s.csv", 4, 0, name="out/demo", as_json=False)
    with pytest.raises(BadRequest, match=r"neither \.csv nor \.xlsx"):
        write_sample(made[0], tmp_path / "s.json", 4, 0, name="out/demo", as_json=False)
