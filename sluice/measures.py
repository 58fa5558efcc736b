"""What a deployment measures: each metric's name, unit and dimensions, for the steps that send it and those who watch.

A metric is billed for each set of values of its dimensions, and a run or a job would make a new set every time: so
there are three dimensions, and never more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "Sluice"
# By the nesting of the dimensions: what is told of a tier is told within its task.
OF_ALL = ("environment",)
OF_TASK = ("environment", "task")
OF_TIER = ("environment", "task", "tier")


class Unit(StrEnum):
    """CloudWatch's own words; a share from 0 to 1 and a sum of dollars have none."""

    COUNT = "Count"
    SECONDS = "Seconds"
    NONE = "None"


class Kind(NamedTuple):
    """How a metric is counted; `overall`: for the whole environment too, since an alarm looks at all tasks at once."""

    unit: Unit
    dimensions: tuple[str, ...]
    overall: bool = False

    @property
    def dimension_sets(self) -> list[tuple[str, ...]]:
        """All sets of dimensions under which a value is kept."""
        return [self.dimensions, OF_ALL] if self.overall else [self.dimensions]


class Measure(StrEnum):
    """The metrics. Counts are sent once for what they count; those in seconds at every look, so take their maximum."""

    ROWS_IN = "RowsIn"
    ROWS_ACCEPTED = "RowsAccepted"
    ROWS_UNRESOLVED = "RowsUnresolved"
    ROWS_REJECTED = "RowsRejected"
    UNRESOLVED_SHARE = "UnresolvedShare"
    COST_USD = "CostUsd"
    BUDGET_REACHED = "BudgetReached"
    RECORDS_SENT = "RecordsSent"
    RECORDS_ESCALATED = "RecordsEscalated"
    ESCALATION_SHARE = "EscalationShare"
    JOB_WAIT_SECONDS = "JobWaitSeconds"
    OBJECTS_REFUSED = "ObjectsRefused"
    OBJECTS_WAITING = "ObjectsWaiting"
    OVERDUE_SECONDS = "OverdueSeconds"

    @property
    def kind(self) -> Kind:
        return KINDS[self]


KINDS: Mapping[Measure, Kind] = {
    Measure.ROWS_IN: Kind(Unit.COUNT, OF_TASK),
    Measure.ROWS_ACCEPTED: Kind(Unit.COUNT, OF_TASK),
    Measure.ROWS_UNRESOLVED: Kind(Unit.COUNT, OF_TASK),
    Measure.ROWS_REJECTED: Kind(Unit.COUNT, OF_TASK),
    Measure.UNRESOLVED_SHARE: Kind(Unit.NONE, OF_TASK, overall=True),
    Measure.COST_USD: Kind(Unit.NONE, OF_TASK),
    Measure.BUDGET_REACHED: Kind(Unit.COUNT, OF_TASK, overall=True),
    Measure.RECORDS_SENT: Kind(Unit.COUNT, OF_TIER),
    Measure.RECORDS_ESCALATED: Kind(Unit.COUNT, OF_TIER),
    Measure.ESCALATION_SHARE: Kind(Unit.NONE, OF_TIER, overall=True),
    Measure.JOB_WAIT_SECONDS: Kind(Unit.SECONDS, OF_TIER, overall=True),
    Measure.OBJECTS_REFUSED: Kind(Unit.COUNT, OF_ALL),
    Measure.OBJECTS_WAITING: Kind(Unit.COUNT, OF_ALL),
    Measure.OVERDUE_SECONDS: Kind(Unit.SECONDS, OF_ALL),
}


class Meter(Protocol):
    """Takes a value of a metric, with the task and the tier that it is about where its kind has them."""

    def __call__(self, measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None: ...


def ignore(measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None:
    """A meter that nobody reads."""
