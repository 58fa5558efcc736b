"""Rows drawn before a run, by the ranks that the run will give them, for people to label.

The workflow's own first steps read the inputs into a folder, as for a plan: what they draw is what the run draws, if it
reads the same objects under the same settings, which it checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.errors import BadRequest
from sluice.forecast.forecast import rows_read
from sluice.results.table import RowColumns
from sluice.rows.record import RAW, RowReader
from sluice.steps.cutting import cut_run
from sluice.steps.sampling import sample_of
from sluice.steps.stored import StoredRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.aws.s3 import Store
    from sluice.forecast.estimate import Asked
    from sluice.forecast.forecast import Progress
    from sluice.quality.draws import Ranked
    from sluice.runs.samples import Sample
    from sluice.steps.drawing import Stored
    from sluice.steps.services import Run
    from sluice.task.task import Task


class SampledText(NamedTuple):
    """What a person sees of a drawn row: where it stands, its id and its text, and nobody's answer."""

    source: str
    line: int
    id: str | None
    text: str


def check_wants_sample(task: Task, rows: int | None = None) -> int:
    """How many rows a task's run takes; refuse one that takes none, or another number.

    Raises:
        BadRequest: with what would do.

    """
    if task.quality is None or not task.quality.by_gold:
        raise BadRequest(
            f"no run of the task {task.name} would take up a sample drawn before it: it says no quality.against: gold. "
            "Of a finished run `sluice sample RUN` draws rows to measure by",
            "task",
        )
    if rows is not None and rows != task.quality.sample:
        raise BadRequest(
            f"a run of the task takes {task.quality.sample:,} rows (quality.sample), not {rows:,}: leave it out, or "
            "change the task",
            "rows",
        )
    return task.quality.sample


def draw_sample(
    asked: Asked, bucket: Callable[[str], Store], on_progress: Progress
) -> tuple[Sample, list[SampledText]]:
    """Draw the sample that a run of these inputs takes, with the rows' texts in the order of the inputs.

    Raises:
        BadRequest: the task takes no sample.
        BadInput: an input cannot be read, or has too few rows for what the task promises.

    """
    check_wants_sample(asked.task)
    with rows_read(asked, bucket, on_progress) as (services, opened):
        cut_run(opened)
        sample, drawn = sample_of(opened, services.now())
        return sample, _texts(opened, sorted(drawn, key=lambda row: (row.source, row.line)), sample.inputs)


def _texts(opened: Run, drawn: list[Ranked[Stored]], uris: list[str]) -> list[SampledText]:
    """The rows as people see them; in an order that says nothing of the ranks."""
    reader, stored = RowReader(opened.task), StoredRows(opened.store, opened.keys)
    raws = [stored.read(row.note.span, row.note.begin + 1, row.note.bytes - 1)[RAW:] for row in drawn]
    task = opened.task
    alone = task.input.model_copy(update={"keep_input": False, "keep": {}})
    columns, _ = RowColumns(task.model_copy(update={"input": alone})).read(raws)
    return [
        SampledText(uris[int(row.source)], row.line, id_, reader.text(raw))
        for row, id_, raw in zip(drawn, columns["id"].to_pylist(), raws, strict=True)
    ]
