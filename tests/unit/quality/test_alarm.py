from __future__ import annotations

import math
import random
from itertools import accumulate
from statistics import mean

import pytest

from sluice.quality.alarm import LARGEST, LIMIT, Look, evidence, follow


@pytest.mark.parametrize("at_most", [0.01, 0.08, 0.3, 0.6])
@pytest.mark.parametrize("rows", [0, 1, 20, 300])
def test_evidence_is_expected_to_be_one_at_the_border_and_less_below(at_most: float, rows: int) -> None:
    """Over all counts that there can be, which is what makes the alarm valid at every look."""
    for share in (at_most, at_most / 2):
        expected = math.fsum(
            math.comb(rows, k) * share**k * (1 - share) ** (rows - k) * evidence(k, rows, at_most)
            for k in range(rows + 1)
        )
        assert expected == pytest.approx(1) if share == at_most else expected <= 1 + 1e-9


def test_evidence_is_the_mean_over_three_shares() -> None:
    """Worked out by hand: one row that differs of two, at most a tenth allowed."""
    by_hand = mean((q / 0.1) * ((1 - q) / 0.9) for q in (0.15, 0.2, 0.3))
    assert evidence(1, 2, 0.1) == pytest.approx(by_hand)


@pytest.mark.parametrize("at_most", [0.0, 0.7, 1.0])
def test_a_share_without_a_larger_one_is_refused(at_most: float) -> None:
    """There is nothing to look for above it."""
    with pytest.raises(ValueError, match="less than 2/3"):
        evidence(1, 2, at_most)


def test_a_run_counts_once() -> None:
    """One that is published again changes nothing; the value goes on from where it stood."""
    looks = [Look("a", 30, 300), Look("b", 26, 300), Look("a", 90, 300), Look("c", 24, 300)]
    found = list(follow(looks, 0.08))
    assert [standing.run for standing in found] == ["a", "b", "c"]
    value = found[0].value
    assert next(iter(follow(looks[1:2], 0.08, value))).value == found[1].value
    assert found[1].value == pytest.approx((value + 1) * evidence(26, 300, 0.08))


def test_twice_as_many_as_allowed_are_seen_within_days() -> None:
    """At a share of 16% where 8% are allowed, the alarm comes within four runs."""
    dice = random.Random(5)
    for _ in range(50):
        looks = [Look(str(n), sum(dice.random() < 0.16 for _ in range(300)), 300) for n in range(4)]
        assert any(standing.alarm for standing in follow(looks, 0.08))


def test_behind_an_alarm_it_begins_anew() -> None:
    """One bad night is told once, however bad, and what lasts again; the value stays a finite number."""
    bad, fine = 3_000, 0
    found = list(follow([Look(str(n), differ, 3_000) for n, differ in enumerate((bad, fine, bad))], 0.08))
    assert [standing.alarm for standing in found] == [True, False, True]
    assert found[0].value == pytest.approx(LARGEST)
    assert found[1].value == pytest.approx(evidence(fine, 3_000, 0.08))


def test_false_alarms_are_ten_years_apart() -> None:
    """With exactly as many as allowed in each nightly run, the first alarm comes after 3,650 runs in the mean."""
    dice = random.Random(11)
    at_most, rows = 0.08, 100
    chances = [math.comb(rows, k) * at_most**k * (1 - at_most) ** (rows - k) for k in range(rows + 1)]
    factors, bounds = [evidence(k, rows, at_most) for k in range(rows + 1)], list(accumulate(chances))
    waited = []
    for _ in range(60):
        value, runs = 0.0, 0
        while value < LIMIT:
            for factor in dice.choices(factors, cum_weights=bounds, k=500):
                value, runs = (value + 1) * factor, runs + 1
                if value >= LIMIT:
                    break
        waited.append(runs)
    assert mean(waited) >= 3_650
