"""What a certificate says in run.json, and in words: in the report and on the terminal alike."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from sluice.figures import percent, short_model
from sluice.runs.drawn import CERTIFIED, MEASURED, Certificate, Differing
from sluice.runs.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

HIGHEST = 2**32 - 1  # of a stored score
FLOORS_TOLD = 20
LEFT_OUT = ("format", "below", "sampled", "pieces")  # certificate.json has them

VOID = (
    "It is worth this run alone: with another prompt, label, model, size of packs or set of rows it says nothing. Rows "
    "that were drawn, and those that share a text with one, carry the oracle's label. It says nothing of whether the "
    "oracle is right."
)


def told(certificate: Certificate | None) -> dict[str, Any] | None:
    """`certificate` of run.json: all of it but the lists, which stand in certificate.json beside it."""
    if certificate is None:
        return None
    return {name: value for name, value in msgspec.to_builtins(certificate).items() if name not in LEFT_OUT}


def _percent(share: Decimal) -> str:
    return percent(float(100 * share), 100)


NOT_CERTIFIED = (
    "The answers of a certified run were judged again by another task, under that run's thresholds: what its sample "
    "says was known by then. A new run of the files draws anew, and can be certified."
)


class RunFloor(msgspec.Struct, frozen=True, kw_only=True):
    """The promise of a single label; sluice.runs.drawn.Floor says what stands where."""

    label: str
    keep: str
    population: int
    sample: int
    at_most: int
    disagreements: int
    accepted_rows: int
    threshold: Place | None = None

    def fact(self, first: str, oracle: str) -> tuple[str, str]:
        """What is promised of it, and what it came to."""
        name, others = f"Rows that {first} calls {self.label}", self.population - self.sample
        if self.disagreements < 0:
            return name, f"{self.sample:,} of {self.population:,} were sampled, too few: all go to {oracle}"
        most = _percent(1 - Decimal(self.keep))
        return name, f"at most {most} differ ({self.at_most:,} of {others:,}); {self.accepted_rows:,} keep it"


class RunCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as the report reads it; sluice.runs.state.Certificate says what stands where."""

    agree: str
    delta: str
    population: int
    sample: int
    train: int
    at_most: int
    disagreements: int
    accepted_records: int
    accepted_rows: int
    sampled_agreeing: int
    sampled_unanswered: int
    best_share: float
    seed: str
    models: list[str]
    threshold: Place | None = None
    status: str = CERTIFIED
    based_on: str | None = None
    differing: Differing | None = None
    floors: list[RunFloor] = field(default_factory=list)

    @property
    def others(self) -> int:
        """The rows that the promise is about: good ones that were not drawn."""
        return self.population - self.sample

    @property
    def certified(self) -> bool:
        """Whether anything is promised."""
        return self.status == CERTIFIED

    @property
    def title(self) -> str:
        """What it is."""
        return "Certificate" if self.certified else "Measured, not certified"

    @property
    def note(self) -> str:
        """What it is worth."""
        return VOID if self.certified else NOT_CERTIFIED

    @property
    def promise(self) -> str:
        """What is promised, in a sentence; of what was measured, what the sample shows."""
        if self.differing is not None and self.status == MEASURED:
            found = self.differing
            return (
                f"Of {found.of:,} sampled rows {found.rows:,} ({percent(found.rows, found.of)}; 95% interval "
                f"{percent(found.low, 1)} to {percent(found.high, 1)}) would carry another label than "
                f"{short_model(self.models[-1])} gave. Nothing is promised"
            )
        most, risk = _percent(1 - Decimal(self.agree)), _percent(Decimal(self.delta))
        return (
            f"At most {most} of the {self.others:,} rows that were not drawn carry another label than "
            f"{short_model(self.models[-1])} would have given: {self.at_most:,} rows. This is wrong with a probability "
            f"of at most {risk}"
        )

    def facts(self) -> Iterator[tuple[str, str]]:
        """What it rests on and comes to: names and values."""
        first, oracle = (short_model(model) for model in self.models)
        if self.based_on is not None:
            yield "Judged again", f"the answers of {self.based_on}"
        yield f"Rows that keep {first}'s label", f"{self.accepted_rows:,} ({percent(self.accepted_rows, self.others)})"
        if self.certified and self.accepted_rows:
            share = percent(min(self.at_most, self.accepted_rows), self.accepted_rows)
            yield "The same limit as a share of these", share
        if self.certified:
            yield "Best that any score could do, by the sample", f"about {percent(self.best_share, 1)}"
        agreeing = percent(self.sampled_agreeing, self.sample)
        yield (
            f"{first} and {oracle} agree on",
            f"{self.sampled_agreeing:,} of {self.sample:,} sampled rows ({agreeing})",
        )
        if self.sampled_unanswered:
            yield (
                f"Sampled rows without a valid answer of {oracle}",
                f"{self.sampled_unanswered:,}, counted as differing",
            )
        if self.certified:
            yield "Sampled rows above the threshold that may differ", f"{self.disagreements:,}"
        if self.threshold is not None:
            yield "Threshold of the score", f"{self.threshold.score / HIGHEST:.4f}"
        if self.certified:
            yield from self._of_floors(first, oracle)
        drawn_to = "certify by" if self.certified else "measure by"
        yield "Drawn", f"{self.sample:,} to {drawn_to}, {self.train:,} to teach the score, seed {self.seed}"

    def _of_floors(self, first: str, oracle: str) -> Iterator[tuple[str, str]]:
        """The promises of single labels."""
        for floor in self.floors[:FLOORS_TOLD]:
            yield floor.fact(first, oracle)
        if len(self.floors) > FLOORS_TOLD:
            yield "Floors of more labels", f"{len(self.floors) - FLOORS_TOLD:,}, in certificate.json"
        if self.floors:
            risk = _percent(Decimal(self.delta))
            yield "Chance that any of these floors does not hold", f"at most {risk}, apart from the promise above"
