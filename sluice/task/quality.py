"""What a run finds out about its labels: a promise of how many differ from the strongest tier's, or an audit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from sluice.task.base import Strict, Whole

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED = 20  # labels that a message lists
MOST_DRAWN = 100_000  # rows of a sample or to teach by: plan reads them one by one
MOST_DIFFERING = Decimal("0.5")  # of an audit's alarm, which looks for half as many again
FEWEST_TAUGHT = 200  # rows to teach by, below which a score says next to nothing
AGREE, WORSE = Decimal("0.95"), Decimal("0.02")
Exact = Annotated[Decimal, Field(gt=0, lt=1, max_digits=6)]


class Quality(Strict):
    """A promise about the labels, wrong with a probability of at most `delta`.

    At most 1 - `agree` of them differ from the last tier's; or, against known answers, at most `worse` of them are
    wrong where the last tier is right.
    """

    against: Literal["last", "gold"] = Field(
        "last",
        description="What labels are held against: last, what the last tier says; gold, what people say of the sample, "
        "which `sluice sample INPUT` draws before the run.",
    )
    agree: Exact = Field(AGREE, description="The share of rows that carry the label that it would give.")
    worse: Exact = Field(
        WORSE,
        description="With against: gold, the share of rows that may be wrong because the last tier was not asked, "
        "which is right about them.",
    )
    accuracy: Exact | None = Field(
        None,
        description="With against: gold, the share of rows that have to be right, whoever gave the label; none: "
        "nothing is promised of it.",
    )
    delta: Exact = Field(Decimal("0.05"), description="The chance that is accepted that this does not hold.")
    sample: Annotated[Whole, Field(ge=1, le=MOST_DRAWN)] = Field(
        500, description="Rows drawn for the certificate: both tiers are asked about them."
    )
    train: Annotated[Whole, Field(ge=FEWEST_TAUGHT, le=MOST_DRAWN)] = Field(
        2000, description="Rows drawn to teach the score; the last tier's label of them stands."
    )

    repeats: Annotated[int, Field(ge=0, le=MOST_DRAWN)] = Field(
        100,
        description="Sampled texts that the last tier is asked about a second time, to tell how often it agrees with "
        "itself; 0: none.",
    )

    floors: dict[str, Exact] = Field(
        {},
        description="Labels, each with the share of the first tier's answers of it that have to be right at least: a "
        "promise of its own, apart from `agree`. Together they fail with a probability of at most `delta`.",
    )

    @model_validator(mode="after")
    def _fits_what_it_is_against(self) -> Quality:
        """An option that says nothing here would be believed to say something."""
        if self.by_gold:
            if self.agree != AGREE:
                raise ValueError("agree: says how often the last tier agrees; against: gold takes worse, and accuracy")
            if self.floors:
                raise ValueError("floors: are held against the last tier; leave them out beside against: gold")
        elif self.worse != WORSE or self.accuracy is not None:
            name = "accuracy" if self.accuracy is not None else "worse"
            raise ValueError(f"{name}: is about known answers; say against: gold, or leave it out")
        return self

    @model_validator(mode="after")
    def _enough_is_drawn(self) -> Quality:
        """Too small a sample can promise nothing, however good the answers are and however many rows there are."""
        for kept, what in self.promises:
            if Fraction(kept) ** self.sample > Fraction(self.delta):
                least = smallest_sample(Fraction(kept), Fraction(self.delta))
                raise ValueError(
                    f"sample: {self.sample} rows can never show that {what}, at a risk of "
                    f"{self.delta}; it takes {least} or more" + ", in practice some hundreds" * (least < 500)
                )
        return self

    @property
    def by_gold(self) -> bool:
        """Whether labels are held against what people say."""
        return self.against == "gold"

    @property
    def kept(self) -> Decimal:
        """The share of rows that is promised not to be bad."""
        return 1 - self.worse if self.by_gold else self.agree

    @property
    def promises(self) -> list[tuple[Decimal, str]]:
        """The share of rows of each promise, and what is promised of so many."""
        if not self.by_gold:
            return [(self.agree, f"{self.agree} of the labels agree")]
        found = [(self.kept, f"at most {self.worse} are wrong where the last tier is right")]
        return found + ([] if self.accuracy is None else [(self.accuracy, f"{self.accuracy} of the labels are right")])

    def floor_problems(self, labels: Mapping[str, object], *, many: bool) -> list[str]:
        """What is wrong with the floors of a task with these labels: no label, several to a row, or no use."""
        found = [
            f"quality.floors.{label}: is no label of the task; there are: {', '.join(list(labels)[:NAMED])}"
            for label in self.floors
            if label not in labels
        ]
        if self.floors and many:
            found.append("quality.floors: an answer has to be one label; leave them out beside choose: many")
        for label, least in self.floor_samples().items():
            if least > self.sample:
                found.append(
                    f"quality.floors.{label}: takes {least:,} sampled rows of this label alone (of {len(self.floors)} "
                    f"floors each fails with {self.delta} / {len(self.floors)} at most), and sample has {self.sample:,}"
                )
        return found

    def floor_samples(self) -> dict[str, int]:
        """How many sampled rows that the first tier calls so each floor takes at least, of rows without an end."""
        risk = Fraction(self.delta) / max(1, len(self.floors))
        return {label: smallest_sample(Fraction(share), risk) for label, share in self.floors.items()}


class Audit(Strict):
    """Rows that are drawn to be asked of the last tier, too: how often does it say what cheaper tiers had accepted?"""

    rows: Annotated[Whole, Field(ge=1, le=MOST_DRAWN)] = Field(
        300,
        description="About how many rows that a cheaper tier accepts are compared. Half as many again are drawn, since "
        "those that go to the last tier anyway tell nothing of the others, and cost nothing more.",
    )
    at_most: Annotated[Decimal, Field(gt=0, le=MOST_DIFFERING, max_digits=6)] | None = Field(
        None,
        description="An alarm where over the task's runs a larger share of what cheaper tiers accept gets another "
        "label from the last one, as 0.08. Without it nobody is told.",
    )

    @property
    def drawn(self) -> int:
        """How many rows are drawn."""
        return self.rows + (self.rows + 1) // 2


def smallest_sample(agree: Fraction, delta: Fraction) -> int:
    """The least n with agree**n <= delta: so many rows that all agree say something of a population without an end."""
    low, high = 0, 1
    while agree**high > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if agree**middle <= delta else (middle, high)
    return high
