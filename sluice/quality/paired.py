"""Two answers to each of many rows: how far apart they are right, with an interval, and whether that may be luck.

Rows of one record are right or wrong together, so that a record is what is drawn: the test counts records, and the
interval takes the rows for as few as their records make of them (E. L. Korn and B. I. Graubard, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sluice.quality.intervals import NORMAL_95, Interval, beta_share, effective

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUCK = 0.05  # a difference that luck shows as often as this is none


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often the second answer is right than the first, over `rows` of `records`.

    `first_only` and `second_only` count the rows of which one answer alone is right, the `_records` those records that
    have more of one kind than of the other. `p` is the probability of a split of these records at least as uneven as
    this one, were both answers equally good (Q. McNemar, 1947, in its exact form); the bounds are those of a 95%
    interval of the difference.
    """

    rows: int
    records: int
    first_only: int
    second_only: int
    first_records: int
    second_records: int
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        """The difference as a share of the rows: above 0 where the second is right more often."""
        return (self.second_only - self.first_only) / self.rows if self.rows else 0.0

    @property
    def shown(self) -> int:
        """1 where test and interval say that the second is better, -1 that it is worse; 0 where it may be luck."""
        if self.p > LUCK or self.low <= 0 <= self.high:
            return 0
        better = 1 if self.second_records > self.first_records else -1
        return better if better * self.value > 0 else 0


def difference(records: NDArray[np.uint64], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Difference:
    """Compare two answers, of which each row has both: its record, and whether each is right."""
    change = second.astype(np.int64) - first.astype(np.int64)
    _, of, sizes = np.unique(records, return_inverse=True, return_counts=True)
    sums = np.bincount(of, change, minlength=len(sizes)).astype(np.int64)
    ups, downs = int((change > 0).sum()), int((change < 0).sum())
    better, worse = int((sums > 0).sum()), int((sums < 0).sum())
    low, high = _interval(downs, ups, sizes, sums)
    return Difference(len(change), len(sizes), downs, ups, worse, better, low, high, mcnemar(worse, better))


def mcnemar(one: int, other: int) -> float:
    """The two-sided exact p of a split into two that are equally likely: 1 where it is even, or there is nothing."""
    few, of = min(one, other), one + other
    return 1.0 if 2 * few >= of else min(1.0, 2 * beta_share(0.5, of - few, few + 1))


def _interval(downs: int, ups: int, sizes: NDArray[np.int64], sums: NDArray[np.int64]) -> Interval:
    """The adjusted Wald interval of D. G. Bonett and R. M. Price (2012), over as many rows as the records make."""
    rows = int(sizes.sum())
    if not rows:
        return Interval(-1.0, 1.0)
    worth = _worth(downs, ups, sizes, sums)
    up, down = ((count / rows * worth + 1) / (worth + 2) for count in (ups, downs))
    half = NORMAL_95 * math.sqrt((up + down - (up - down) ** 2) / (worth + 2))
    return Interval(max(-1.0, up - down - half), min(1.0, up - down + half))


def _worth(downs: int, ups: int, sizes: NDArray[np.int64], sums: NDArray[np.int64]) -> float:
    """How many rows with records of their own would let the difference vary as much: at most so many as records."""
    rows, records = int(sizes.sum()), len(sizes)
    mean = (ups - downs) / rows
    single = (ups + downs) / rows - mean**2
    spread = float(np.square(sums - mean * sizes).sum()) / rows**2
    if records < 2 or not spread:
        return effective(sizes.tolist())
    return min(float(records), single / (spread * records / (records - 1)))
