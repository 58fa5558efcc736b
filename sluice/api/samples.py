"""Rows that people label before a run, so that the run can be certified against what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sluice.api.forecasting import asked_for
from sluice.api.tasks import Inputs, Who, answered, listed, load_task, region_here
from sluice.aws.errors import translating
from sluice.aws.folder import Folder
from sluice.budget.costs import ESCALATED
from sluice.deployment.submission import uris_of
from sluice.errors import BadRequest
from sluice.extras import Extra, require
from sluice.forecast.estimate import Asked
from sluice.forecast.sampled import SampledText, check_wants_sample, draw_sample
from sluice.quality.sheet import SheetReader, rows_of
from sluice.results.folder import check_out
from sluice.rows.inputs import find_inputs
from sluice.runs.document import read
from sluice.runs.samples import Sample, folder_of, key_of
from sluice.runs.settings import Settings
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.aws.s3 import Store
    from sluice.aws.stack import Stack
    from sluice.deployment.submission import OnUpload
    from sluice.forecast.forecast import Progress

SEED = "sample"  # the column of a sheet that names the sample


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn sample, what people see of its rows, in the order of the inputs, and where it is kept."""

    sample: Sample
    texts: list[SampledText]
    place: str
    task: Task


@dataclass(slots=True)
class Labelled:
    """What came of a sheet: lines that were taken, and those that could not be, each with the reason."""

    sample: Sample
    place: str
    taken: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many rows of the sample nobody has labelled yet."""
        return len(self.sample.rows) - self.sample.labelled


def draw_here(
    inputs: Inputs,
    task: Task | str | Path,
    *,
    out: str | Path,
    answers: Who = None,
    settings: Mapping[str, object] | None = None,
    region: str | None = None,
    rows: int | None = None,
    on_progress: Progress = lambda _what, _number, _total: None,
) -> Drawn:
    """Draw the sample that a run on this machine will take up, and keep it in the folder of its results.

    Args:
        inputs: as of `run`; so are the next five, since each of them may change what the run draws.
        task: the task.
        out: the folder of the run's results.
        answers: where answers are to come from.
        settings: settings of a deployment.
        region: the AWS Region whose models are meant.
        rows: so many rows; the task's `quality.sample` has to say the same.
        on_progress: is told what is being read.

    Raises:
        BadTask, BadInput, BadSetting, BadRequest: something cannot be used; the task takes no such sample.
        NotInstalled: the extra `local` is missing.

    """
    require(Extra.LOCAL, "a sample of a run on this machine")
    from sluice.local.sampled import as_run_here  # noqa: PLC0415 (a wrong request is refused without loading moto)

    where = region_here(region)
    found, catalog = answered(task, answers, where)
    check_wants_sample(found.task, rows)
    Settings().override(settings or {})
    check_out(Path(out), found.task.name)
    files = find_inputs(listed(inputs))
    uploaded, frozen = as_run_here(
        files, found.task, catalog, where, settings or {}, servers=bool(found.answers.servers)
    )
    asked = Asked(uploaded.uris, found.task, frozen, catalog, where, ESCALATED)
    sample, texts = draw_sample(asked, lambda _name: uploaded, on_progress)
    return _kept(Folder("", Path(out)), sample, texts, found.task)


def draw_deployed(
    stack: Stack,
    inputs: Inputs,
    task: Task | str | Path,
    *,
    on_upload: OnUpload,
    settings: Mapping[str, object] | None = None,
    rows: int | None = None,
    on_progress: Progress = lambda _what, _number, _total: None,
) -> Drawn:
    """Draw the sample that a run of a deployment will take up; files are uploaded as `submit` does it.

    Raises:
        BadTask, BadInput, BadSetting, BadRequest: something cannot be used; the task takes no such sample.
        RetryLater, Stop: AWS could not be reached, or refuses.

    """
    region = stack.session.region_name
    check_wants_sample(task if isinstance(task, Task) else load_task(task), rows)
    with translating():
        uris = uris_of(stack, listed(inputs), on_upload)
        asked = asked_for(uris, task, settings, ESCALATED, region)
        sample, texts = draw_sample(asked, stack.bucket, on_progress)
        return _kept(stack.work, sample, texts, asked.task)


def _kept(store: Store, sample: Sample, texts: list[SampledText], task: Task) -> Drawn:
    """Keep a sample, unless it is kept already, perhaps with labels: drawn again it is the same."""
    key = key_of(sample.task, sample.seed)
    store.put_new(key, sample.write())
    return Drawn(sample, texts, key, task)


def take_labels(store: Store, task: Task | str | Path, sheet: Path, column: str | None = None) -> Labelled:
    """Take the labels of a filled-in sheet into the sample that it is of; what stood there before gives way.

    Args:
        store: where the sample is kept.
        task: the task whose labels they are.
        sheet: a CSV, TSV or JSON Lines file, as the sample was written, with the column `label` filled in.
        column: the column of the labels, if it is another.

    Raises:
        BadRequest: the file is no sheet of a sample that is kept there.

    """
    known = task if isinstance(task, Task) else load_task(task)
    seeds = {str(row.get(SEED, "")).strip() for _, row in rows_of(sheet)}
    if len(seeds) != 1 or "" in seeds:
        raise BadRequest(f"{sheet} does not name its sample: its column {SEED} has to be as it was written", "import")
    key = key_of(known.name, seeds.pop())
    data = store.find(key)
    if data is None:
        raise BadRequest(
            f"there is no {key} that {sheet} could be of, under {store.uri(folder_of(known.name))}: name the task and "
            "the folder or deployment for which it was drawn",
            "import",
        )
    sample = read(Sample, data, key)
    found = SheetReader(known, column).read(sheet, ())
    at: dict[tuple[object, ...], int] = {
        (sample.inputs[row.source], row.line): number for number, row in enumerate(sample.rows)
    }
    rows, taken = list(sample.rows), 0
    for line in found.lines:
        number = at.get(line.name)
        if number is None:
            found.refuse(line.number, "names a row that was not drawn")
            continue
        rows[number] = msgspec.structs.replace(rows[number], labels=line.labels)
        taken += 1
    labelled = msgspec.structs.replace(sample, rows=rows)
    store.put(key, labelled.write())
    return Labelled(labelled, key, taken, sorted(found.problems))
