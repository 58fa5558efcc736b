"""What the score of first answers came to where it decides without a certificate, in run.json and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.figures import percent, short_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.drawn import ScoreGate

LEFT_OUT = (
    "format",
    "below",
    "drawn_accepted",
    "unseen",
    "threshold",
    "judged",
)  # score.json in the run's own folder has them
TITLE = "Score, measured"
RULE_OF_THUMB = (
    "It is a rule of thumb, measured on rows that taught it too, each with the score of a model that had not seen it. "
    "It promises nothing: a certificate, for which a task asks by quality, does. Rows that were drawn carry the last "
    "tier's label. It says nothing of whether that is right."
)


def scored(gate: ScoreGate | None) -> dict[str, Any] | None:
    """`score` of run.json: all of it but the lists."""
    if gate is None:
        return None
    return {name: value for name, value in msgspec.to_builtins(gate).items() if name not in LEFT_OUT}


class RunScore(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as the report reads it; sluice.runs.drawn.ScoreGate says what stands where."""

    min_score: float
    population: int
    drawn: int
    models: list[str]
    lessons: int
    scored_records: int
    accepted_records: int
    accepted_rows: int
    measured: int
    agreeing: int
    above: int
    above_agreeing: int
    low: float
    high: float
    seed: str = ""
    untaught: str | None = None
    out_of_service: bool = False

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        first, oracle = short_model(self.models[0]), short_model(self.models[-1])
        if self.untaught is not None:
            return f"No answer of {first} has a score, and all went on: {self.untaught}"
        if self.out_of_service:
            less = f"it agrees with {oracle} less than it had stated"
            return f"{first} is out of service in this run: {less}, and all went on"
        if not self.above:
            of = f"Measured on {self.measured:,} drawn rows"
            return f"{of}: no answer of {first} has a score of {self.min_score:g} or more"
        share = percent(self.above_agreeing, self.above)
        return (
            f"{oracle} gives the same label to {self.above_agreeing:,} of {self.above:,} drawn rows whose answer by "
            f"{first} has a score of {self.min_score:g} or more: {share}, 95% interval {percent(self.low, 1)} to "
            f"{percent(self.high, 1)}, measured on {self.measured:,} drawn rows"
        )

    def facts(self) -> Iterator[tuple[str, str]]:
        """What it rests on and comes to: names and values."""
        first, oracle = short_model(self.models[0]), short_model(self.models[-1])
        others = self.population - self.drawn
        yield f"Rows that keep {first}'s label", f"{self.accepted_rows:,} of {others:,} that were not drawn"
        if self.measured:
            agreeing = percent(self.agreeing, self.measured)
            yield f"{first} and {oracle} agree on", f"{self.agreeing:,} of {self.measured:,} drawn rows ({agreeing})"
            above = percent(self.above, self.measured)
            yield "Drawn rows with that score", f"{self.above:,} of {self.measured:,} ({above})"
        yield "Taught by", f"{self.lessons:,} records of {self.drawn:,} rows, drawn uniformly, seed {self.seed}"
