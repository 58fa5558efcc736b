"""The sample of a run that has been cut, as it is kept for people to label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.runs.samples import LabelledRow, Sample
from sluice.steps.drawing import draw_rows, good_rows

if TYPE_CHECKING:
    import datetime as dt

    from sluice.quality.draws import Ranked
    from sluice.steps.drawing import Stored
    from sluice.steps.services import Run


def sample_of(opened: Run, at: dt.datetime, labels: list[str] | None = None) -> tuple[Sample, list[Ranked[Stored]]]:
    """Draw the sample of a run, and where its rows lie; `labels` are those that all of them get.

    Raises:
        BadInput: there are too few rows for what the task promises.

    """
    drawn = draw_rows(opened).sample
    sample = Sample(
        task=opened.task.name,
        task_version=opened.start.task_version,
        seed=opened.start.seed or "",
        drawn=at.isoformat(timespec="seconds"),
        good=good_rows(opened),
        inputs=[item.uri for item in opened.inputs.inputs],
        rows=[LabelledRow(source=int(row.source), line=row.line, key=row.note.key, labels=labels) for row in drawn],
    )
    return sample, drawn
