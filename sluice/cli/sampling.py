"""`sluice sample`: rows drawn uniformly of a run, as a sheet in which people write the right labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.cli.display import byte_bar
from sluice.cli.exits import ExitCode, complain, print_json
from sluice.cli.formats import write_csv
from sluice.cli.workbook import write_workbook
from sluice.errors import BadRequest
from sluice.files import plain, whole_file
from sluice.reasons import Status
from sluice.results.view import Look, View
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sluice.results.published import Published
    from sluice.task.task import Task

GOOD = (Status.ACCEPTED.value, Status.UNRESOLVED.value)  # rejected rows have no text that could have a label
SHOWN = ("source", "line", "id", "text")  # never an answer: whoever saw it would agree with it
FILLED_IN = pa.schema([("label", pa.string()), ("note", pa.string()), ("drawn", pa.bool_())])


def write_sample(published: Published, out: Path | None, rows: int, seed: int, *, name: str, as_json: bool) -> ExitCode:
    """Draw rows and write them, without any answer; a sheet that stands there may have been filled in, and is kept.

    `name` is what the run was called by: an id, or a folder.
    """
    task = published.task
    if task is None or not task.labels:
        raise BadRequest(f"run {published.run} has no labels that people could write")
    path = sheet_path(out, f"sample-{published.run}.csv")
    view = View(published, Look(Wanted(statuses=GOOD), SHOWN, sample=rows, seed=seed))
    schema = pa.schema([*view.schema, *FILLED_IN])
    with byte_bar("reading", published.size) as advance:
        count = write_sheet(path, map(_to_fill_in, view.batches(advance)), schema, choices(task))
    for problem in view.problems:
        complain(f"{plain(problem)}; its text stays empty")
    if as_json:
        print_json({"path": str(path), "rows": count, "seed": seed, "run_id": published.run})
    else:
        print(f"{plain(path)}: {count:,} rows drawn uniformly (seed {seed}); fill in the column label of all of them")
        print(f"then: sluice review {plain(name)} --import {plain(path.with_suffix('.csv'))}")
        print(f"and: sluice evaluate {plain(name)} --gold corrections")
    return ExitCode.SUCCEEDED


def sheet_path(out: Path | None, usual: str) -> Path:
    """Where a sheet goes; a sheet that stands there may have been filled in, and is kept."""
    path = out or Path(usual)
    if path.suffix.lower() not in {".csv", ".xlsx"}:
        raise BadRequest(f"{plain(path)} is neither .csv nor .xlsx", "out")
    if path.exists():
        raise BadRequest(f"{plain(path)} exists, and may have been filled in: name another file", "out")
    return path


def write_sheet(
    path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, allowed: Mapping[str, Sequence[str]]
) -> int:
    """Write rows as CSV, or as a workbook that offers what is `allowed` in a column; how many there are."""
    with whole_file(path) as file:
        if path.suffix.lower() == ".xlsx":
            return write_workbook(batches, schema, file, choices=allowed)
        return write_csv(batches, schema, file, for_excel=True)


def _to_fill_in(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with the columns of who fills them in; `drawn` says that they measure."""
    empty = pa.nulls(len(batch), pa.string())
    drawn = pa.repeat(pa.scalar(True), len(batch))
    return pa.record_batch([*batch.columns, empty, empty, drawn], schema=pa.schema([*batch.schema, *FILLED_IN]))


def choices(task: Task) -> dict[str, list[str]]:
    """The labels that a cell may have, of a task that gives one."""
    return {} if task.many else {"label": list(task.labels)}
