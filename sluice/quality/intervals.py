"""What a drawn sample says of all rows: shares with 95% intervals.

Wilson's interval (E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical inference") holds at
shares near 0 and 1 too; with fewer than ten rows of a kind the exact one takes its place (C. J. Clopper and
E. S. Pearson, 1934). Rows of one record are right or wrong together: n such rows are worth n² / sum of m², with m rows
of each record (L. Kish, 1965, "Survey Sampling"); the exact interval of so many is that of E. L. Korn and
B. I. Graubard (1998).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NORMAL_95 = 1.959964  # of a normal distribution: 95% lie within so many standard deviations
BASIS = "95% Wilson interval"
FEW = 10  # rows of a kind, below which no normal distribution describes them
TAIL = 0.025  # of an exact interval, on either side
HALVINGS = 60  # of an interval in which a bound is sought: beyond a float's digits


@dataclass(frozen=True, slots=True)
class Share:
    """A share of `of` as it was seen, and the interval in which that of all records lies, 95 times of 100."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else 0.0


class Interval(NamedTuple):
    """The bounds of a 95% interval."""

    low: float
    high: float


def share(count: int, of: int, *, all_of_them: bool = False) -> Share:
    """A share with Wilson's interval; nothing is uncertain where all records were looked at."""
    if all_of_them and of:
        return Share(count, of, count / of, count / of)
    low, high = wilson(count, of)
    return Share(count, of, low, high)


def clustered_share(rows: Iterable[tuple[str, bool]]) -> Share:
    """The share of true ones among drawn rows, each with its record; rows of one record count as one cluster."""
    sizes: Counter[str] = Counter()
    count = 0
    for record, true in rows:
        sizes[record] += 1
        count += true
    return share_of_clusters(count, list(sizes.values()))


def share_of_clusters(count: int, sizes: Sequence[int]) -> Share:
    """The same of a count and of how many rows each record has."""
    of = sum(sizes)
    worth = effective(sizes)
    hits = count / of * worth if of else 0.0
    bounds = exact(hits, worth) if min(hits, worth - hits) < FEW else wilson(hits, worth)
    return Share(count, of, *bounds)


def effective(sizes: Sequence[int]) -> float:
    """How many rows with records of their own so many rows are worth, given how many each record has."""
    squares = sum(size * size for size in sizes)
    return sum(sizes) ** 2 / squares if squares else 0.0


def wilson(count: float, of: float) -> Interval:
    """Wilson's interval; all is possible where nothing was seen."""
    if not of:
        return Interval(0.0, 1.0)
    p, z2 = count / of, NORMAL_95**2
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_95 / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return Interval(max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < of else 1.0)


def exact(count: float, of: float) -> Interval:
    """The exact interval; `count` and `of` need not be whole, as those of clusters are not."""
    if not of:
        return Interval(0.0, 1.0)
    low = 0.0 if count <= 0 else _root(lambda p: beta_share(p, count, of - count + 1) - TAIL)
    high = 1.0 if count >= of else _root(lambda p: beta_share(p, count + 1, of - count) - (1 - TAIL))
    return Interval(low, high)


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises over [0, 1] is 0."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22), evaluated from its front."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # beyond it the other side's fraction is the quick one
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    before, now = (1.0, 0.0), (1.0, 1.0)  # numerator and denominator of the fraction, one step and none behind
    for step in range(1, 100_000):
        term = _beta_term(step, x, a, b)
        top, bottom = now[0] + term * before[0], now[1] + term * before[1]
        before, now = (now[0] / bottom, now[1] / bottom), (top / bottom, 1.0)
        if abs(now[0] - before[0] / (before[1] or math.inf)) < 1e-15 * abs(now[0]):
            break
    return front / now[0]


def _beta_term(step: int, x: float, a: float, b: float) -> float:
    m = step // 2
    if step % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


# Shares of labels, corrected for what the classifier gets wrong.


@dataclass(frozen=True, slots=True)
class LabelShare:
    """The share of all rows that truly have a label; `plain` where it comes from the drawn rows' true labels alone."""

    share: float
    low: float
    high: float
    plain: bool


def label_share(given: int, population: int, drawn: Sequence[tuple[str, bool, bool]]) -> LabelShare:
    """Correct a label's share of `given` / `population` by drawn rows: (record, has it given, has it truly).

    Prediction-powered inference with its tuned weight (A. N. Angelopoulos, J. C. Duchi and T. Zrnic, 2023, "PPI++"):
    what was given to all rows, plus the mean error in the drawn ones. With fewer than ten drawn rows of a kind, or ten
    errors, a normal distribution describes none of it: then the plain share of the drawn rows, with its interval.
    """
    n, truths, errors = len(drawn), sum(true for *_, true in drawn), sum(said != true for _, said, true in drawn)
    if min(truths, n - truths, errors) < FEW:
        plain = clustered_share((record, true) for record, _, true in drawn)
        return LabelShare(plain.value, plain.low, plain.high, plain=True)
    said_mean, true_mean = sum(said for _, said, _ in drawn) / n, truths / n
    spread = said_mean * (1 - said_mean)
    both = sum(said and true for _, said, true in drawn) / n - said_mean * true_mean
    weight = both / spread if spread else 0.0
    centre = true_mean + weight * (given / population - said_mean)
    residuals = [true - true_mean - weight * (said - said_mean) for _, said, true in drawn]
    worth = effective(list(Counter(record for record, *_ in drawn).values()))
    half = NORMAL_95 * math.sqrt(sum(each * each for each in residuals) / (n - 1) / worth)
    return LabelShare(min(1.0, max(0.0, centre)), max(0.0, centre - half), min(1.0, centre + half), plain=False)
