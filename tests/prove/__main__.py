"""`make prove`: the promises of certificates, intervals and alarms, simulated; ends with 1 where one does not hold."""

from __future__ import annotations

import sys
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sluice.quality.alarm import LIMIT, evidence
from sluice.quality.certificate import Promise
from sluice.quality.intervals import share_of_clusters
from tests.prove.redraws import (
    Cell,
    bound,
    by_chance,
    by_key,
    by_ranks,
    by_tie_hash,
    one_per_text,
    redraw,
    worst_case,
)
from tests.prove.worlds import TEXTS, Score, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

REPEATS = 2_000
DELTA = Decimal("0.05")
SIZES = ((20_000, 200), (20_000, 500), (20_000, 1_000), (1_000, 500))
KEPT = (Decimal("0.90"), Decimal("0.95"), Decimal("0.98"))
USEFUL = dict(zip(KEPT, (0.90, 0.85, 0.75), strict=True))  # of the best possible

Finding = tuple[bool, str]


def cells(dice: np.random.Generator) -> Iterator[Finding]:
    """No kind of population is promised more than it keeps."""
    for (rows, drawn), kept in product(SIZES, KEPT):
        promise = Promise(kept, DELTA)
        exact = worst_case(rows, drawn, promise)
        yield exact <= DELTA, f"N {rows:,}, n {drawn:,}, T {kept}: worst case {float(exact):.5f}"
        for score, trouble in product(Score, Trouble):
            cell = Cell(rows, drawn, promise, score, trouble)
            found = redraw(dice, cell, REPEATS, by_ranks if rows <= 1_000 else by_chance)
            share = found.missed / found.repeats
            what = f"  {score}, {trouble}: {share:.4f} missed, {found.accepted:.3f} of the rows accepted"
            yield share <= bound(float(DELTA), found.repeats), what


def useful(dice: np.random.Generator) -> Iterator[Finding]:
    """Not too little is accepted."""
    for kept, asked in USEFUL.items():
        found = redraw(dice, Cell(20_000, 500, Promise(kept, DELTA), Score.CONTINUOUS, Trouble.NONE), REPEATS)
        yield found.of_best >= asked, f"T {kept}: {found.of_best:.3f} of the best possible (asked {asked})"
    found = redraw(dice, Cell(20_000, 500, Promise(KEPT[1], DELTA), Score.WORDS, Trouble.NONE), REPEATS)
    yield found.accepted >= 0.44, f"three words with ties broken: {found.accepted:.3f} of all rows (asked 0.44)"


def broken(dice: np.random.Generator) -> Iterator[Finding]:
    """Draws that are broken on purpose are seen to miss."""
    ways = (
        (by_key, Score.UNINFORMATIVE, Trouble.TEXTS),
        (one_per_text, Score.CONTINUOUS, Trouble.HARD),
        (by_tie_hash, Score.WORDS, Trouble.TEXTS),
    )
    for way, score, trouble in ways:
        found = redraw(dice, Cell(20_000, 500, Promise(KEPT[1], DELTA), score, trouble), REPEATS, way)
        share = found.missed / found.repeats
        yield share > bound(float(DELTA), found.repeats), f"{way.__name__}, {score}: {share:.3f} missed, as it has to"


def covering(dice: np.random.Generator) -> Iterator[Finding]:
    """Intervals cover where 30% of the rows come from 60 texts."""
    for accuracy, drawn in product((0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98), (100, 200, 500, 1_000, 2_000)):
        held = 0
        for _ in range(REPEATS):
            repeated = dice.multinomial(dice.binomial(drawn, 0.3), np.full(TEXTS, 1 / TEXTS))
            single = drawn - int(repeated.sum())
            count = dice.binomial(single, accuracy) + repeated[dice.random(TEXTS) < accuracy].sum()
            found = share_of_clusters(int(count), [*[1] * single, *repeated[repeated > 0].tolist()])
            held += found.low <= accuracy <= found.high
        yield held >= 0.93 * REPEATS, f"accuracy {accuracy}, n {drawn:,}: covered in {held / REPEATS:.4f}"


def quiet(dice: np.random.Generator) -> Iterator[Finding]:
    """False alarms are 3,650 runs apart in the mean."""
    for at_most, rows in ((0.02, 300), (0.08, 100), (0.08, 300), (0.2, 300)):
        factors = np.array([evidence(k, rows, at_most) for k in range(rows + 1)])
        values, waited, runs = np.zeros(400), np.zeros(400), 0
        while not waited.all():
            runs += 1
            values = np.minimum((values + 1) * factors[dice.binomial(rows, at_most, 400)], 1e30)
            waited[(waited == 0) & (values >= LIMIT)] = runs
        yield waited.mean() >= LIMIT, f"at most {at_most} of {rows}: {waited.mean():,.0f} runs to a false alarm"


def main() -> int:
    """Print what each part found, and count what did not hold."""
    failed = 0
    for part in (useful, broken, covering, quiet, cells):
        print((part.__doc__ or "").strip())
        for held, what in part(np.random.default_rng(2026)):
            failed += not held
            print(f"  {'' if held else 'FAILED: '}{what}", flush=True)
    print(f"{failed} failed" if failed else "all held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
