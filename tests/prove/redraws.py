"""Drawn again and again: how often a certificate misses, with draws as they are and with draws broken on purpose."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sluice.quality.certificate import Promise, SampledRow, lowest_threshold
from sluice.quality.draws import Ranked, Ranks, draw
from sluice.quality.rule import REFUSED, most_disagreements
from tests.prove.worlds import HASH_BITS, Score, Trouble, World, make_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Draw = Callable[[Generator, World, int], NDArray[np.int64]]

WORLDS = 20  # populations of a cell
LOWER = (1 << HASH_BITS) - 1


class Cell(NamedTuple):
    """One kind of population, sample and promise."""

    rows: int
    drawn: int
    promise: Promise
    score: Score
    trouble: Trouble


class Outcome(NamedTuple):
    """How often a cell missed, of so many repeats; how much it accepted of all rows, and of the best possible."""

    missed: int
    repeats: int
    accepted: float
    of_best: float


def bound(delta: float, repeats: int) -> float:
    """The share of misses that chance explains."""
    return delta + 3.3 * math.sqrt(delta * (1 - delta) / repeats)


def worst_case(rows: int, drawn: int, promise: Promise) -> Fraction:
    """The exact probability of a miss where it is highest, term by term; 0 of what is refused."""
    at_most = promise.most(rows, drawn)
    x = most_disagreements(rows, drawn, at_most, promise.delta)
    bad = at_most + x + 1
    if x == REFUSED:
        return Fraction(0)
    return Fraction(sum(comb(bad, k) * comb(rows - bad, drawn - k) for k in range(x + 1)), comb(rows, drawn))


def by_ranks(dice: Generator, world: World, drawn: int) -> NDArray[np.int64]:
    """Draw as a run does: by keyed hashes of source and line."""
    ranks = Ranks(dice.bytes(16).hex())
    rows = sorted(Ranked(ranks.of("s3://made-up/rows.jsonl", line), "", line, None) for line in range(len(world.bad)))
    return np.array([row.line for row in draw([rows], drawn, 0).sample])


def by_chance(dice: Generator, world: World, drawn: int) -> NDArray[np.int64]:
    """Draw rows uniformly, as ranks do, in less time."""
    return dice.choice(len(world.bad), drawn, replace=False, shuffle=False)


def by_key(dice: Generator, world: World, drawn: int) -> NDArray[np.int64]:
    """Broken: rank the texts, so that rows of one text are drawn together."""
    rank = dice.permutation(int(world.text.max()) + 1)
    return np.argsort(rank[world.text], kind="stable")[:drawn]


def one_per_text(dice: Generator, world: World, drawn: int) -> NDArray[np.int64]:
    """Broken: draw texts, and one row of each."""
    order: NDArray[np.int64] = dice.permutation(len(world.bad))
    _, first = np.unique(world.text[order], return_index=True)
    found: NDArray[np.int64] = order[dice.permutation(first)[:drawn]]
    return found


def by_tie_hash(_dice: Generator, world: World, drawn: int) -> NDArray[np.int64]:
    """Broken: the smallest of the hashes that break ties, so that a word's lowest rows speak for all of it."""
    return np.argsort(world.hash, kind="stable")[:drawn]


def threshold(world: World, sample: NDArray[np.int64], x: int) -> int:
    """The threshold of a sample, as the certificate finds it, as one integer."""
    places = world.place[sample[world.bad[sample] & (world.place[sample] > 0)]].tolist()
    found = lowest_threshold([SampledRow((each >> HASH_BITS, each & LOWER), bad=True) for each in places], x).above
    return 0 if found is None else (found[0] << HASH_BITS) + found[1]


def redraw(dice: Generator, cell: Cell, repeats: int, sample_by: Draw = by_chance) -> Outcome:
    """Draw again and again, from several populations of one kind."""
    at_most = cell.promise.most(cell.rows, cell.drawn)
    x = most_disagreements(cell.rows, cell.drawn, at_most, cell.promise.delta)
    if x == REFUSED:
        return Outcome(0, repeats, 0.0, 0.0)
    missed, accepted, of_best = 0, 0.0, 0.0
    each = max(1, repeats // WORLDS)
    for _ in range(repeats // each):
        world = make_world(dice, *cell)
        most = best(world, math.floor((1 - Fraction(cell.promise.kept)) * cell.rows))
        order = np.argsort(world.place)
        places, bad_below = world.place[order], np.concatenate([[0], np.cumsum(world.bad[order])])
        for _ in range(each):
            sample = sample_by(dice, world, cell.drawn)
            above = np.uint64(threshold(world, sample, x))
            below = int(np.searchsorted(places, above, "right"))  # rows that are not accepted
            share = 1 - below / cell.rows
            accepted += share
            of_best += share / most if most else 1.0
            drawn = int((world.bad[sample] & (world.place[sample] > above)).sum())
            missed += int(bad_below[-1] - bad_below[below]) - drawn > at_most
    done = repeats // each * each
    return Outcome(missed, done, accepted / done, of_best / done)


def best(world: World, at_most: int) -> float:
    """The share of all rows that a threshold could accept at best, for somebody who knows which are bad."""
    order = np.argsort(world.place)[::-1]
    order = order[world.place[order] > 0]
    good: NDArray[np.bool_] = np.cumsum(world.bad[order]) <= at_most
    return float(good.sum() / len(world.bad))
