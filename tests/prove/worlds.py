"""Made-up populations for the certificate: how sure the first tier is of each row, and whether the oracle agrees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from sluice.quality.certificate import Promise
from sluice.quality.rule import most_disagreements

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

TEXTS, REPEATED = 60, 0.3  # so many texts have this share of the rows
WRONG = 0.4  # of the texts of which the first tier is too sure
HASH_BITS = 32  # of a place, the lower ones; the score has the upper ones


class Score(StrEnum):
    """How the score came about."""

    CONTINUOUS = "continuous"
    WORDS = "three words"
    LEVELS = "five levels"
    UNINFORMATIVE = "uninformative"
    INVERTED = "inverted"
    SAW = "saw-tooth"
    BORDER = "just over the line"


class Trouble(StrEnum):
    """What is odd about the rows."""

    NONE = "none"
    GATES = "20% fail the gates"
    MISSING = "5% without an oracle's answer"
    TEXTS = "30% from 60 texts"
    HARD = "30% from 60 texts of which the first tier is too sure"


@dataclass(frozen=True)
class World:
    """Rows by number: places as one integer (0: none is accepted), whether each is bad, and which text it has."""

    place: NDArray[np.uint64]
    bad: NDArray[np.bool_]
    text: NDArray[np.int64]
    hash: NDArray[np.uint64]


def make_world(dice: Generator, rows: int, drawn: int, promise: Promise, score: Score, trouble: Trouble) -> World:
    """Make a population; rows of one text share probability, answer and place."""
    text = np.arange(rows)
    if trouble in (Trouble.TEXTS, Trouble.HARD):
        repeated = dice.random(rows) < REPEATED
        text[repeated] = rows + dice.integers(TEXTS, size=int(repeated.sum()))
    names, of_text = np.unique(text, return_inverse=True)
    texts = len(names)
    chance = dice.beta(1.6, 0.49, texts)
    bad = dice.random(texts) >= chance
    if trouble is Trouble.HARD:
        bad = np.where(names >= rows, dice.random(texts) < WRONG, bad)
    sure = _sure(dice, chance, score)
    if score is Score.BORDER:
        bad = _border(sure, of_text, rows, drawn, promise)
    tie = dice.integers(1, 2**HASH_BITS, size=texts, dtype=np.uint64)
    place = (np.round(sure * (2**31)).astype(np.uint64) << np.uint64(HASH_BITS)) + tie
    if trouble is Trouble.GATES:
        place[dice.random(texts) < 0.2] = 0
    if trouble is Trouble.MISSING:
        bad |= dice.random(texts) < 0.05
    return World(place[of_text], bad[of_text], of_text, tie[of_text])


def _sure(dice: Generator, chance: NDArray[np.float64], score: Score) -> NDArray[np.float64]:
    order = np.argsort(np.argsort(chance)) / len(chance)
    match score:
        case Score.CONTINUOUS:
            return chance
        case Score.WORDS:  # the top 60%, the next 30%, the last 10%
            return np.where(order >= 0.4, 1.0, np.where(order >= 0.1, 0.5, 0.0))
        case Score.LEVELS:
            return np.floor(order * 5) / 5
        case Score.UNINFORMATIVE | Score.BORDER:
            return dice.random(len(chance))
        case Score.INVERTED:
            return 1 - chance
        case Score.SAW:
            return (chance * 7) % 1


def _border(
    sure: NDArray[np.float64], of_text: NDArray[np.int64], rows: int, drawn: int, promise: Promise
) -> NDArray[np.bool_]:
    """Just one bad row more than a sample could overlook, all of them the surest: the worst that there is."""
    at_most = promise.most(rows, drawn)
    left = at_most + most_disagreements(rows, drawn, at_most, promise.delta) + 1
    sizes = np.bincount(of_text)
    by_score = np.argsort(-sure)
    bad = np.zeros(len(sizes), bool)
    bad[by_score[np.cumsum(sizes[by_score]) <= left]] = True
    return bad
