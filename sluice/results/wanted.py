"""Which rows of results are meant: by label, status, reason, confidence, tier, and by what a stronger tier changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import BadRequest
from sluice.reasons import Reason, Status
from sluice.task.answer import Confidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are meant: those that have one of the values of each list that is not empty, and at most `limit`.

    `changed` means the accepted rows whose label is another than the first one that an earlier tier had given.
    """

    labels: Sequence[str] = ()
    statuses: Sequence[str] = ()
    reasons: Sequence[str] = ()
    limit: int | None = None
    confidences: Sequence[str] = ()
    tiers: Sequence[int] = ()
    changed: bool = False

    def __post_init__(self) -> None:
        """Refuse what no row can have.

        Raises:
            BadRequest: a status, a reason or a confidence that does not exist, or a limit below 1.

        """
        for name, values, known in (
            ("status", self.statuses, Status),
            ("reason", self.reasons, Reason),
            ("confidence", self.confidences, Confidence),
        ):
            unknown = next((value for value in values if value not in set(known)), None)
            if unknown is not None:
                raise BadRequest(f"{unknown} is no {name}; there are: {', '.join(known)}", name)
        if self.limit is not None and self.limit < 1:
            raise BadRequest(f"{self.limit} is no number of rows: give 1 or more, or none", "limit")

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that say which rows are meant."""
        asked = {
            "status": self.statuses or self.changed,
            "reason": self.reasons,
            "labels": self.labels or self.changed,
            "confidence": self.confidences,
            "tier": self.tiers or self.changed,
            "trail": self.changed,
        }
        return tuple(name for name, wanted in asked.items() if wanted)

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Pick the rows that are meant; the limit is not looked at."""
        lists = {
            "status": self.statuses,
            "reason": self.reasons,
            "confidence": self.confidences,
            "tier": self.tiers,
        }
        for name, values in lists.items():
            if values:
                batch = batch.filter(pc.is_in(batch[name], pa.array(values, batch.schema.field(name).type)))
        if self.labels:
            batch = batch.filter(_has_label(batch["labels"], self.labels))
        return batch.filter(_changed(batch)) if self.changed else batch


def _has_label(column: pa.Array, labels: Sequence[str]) -> pa.Array:
    """Tell of each list whether one of the labels is in it."""
    found = pc.is_in(pc.list_flatten(column), pa.array(labels, pa.string()))
    rows = pc.list_parent_indices(column).filter(found)
    return pc.is_in(pa.array(range(len(column)), pa.int64()), rows.cast(pa.int64()))


def _changed(batch: pa.RecordBatch) -> pa.Array:
    """Tell of each row whether a stronger tier changed its label."""
    accepted = pc.equal(batch["status"], Status.ACCEPTED.value)
    later = pc.fill_null(pc.and_(accepted, pc.greater(batch["tier"], 0)), False)
    rows = batch.select(["tier", "labels", "trail"]).filter(later).to_pylist()
    numbers = pc.indices_nonzero(later).to_pylist()
    found = {number for number, row in zip(numbers, rows, strict=True) if _is_another(row)}
    return pa.array([number in found for number in range(batch.num_rows)], pa.bool_())


def _is_another(row: Mapping[str, Any]) -> bool:
    given = ", ".join(row["labels"] or ())
    earlier = [attempt["label"] for attempt in row["trail"] or () if attempt["tier"] < row["tier"]]
    first = next((label for label in earlier if label is not None), given)
    return bool(first != given)
