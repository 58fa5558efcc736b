"""A linear model of labels over sparse rows: multinomial logistic regression, or a logistic regression for each label.

It is taught by stochastic gradient descent with steps that shrink as AdaGrad's do (J. Duchi, E. Hazan and Y. Singer,
2011), with one sum of squares for each feature, over rows in an order that is drawn from a fixed seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sluice.quality.features import Rows

    Floats = NDArray[np.float32]

PASSES = 12  # over all rows; more teach rare rows by heart
STEP = 0.15  # of the first pass, falling to 0
AT_ONCE = 32  # rows to a step
ANSWERED_AT_ONCE = 256
BIAS_STEP = 0.1  # of a weight's, since every row moves the biases
SEED = 20
NEVER = np.float32(1e-8)


@dataclass(frozen=True, slots=True)
class Linear:
    """`weights` of features by labels, in half precision as they are kept, and a `bias` of each label.

    With `several`, each label is there or not by itself; else exactly one label is.
    """

    weights: NDArray[np.float16]
    bias: Floats
    several: bool

    def probabilities(self, rows: Rows) -> Floats:
        """The probability of each label for each row, rows by labels."""
        found = np.empty((len(rows), len(self.bias)), np.float32)
        for first in range(0, len(rows), ANSWERED_AT_ONCE):
            part = np.arange(first, min(first + ANSWERED_AT_ONCE, len(rows)))
            columns, dense = _dense(rows, part)
            scores = dense @ self.weights[columns].astype(np.float32) + self.bias
            found[part] = _probabilities(scores, several=self.several)
        return found


def fit(rows: Rows, targets: NDArray[np.bool_], features: int, *, several: bool = False) -> Linear:
    """Teach a model: `targets` says of each row which labels it has (rows by labels), exactly one without `several`."""
    labels = targets.shape[1]
    weights, bias = np.zeros((features, labels), np.float32), np.zeros(labels, np.float32)
    seen, seen_bias = np.full(features, NEVER), NEVER
    drawn = np.random.default_rng(SEED)
    for number in range(PASSES):
        step = np.float32(STEP * (1 - number / PASSES))
        order = drawn.permutation(len(rows))
        for first in range(0, len(rows), AT_ONCE):
            part = order[first : first + AT_ONCE]
            columns, dense = _dense(rows, part)
            held = weights[columns]
            wrong = _probabilities(dense @ held + bias, several=several) - targets[part]
            slope = dense.T @ wrong
            seen[columns] += np.square(slope).mean(1)
            weights[columns] = held - (step / np.sqrt(seen[columns]))[:, None] * slope
            tilt = wrong.sum(0)
            seen_bias = seen_bias + np.square(tilt).mean()
            bias -= BIAS_STEP * step / np.sqrt(seen_bias) * tilt
    return Linear(weights.astype(np.float16), bias, several)


def _dense(rows: Rows, part: NDArray[np.int64]) -> tuple[NDArray[np.int32], Floats]:
    """The columns that stand in these rows, and the rows over these columns alone."""
    taken = rows.take(part)
    columns, at = np.unique(taken.columns, return_inverse=True)
    dense = np.zeros((len(part), len(columns)), np.float32)
    dense[np.repeat(np.arange(len(part)), taken.lengths()), at] = taken.values
    return columns, dense


def _probabilities(scores: Floats, *, several: bool) -> Floats:
    if several:
        sides: Floats = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * scores))
        return sides
    scores = np.exp(scores - scores.max(1, keepdims=True))
    found: Floats = scores / scores.sum(1, keepdims=True)
    return found
