"""What a certificate says in run.json, and in words: in the report and on the terminal alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.figures import percent, short_model
from sluice.runs.drawn import Certificate
from sluice.runs.state import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

HIGHEST = 2**32 - 1  # of a stored score
CERTIFIED = "certified"
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
    return {"status": CERTIFIED} | {
        name: value for name, value in msgspec.to_builtins(certificate).items() if name not in LEFT_OUT
    }


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

    @property
    def others(self) -> int:
        """The rows that the promise is about: good ones that were not drawn."""
        return self.population - self.sample

    @property
    def promise(self) -> str:
        """What is promised, in a sentence."""
        most, risk = (percent(1 - float(value), 1) for value in (self.agree, str(1 - float(self.delta))))
        return (
            f"At most {most} of the {self.others:,} rows that were not drawn carry another label than "
            f"{short_model(self.models[-1])} would have given: {self.at_most:,} rows. This is wrong with a probability "
            f"of at most {risk}"
        )

    def facts(self) -> Iterator[tuple[str, str]]:
        """What it rests on and comes to: names and values."""
        first, oracle = (short_model(model) for model in self.models)
        yield f"Rows that keep {first}'s label", f"{self.accepted_rows:,} ({percent(self.accepted_rows, self.others)})"
        if self.accepted_rows:
            share = percent(min(self.at_most, self.accepted_rows), self.accepted_rows)
            yield "The same limit as a share of these", share
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
        yield "Sampled rows above the threshold that may differ", f"{self.disagreements:,}"
        if self.threshold is not None:
            yield "Threshold of the score", f"{self.threshold.score / HIGHEST:.4f}"
        yield "Drawn", f"{self.sample:,} to certify by, {self.train:,} to teach the score, seed {self.seed}"
