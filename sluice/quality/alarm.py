"""An alarm over a task's runs that may be looked at after each: do more answers differ than is allowed?

The Shiryaev-Roberts detector over e-values (J. Shin, A. Ramdas and A. Rinaldo, 2022, "E-detectors"): while the true
share is at most `at_most` in each run, R less the number of runs is expected not to grow, so that the first alarm, at
R >= 3,650, is 3,650 runs away in the mean, however often somebody looks. Behind an alarm it begins anew: what is over
is told once, what lasts again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LIMIT = 3_650.0  # ten years of nightly runs
TIMES = (1.5, 2.0, 3.0)  # of `at_most`: the shares that are looked for
LARGEST = 1e300  # of R, which has to stay a number in JSON


class Look(NamedTuple):
    """What a run's drawn rows say: of `rows` that count, `differ` have another answer than the oracle's."""

    run: str
    differ: int
    rows: int


class Standing(NamedTuple):
    """How the detector stands after a run."""

    run: str
    value: float

    @property
    def alarm(self) -> bool:
        """Whether more differs than is allowed."""
        return self.value >= LIMIT


def evidence(differ: int, rows: int, at_most: float) -> float:
    """The e-value of a run: expected to be at most 1 while the share is at most `at_most`.

    Raises:
        ValueError: a share at or above two thirds, half as much again of which is no share.

    """
    sought = [times * at_most for times in TIMES if times * at_most < 1]
    if not sought or at_most <= 0:
        raise ValueError(f"{at_most} is no share to hold an alarm against: give more than 0 and less than 2/3")
    logs = [
        differ * math.log(share / at_most) + (rows - differ) * (math.log1p(-share) - math.log1p(-at_most))
        for share in sought
    ]
    top = max(logs)
    mean = top + math.log(sum(math.exp(each - top) for each in logs) / len(logs))
    return math.exp(min(mean, math.log(LARGEST)))


def moved(value: float, look: Look, at_most: float) -> Standing:
    """How the detector stands after a run, which stood at `value` before: R <- (R + 1) * e, from 0 behind an alarm."""
    before = 0.0 if value >= LIMIT else value
    return Standing(look.run, min(LARGEST, (before + 1) * evidence(look.differ, look.rows, at_most)))


def follow(looks: Iterable[Look], at_most: float, value: float = 0.0) -> Iterator[Standing]:
    """Yield how the detector stands after each run, in the order of publishing; a run that comes again counts once."""
    seen: set[str] = set()
    for look in looks:
        if look.run in seen:
            continue
        seen.add(look.run)
        standing = moved(value, look, at_most)
        value = standing.value
        yield standing
