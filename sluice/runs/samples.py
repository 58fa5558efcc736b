"""Rows that were drawn before a run, for people to label: what they are, and what people say of them.

`samples/<task>/<seed>.json` in the work bucket, or in the folder of local runs. The seed is that of the draws of a run
over the same objects under the same version of the task, which takes the sample up by it. It holds no text of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.runs.document import Document
from sluice.runs.keys import SAMPLES

if TYPE_CHECKING:
    from sluice.runs.drawn import DrawnRow


class LabelledRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A drawn row: the number of its input, its line there, the key of its record; what a person says of it, if any.

    `labels` is empty where the person says that none fits, and None where the row is left open.
    """

    source: int
    line: int
    key: str
    labels: list[str] | None = None

    def is_of(self, row: DrawnRow) -> bool:
        """Whether it is this drawn row."""
        return (self.source, self.line, self.key) == (row.source, row.line, row.key)


class Sample(Document, frozen=True, kw_only=True):
    """A drawn sample: out of how many good rows, of which objects (by their URIs), in the order of the ranks."""

    task: str
    task_version: str
    seed: str
    drawn: str
    good: int
    inputs: list[str]
    rows: list[LabelledRow]

    @property
    def labelled(self) -> int:
        """How many rows a person has labelled."""
        return sum(row.labels is not None for row in self.rows)


def folder_of(task: str) -> str:
    """The prefix of a task's samples."""
    return f"{SAMPLES}/{task}/"


def key_of(task: str, seed: str) -> str:
    """The key of a sample."""
    return f"{folder_of(task)}{seed}.json"
