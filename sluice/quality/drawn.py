"""Which rows of a run were drawn uniformly, what they would have been given undrawn, and which ones say nothing.

A drawn row carries the last tier's label, whatever a cheaper tier had said: for all other rows it speaks only with the
answer that would have stood, had nobody drawn it. Rows that taught the score, or that the model was shown with their
answers, say nothing of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.answers.requests import example_text
from sluice.errors import BadRequest
from sluice.quality.evaluation import Given
from sluice.reasons import Reason, Status
from sluice.rows.record import Row, RowReader
from sluice.task.spelling import labels_in

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from sluice.results.published import Published
    from sluice.runs.drawn import Certificate, Draws, SampledAnswer
    from sluice.task.task import Task

TAUGHT, EXAMPLES = "taught", "examples"


class DrawnRows:
    """The rows that a run has drawn for its last tier; none where it drew none."""

    def __init__(
        self, task: Task, inputs: Sequence[str], draws: Draws | None = None, certificate: Certificate | None = None
    ) -> None:
        """`inputs` are the URIs of the run's inputs, in their order."""
        self.certificate = certificate
        self.last = len(task.tiers) - 1
        self.promises = task.quality is not None
        self.sample = {(inputs[row.source], row.line) for row in draws.sample} if draws else set()
        teaching = draws.teaching if draws and task.gives_scores else []
        self.taught: AbstractSet[str] = {row.key for row in teaching}.union(draws.taught if draws else ())
        self._labels = frozenset(task.labels)
        sampled = certificate.sampled if certificate else []
        self._sampled = {(inputs[row.source], row.line): row for row in sampled}
        self._floors = {floor.label: n for n, floor in enumerate(certificate.floors, 1)} if certificate else {}

    def measures(self, row: Mapping[str, Any]) -> bool:
        """Whether a published row was drawn to measure by."""
        return (row["source"], row["line"]) in self.sample

    def undrawn(self, row: Mapping[str, Any]) -> Given | None:
        """What a published row would have been given, had nobody drawn it; None where that is what it was given."""
        step = next((step for step in row["trail"] or () if step["reason"] == Reason.DRAWN.value), None)
        if step is None or step["label"] is None or (self.promises and not self._stands(row)):
            return None
        return Given(labels_in(step["label"], self._labels), step["tier"])

    def _stands(self, row: Mapping[str, Any]) -> bool:
        """Whether the first answer to a sampled row lies where the certificate lets first answers stand."""
        sampled: SampledAnswer | None = self._sampled.get((row["source"], row["line"]))
        if self.certificate is None or sampled is None or sampled.place is None or not sampled.first:
            return False
        return self.certificate.stands(sampled.place, self._floors.get(sampled.first[0], 0))

    def oracle(self, row: Mapping[str, Any]) -> frozenset[str] | None:
        """What the last tier says of a row that was drawn; None where it was not, or has no valid answer."""
        if not self.measures(row) or row["status"] != Status.ACCEPTED.value or row["tier"] != self.last:
            return None
        return frozenset(row["labels"])


class LeftOut(NamedTuple):
    """Records whose rows say nothing of the others: why, by key. `unknown`: why the examples cannot be told apart."""

    why: Mapping[str, str]
    unknown: str | None

    def document(self, counts: Counter[str]) -> dict[str, int | None]:
        """How many rows were left out, by why; None where that cannot be told."""
        return {TAUGHT: counts[TAUGHT], EXAMPLES: None if self.unknown else counts[EXAMPLES]}


def left_out(task: Task, published: Published, taught: AbstractSet[str]) -> LeftOut:
    """The records of a run that taught its model, or stand in its prompt with their answers."""
    why, unknown = dict.fromkeys(taught, TAUGHT), None
    try:
        why |= dict.fromkeys(_examples(task, published), EXAMPLES)
    except BadRequest as error:
        unknown = str(error)
    return LeftOut(why, unknown)


def _examples(task: Task, published: Published) -> set[str]:
    """The records of the task's examples. With rules a record is the whole row: then the rows have to be read."""
    reader = RowReader(task)
    texts = {example_text(task, example) for example in task.examples}
    if not reader.whole_row or not texts:
        return {reader.key(text.encode(), b"").decode() for text in texts}
    found = set()
    for _, _, raw in published.raw_rows():
        row = reader.read(raw) if raw else None
        if isinstance(row, Row) and row.text in texts:
            found.add(reader.key(row.text.encode(), raw).decode())
    return found
