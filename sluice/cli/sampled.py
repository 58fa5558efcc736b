"""`sluice sample INPUT --task T`: rows drawn before a run, as a sheet for people, and what they say taken back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.api.samples import SEED, draw_deployed, draw_here, take_labels
from sluice.aws.folder import Folder
from sluice.cli.display import busy
from sluice.cli.exits import ExitCode, complain, print_json
from sluice.cli.options import parse_settings
from sluice.cli.plan import READING, progress
from sluice.cli.sampling import choices, sheet_path, write_sheet
from sluice.cli.submit import uploading
from sluice.errors import BadRequest
from sluice.files import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.api.deployment import Deployment
    from sluice.api.samples import Drawn
    from sluice.aws.s3 import Store
    from sluice.forecast.sampled import SampledText

SHEET = pa.schema([(SEED, pa.string()), ("source", pa.string()), ("line", pa.int64()), ("id", pa.string()),
                   ("text", pa.string()), ("label", pa.string()), ("note", pa.string())])  # fmt: skip
AT_ONCE = 1000  # rows of a batch
SHOWN = 20  # lines that could not be taken; --json has all


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    inputs: list[str]
    task: str
    rows: int | None
    out: Path | None
    folder: Path | None
    sheet: Path | None
    answers: list[str] | None
    settings: list[str]
    region: str | None
    as_json: bool


def sample_here(request: Request) -> ExitCode:
    """Draw for a run in a folder of this machine, or take the labels of its sheet."""
    assert request.folder is not None
    if request.sheet is not None:
        return _take(Folder("", request.folder), request)
    path = sheet_path(request.out, f"sample-{Path(request.task).stem}.csv")
    with busy(READING) as say:
        drawn = draw_here(
            request.inputs,
            request.task,
            out=request.folder,
            answers=request.answers,
            settings=parse_settings(request.settings),
            region=request.region,
            rows=request.rows,
            on_progress=progress(say),
        )
    return _written(drawn, path, request, f"--folder {plain(request.folder)}")


def sample_deployed(deployment: Deployment, request: Request) -> ExitCode:
    """The same for a run of a deployment."""
    if request.answers:
        raise BadRequest("--answers is for runs on this machine: name the folder of one by --folder", "answers")
    if request.sheet is not None:
        return _take(deployment.stack.work, request)
    path = sheet_path(request.out, f"sample-{Path(request.task).stem}.csv")
    with busy(READING) as say:
        drawn = draw_deployed(
            deployment.stack,
            request.inputs,
            request.task,
            on_upload=uploading,
            settings=parse_settings(request.settings),
            rows=request.rows,
            on_progress=progress(say),
        )
    return _written(drawn, path, request, f"--env {deployment.environment}")


def _written(drawn: Drawn, path: Path, request: Request, where: str) -> ExitCode:
    batches = _batches(drawn.sample.seed, drawn.texts)
    count = write_sheet(path, batches, SHEET, choices(drawn.task))
    if request.as_json:
        print_json({"path": str(path), "rows": count, "seed": drawn.sample.seed, "sample": drawn.place})
        return ExitCode.SUCCEEDED
    sheet = plain(path.with_suffix(".csv"))
    print(
        f"{plain(path)}: {count:,} of {drawn.sample.good:,} rows, drawn as the run will draw them; fill in all labels"
    )
    print(f"then: sluice sample --task {plain(request.task)} {where} --import {sheet}")
    print("and: run the same inputs, unchanged, under the same task")
    return ExitCode.SUCCEEDED


def _batches(seed: str, texts: list[SampledText]) -> Iterator[pa.RecordBatch]:
    for at in range(0, len(texts), AT_ONCE):
        some = texts[at : at + AT_ONCE]
        rows = [{SEED: seed, **row._asdict(), "label": None, "note": None} for row in some]
        yield pa.RecordBatch.from_pylist(rows, SHEET)


def _take(store: Store, request: Request) -> ExitCode:
    assert request.sheet is not None
    if request.inputs:
        raise BadRequest("--import takes the labels of a sheet, which knows its sample: leave the inputs out", "import")
    found = take_labels(store, request.task, request.sheet)
    if request.as_json:
        told = {"taken": found.taken, "open": found.open, "sample": found.place, "problems": found.problems}
        print_json(told)
    else:
        print(f"{found.taken:,} labels taken; of {len(found.sample.rows):,} drawn rows {found.open:,} are open")
        if found.open:
            complain("a row that is left open counts against the promise: fill in all that can be")
        for line, what in found.problems[:SHOWN]:
            complain(f"{plain(request.sheet)}, line {line} {plain(what)}")
        if len(found.problems) > SHOWN:
            complain(f"{len(found.problems) - SHOWN:,} more lines not taken; --json has all")
    return ExitCode.FAILED if found.problems else ExitCode.SUCCEEDED
