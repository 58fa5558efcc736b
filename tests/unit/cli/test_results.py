"""Rows of a run, picked and written: over a run that the real steps have published in memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.cli.app import app
from sluice.cli.choices import Format, Shape
from sluice.cli.exits import ExitCode
from sluice.cli.fetch import folder_of
from sluice.cli.formats import ESCAPES, SHOWN, cell_column, print_table, shown, write_csv, write_jsonl, write_parquet
from sluice.cli.results import Asked, hand_out
from sluice.errors import BadRequest
from sluice.results.folder import in_folder
from sluice.results.published import Origin, Published
from sluice.results.wanted import Wanted
from sluice.rows.containers import Reading
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from sluice.task.file import parse_task
from tests.harness.drive import Cloud

if TYPE_CHECKING:
    from sluice.task.task import Task

FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x"]
BROKEN = '"d\ufffd"'  # an id that is no text, as the results show it
LINES = [
    b'{"id": "a", "text": "about a",  "n": 1}',
    b'{"id": "b", "text": "odd one", "s": "\xc3\xa9 \\u00e9"}',
    b"this is no JSON",
    b'{"id": "c", "text": "unsure one"}',
    b'{"id": "d\xff", "text": "no UTF-8"}',
    b'{"id": "=SUM(A1)", "text": "unsure two"}',
]


def make_task(**input_: Any) -> Task:
    """A task with two labels, and one tier."""
    made: dict[str, Any] = {
        "name": "t",
        "input": {"id": "id", "text": "text", **input_},
        "labels": ["about", "odd"],
        "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
    }
    return parse_task(made, "t")


def answer(_model: str, text: str) -> str:
    label = "odd" if "odd" in text else "about"
    return json.dumps({"label": label, "confidence": "unsure" if "unsure" in text else "certain"})


def published(files: dict[str, bytes], task: Task | None = None) -> Published:
    """A run of files, as far as its rows are asked for."""
    cloud = Cloud(answer)
    run = cloud.run(task or make_task(), files)["run_id"]

    def origins() -> list[Origin]:
        key = Keys(run).inputs
        found = read(Inputs, cloud.work.get(key), key).inputs
        return [Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading()) for item in found]

    return Published(cloud.results, run, "results/t/", origins, (task or make_task()).model_dump(mode="json"))


@pytest.fixture(scope="module")
def run() -> Published:
    return published({"a.jsonl": b"\n".join(LINES)})


def ids(run: Published, **wanted: Any) -> list[str | None]:
    return [row["id"] for batch in run.batches(Wanted(**wanted)) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["a", "b", None, "c", BROKEN, "=SUM(A1)"]),
        ({"statuses": ["unresolved"]}, ["c", "=SUM(A1)"]),
        ({"labels": ["odd"]}, ["b"]),
        ({"labels": ["odd", "about"]}, ["a", "b"]),
        ({"reasons": ["row_not_json"]}, [None]),
        ({"statuses": ["accepted"], "labels": ["about"]}, ["a"]),
        ({"limit": 2}, ["a", "b"]),
        ({"statuses": ["unresolved"], "limit": 1}, ["c"]),
        ({"labels": ["nothing"]}, []),
        ({"confidences": ["certain"]}, ["a", "b"]),
        ({"tiers": [0], "limit": 1}, ["a"]),
        ({"tiers": [1]}, []),
        ({"changed": True}, []),
    ],
)
def test_rows_are_picked(run: Published, wanted: dict[str, Any], found: list[str | None]) -> None:
    """By label, status, reason, confidence and tier together; the limit counts what is picked."""
    assert ids(run, **wanted) == found


def test_one_of_several_labels_is_enough() -> None:
    """Also where rows have none, or null."""
    lists = pa.array([["a", "b"], [], None, ["c"], ["b", "b"]], pa.list_(pa.string()))
    nulls = pa.nulls(5, pa.string())
    batch = pa.record_batch({"labels": lists, "status": nulls, "reason": nulls, "n": pa.array(range(5))})
    assert Wanted(labels=["b"]).of(batch)["n"].to_pylist() == [0, 4]


def test_no_more_is_read_than_is_wanted() -> None:
    """Files are opened one after the other, and none behind the last row that is wanted."""
    cloud = Cloud(answer, {"max_records_per_job": 5, "min_records_per_job": 1})
    rows = b"".join(b'{"id": "%d", "text": "about %d"}\n' % (n, n) for n in range(30))
    run = Published(cloud.results, cloud.run(make_task(), {"a.jsonl": rows})["run_id"], "results/t/", list)
    assert len(run.parts) > 3
    through: list[int] = []
    batches = run.batches(Wanted(), advance=through.append)
    next(batches)
    assert through == []
    assert sum(batch.num_rows for batch in batches) < 30
    assert through == [size for _, size in run.parts]
    through.clear()
    assert len(list(run.batches(Wanted(limit=1), advance=through.append))) == 1
    assert through == []


# Rows as they were.


def lines_of(run: Published, **wanted: Any) -> list[bytes]:
    return list(run.input_lines(Wanted(**wanted)))


def test_rows_go_back_as_they_came(run: Published) -> None:
    """Byte by byte, whatever they hold: what is no JSON and no UTF-8 too."""
    assert lines_of(run) == LINES
    assert lines_of(run, statuses=["unresolved"]) == [LINES[3], LINES[5]]


def test_the_kept_input_is_enough() -> None:
    """A run that keeps its rows needs no inputs: they may be gone."""
    kept = published({"a.jsonl": b"\n".join(LINES[:4])}, make_task(keep_input=True))
    gone = Published(kept.store, kept.run, kept.prefix, lambda: pytest.fail("the inputs were looked at"))
    assert lines_of(gone) == LINES[:4]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl"])
def test_lines_of_several_inputs_keep_their_numbers(name: str) -> None:
    """Blank lines, a byte order mark and line ends of Windows are counted as they were when the run read them."""
    text = b"\xef\xbb\xbf" + b"\r\n\r\n".join(LINES[:2]) + b"\n" + LINES[3] + b"\r\n"
    data = gzip.compress(text) if name.endswith("gz") else text
    run = published({name: data, "b.jsonl": LINES[5]})
    assert [line.rstrip(b"\r") for line in lines_of(run)] == [LINES[0], LINES[1], LINES[3], LINES[5]]
    assert [line.rstrip(b"\r") for line in lines_of(run, statuses=["unresolved"])] == [LINES[3], LINES[5]]


def test_rows_of_csv_go_back_as_lines_of_json() -> None:
    """A broken row of CSV, which is none, goes back as its text."""
    run = published({"a.csv": b'id,text\na,about a\nb,unsure\nc,"too",many\n'})
    assert [json.loads(line) for line in lines_of(run, statuses=["unresolved"])] == [{"id": "b", "text": "unsure"}]
    assert lines_of(run, statuses=["rejected"]) == [b'c,"too",many']


def test_what_goes_back_can_be_run_again(run: Published) -> None:
    """The rows that no tier could answer are the input of another run."""
    again = published({"open.jsonl": b"".join(line + b"\n" for line in lines_of(run, statuses=["unresolved"]))})
    assert ids(again) == ["c", "=SUM(A1)"]


# Formats.


def csv_of(run: Published, **wanted: Any) -> list[dict[str, str]]:
    out = io.BytesIO()
    write_csv(run.batches(Wanted(**wanted)), run.schema, out)
    return list(csv.DictReader(io.StringIO(out.getvalue().decode(), newline="")))


def test_csv_holds_every_row_and_column(run: Published) -> None:
    """Lists and trails are JSON, what is null is empty."""
    rows = csv_of(run)
    assert [row["id"] for row in rows] == ["a", "b", "", "c", BROKEN, "'=SUM(A1)"]
    assert list(rows[0]) == run.schema.names
    assert json.loads(rows[1]["labels"]) == ["odd"]
    assert json.loads(rows[3]["trail"])[0]["reason"] == "low_confidence"
    assert rows[2]["labels"] == ""


@given(st.lists(st.one_of(st.none(), st.text(), st.sampled_from(FORMULAS))))
def test_no_cell_is_a_formula(values: list[str | None]) -> None:
    """Nothing that a spreadsheet would run begins a cell; every other cell is what it was."""
    cells = cell_column(pa.array(values, pa.string())).to_pylist()
    for value, cell in zip(values, cells, strict=True):
        seen = (value or "").lstrip("".join(map(chr, range(33))) + "\x7f\x85\xa0\ufeff\u200b\u3000")
        whole = value and value.translate(ESCAPES)
        if seen[:1] in set("=+-@＝＋－＠") or (value or "")[:1] in {"\t", "\r", "\n"}:  # noqa: RUF001
            assert cell == f"'{whole}"
        assert cell == whole or (cell == f"'{whole}" and not (value or "")[0].isalnum())


@pytest.mark.parametrize("sign", list("=+-@＝＋－＠"))  # noqa: RUF001 - signs of full width
@pytest.mark.parametrize(
    "before", ["", " ", "  ", "\x00", "\x0b", "\xa0", "\ufeff", "\u3000", "\t", "\r", "\n", "\ufeff \x00"]
)
def test_what_a_spreadsheet_passes_over_hides_no_formula(before: str, sign: str) -> None:
    """The sign counts behind blanks and control characters too; a sign within a text does not."""
    values = [f"{before}{sign}cmd", f"{before}a{sign}b"]
    quoted = "'" if before in {"\t", "\r", "\n"} else ""
    wanted = [f"'{values[0]}", f"{quoted}{values[1]}"]
    assert cell_column(pa.array(values)).to_pylist() == [value.translate(ESCAPES) for value in wanted]


@pytest.mark.parametrize("value", ["\tx", "\rx", "\nx"])
def test_a_cell_does_not_fall_apart_when_it_is_pasted(value: str) -> None:
    """A tab or an end of a line at the beginning is quoted, whatever follows."""
    assert cell_column(pa.array([value])).to_pylist() == [f"'{value}"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("\x00\x07\x7f\x9b", "\\u0000\\u0007\\u007f\\u009b"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066x\u2069\u200f\u200e\u061c", "\\u2066x\\u2069\\u200f\\u200e\\u061c"),
        ("a\tb\r\nc שלום é 👩\u200d🚒", "a\tb\r\nc שלום é 👩\u200d🚒"),
    ],
)
def test_characters_that_nobody_sees_are_escaped_in_csv(value: str, cell: str) -> None:
    """Control characters, and those that turn a text's direction; line ends, tabs and joiners are text."""
    assert cell_column(pa.array([value, None])).to_pylist() == [cell, None]
    inside = cell_column(pa.array([[value]])).to_pylist()[0]
    assert not set(map(chr, ESCAPES)) & set(inside)


def test_numbers_are_no_formulas() -> None:
    """A negative number stays one."""
    assert cell_column(pa.array([-1.5, None])).to_pylist() == [-1.5, None]


def test_json_lines_and_parquet_hold_the_same_rows(run: Published) -> None:
    """Each in its own types."""
    lines, parquet = io.BytesIO(), io.BytesIO()
    assert write_jsonl(run.batches(Wanted()), lines) == write_parquet(run.batches(Wanted()), run.schema, parquet) == 6
    parquet.seek(0)
    table = pq.ParquetFile(parquet).read()
    assert table.schema.names == run.schema.names
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == table.to_pylist()


def test_parquet_of_no_rows_has_its_columns(run: Published) -> None:
    """Whoever reads it finds an empty table."""
    out = io.BytesIO()
    assert write_parquet(run.batches(Wanted(labels=["nothing"])), run.schema, out) == 0
    out.seek(0)
    assert pq.ParquetFile(out).schema_arrow.names == run.schema.names


@pytest.mark.parametrize(
    ("value", "cell"), [("a\x1b[31mb", "a\ufffd[31mb"), (["x", "y"], "x, y"), ("\u202ex", "\ufffdx")]
)
def test_a_terminal_obeys_no_row(value: object, cell: str) -> None:
    """Escape sequences and marks that turn a line round are shown as what they are not."""
    assert str(shown("id", value)) == cell


# The command.


def asked(**changes: Any) -> Asked:
    return Asked(**changes)


def test_rows_are_written_to_a_file_that_is_whole(run: Published, tmp_path: Path) -> None:
    """It stands under its name when it is complete, in a folder that may be new."""
    out = tmp_path / "new" / "rows.csv"
    assert hand_out(run, asked(format=Format.CSV, out=out)) == ExitCode.SUCCEEDED
    assert out.read_bytes().count(b"\n") == 7
    assert [file.name for file in out.parent.iterdir()] == ["rows.csv"]


def test_a_table_shows_the_first_rows_and_says_so(run: Published, capsys: pytest.CaptureFixture[str]) -> None:
    """Its columns are those that have values."""
    hand_out(run, asked(statuses=("unresolved",)))
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split() == ["file", "line", "id", "status", "reason", "tier", "usd", "text"]
    assert len(said.out.splitlines()) == 3
    assert said.err == ""


def test_a_table_counts_the_rows_of_csv_as_a_spreadsheet_does(capsys: pytest.CaptureFixture[str]) -> None:
    """The header is a row there; a table over several kinds of files calls all places lines."""
    empty = dict.fromkeys(SHOWN)
    print_table([{**empty, "file": "in.csv", "row": 5}])
    print_table([{**empty, "file": "in.csv.gz", "row": 5}, {**empty, "file": "in.jsonl", "row": 4}])
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert told == [["file", "row"], ["in.csv", "5"], ["file", "line"], ["in.csv.gz", "5"], ["in.jsonl", "4"]]


def test_a_long_table_ends_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty rows, unless more are asked for."""
    many = published({"a.jsonl": b"".join(b'{"id": "%d", "text": "about %d"}\n' % (n, n) for n in range(30))})
    hand_out(many, asked(format=Format.TABLE))
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 21
    assert "the first 20 rows; --limit N shows more" in said.err


def test_no_row_is_said(run: Published, capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit code says it too."""
    assert hand_out(run, asked(labels=("odd",), statuses=("rejected",), format=Format.JSONL)) == ExitCode.USAGE
    assert f"no row of run {run.run} matches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reasons": ("nonsense",)}, "reason nonsense is no reason; there are: row_not_utf8"),
        ({"shape": Shape.INPUT, "format": Format.CSV}, "--as input gives lines of JSON, not --format csv"),
        ({"limit": 1, "out": "rows.txt"}, "a table is for the eye"),
        ({"shape": Shape.INPUT, "where": "true"}, "--as input gives rows as they were"),
        ({"excel": True, "format": Format.XLSX}, "--excel is for --format csv"),
        ({"columns": ("id", "nonsense")}, "columns nonsense is no column; there are: file, row, id, status"),
    ],
)
def test_what_cannot_be_written_is_refused(run: Published, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    """Before anything is read."""
    changes = {**wrong, **({"out": tmp_path / wrong["out"]} if "out" in wrong else {})}
    with pytest.raises(BadRequest, match=said):
        hand_out(run, asked(**changes))


# A folder.


@pytest.fixture
def folder(tmp_path: Path, run: Published) -> Path:
    """The run in a folder, as `sluice run` leaves one behind, with its input beside it."""
    for key, size in run.parts:
        path = tmp_path / "out" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run.store.read_range(key, 0, size))
    rows = tmp_path / "a.jsonl"
    rows.write_bytes(b"\n".join(LINES))
    inputs = [{"uri": "s3://incoming/t/a.jsonl", "bytes": rows.stat().st_size, "rows": 6, "path": str(rows)}]
    document = {"run_id": run.run, "task": "t", "status": "succeeded", "inputs": inputs}
    (tmp_path / "out" / "run.json").write_text(json.dumps(document))
    return tmp_path / "out"


def test_a_folder_is_read_like_a_deployment(folder: Path, run: Published) -> None:
    """Rows and inputs alike."""
    assert ids(in_folder(folder)) == ids(run)
    assert lines_of(in_folder(folder), statuses=["unresolved"]) == [LINES[3], LINES[5]]


@pytest.mark.parametrize(("change", "said"), [(b"more\n", "was changed"), (None, "cannot be found")])
def test_an_input_that_is_not_what_it_was_is_refused(folder: Path, change: bytes | None, said: str) -> None:
    """A line number of another file means another row; the sentence says how rows are kept."""
    rows = folder.parent / "a.jsonl"
    rows.unlink() if change is None else rows.write_bytes(rows.read_bytes() + change)
    with pytest.raises(BadRequest, match=rf"{said}, and with it the rows; with `input.keep_input: true`"):
        lines_of(in_folder(folder))


def test_a_runs_id_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """`sluice results RUN` makes a folder of that name, and means the run again the next time."""
    monkeypatch.chdir(tmp_path)
    folder.rename("tickets-20261120t101500-0123456789")
    assert folder_of("tickets-20261120t101500-0123456789") is None
    assert folder_of("./tickets-20261120t101500-0123456789") is not None
    assert folder_of("nowhere") == Path("nowhere")
    with pytest.raises(BadRequest, match="no/where holds no run"):
        in_folder(Path("no/where"))


def test_the_command_reads_a_folder(folder: Path) -> None:
    """No deployment is looked for."""
    line = ["results", str(folder), "--status", "unresolved", "--as", "input"]
    result = CliRunner().invoke(app, line, env={"AWS_PROFILE": "nobody"})
    assert (result.exit_code, result.stdout.encode()) == (0, LINES[3] + b"\n" + LINES[5] + b"\n")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--json", "--limit", "1"], "--format jsonl"),
        (["--json", "--as", "result"], "--format jsonl"),
        (["--out", "x"], "already; for its rows"),
    ],
)
def test_what_makes_no_sense_together_is_wrong_usage(folder: Path, more: list[str], said: str) -> None:
    """The sentence names what was meant instead."""
    result = CliRunner().invoke(app, ["results", str(folder), *more])
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert re.fullmatch(r"sluice: [^\n]*\n", result.stderr)


def test_results_that_are_asked_for_by_name_are_rows(folder: Path) -> None:
    """`--as result` is a request for rows, as every other option about them."""
    result = CliRunner().invoke(app, ["results", str(folder), "--as", "result"])
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 7)


def test_a_report_of_a_folder_is_copied(folder: Path, tmp_path: Path) -> None:
    """Where --out says; the one that was there stays."""
    (folder / "report.html").write_text("<html>")
    copy = tmp_path / "new" / "r.html"
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(copy)])
    assert (result.exit_code, result.stdout) == (0, f"{copy}\n")
    assert copy.read_text() == (folder / "report.html").read_text() == "<html>"


@pytest.mark.parametrize(("command", "said"), [("report", "there is no report in"), ("results", "holds no run")])
def test_a_folder_without_what_is_asked_for_says_what_to_do(tmp_path: Path, command: str, said: str) -> None:
    """Name the folder of a run, or a run."""
    result = CliRunner().invoke(app, [command, str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert "as --out, or a run by its id, as `sluice runs` lists it" in result.stderr


def test_a_file_that_breaks_off_leaves_nothing_behind(run: Published, tmp_path: Path) -> None:
    """Neither under its name nor under that of an unfinished one."""
    broken = Published(run.store, run.run, run.prefix, list)
    broken.__dict__["parts"] = [*run.parts, ("results/t/gone.parquet", 10)]
    out = tmp_path / "new" / "rows.csv"
    with pytest.raises(Exception, match="gone"):
        hand_out(broken, asked(format=Format.CSV, out=out))
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("kept", [True, False])
def test_rows_that_were_too_long_are_counted(kept: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No empty line stands for them, whether they come from the column or from the input."""
    long = json.dumps({"id": "long", "text": "x" * 17_000_000}).encode()
    run = published({"a.jsonl": b"\n".join([LINES[0], long, LINES[1]])}, make_task(keep_input=kept))
    out = tmp_path / "again.jsonl"
    hand_out(run, asked(shape=Shape.INPUT, statuses=("accepted", "rejected"), out=out))
    assert out.read_bytes() == LINES[0] + b"\n" + LINES[1] + b"\n"
    assert "1 of 3 rows were too long to be kept" in capsys.readouterr().err


def test_a_reader_may_leave_early(folder: Path) -> None:
    """`| head` ends it without a traceback."""
    command = [sys.executable, "-c", "from sluice.cli import main; main()", "results", str(folder), "-f", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
