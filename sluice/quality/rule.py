"""The certificate's rule: how many sampled disagreements a threshold may leave above it. Exact: no float decides.

A population of N rows, n of them drawn uniformly without replacement. Of the N - n others at most A may be accepted and
bad. Order the bad rows by falling score: some threshold has at most x sampled and more than A other bad rows above it
exactly if of the first A + x + 1 bad rows at most x were drawn. That happens with probability
P(Hypergeometric(N, A + x + 1, n) <= x), or never where there are fewer bad rows. So the largest x with a probability of
at most delta keeps the promise at *every* threshold with at most x sampled bad rows above it, however the score came
about. If at most x of the first A + x + 1 were drawn, at most x + 1 of the first A + x + 2 were: the probability grows
with x, and the largest x is found by search. The binomial in its place is not on the safe side.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    Exact = Decimal | Fraction  # of a share or a risk: what a float of the same digits is not

REFUSED = -1  # x of a sample that is too small for its promise
SLACK = 1e-3  # of a logarithm from log-gamma at 10^9 rows, far beyond its error


def allowed(population: int, drawn: int, promised: Exact) -> int:
    """A: how many of the rows that were not drawn may be accepted and bad, where a share `promised` must not be."""
    _check(population, drawn)
    return math.floor((1 - Fraction(promised)) * (population - drawn))


def is_safe(count: int, population: int, drawn: int, bad: int, delta: Exact) -> bool:
    """Whether P(Hypergeometric(population, bad, drawn) <= count) <= delta, in exact integers.

    False where there are more bad rows than rows: such a count refutes nothing.
    """
    if bad > population:
        return False
    fewest, most = max(0, drawn - (population - bad)), min(drawn, bad)
    risk = Fraction(delta)
    if count >= most:
        return risk >= 1
    if count < fewest:
        return True
    ways = math.comb(bad, fewest) * math.comb(population - bad, drawn - fewest)
    total = ways
    for k in range(fewest, count):
        ways = ways * (bad - k) * (drawn - k) // ((k + 1) * (population - bad - drawn + k + 1))
        total += ways
    return total * risk.denominator <= risk.numerator * math.comb(population, drawn)


def most_disagreements(population: int, drawn: int, at_most: int, delta: Exact) -> int:
    """x: how many sampled bad rows may lie above the threshold; `REFUSED` where the sample is too small for any.

    `at_most` is A. A search with log-gamma says where to look, exact integers decide.
    """
    _check(population, drawn)

    def safe(x: int) -> bool:
        return is_safe(x, population, drawn, at_most + x + 1, delta)

    x = _last(lambda x: _log_tail(x, population, at_most + x + 1, drawn) <= _log(delta), min(drawn, population))
    while safe(x + 1):
        x += 1
    while x > REFUSED and not safe(x):
        x -= 1
    return x


def smallest_sample(promised: Exact, delta: Exact, population: int | None = None) -> int | None:
    """How many rows have to be drawn before anything at all can be promised; None where no number is enough.

    With `population` None for one without an end, where each drawn row is bad by itself with probability 1 - promised.
    """
    good, risk = Fraction(promised), Fraction(delta)
    if population is None:
        return _unbounded(good, risk)
    for drawn in range(1, population + 1):
        at_most = allowed(population, drawn, good)
        near = _log_tail(0, population, at_most + 1, drawn) <= _log(risk) + SLACK
        if near and is_safe(0, population, drawn, at_most + 1, risk):
            return drawn
    return None


def _unbounded(good: Fraction, risk: Fraction) -> int | None:
    if good >= 1:
        return None
    if good <= 0:
        return 1
    drawn = max(1, math.floor(_log(risk) / _log(good)) - 1)
    while drawn > 1 and good ** (drawn - 1) <= risk:
        drawn -= 1
    while good**drawn > risk:
        drawn += 1
    return drawn


def _check(population: int, drawn: int) -> None:
    if not 0 <= drawn <= population:
        raise ValueError(f"{drawn} rows cannot be drawn of {population}")


def _last(holds: Callable[[int], bool], beyond: int) -> int:
    """The last number below `beyond` for which something holds that holds up to there, -1 for none."""
    low, high = -1, beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _log(value: Exact) -> float:
    exact = Fraction(value)
    return math.log(exact.numerator) - math.log(exact.denominator) if exact > 0 else -math.inf


def _log_tail(count: int, population: int, bad: int, drawn: int) -> float:
    """About the logarithm of P(Hypergeometric <= count); 0 where there are more bad rows than rows."""
    if bad > population:
        return 0.0
    fewest, most = max(0, drawn - (population - bad)), min(drawn, bad, count)
    logs = [
        _log_comb(bad, k) + _log_comb(population - bad, drawn - k) - _log_comb(population, drawn)
        for k in range(fewest, most + 1)
    ]
    top = max(logs, default=-math.inf)
    return top + math.log(math.fsum(math.exp(each - top) for each in logs)) if logs else -math.inf


def _log_comb(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)
