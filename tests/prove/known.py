"""Certificates against what people say, over populations in which both tiers err."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sluice.quality.certificate import (
    STEPS,
    Promise,
    Threshold,
    by_gold,
    furthest_step,
    last_safe_step,
    lowest_threshold,
    wrong_at,
)
from sluice.quality.rule import most_disagreements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sluice.quality.certificate import KnownRow, SampledRow

DELTA = Decimal("0.05")
SAID = {True: ("right",), False: ("wrong",)}


class World(NamedTuple):
    """A population: how often each tier is right, in the best rows and in the worst, and how many nobody can label."""

    rows: int
    drawn: int
    first: tuple[float, float]
    oracle: tuple[float, float]
    open: float
    worse: Decimal
    accuracy: Decimal


class Found(NamedTuple):
    """Shares of the repeats in which a promise was made and not kept, and what was accepted in the mean."""

    worse_missed: float
    accuracy_missed: float
    accepted: float


def redraw(dice: np.random.Generator, world: World, repeats: int) -> Found:
    """Draw a population once, and samples of it again and again."""
    hard = np.linspace(0, 1, world.rows)  # row 0 has the highest score
    first = dice.random(world.rows) < world.first[0] + (world.first[1] - world.first[0]) * hard
    oracle = dice.random(world.rows) < world.oracle[0] + (world.oracle[1] - world.oracle[0]) * hard
    known = dice.random(world.rows) >= world.open
    worse, right = Promise(1 - world.worse, DELTA), Promise(world.accuracy, DELTA)
    at_most = worse.most(world.rows, world.drawn)
    x = most_disagreements(world.rows, world.drawn, at_most, DELTA)
    edges = [world.rows * step // STEPS for step in range(STEPS + 1)]
    steps = [None, *(Threshold((world.rows - edge, 0) if edge < world.rows else None) for edge in edges[1:])]
    missed, accepted = np.zeros(2), 0
    for _ in range(repeats):
        sample = dice.choice(world.rows, world.drawn, replace=False)
        rows = [_row(world, n, first, oracle, known) for n in sample.tolist()]
        threshold = lowest_threshold([row for row, _ in rows], x)
        safe = last_safe_step(
            [wrong_at([row for _, row in rows], step) for step in steps], right, world.rows, world.drawn
        )
        if safe is None:
            continue
        cut = edges[furthest_step(steps, safe, threshold)]
        others = np.ones(world.rows, np.bool_)
        others[sample] = False
        final = np.where(np.arange(world.rows) < cut, first, oracle)
        bad = (~first & oracle)[:cut][others[:cut]].sum()
        missed += [bad > at_most, (~final & others).sum() > right.most(world.rows, world.drawn)]
        accepted += cut
    worse_missed, accuracy_missed = (missed / repeats).tolist()
    return Found(worse_missed, accuracy_missed, accepted / repeats / world.rows)


def _row(
    world: World, n: int, first: NDArray[np.bool_], oracle: NDArray[np.bool_], known: NDArray[np.bool_]
) -> tuple[SampledRow, KnownRow]:
    gold = SAID[True] if known[n] else None
    return by_gold((world.rows - n, 0), SAID[bool(first[n])], SAID[bool(oracle[n])], gold, taught=False)


WORLDS = tuple(
    World(rows, drawn, first, oracle, left_open, Decimal(worse), Decimal(accuracy))
    for rows, drawn in ((20_000, 500), (1_000, 500))
    for first, oracle, left_open, worse, accuracy in (
        ((0.99, 0.6), (0.97, 0.85), 0.0, "0.05", "0.85"),  # both err where it is hard
        ((0.9, 0.9), (0.95, 0.95), 0.0, "0.02", "0.9"),  # a score that says nothing
        ((0.98, 0.5), (0.9, 0.9), 0.0, "0.1", "0.87"),  # an oracle near the border
        ((0.6, 0.98), (0.97, 0.97), 0.0, "0.05", "0.9"),  # a score that is the wrong way round
        ((0.99, 0.6), (0.99, 0.95), 0.03, "0.05", "0.9"),  # rows that nobody can label
    )
)
