"""Results as people look at them: with text and own columns from the files, picked by SQL, drawn, as a workbook."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.cli.formats import write_csv
from sluice.cli.workbook import write_workbook
from sluice.errors import BadRequest
from sluice.results.folder import in_folder
from sluice.results.view import Look, View, drawn
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from pathlib import Path

CSV = b'no;status;message;stars;when\n1;new;"=late, \xc3\xa9\nagain";5;01/02/2026\n2;old;fine;4;\n3;old;poor;1;\n'
TRAILS: dict[int, list[tuple[int, str | None]]] = {
    1: [(0, "good"), (1, "bad")],
    2: [(0, "good")],
    3: [(0, None), (1, "bad")],
}
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("confidence", pa.string()),
        ("tier", pa.int8()),
        ("trail", pa.list_(pa.struct([("tier", pa.int8()), ("label", pa.string())]))),
        ("run_id", pa.string()),
    ]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run over three rows of a semicolon CSV; a stronger tier changed the label of the first."""
    rows = tmp_path / "in.csv"
    rows.write_bytes(CSV)
    task = {
        "name": "t",
        "input": {"id": "no", "text": "message", "csv": {"separator": ";"}},
        "labels": {"good": "", "bad": ""},
        "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
    }
    given = {"uri": "s3://incoming/t/in.csv", "bytes": len(CSV), "rows": 3, "path": str(rows)}
    given["sha256"] = hashlib.sha256(CSV).hexdigest()
    document = {"run_id": "r", "task": "t", "status": "succeeded", "inputs": [given], "definition": task}
    (tmp_path / "out" / "results" / "t").mkdir(parents=True)
    (tmp_path / "out" / "run.json").write_text(json.dumps(document))
    made = [
        {
            "source": given["uri"],
            "line": line,
            "id": str(line),
            "status": "accepted",
            "labels": [trail[-1][1]],
            "confidence": "certain",
            "tier": trail[-1][0],
            "trail": [{"tier": tier, "label": label} for tier, label in trail],
            "run_id": "r",
        }
        for line, trail in TRAILS.items()
    ]
    pq.write_table(pa.Table.from_pylist(made, SCHEMA), tmp_path / "out" / "results" / "t" / "r-part-00000.parquet")
    return tmp_path / "out"


def seen(folder: Path, **look: Any) -> list[dict[str, Any]]:
    view = View(in_folder(folder), Look(**look))
    return [row for batch in view.batches() for row in batch.to_pylist()]


def test_rows_come_with_their_own_columns(folder: Path) -> None:
    """File and row as their owner sees them, the text under its own name; a name that is taken gets another."""
    first, second, _ = seen(folder)
    assert list(first)[:4] == ["file", "row", "id", "status"]
    assert (first["file"], first["row"], first["message"]) == ("in.csv", 2, "=late, é\nagain")
    assert (first["input_status"], second["stars"], second["when"]) == ("new", "4", None)
    assert not {"no", "text", "source", "line"} & set(first)


def test_columns_are_those_that_are_asked_for(folder: Path) -> None:
    """In their order; the text under its general name too, and the address inside for whoever wants it."""
    rows = seen(folder, columns=["text", "line", "labels"], wanted=Wanted(limit=1))
    assert rows == [{"text": "=late, é\nagain", "line": 1, "labels": ["bad"]}]
    with pytest.raises(BadRequest, match=r"nonsense is no column; there are: file, row, id, .*message, stars"):
        seen(folder, columns=["nonsense"])


def test_without_text_no_file_is_read(folder: Path) -> None:
    """Not even looked for."""
    (folder.parent / "in.csv").unlink()
    view = View(in_folder(folder), Look(text=False))
    assert "message" not in view.schema.names
    assert sum(batch.num_rows for batch in view.batches()) == 3
    assert view.problems == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.replace(b"fine", b"find"), "in.csv was changed"),
        (lambda _data: None, "in.csv cannot be found"),
    ],
    ids=["same size", "gone"],
)
def test_a_file_that_changed_is_named_and_its_text_stays_empty(folder: Path, change: Any, said: str) -> None:
    """Another text of the same length is another text: the hash of the run tells."""
    file = folder.parent / "in.csv"
    data = change(file.read_bytes())
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    view = View(in_folder(folder), Look(columns=["id", "text"]))
    assert [row for batch in view.batches() for row in batch.to_pylist()] == [
        {"id": str(n), "text": None} for n in (1, 2, 3)
    ]
    assert len(view.problems) == 1
    assert said in view.problems[0]


def test_a_label_that_a_stronger_tier_changed(folder: Path) -> None:
    """One that the first tier had not given is not changed."""
    assert [row["id"] for row in seen(folder, wanted=Wanted(changed=True))] == ["1"]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("stars::int > 1", ["1", "2"]),
        ("message ilike 'POOR' or row = 2", ["1", "3"]),
        ("list_contains(labels, 'bad') and input_status = 'old'", ["3"]),
        ("false", []),
    ],
)
def test_a_condition_in_sql_picks(folder: Path, condition: str, ids: list[str]) -> None:
    """Over the columns of results and inputs alike, and in their order."""
    assert [row["id"] for row in seen(folder, where=condition, columns=["id"])] == ids


@pytest.mark.parametrize("condition", ["nonsense = 1", "id >", "row in (select 1 from read_csv('/etc/passwd'))", " "])
def test_a_condition_that_cannot_be_is_refused(folder: Path, condition: str) -> None:
    """In a line; no file is read by it."""
    with pytest.raises(BadRequest, match=r"^where .*(columns are: file, row|leave it out)") as raised:
        seen(folder, where=condition)
    assert "\n" not in str(raised.value)


def test_a_label_that_the_task_does_not_have_is_refused(folder: Path) -> None:
    """With those that it has."""
    with pytest.raises(BadRequest, match="odd is no label of the task t; there are: good, bad"):
        seen(folder, wanted=Wanted(labels=["odd"]))


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    """However the rows come in batches; every row has the same chance, and the order stays."""
    schema = pa.schema([("source", pa.string()), ("line", pa.int64())])
    rows = pa.table({"source": ["s3://b/a"] * 2_000, "line": range(2_000)}, schema=schema)

    def sample(seed: int, size: int) -> list[int]:
        found = pa.Table.from_batches(drawn(rows.to_batches(size), schema, 500, seed), schema)
        return [int(line) for line in found["line"].to_pylist()]

    assert sample(1, 7) == sample(1, 2_000) == sorted(sample(1, 7))
    assert sample(1, 100) != sample(2, 100)
    assert len(sample(1, 100)) == 500
    assert 180 < sum(line < 1_000 for line in sample(3, 100)) < 320
    assert len(sample(1, 100)) == len(set(sample(1, 100)))


def test_a_workbook_holds_no_formula(folder: Path) -> None:
    """Cells that begin like one are texts; numbers are numbers."""
    view, out = View(in_folder(folder), Look()), io.BytesIO()
    assert write_workbook(view.batches(), view.schema, out) == 3
    with ZipFile(out) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "=late, é" in sheet
    assert '<c r="B2"><v>2</v></c>' in sheet


def test_csv_for_excel_begins_with_the_mark(folder: Path) -> None:
    """Without it Excel takes UTF-8 for something else."""
    view, out = View(in_folder(folder), Look(columns=["id"])), io.BytesIO()
    write_csv(view.batches(), view.schema, out, for_excel=True)
    assert out.getvalue() == b'\xef\xbb\xbf"id"\n"1"\n"2"\n"3"\n'
