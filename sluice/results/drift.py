"""How far the rows of a run are from those that its learned model was measured on, in run.json and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from sluice.figures import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Beside earlier runs"
NAMED = 5  # labels


class NewRows(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of a new kind: `new` of `records`, with `new_rows` of `rows`.

    A text is of a new kind where a larger share of its words and n-grams was never seen than in 99% of the `drawn`
    texts of earlier runs, of which `beyond` were so. `share` is what is left of the texts beyond that, with its
    interval of 95% or more; where `low` is above 0, these rows are not like the earlier ones.
    """

    records: int
    rows: int
    new: int
    new_rows: int
    drawn: int
    beyond: int
    share: float
    low: float
    high: float
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        of = f"{self.new:,} of {self.records:,} texts ({percent(self.new, self.records)})"
        usual = f"as only {percent(self.beyond, self.drawn)} of {self.drawn:,} drawn texts of earlier runs"
        interval = f"95% interval {percent(self.low, 1)} to {percent(self.high, 1)}"
        if self.low > 0:
            kinds = f"New kinds of rows: about {percent(self.share, 1)} of the texts, {interval}"
            return f"{kinds}. {of}, with {self.new_rows:,} rows, have as many unknown words {usual}"
        return f"No new kinds of rows are shown ({interval}): {of} have as many unknown words {usual}"


class RunDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What is new: kinds of rows, shares of labels, and whether a learned tier keeps to what it had `stated`.

    `here` and `stated`: how often it gave the last tier's label to drawn rows of this run, and of the latest earlier
    one in which it was in service. `labels`: those whose share of the drawn records moved, with 95% certainty for all.
    `scores`: `below` of the drawn records of this run lie below the lowest tenth (`before`) of those of earlier runs,
    which are `lower` where that is more with 95% certainty.
    """

    new: NewRows | None = None
    labels: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, Any] | None = None
    stated: dict[str, Any] | None = None
    here: dict[str, Any] | None = None
    out_of_service: bool = False

    def sentences(self) -> Iterator[str]:
        """What was found, in sentences."""
        if self.stated is not None and self.here is not None:
            now, then = (f"{percent(s['count'], s['of'])} of {s['of']:,}" for s in (self.here, self.stated))
            said = f"the last tier's label to {now} drawn rows, where {then} had been stated"
            if self.out_of_service:
                yield (
                    f"The learned tier is out of service in this run, and all its rows went on: it gives {said}. That "
                    "stays the measure until `sluice learn` states another"
                )
            else:
                yield f"The learned tier gives {said}: not less with 95% certainty"
        if self.new is not None:
            yield self.new.sentence
        if self.scores is not None and self.scores["lower"]:
            yield _lower(self.scores)
        if self.labels:
            more = f" and {len(self.labels) - NAMED:,} more" if len(self.labels) > NAMED else ""
            yield f"Shares of labels moved: {', '.join(map(_moved, self.labels[:NAMED]))}{more} (of drawn texts)"

    @property
    def warnings(self) -> list[str]:
        """What is to be looked at."""
        found = list(self.sentences())
        told = [found[0]] if self.out_of_service else []
        told += [self.new.sentence] if self.new is not None and self.new.low > 0 else []
        return told + ([_lower(self.scores)] if self.scores is not None and self.scores["lower"] else [])


def _lower(scores: dict[str, Any]) -> str:
    now, then = percent(scores["below"], scores["of"]), percent(scores["before"], scores["of_before"])
    return (
        f"The learned model is less sure than it was: {now} of {scores['of']:,} drawn texts score as only {then} of "
        f"{scores['of_before']:,} drawn texts of earlier runs did, or lower; it had seen none of them"
    )


def _moved(label: dict[str, Any]) -> str:
    then, now = percent(label["before"], label["of_before"]), percent(label["rows"], label["of"])
    return f"{label['label']} from {then} to {now}"
