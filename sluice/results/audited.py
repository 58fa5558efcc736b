"""What an audit says in run.json, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import field

from sluice.figures import percent, short_model

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 10_000  # from here on a figure is told by its size alone
MEASURED = (
    "It is measured on these rows and promises nothing: a certificate, for which a task asks by quality, does. Rows "
    "that were drawn carry the last tier's label. It says nothing of whether that is right."
)


class TierAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Drawn rows that one tier below the last had accepted, and on how many of them the last agrees."""

    tier: int
    compared: int
    agreeing: int


class AuditAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """What the audits of a task's runs say together, behind this one.

    `value`: R, how much speaks for a share of differing labels above `at_most` in the latest `runs` runs; at `limit`
    and above there is an `alarm`. While the share is at most `at_most` in each run, a false alarm is `limit` runs away
    in the mean. `counted`: the run that these draws have counted for, this one or an earlier one over the same files;
    `last_alarm`: the latest run with an alarm.
    """

    at_most: str
    alarm: bool
    value: float
    limit: float
    runs: int
    counted: str
    last_alarm: str | None = None

    def sentence(self, oracle: str) -> str:
        """How it stands, in a sentence."""
        share = percent(100 * float(self.at_most), 100)
        runs = f"{self.runs:,} audited run{'s' * (self.runs > 1)}"
        figures = f"R {_short(self.value)}, alarm at {_short(self.limit)}"
        if self.alarm:
            return (
                f"Audit alarm: more than {share} of the labels that cheaper tiers accept differ from those of "
                f"{short_model(oracle)}, as the task's latest {runs} show ({figures})"
            )
        return f"No alarm: the task's latest {runs} do not show that more than {share} differ ({figures})"


def _short(value: float) -> str:
    return f"{value:,.4g}" if value < MANY else f"{value:.2g}"


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
    alarm: AuditAlarm | None = None

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

    @property
    def sentences(self) -> str:
        """What was found, and how the alarm stands if the task has one."""
        return ". ".join([self.sentence, *([self.alarm.sentence(self.oracle)] if self.alarm else [])]) + "."

    def facts(self, names: list[str]) -> Iterator[tuple[str, str]]:
        """What it rests on: names and values. `names`: those of the tiers."""
        yield "Drawn uniformly", f"{self.drawn:,} of {self.population:,} good rows, seed {self.seed}"
        for each in self.tiers:
            if each.compared:
                share = percent(each.agreeing, each.compared)
                yield f"The same label as {names[each.tier]}", f"{each.agreeing:,} of {each.compared:,} ({share})"
        if self.alarm is not None and self.alarm.last_alarm is not None and not self.alarm.alarm:
            yield "The latest alarm of the task", self.alarm.last_alarm
        onward = self.drawn - self.compared - self.unanswered
        if onward:
            yield "Drawn rows that no cheaper tier had accepted", f"{onward:,}"
        if self.unanswered:
            yield f"Drawn rows without a valid answer of {short_model(self.oracle)}", f"{self.unanswered:,}"
