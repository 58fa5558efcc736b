"""The sample that people have labelled before a run: a run takes up the one over its own objects, or stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.errors import BadInput
from sluice.runs.document import read
from sluice.runs.samples import Sample, folder_of, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.drawn import DrawnRow
    from sluice.steps.services import Run

HOW = "`sluice sample INPUT --task TASK` draws it, and with --import takes the labels. Nothing was sent"


def labels_of(opened: Run, drawn: Sequence[DrawnRow]) -> list[list[str] | None]:
    """What people say of the drawn rows, in their order; None of those that they left open.

    Raises:
        BadInput: there is no sample of these objects under this version of the task, or nobody has labelled a row.

    """
    name, seed = opened.task.name, opened.start.seed or ""
    key = key_of(name, seed)
    data = opened.store.find(key)
    if data is None:
        others = [key for key, _ in opened.store.keys(folder_of(name))]
        why = (
            "the samples that there are were drawn of other objects, or under another version of the task"
            if others
            else "there is none"
        )
        raise BadInput(
            f"quality.against: gold takes a sample of this run's rows that people have labelled: {why}. {HOW}"
        )
    sample = read(Sample, data, key)
    if len(sample.rows) != len(drawn) or not all(map(lambda one, other: one.is_of(other), sample.rows, drawn)):
        raise BadInput(
            f"{key} has other rows than this run draws: it was drawn with another quality.sample, or under other "
            f"settings. Draw it anew. {HOW}"
        )
    if not sample.labelled:
        raise BadInput(f"nobody has labelled a row of {key}: fill in the column label of its sheet. {HOW}")
    return [row.labels for row in sample.rows]
