from __future__ import annotations

import pytest

from benchmarks.learned import Row, key_of, lambda_dollars, settled, split
from sluice.quality.score import tie


def test_what_is_settled_follows_the_scores() -> None:
    """All where nothing is bad, the upper half where the lower is, nothing where no row has a place."""
    places = [(score, 0) for score in range(2_000)]
    assert settled(places, [False] * 2_000, seed=1) == 1.0
    assert 0.5 < settled(places, [score < 1_000 for score in range(2_000)], seed=1) < 0.55
    assert settled([None] * 2_000, [True] * 2_000, seed=1) == 0.0
    by_hash = [(0, tie(key_of(str(n)))) for n in range(2_000)]
    assert settled(by_hash, [n % 4 == 0 for n in range(2_000)], seed=1) < 0.2


def test_labels_are_split_in_two() -> None:
    """75 of them, each into two that are about as frequent."""
    rows = [Row(key_of(str(n)), str(n), f"label {n % 77}") for n in range(9_000)]
    found = split(rows)
    assert (len(found), len({row.truth for row in found}), len({row.key for row in found})) == (10_000, 150, 10_000)


def test_dollars_of_lambda_by_hand() -> None:
    """A million rows at 4,000 a second and 16 seconds to read them, at half the pace: 532 seconds of 1.73 GB."""
    assert lambda_dollars(4_000) == pytest.approx(532 * 1769 / 1024 * 0.0000133334)
