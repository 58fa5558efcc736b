from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sluice.quality.calibration import RIDGE, SURE, Calibrator, calibrate, log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

Case = tuple["NDArray[np.float64]", "NDArray[np.bool_]", "NDArray[np.int64]"]


def case(seed: int, rows: int = 200, facts: int = 3) -> Case:
    """Facts of rows, whether each was right, and how many times it counts."""
    dice = np.random.default_rng(seed)
    known = dice.normal(size=(rows, facts)) * [1, 20, 0.05][:facts] + [0, 5, -1][:facts]
    odds = known @ np.array([1.5, -0.05, 4][:facts]) + 1
    return known, dice.random(rows) < 1 / (1 + np.exp(-odds)), dice.integers(1, 4, rows)


def loss(weights: list[float], known: Case) -> float:
    """What logistic regression makes least, summed row by row: log loss, and a ridge on all but the constant.

    One right row and one wrong are spread over all.
    """
    facts, right, times = known
    many = int(times.sum())
    total = RIDGE / 2 * math.fsum(weight**2 for weight in weights[1:])
    for row, good, count in zip(facts.tolist(), right.tolist(), times.tolist(), strict=True):
        odds = weights[0] + math.fsum(weight * fact for weight, fact in zip(weights[1:], row, strict=True))
        goal = (good + 1 / many) / (1 + 2 / many)
        total += count * (goal * math.log1p(math.exp(-odds)) + (1 - goal) * math.log1p(math.exp(odds)))
    return total


def scaled(known: Case) -> Case:
    facts, right, times = known
    every = np.repeat(facts, times, axis=0)
    return (facts - every.mean(0)) / every.std(0), right, times


@pytest.mark.parametrize("seed", range(4))
def test_no_step_away_from_what_was_fitted_is_better(seed: int) -> None:
    """The loss, counted row by row, is least there: a step to either side along any weight makes it larger."""
    known = case(seed)
    found = calibrate(*known)
    weights = [found.constant, *found.weights.tolist()]
    least = loss(weights, scaled(known))
    for at in range(len(weights)):
        for step in (-1e-3, 1e-3):
            moved = [*weights[:at], weights[at] + step, *weights[at + 1 :]]
            assert loss(moved, scaled(known)) > least


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_are_those_of_scikit_learn(seed: int) -> None:
    """Of its logistic regression over the same scaled facts, with rows split into their right and wrong share."""
    linear: Any = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the reference where it stands")
    facts, right, times = scaled(case(seed))
    many = int(times.sum())
    goal = (right + 1 / many) / (1 + 2 / many)
    reference = linear.LogisticRegression(C=1 / RIDGE, tol=1e-10, max_iter=10_000)
    sides = np.repeat([True, False], len(facts))
    reference.fit(np.concatenate([facts, facts]), sides, np.concatenate([goal * times, (1 - goal) * times]))
    found = calibrate(*case(seed)).probabilities(case(seed)[0])
    assert found == pytest.approx(reference.predict_proba(facts)[:, 1], abs=1e-5)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    """Its weight is its number of rows, in the scaling as in the fit."""
    facts, right, times = case(1)
    one = np.ones(int(times.sum()), np.int64)
    apart = calibrate(np.repeat(facts, times, axis=0), np.repeat(right, times), one)
    together = calibrate(facts, right, times)
    assert together.probabilities(facts) == pytest.approx(apart.probabilities(facts), abs=1e-9)


def test_what_is_said_is_as_often_right() -> None:
    """In the mean over all rows, and nearly over the surest and the least sure of new ones."""
    found, (facts, right, _) = calibrate(*case(1, rows=3_000)), case(2, rows=3_000)
    said = found.probabilities(facts)
    for some in (said < np.quantile(said, 0.3), said > np.quantile(said, 0.7)):
        assert said[some].mean() == pytest.approx(right[some].mean(), abs=0.04)


@pytest.mark.parametrize("right", [True, False])
def test_nothing_is_certain_because_all_of_a_few_were_right(right: bool) -> None:
    """Nor impossible because all were wrong."""
    rows = 60
    facts = np.random.default_rng(1).normal(size=(rows, 2))
    said = calibrate(facts, np.full(rows, right), np.ones(rows, np.int64)).probabilities(facts)
    assert said == pytest.approx(np.full(rows, (rows * right + 1) / (rows + 2)), abs=0.01)


@pytest.mark.parametrize("facts", [np.zeros((80, 2)), np.full((80, 1), 7.5), np.zeros((80, 0))])
def test_facts_that_tell_nothing_leave_the_average(facts: NDArray[np.float64]) -> None:
    """The same everywhere, or none at all."""
    right = np.arange(80) % 4 > 0
    said = calibrate(facts, right, np.ones(80, np.int64)).probabilities(facts)
    assert said == pytest.approx(np.full(80, 61 / 82), abs=1e-6)


def test_a_fact_that_parts_right_from_wrong_stays_short_of_certainty() -> None:
    """Where the best fit lies at infinity, the ridge holds it."""
    facts = np.linspace(-1, 1, 100)[:, None]
    said = calibrate(facts, facts[:, 0] > 0, np.ones(100, np.int64)).probabilities(facts)
    assert (np.diff(said) > 0).all()
    assert 0 < said.min() < 0.05
    assert 0.95 < said.max() < 1


def test_a_probability_is_never_0_or_1() -> None:
    """However far beyond what was seen a fact lies."""
    found = calibrate(*case(1))
    said = found.probabilities(np.array([[1e9, 0, 0], [-1e9, 0, 0], [0, 0, 1e300]]))
    assert ((said > 0) & (said < 1)).all()
    assert said.max() == pytest.approx(1 / (1 + math.exp(-SURE)))


def test_a_kept_calibrator_says_the_same_to_the_last_bit() -> None:
    """As JSON, which keeps each number whole."""
    import json

    found, (facts, _, _) = calibrate(*case(3)), case(4)
    again = Calibrator.read(json.loads(json.dumps(found.document())))
    assert again.probabilities(facts).tobytes() == found.probabilities(facts).tobytes()


def test_log_odds_end_before_infinity() -> None:
    """And are the logarithm of p / (1 - p) between."""
    dice = random.Random(1)
    inside = [dice.uniform(0.001, 0.999) for _ in range(20)]
    assert log_odds(np.array(inside)).tolist() == pytest.approx([math.log(p / (1 - p)) for p in inside])
    ends = log_odds(np.array([0.0, 1.0]))
    assert ends.tolist() == pytest.approx([math.log(1e-6), -math.log(1e-6)], rel=1e-3)
