"""A meter whose readings a test can look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sluice.aws.metrics import OF_ALL, OF_TASK, OF_TIER

if TYPE_CHECKING:
    from sluice.aws.metrics import Measure


class Reading(NamedTuple):
    measure: Measure
    value: float
    task: str | None
    tier: int | None


@dataclass
class Readings:
    """Takes values, each with exactly the dimensions of its kind."""

    taken: list[Reading] = field(default_factory=list)

    def __call__(self, measure: Measure, value: float, *, task: str | None = None, tier: int | None = None) -> None:
        given = OF_TIER if tier is not None else OF_TASK if task is not None else OF_ALL
        assert measure.kind.dimensions == given, f"{measure} is told of {measure.kind.dimensions}, not {given}"
        self.taken.append(Reading(measure, value, task, tier))

    def values(self, measure: Measure) -> list[float]:
        return [reading.value for reading in self.taken if reading.measure is measure]

    def total(self, measure: Measure) -> float:
        return sum(self.values(measure))
