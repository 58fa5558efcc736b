from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import comb
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.quality.rule import REFUSED, allowed, is_safe, most_disagreements, smallest_sample

FIVE = Decimal("0.05")


def tail(count: int, population: int, bad: int, drawn: int) -> Fraction:
    """P(Hypergeometric <= count), term by term."""
    ways = sum(comb(bad, k) * comb(population - bad, drawn - k) for k in range(min(count, drawn) + 1))
    return Fraction(ways, comb(population, drawn))


def by_trying_all(population: int, drawn: int, at_most: int, delta: Fraction) -> int:
    """The largest x of all that there could be, without a search."""
    could = range(min(drawn, population - at_most - 1) + 1)
    return max((x for x in could if tail(x, population, at_most + x + 1, drawn) <= delta), default=REFUSED)


@pytest.mark.parametrize("promised", ["0.5", "0.8", "0.9", "0.95", "0.98", "1"])
@pytest.mark.parametrize("delta", ["0.01", "0.05", "0.2"])
def test_is_the_largest_number_that_is_safe_of_all(promised: str, delta: str) -> None:
    """The search finds what trying every number finds, also where sample and population are small or nearly equal."""
    for population in (1, 2, 9, 40, 61, 150):
        for drawn in {0, 1, population // 3, population // 2, population - 1, population}:
            at_most = allowed(population, drawn, Decimal(promised))
            expected = by_trying_all(population, drawn, at_most, Fraction(delta))
            assert most_disagreements(population, drawn, at_most, Decimal(delta)) == expected, (population, drawn)


@settings(max_examples=60)
@given(st.data())
def test_is_the_largest_number_at_random_sizes(data: st.DataObject) -> None:
    """The same holds at sizes nobody has chosen."""
    population = data.draw(st.integers(1, 600))
    drawn = data.draw(st.integers(0, population))
    at_most = allowed(population, drawn, Fraction(data.draw(st.integers(50, 100)), 100))
    delta = Fraction(data.draw(st.integers(1, 40)), 100)
    assert most_disagreements(population, drawn, at_most, delta) == by_trying_all(population, drawn, at_most, delta)


def test_keeps_its_promise_over_every_sample_of_small_populations() -> None:
    """Going through all samples, the rule misses exactly as often as it says where bad rows come first, never more."""
    for population, drawn, promised, delta in ((10, 4, "0.6", "0.2"), (12, 6, "0.5", "0.2"), (13, 6, "0.5", "0.05")):
        at_most = allowed(population, drawn, Decimal(promised))
        x = most_disagreements(population, drawn, at_most, Decimal(delta))
        assert x != REFUSED
        for bad in range(population + 1):
            missed = 0
            for sample in combinations(range(population), drawn):  # rows 0 to bad - 1 are bad, and have the best scores
                found = [row for row in sample if row < bad]
                limit = found[x] if len(found) > x else population  # the row at which acceptance ends
                missed += min(limit, bad) - sum(row < limit for row in found) > at_most
            risk = Fraction(missed, comb(population, drawn))
            assert risk <= Fraction(delta)
            if bad == at_most + x + 1:
                assert risk == tail(x, population, bad, drawn)


@pytest.mark.parametrize(
    ("population", "drawn", "promised", "at_most", "x"),
    [
        (1_000, 500, "0.95", 25, 14),
        (1_000, 500, "0.98", 10, 3),
        (20_000, 500, "0.90", 1_950, 38),
        (20_000, 500, "0.95", 975, 16),
        (20_000, 500, "0.98", 390, 4),
        (10**8, 500, "0.95", 4_999_975, 16),
        (10**8, 58, "0.95", 4_999_997, REFUSED),
        (10**8, 59, "0.95", 4_999_997, 0),
    ],
)
def test_gives_known_numbers(population: int, drawn: int, promised: str, at_most: int, x: int) -> None:
    """Fixed cases, worked out by exact fractions elsewhere; just too small a sample is refused."""
    assert allowed(population, drawn, Decimal(promised)) == at_most
    assert most_disagreements(population, drawn, at_most, FIVE) == x


def test_is_exact_where_a_binomial_would_promise_too_much() -> None:
    """The binomial allows numbers whose true risk is above delta: the rule never does, nor stops short of the last."""
    population, drawn = 25_001, 500
    at_most = allowed(population, drawn, Decimal("0.95"))
    x = most_disagreements(population, drawn, at_most, FIVE)
    assert is_safe(x, population, drawn, at_most + x + 1, FIVE)
    assert not is_safe(x + 1, population, drawn, at_most + x + 2, FIVE)


def test_a_risk_equal_to_delta_is_safe() -> None:
    """`At most delta` holds its own border, which a float would miss on either side."""
    risk = tail(2, 50, 20, 15)
    assert is_safe(2, 50, 15, 20, risk)
    assert not is_safe(2, 50, 15, 20, risk - Fraction(1, 10**60))


def test_shares_are_decimals_not_floats() -> None:
    """Five in a hundred of 40 rows are two: a float of 0.95 would leave one."""
    assert allowed(60, 20, Decimal("0.95")) == 2
    assert allowed(60, 20, Fraction(95, 100)) == 2


def test_more_rows_than_there_are_cannot_be_drawn() -> None:
    """A sample larger than its population is a mistake of the caller."""
    with pytest.raises(ValueError, match="11 rows cannot be drawn of 10"):
        allowed(10, 11, FIVE)


@pytest.mark.parametrize(("labels", "drawn"), [(1, 59), (5, 90), (10, 104), (77, 144)])
def test_tells_what_a_sample_takes(labels: int, drawn: int) -> None:
    """The smallest sample with which nothing may differ, for one promise and for the floors of several labels."""
    assert smallest_sample(Decimal("0.95"), Fraction(FIVE) / labels) == drawn


def test_tells_what_a_sample_takes_of_a_known_number_of_rows() -> None:
    """In a finite population it is the first size that is not refused."""
    for population in (30, 100, 1_000):
        size = smallest_sample(Decimal("0.9"), FIVE, population)
        assert size is not None
        numbers = [
            most_disagreements(population, n, allowed(population, n, Decimal("0.9")), FIVE) for n in range(1, size + 1)
        ]
        assert set(numbers[:-1]) == {REFUSED}
        assert numbers[-1] >= 0


def test_some_promises_take_every_row_or_more_than_there_are() -> None:
    """That no row at all differs can be promised only of a population that ends."""
    assert smallest_sample(Decimal(1), FIVE) is None
    assert smallest_sample(Decimal(1), FIVE, 100) == 95
    assert smallest_sample(Decimal(0), FIVE) == 1


def test_is_quick_at_the_largest_sizes() -> None:
    """A hundred million rows and a sample of 2,000 take a fraction of a second."""
    begin = perf_counter()
    assert most_disagreements(10**8, 2_000, allowed(10**8, 2_000, Decimal("0.95")), FIVE) == 83
    assert perf_counter() - begin < 2
