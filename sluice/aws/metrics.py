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
    """What a metric counts; `overall`: for the whole environment too, since an alarm looks at all tasks at once."""

    about: str
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
    NOTHING_ACCEPTED = "NothingAccepted"
    AUDIT_ALARM = "AuditAlarm"
    RECORDS_SENT = "RecordsSent"
    RECORDS_ESCALATED = "RecordsEscalated"
    ESCALATION_SHARE = "EscalationShare"
    JOB_WAIT_SECONDS = "JobWaitSeconds"
    THROTTLED_SECONDS = "ThrottledSeconds"
    OBJECTS_REFUSED = "ObjectsRefused"
    OBJECTS_WAITING = "ObjectsWaiting"
    OVERDUE_SECONDS = "OverdueSeconds"

    @property
    def kind(self) -> Kind:
        return KINDS[self]


KINDS: Mapping[Measure, Kind] = {
    Measure.ROWS_IN: Kind("rows of published runs", Unit.COUNT, OF_TASK),
    Measure.ROWS_ACCEPTED: Kind("rows with a label", Unit.COUNT, OF_TASK),
    Measure.ROWS_UNRESOLVED: Kind("rows that no tier could settle", Unit.COUNT, OF_TASK),
    Measure.ROWS_REJECTED: Kind("rows that could not be sent", Unit.COUNT, OF_TASK),
    Measure.UNRESOLVED_SHARE: Kind("unresolved share of a run's rows", Unit.NONE, OF_TASK, overall=True),
    Measure.COST_USD: Kind("what jobs cost, when they are settled", Unit.NONE, OF_TASK),
    Measure.BUDGET_REACHED: Kind("runs that their budget ended", Unit.COUNT, OF_TASK, overall=True),
    Measure.NOTHING_ACCEPTED: Kind(
        "published runs with rows, none of them accepted", Unit.COUNT, OF_TASK, overall=True
    ),
    Measure.AUDIT_ALARM: Kind(
        "published runs whose audit tells that more labels differ than the task allows",
        Unit.COUNT,
        OF_TASK,
        overall=True,
    ),
    Measure.RECORDS_SENT: Kind("records of settled jobs", Unit.COUNT, OF_TIER),
    Measure.RECORDS_ESCALATED: Kind("of those, passed on to the next tier", Unit.COUNT, OF_TIER),
    Measure.ESCALATION_SHARE: Kind("passed on share of what a run sent to a tier", Unit.NONE, OF_TIER, overall=True),
    Measure.JOB_WAIT_SECONDS: Kind(
        "how long a batch job has been waiting for its turn, at each look", Unit.SECONDS, OF_TIER, overall=True
    ),
    Measure.THROTTLED_SECONDS: Kind(
        "how long all calls of a job on demand have been throttled, at each try", Unit.SECONDS, OF_TIER, overall=True
    ),
    Measure.OBJECTS_REFUSED: Kind("dropped objects that no run can read", Unit.COUNT, OF_ALL),
    Measure.OBJECTS_WAITING: Kind("objects in the inbox, each minute", Unit.COUNT, OF_ALL),
    Measure.OVERDUE_SECONDS: Kind("how long the oldest object that is due waits, each minute", Unit.SECONDS, OF_ALL),
}


class Meter(Protocol):
    """Takes a value of a metric, with the task and the tier that it is about where its kind has them."""

    def __call__(self, measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None: ...


def ignore(measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None:
    """A meter that nobody reads."""
