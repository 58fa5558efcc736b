"""What an audit says in run.json, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import field

from sluice.figures import percent, short_model

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURED = (
    "It is measured on these rows and promises nothing: a certificate, for which a task asks by quality, does. Rows "
    "that were drawn carry the last tier's label. It says nothing of whether that is right."
)


class TierAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Drawn rows that one tier below the last had accepted, and on how many of them the last agrees."""

    tier: int
    compared: int
    agreeing: int


class RunAudit(msgspec.Struct, frozen=True, kw_only=True):
    """How often the last tier says what a cheaper one had accepted, on rows that were drawn uniformly.

    `drawn` of `population` good rows, with `records` different texts. `compared`: those that a tier below the last had
    accepted and the last tier answered; on `agreeing` of them it gives the same labels. `low` and `high`: the 95%
    interval of that share among all rows that a tier below accepts, rows of one record counting as one cluster.
    `unanswered`: drawn rows without a valid answer of the last tier.
    """

    drawn: int
    population: int
    records: int
    compared: int
    agreeing: int
    low: float
    high: float
    unanswered: int
    oracle: str
    seed: str = ""
    tiers: list[TierAudit] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        oracle = short_model(self.oracle)
        if not self.compared:
            return f"Of {self.drawn:,} drawn rows no cheaper tier accepted one that {oracle} answered: nothing compares"
        share = percent(self.agreeing, self.compared)
        return (
            f"{oracle} gives the same label to {self.agreeing:,} of {self.compared:,} drawn rows that a cheaper tier "
            f"had accepted: {share}, 95% interval {percent(self.low, 1)} to {percent(self.high, 1)}"
        )

    def facts(self, names: list[str]) -> Iterator[tuple[str, str]]:
        """What it rests on: names and values. `names`: those of the tiers."""
        yield "Drawn uniformly", f"{self.drawn:,} of {self.population:,} good rows, seed {self.seed}"
        for each in self.tiers:
            if each.compared:
                share = percent(each.agreeing, each.compared)
                yield f"The same label as {names[each.tier]}", f"{each.agreeing:,} of {each.compared:,} ({share})"
        onward = self.drawn - self.compared - self.unanswered
        if onward:
            yield "Drawn rows that no cheaper tier had accepted", f"{onward:,}"
        if self.unanswered:
            yield f"Drawn rows without a valid answer of {short_model(self.oracle)}", f"{self.unanswered:,}"
