"""Calibration: from what is known of answers to the probability that they are right, by logistic regression.

A handful of facts on some hundreds or thousands of rows: Newton's method ends in a few steps. Facts are scaled, and all
but the constant are held near 0 by a ridge, so that a fact that was seldom seen says little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RIDGE = 1.0
STEPS = 50
ENOUGH = 1e-9  # of a step, in scaled facts
LEAP = 4.0  # the longest step, in scaled facts: where everything is flat, one of Newton's can go anywhere
FLAT = 1e-9  # a fact that differs by less is the same everywhere
FLOOR = 1e-6  # of a probability, before its logarithm is taken
SURE = 30.0  # of log odds: beyond, a probability would be 0 or 1


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A constant and weights of facts, which `centre` and `spread` scale."""

    constant: float
    weights: Floats
    centre: Floats
    spread: Floats

    def probabilities(self, facts: Floats) -> Floats:
        """The probability of being right, of rows by facts: between 0 and 1, never one of them."""
        told = (facts - self.centre) / self.spread @ self.weights + self.constant
        found: Floats = 1 / (1 + np.exp(-np.clip(told, -SURE, SURE)))
        return found

    def document(self) -> dict[str, Any]:
        """The numbers, as JSON keeps them to the last digit."""
        return {"constant": self.constant} | {
            name: getattr(self, name).tolist() for name in ("weights", "centre", "spread")
        }

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Calibrator:
        """The calibrator of a document."""
        numbers = {name: np.array(kept[name], np.float64) for name in ("weights", "centre", "spread")}
        return cls(float(kept["constant"]), **numbers)


def calibrate(facts: Floats, right: NDArray[np.bool_], times: NDArray[np.int64]) -> Calibrator:
    """Fit to rows by facts, whether each was right, and how many times each counts."""
    many = max(int(times.sum()), 1)
    centre = (facts * times[:, None]).sum(0) / many
    spread = np.sqrt((np.square(facts - centre) * times[:, None]).sum(0) / many)
    spread[spread < FLAT] = 1.0
    scaled = np.column_stack([np.ones(len(facts)), (facts - centre) / spread])
    ridge = np.full(scaled.shape[1], RIDGE)
    ridge[0] = 0.0
    # As if one right row and one wrong had been seen beside: nothing is certain because all of a few rows were right.
    goal = (right + 1 / many) / (1 + 2 / many)
    fitted = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        told = 1 / (1 + np.exp(-np.clip(scaled @ fitted, -SURE, SURE)))
        slope = scaled.T @ ((told - goal) * times) + ridge * fitted
        curve = (scaled * (told * (1 - told) * times)[:, None]).T @ scaled + np.diag(ridge + FLAT)
        step = np.linalg.solve(curve, slope)
        fitted -= step / max(1.0, float(np.abs(step).max()) / LEAP)
        if np.abs(step).max() < ENOUGH:
            break
    return Calibrator(float(fitted[0]), fitted[1:], centre, spread)


def log_odds(probabilities: Floats) -> Floats:
    """Logarithms of odds, of probabilities that are kept away from 0 and 1."""
    inside = np.clip(probabilities, FLOOR, 1 - FLOOR)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found
