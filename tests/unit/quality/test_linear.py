from __future__ import annotations

import math

import numpy as np
import pytest

from sluice.quality.features import Rows, Vocabulary, count
from sluice.quality.linear import Linear, fit
from tests.harness.lessons import COLOURS, lessons

FEATURES = 6


def drawn_rows(number: int, seed: int = 1) -> Rows:
    dice = np.random.default_rng(seed)
    dense = dice.random((number, FEATURES)).astype(np.float32) * (dice.random((number, FEATURES)) < 0.5)
    dense[0] = 0  # a row without a feature
    starts = np.concatenate([[0], np.cumsum((dense != 0).sum(1))])
    return Rows(starts, np.nonzero(dense)[1].astype(np.int32), dense[dense != 0])


def told(model: Linear, rows: Rows, at: int) -> list[float]:
    """The probabilities of a row's labels, number by number."""
    scores = [float(each) for each in model.bias]
    for place in range(rows.starts[at], rows.starts[at + 1]):
        for label in range(len(scores)):
            scores[label] += float(rows.values[place]) * float(model.weights[rows.columns[place], label])
    if model.several:
        return [1 / (1 + math.exp(-score)) for score in scores]
    whole = sum(map(math.exp, scores))
    return [math.exp(score) / whole for score in scores]


@pytest.mark.parametrize("several", [False, True])
def test_probabilities_are_those_of_logistic_regression(several: bool) -> None:
    """Softmax where one label stands, a sigmoid for each where several may; in blocks as in one piece."""
    dice = np.random.default_rng(3)
    weights, bias = dice.normal(size=(FEATURES, 3)).astype(np.float16), dice.normal(size=3).astype(np.float32)
    model, rows = Linear(weights, bias, several), drawn_rows(300)
    found = model.probabilities(rows)
    for at in (0, 1, 200, 255, 256, 299):
        assert found[at].tolist() == pytest.approx(told(model, rows, at), abs=1e-5)


def taught(several: bool = False, says_so: float = 1.0) -> tuple[Linear, Vocabulary]:
    known = lessons(300, says_so=says_so)
    counts = count([each.text for each in known])
    vocabulary = Vocabulary.of(counts, 10_000)
    targets = np.array([[colour in each.labels for colour in COLOURS] for each in known])
    return fit(vocabulary.weigh(counts), targets, len(vocabulary.slots), several=several), vocabulary


@pytest.mark.parametrize("several", [False, True])
def test_what_a_feature_tells_is_learned(several: bool) -> None:
    """New texts get the label that their word stood for."""
    model, vocabulary = taught(several)
    found = model.probabilities(vocabulary.weigh(count([f"some {colour} tree" for colour in COLOURS])))
    assert found.argmax(1).tolist() == [0, 1, 2, 3]
    assert found.max(1).min() > 0.5


def test_of_a_row_without_a_feature_the_frequent_label_is_likelier() -> None:
    """Nothing but the biases speaks of it; so it is where no row has a feature, too."""
    known = [n % 5 > 0 for n in range(200)]
    empty = Rows(np.zeros(len(known) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    found = fit(empty, np.array([[often, not often] for often in known]), 0).probabilities(empty)[0]
    assert found[0] > found[1] > 0
    assert found.sum() == pytest.approx(1)


def test_the_same_rows_teach_the_same_numbers() -> None:
    """To the last bit, whatever was taught before."""
    (first, _), (second, _) = taught(says_so=0.8), taught(says_so=0.8)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


def test_far_scores_stay_numbers() -> None:
    """No overflow where a row is very sure."""
    far = np.array([[60_000, -60_000]], np.float16)
    rows = Rows(np.array([0, 1]), np.array([0], np.int32), np.array([1], np.float32))
    for several in (False, True):
        found = Linear(far, np.zeros(2, np.float32), several).probabilities(rows)
        assert found.tolist() == [[1, 0]]
