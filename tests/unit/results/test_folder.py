"""A folder of results holds each row once, however many runs have written there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import BadRequest
from sluice.results.folder import HISTORY, all_in_folder, check_out, give_way, held, in_folder, read_document
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 5


def collected(
    out: Path, run: str, *files: str, parts: int = 1, day: str = "2026-11-28", published: bool = True, **columns: Any
) -> None:
    """What collecting a run over these files leaves, `ROWS` rows of each."""
    uris = [f"s3://in/t/{name.rpartition('/')[2]}" for name in files]
    document = {
        "run_id": run,
        "task": "t",
        "status": "succeeded",
        "rows": {"in": ROWS * len(files)},
        "inputs": [{"uri": uri, "path": name, "bytes": 1} for uri, name in zip(uris, files, strict=True)],
    }
    give_way(out, document, published=published)
    rows = [{"source": uri, "line": n + 1, "run_id": run, **columns} for uri in uris for n in range(ROWS)]
    for row in rows:
        row |= {"status": "accepted", "reason": None, "labels": ["a"]}
    folder = out / "results" / "t" / f"run_date={day}"
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts if published else 0):
        some = rows[part::parts]
        schema = pa.schema(
            [
                ("source", pa.string()),
                ("line", pa.int64()),
                ("run_id", pa.string()),
                *((name, pa.string()) for name in columns),
                ("status", pa.string()),
                ("reason", pa.string()),
                ("labels", pa.list_(pa.string())),
            ]
        )
        pq.write_table(pa.Table.from_pylist(some, schema), folder / f"{run}-part-{part:05d}.parquet")
    for name in ("run.json", "report.html"):
        (out / name).write_text(json.dumps(document))


def rows(out: Path) -> list[tuple[str, int, str]]:
    """What a query over the folder's files reads."""
    files = sorted((out / "results").glob("**/*.parquet"))
    found = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted((row["source"], row["line"], row["run_id"]) for row in found)


def of(run: str, *names: str) -> list[tuple[str, int, str]]:
    return sorted((f"s3://in/t/{name}", n + 1, run) for name in names for n in range(ROWS))


def test_the_same_inputs_again_take_the_place_of_the_rows_before(tmp_path: Path) -> None:
    """The run before goes to the history as it was, its document, report and files."""
    collected(tmp_path, "r1", "/d/a.jsonl", "/d/b.jsonl", parts=2)
    collected(tmp_path, "r2", "/d/b.jsonl", "/d/a.jsonl", day="2026-11-29")
    assert rows(tmp_path) == of("r2", "a.jsonl", "b.jsonl")
    kept = tmp_path / HISTORY / "r1"
    assert rows(kept) == of("r1", "a.jsonl", "b.jsonl")
    assert read_document(kept)["run_id"] == "r1"
    assert (kept / "report.html").is_file()
    assert not (tmp_path / "results" / "t" / "run_date=2026-11-28").exists()


def test_other_inputs_add_theirs(tmp_path: Path) -> None:
    """Files of one name in two folders are two files; nothing of the run before moves but its document."""
    collected(tmp_path, "r1", "/d/a.jsonl")
    collected(tmp_path, "r2", "/e/a.jsonl")
    assert rows(tmp_path) == sorted(of("r1", "a.jsonl") + of("r2", "a.jsonl"))
    assert read_document(tmp_path)["run_id"] == "r2"
    assert {path.name for path in (tmp_path / HISTORY / "r1").iterdir()} == {"run.json", "report.html"}


def test_of_a_run_over_more_the_other_rows_stay(tmp_path: Path) -> None:
    """One file again, then the other, then both: each row once at each time, and the first run whole in the history."""
    collected(tmp_path, "r1", "/d/a.jsonl", "/d/b.jsonl", "/d/c.jsonl")
    collected(tmp_path, "r2", "/d/a.jsonl")
    assert rows(tmp_path) == sorted(of("r2", "a.jsonl") + of("r1", "b.jsonl", "c.jsonl"))
    collected(tmp_path, "r3", "/d/b.jsonl", "/d/x.jsonl")
    assert rows(tmp_path) == sorted(of("r2", "a.jsonl") + of("r1", "c.jsonl") + of("r3", "b.jsonl", "x.jsonl"))
    collected(tmp_path, "r4", "/d/c.jsonl")
    collected(tmp_path, "r5", "/d/a.jsonl", "/d/b.jsonl", "/d/c.jsonl", "/d/x.jsonl")
    assert rows(tmp_path) == of("r5", "a.jsonl", "b.jsonl", "c.jsonl", "x.jsonl")
    assert rows(tmp_path / HISTORY / "r1") == of("r1", "a.jsonl", "b.jsonl", "c.jsonl")
    assert rows(tmp_path / HISTORY / "r3") == of("r3", "b.jsonl", "x.jsonl")


def test_a_run_that_published_nothing_takes_nobodys_place(tmp_path: Path) -> None:
    """Its document is the latest; the rows are still those of the run before, and are shown."""
    collected(tmp_path, "r1", "/d/a.jsonl")
    collected(tmp_path, "r2", "/d/a.jsonl", published=False)
    assert rows(tmp_path) == of("r1", "a.jsonl")
    assert read_document(tmp_path)["run_id"] == "r2"
    assert all_in_folder(tmp_path).table(Wanted()).num_rows == ROWS
    collected(tmp_path, "r3", "/d/a.jsonl")
    assert rows(tmp_path) == of("r3", "a.jsonl")


def test_all_rows_of_a_folder_are_shown_with_the_columns_of_the_latest_run(tmp_path: Path) -> None:
    """An earlier run's rows have no value where their task had no such column."""
    collected(tmp_path, "r1", "/d/a.jsonl")
    collected(tmp_path, "r2", "/d/b.jsonl", colour="red")
    found = all_in_folder(tmp_path)
    table = found.table(Wanted())
    assert table["colour"].to_pylist() == ["red"] * ROWS + [None] * ROWS
    assert [len(batch) for batch in found.batches(Wanted(limit=ROWS + 2), ["line"])] == [ROWS, 2]
    assert in_folder(tmp_path).table(Wanted()).num_rows == ROWS
    assert found.size == sum(path.stat().st_size for path in tmp_path.glob("results/**/*.parquet"))
    with pytest.raises(BadRequest, match="nothing is no column of the results"):
        found.check_columns(["nothing"])


def test_a_folder_is_for_one_task(tmp_path: Path) -> None:
    """Another one is refused before anything runs, with a folder to use."""
    collected(tmp_path, "r1", "/d/a.jsonl")
    check_out(tmp_path, "t")
    with pytest.raises(BadRequest, match=rf"holds results of the task t, .* use {tmp_path}-u"):
        check_out(tmp_path, "u")


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    """The second is refused while the first one lives; a process that was killed holds nothing."""
    code = "import sys, time, pathlib; from sluice.results.folder import held\n"
    code += "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "o")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BadRequest, match="is being written by another run"), held(tmp_path / "o"):
            raise AssertionError
        other.kill()
    with held(tmp_path / "o"):
        pass
    check_out(tmp_path / "o")
