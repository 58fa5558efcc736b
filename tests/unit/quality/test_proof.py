from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sluice.quality.certificate import Promise
from tests.prove.redraws import Cell, bound, by_key, by_ranks, by_tie_hash, one_per_text, redraw, worst_case
from tests.prove.worlds import Score, Trouble

if TYPE_CHECKING:
    from tests.prove.redraws import Draw

PROMISE = Promise(Decimal("0.95"))


@pytest.mark.parametrize("score", Score)
def test_a_certificate_misses_no_more_often_than_it_says(score: Score) -> None:
    """Drawn again 60 times as a run draws, whatever the score, where texts have many rows (`make prove` has more)."""
    found = redraw(np.random.default_rng(1), Cell(1_000, 500, PROMISE, score, Trouble.TEXTS), 60, by_ranks)
    assert found.missed / found.repeats <= bound(0.05, found.repeats)


def test_the_worst_case_is_within_delta_exactly() -> None:
    """No tolerance: the largest probability of a miss, term by term."""
    assert worst_case(1_000, 500, PROMISE) <= Decimal("0.05")
    assert worst_case(20_000, 200, PROMISE) <= Decimal("0.05")


def test_a_good_score_accepts_most_of_what_could_be() -> None:
    """A certificate that accepts nothing would never miss."""
    found = redraw(np.random.default_rng(2), Cell(20_000, 500, PROMISE, Score.CONTINUOUS, Trouble.NONE), 60)
    assert found.of_best >= 0.84


@pytest.mark.parametrize(
    ("way", "score", "trouble"),
    [
        (by_key, Score.UNINFORMATIVE, Trouble.TEXTS),
        (one_per_text, Score.CONTINUOUS, Trouble.HARD),
        (by_tie_hash, Score.WORDS, Trouble.TEXTS),
    ],
)
def test_broken_draws_are_seen_to_miss(way: Draw, score: Score, trouble: Trouble) -> None:
    """What a run must not do is told from what it does."""
    found = redraw(np.random.default_rng(3), Cell(20_000, 500, PROMISE, score, trouble), 40, way)
    assert found.missed / found.repeats > bound(0.05, found.repeats)
