"""Where the first tier's answers may stand, and what can be promised of them: thresholds out of a drawn sample.

A place is a row's (score, hash of its record's key): higher is surer, and rows of one text share one. None stands for a
row that no threshold accepts, since its first answer failed a hard gate or is none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from sluice.quality.rule import REFUSED, allowed, is_safe, most_disagreements, smallest_sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sluice.quality.rule import Exact

Place = tuple[int, int]
STEPS = 20  # of an absolute accuracy: thresholds at every 5% of the population


class SampledRow(NamedTuple):
    """A drawn row: its place, the label that the first tier gave it, and whether that counts against it.

    `bad` is what the promise is about: another label than the oracle's, or wrong by a known answer where the oracle is
    right. A row whose oracle, or whose person, gave no answer is bad. Twins of one record are a row each.
    """

    place: Place | None
    bad: bool
    label: str | None = None


class Threshold(NamedTuple):
    """What is accepted: rows with a place strictly `above` this one; all that have a place where it is None."""

    above: Place | None

    def accepts(self, place: Place | None) -> bool:
        """Whether a row with this place is accepted."""
        return place is not None and (self.above is None or place > self.above)


@dataclass(frozen=True, slots=True)
class Promise:
    """At most 1 - `kept` of the rows that were not drawn are bad; wrong with a probability of at most `delta`."""

    kept: Exact
    delta: Exact = Decimal("0.05")

    def most(self, population: int, drawn: int) -> int:
        """A: how many rows that were not drawn may be accepted and bad."""
        return allowed(population, drawn, self.kept)


@dataclass(frozen=True, slots=True)
class Certified:
    """What a sample allows, for one promise: A, x and the threshold; None where it is too small for its promise.

    A threshold above which nothing lies is a valid one: the promise then holds, and nothing is accepted.
    """

    population: int
    drawn: int
    at_most: int
    disagreements: int
    threshold: Threshold | None

    @property
    def refused(self) -> bool:
        """Whether nothing can be promised."""
        return self.threshold is None

    def share_of(self, accepted: int) -> Fraction:
        """The promise as a share of the rows that were accepted, of which it is higher than of all rows."""
        return min(Fraction(1), Fraction(self.at_most, accepted)) if accepted else Fraction(0)


def certify(promise: Promise, population: int, sample: Sequence[SampledRow]) -> Certified:
    """Find the lowest threshold that a promise allows. `population` counts all rows that could have been drawn."""
    at_most = promise.most(population, len(sample))
    x = most_disagreements(population, len(sample), at_most, promise.delta)
    return Certified(population, len(sample), at_most, x, None if x == REFUSED else lowest_threshold(sample, x))


def lowest_threshold(sample: Iterable[SampledRow], disagreements: int) -> Threshold:
    """The threshold at the first bad row, from the top, that is one too many; rows are counted, twins one by one."""
    bad = sorted((row.place for row in sample if row.bad and row.place is not None), reverse=True)
    return Threshold(bad[disagreements] if len(bad) > disagreements else None)


def certify_labels(
    floors: Mapping[str, Exact], delta: Exact, populations: Mapping[str, int], sample: Sequence[SampledRow]
) -> dict[str, Certified]:
    """A threshold for each label that has a floor, so that all floors together fail with at most `delta`.

    Each is certified at delta / K within the rows, and the sampled rows, that the first tier calls so; `populations`
    counts the former, the sampled ones among them. A label that is refused goes up whole.
    """
    risk = Fraction(delta) / max(1, len(floors))
    return {
        label: certify(Promise(kept, risk), populations.get(label, 0), [row for row in sample if row.label == label])
        for label, kept in floors.items()
    }


def accepts(row: SampledRow, overall: Certified, labels: Mapping[str, Certified]) -> bool:
    """Whether a row passes the overall threshold and, if its label has a floor, that of its label."""
    floor = labels.get(row.label) if row.label is not None else None
    return all(each.threshold is not None and each.threshold.accepts(row.place) for each in (overall, floor) if each)


def label_samples(floors: Mapping[str, Exact], delta: Exact) -> dict[str, int | None]:
    """How many sampled rows of a label its floor takes, in a population without an end; None where none are enough."""
    risk = Fraction(delta) / max(1, len(floors))
    return {label: smallest_sample(kept, risk) for label, kept in floors.items()}


# An absolute accuracy, against known answers.


class KnownRow(NamedTuple):
    """A drawn row with a known answer; a row that the person leaves open counts as wrong by both."""

    place: Place | None
    first_wrong: bool
    oracle_wrong: bool


Said = Collection[str]  # labels


def by_gold(
    place: Place | None, first: Said | None, oracle: Said | None, gold: Said | None, *, taught: bool
) -> tuple[SampledRow, KnownRow]:
    """A drawn row as both promises against known answers count it.

    `first` and `oracle` are None where there is no valid answer, `gold` where the person left the row open. A `taught`
    row shares a record that teaches: its label is the oracle's whatever the threshold.
    """
    known = gold is not None
    first_right = gold is not None and first is not None and set(first) == set(gold)
    oracle_right = gold is not None and oracle is not None and set(oracle) == set(gold)
    [row] = worse_than_oracle([(place, first_right if known else None, oracle_right if oracle is not None else None)])
    return (
        SampledRow(place, bad=row.bad and not taught),
        KnownRow(None if taught else place, first_wrong=not first_right, oracle_wrong=not oracle_right),
    )


def worse_than_oracle(rows: Iterable[tuple[Place | None, bool | None, bool | None]]) -> list[SampledRow]:
    """Drawn rows as (place, first tier is right, oracle is right) for a promise against known answers.

    A row is bad when the first answer is wrong and the oracle's is right, and when one of both is unknown (None), since
    the person left it open or the oracle gave no valid answer.
    """
    return [
        SampledRow(place, bad=first is None or oracle is None or (not first and oracle))
        for place, first, oracle in rows
    ]


def wrong_at(rows: Sequence[KnownRow], step: Threshold | None) -> int:
    """How many drawn rows end with a wrong label: the first tier's above the threshold, else the oracle's.

    None as the threshold sends every row to the oracle.
    """
    return sum(row.first_wrong if step is not None and step.accepts(row.place) else row.oracle_wrong for row in rows)


def furthest_step(steps: Sequence[Threshold | None], safe: int, worse: Threshold) -> int:
    """The furthest step, up to the last `safe` one, that accepts nothing which `worse` does not; 0 accepts nothing.

    Each step up to the last safe one may be taken, since all of them hold together; and what holds at a threshold of
    the rule holds at every higher one.
    """

    def is_within(step: Threshold | None) -> bool:
        return step is None or worse.above is None or (step.above is not None and step.above >= worse.above)

    return max(number for number, step in enumerate(steps[: safe + 1]) if is_within(step))


def last_safe_step(wrong: Sequence[int], accuracy: Promise, population: int, drawn: int) -> int | None:
    """How far fixed steps may go while the share of right labels is safe; None where even the first step is not.

    `wrong` counts the drawn rows with a wrong final label at each step, from "all to the oracle" on. The steps are
    fixed before a known answer is seen, and tried in this order up to the first that fails, so that no correction for
    several tests is due (fixed sequence testing: W. Maurer, L. Hothorn and W. Lehmacher, 1995).
    """
    at_most = accuracy.most(population, drawn)
    last = None
    for step, count in enumerate(wrong):
        if not is_safe(count, population, drawn, at_most + count + 1, accuracy.delta):
            break
        last = step
    return last
