"""What a certificate says in run.json, and in words: in the report and on the terminal alike."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from sluice.figures import percent, short_model
from sluice.runs.drawn import CERTIFIED, MEASURED, Certificate, Differing, Repeats
from sluice.runs.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

HIGHEST = 2**32 - 1  # of a stored score
LAST = "last"  # of `against`
FLOORS_TOLD = 20
LEFT_OUT = ("format", "below", "sampled", "pieces", "forgotten", "judged")  # certificate.json has them

VOID = (
    "It is worth this run alone: with another prompt, label, model, size of packs or set of rows it says nothing. Rows "
    "that were drawn, and those that share a text with one, carry the oracle's label. It says nothing of whether the "
    "oracle is right."
)
VOID_BY_GOLD = (
    "It is worth this run alone: with another prompt, label, model, size of packs or set of rows it says nothing. Rows "
    "that were drawn, and those that share a text with one, carry the oracle's label. What is right is what people "
    "said of the sampled rows: where they err, so does it."
)
NOT_REACHED = (
    "The accuracy that was to be promised is not even shown of the oracle alone, so that no threshold keeps it. A "
    "larger sample shows more; a stronger oracle, or clearer labels, may reach it."
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


def _of_repeats(found: Repeats) -> str:
    if not found.answered:
        return f"none of {found.asked:,} sampled texts has two valid answers"
    share = (
        f"{percent(found.agreeing, found.answered)}; 95% interval {percent(found.low, 1)} to {percent(found.high, 1)}"
    )
    lacking = found.asked - found.answered
    rest = f"; {lacking:,} more lack a valid answer" if lacking else ""
    return f"{found.agreeing:,} of {found.answered:,} sampled texts ({share}){rest}"


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


class RunAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The promise of how many rows are right; sluice.runs.drawn.Accuracy says what stands where."""

    promised: str
    at_most: int
    wrong: list[int]
    safe: int | None = None
    taken: int | None = None

    def facts(self, oracle: str, sample: int) -> Iterator[tuple[str, str]]:
        """What it rests on: how many sampled rows are right where all go to the oracle, and at the step taken."""
        right = sample - self.wrong[0]
        yield f"{oracle} is right about", f"{right:,} of {sample:,} sampled rows ({percent(right, sample)})"
        if self.taken is not None:
            right = sample - self.wrong[self.taken]
            told = f"{right:,} of {sample:,} sampled rows ({percent(right, sample)})"
            yield f"Right at the threshold, step {self.taken} of {len(self.wrong) - 1}", told


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
    against: str = LAST
    open: int = 0
    accuracy: RunAccuracy | None = None
    floors: list[RunFloor] = field(default_factory=list)
    repeats: Repeats | None = None

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
        if not self.certified:
            return NOT_CERTIFIED if self.based_on is not None else NOT_REACHED
        return VOID if self.against == LAST else VOID_BY_GOLD

    @property
    def promise(self) -> str:
        """What is promised, in a sentence; of what was measured, what the sample shows."""
        if self.differing is not None and self.status == MEASURED:
            found, oracle = self.differing, short_model(self.models[-1])
            what = f"another label than {oracle} gave" if self.against == LAST else f"a label that {oracle} mends"
            return (
                f"Of {found.of:,} sampled rows {found.rows:,} ({percent(found.rows, found.of)}; 95% interval "
                f"{percent(found.low, 1)} to {percent(found.high, 1)}) would carry {what}. Nothing is promised"
            )
        if self.accuracy is not None and not self.certified:
            right = self.sample - self.accuracy.wrong[0]
            return (
                f"{short_model(self.models[-1])} alone is right about {right:,} of {self.sample:,} sampled rows, which "
                f"does not show that {_percent(Decimal(self.accuracy.promised))} of all are right. Nothing is promised"
            )
        return self._promised()

    def _promised(self) -> str:
        most, risk = _percent(1 - Decimal(self.agree)), _percent(Decimal(self.delta))
        rows, oracle = f"{self.others:,} rows that were not drawn", short_model(self.models[-1])
        if self.against == LAST:
            return (
                f"At most {most} of the {rows} carry another label than {oracle} would have given: {self.at_most:,} "
                f"rows. This is wrong with a probability of at most {risk}"
            )
        found = (
            f"At most {most} of the {rows} are wrong because {oracle} was not asked, which is right about them: "
            f"{self.at_most:,} rows. This is wrong with a probability of at most {risk}"
        )
        if self.accuracy is None:
            return found
        least = _percent(Decimal(self.accuracy.promised))
        return (
            f"{found}. At least {least} of them have the right label; wrong with at most {risk}, apart from the former"
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
            f"{first} and {oracle} agree on" if self.against == LAST else f"{first} is right, or {oracle} is not, on",
            f"{self.sampled_agreeing:,} of {self.sample:,} sampled rows ({agreeing})",
        )
        yield from self._of_oracle(oracle)
        if self.open:
            yield "Sampled rows that people left open", f"{self.open:,}, counted against the promise"
        if self.sampled_unanswered:
            yield (
                f"Sampled rows without a valid answer of {oracle}",
                f"{self.sampled_unanswered:,}, counted as {'differing' if self.against == LAST else 'bad'}",
            )
        if self.certified:
            may = "may differ" if self.against == LAST else "may be bad"
            yield f"Sampled rows above the threshold that {may}", f"{self.disagreements:,}"
        if self.threshold is not None:
            yield "Threshold of the score", f"{self.threshold.score / HIGHEST:.4f}"
        if self.certified:
            yield from self._of_floors(first, oracle)
        drawn_to = "certify by" if self.certified else "measure by"
        yield "Drawn", f"{self.sample:,} to {drawn_to}, {self.train:,} to teach the score, seed {self.seed}"

    def _of_oracle(self, oracle: str) -> Iterator[tuple[str, str]]:
        """How good the oracle itself is, as far as the sample tells."""
        if self.repeats is not None:
            yield f"{oracle}, asked twice, agrees with itself on", _of_repeats(self.repeats)
        if self.accuracy is not None:
            yield from self.accuracy.facts(oracle, self.sample)

    def _of_floors(self, first: str, oracle: str) -> Iterator[tuple[str, str]]:
        """The promises of single labels."""
        for floor in self.floors[:FLOORS_TOLD]:
            yield floor.fact(first, oracle)
        if len(self.floors) > FLOORS_TOLD:
            yield "Floors of more labels", f"{len(self.floors) - FLOORS_TOLD:,}, in certificate.json"
        if self.floors:
            risk = _percent(Decimal(self.delta))
            yield "Chance that any of these floors does not hold", f"at most {risk}, apart from the promise above"
