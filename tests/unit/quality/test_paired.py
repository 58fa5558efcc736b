"""Paired differences: against exact figures by hand, and what luck may and may not show."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from sluice.quality.paired import Difference, difference, mcnemar


def of(groups: list[tuple[int, int, bool, bool]]) -> Difference:
    """Rows as (records, rows of each, first right, second right)."""
    records: list[int] = []
    first: list[bool] = []
    second: list[bool] = []
    for many, rows, one, other in groups:
        for _ in range(many):
            number = len(set(records))
            records += [number] * rows
            first += [one] * rows
            second += [other] * rows
    return difference(np.array(records, np.uint64), np.array(first, np.bool_), np.array(second, np.bool_))


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 5), (0, 6), (3, 14), (40, 60), (7, 7), (8, 7), (900, 1100)])
def test_the_test_is_the_exact_binomial_one(one: int, other: int) -> None:
    """Twice the smaller tail of fair coins, in whole numbers; 1 of an even split and of nothing."""
    few, total = min(one, other), one + other
    tail = sum(math.comb(total, k) for k in range(few + 1))
    assert mcnemar(one, other) == pytest.approx(min(1.0, float(Fraction(2 * tail, 2**total))), rel=1e-9)
    assert mcnemar(one, other) == mcnemar(other, one)


def test_a_difference_has_its_rows_its_sign_and_the_interval_of_bonett_and_price() -> None:
    """Of 100 single rows: 20 right by the second alone, 5 by the first alone; the bounds are computed by hand."""
    found = of([(60, 1, True, True), (15, 1, False, False), (5, 1, True, False), (20, 1, False, True)])
    assert (found.rows, found.first_only, found.second_only, found.value, found.shown) == (100, 5, 20, 0.15, 1)
    up, down = 21 / 102, 6 / 102
    half = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / 102)
    assert (found.low, found.high) == pytest.approx((up - down - half, up - down + half), rel=0.02)
    turned = of([(60, 1, True, True), (15, 1, False, False), (5, 1, False, True), (20, 1, True, False)])
    assert (turned.value, turned.shown) == (-0.15, -1)
    assert turned.low == pytest.approx(-found.high)


def test_five_against_none_is_no_difference_and_six_are_one() -> None:
    """p is 0.0625, and 0.03125: nothing is called better that luck shows once in twenty times."""
    assert [of([(94, 1, True, True), (many, 1, False, True)]).shown for many in (5, 6)] == [0, 1]
    assert [of([(94, 1, True, True), (many, 1, False, True)]).p < 0.05 for many in (5, 6)] == [False, True]


def test_rows_of_one_text_count_once() -> None:
    """A hundred rows of one text that was mended are one piece of luck, however much of the file they are."""
    found = of([(100, 1, True, True), (1, 100, False, True)])
    assert (found.second_only, found.second_records, found.p, found.shown) == (100, 1, 1.0, 0)
    assert found.low < 0 < found.value
    alone = of([(100, 1, True, True), (100, 1, False, True)])
    assert (alone.shown, alone.p < 1e-20) == (1, True)


def test_the_two_have_to_agree_on_who_is_better() -> None:
    """One text of many rows against twelve single ones: rows speak for one, texts for the other, so that neither is."""
    found = of([(1000, 1, True, True), (12, 1, True, False), (1, 400, False, True)])
    assert (found.value > 0, found.p < 0.05, found.shown) == (True, True, 0)


def test_nothing_to_compare_says_nothing() -> None:
    """No row, or rows of a single record."""
    assert (of([]).value, of([]).p, of([]).shown) == (0.0, 1.0, 0)
    assert of([(1, 50, False, True)]).shown == 0


def test_luck_is_called_a_difference_in_one_of_twenty_comparisons_at_most() -> None:
    """Two equally good answers to 300 rows, of which a third share 10 texts, 1,000 times; the seed is fixed."""
    rng = np.random.default_rng(7)
    records = np.concatenate([np.arange(200), 200 + np.arange(100) % 10]).astype(np.uint64)
    shown = 0
    for _ in range(1000):
        one, other = (rng.random(210) < 0.8 for _ in range(2))
        shown += difference(records, one[records], other[records]).shown != 0
    assert shown <= 50
