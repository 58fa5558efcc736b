from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.quality.intervals import (
    beta_share,
    clustered_share,
    effective,
    exact,
    label_share,
    share,
    share_of_clusters,
)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(count: int, of: int, low: float, high: float) -> None:
    """As published tables have it: the last one is Newcombe's example of 1998."""
    found = share(count, of)
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


@given(of=st.integers(1, 5000), part=st.floats(0, 1))
def test_an_interval_holds_what_was_seen_and_narrows(of: int, part: float) -> None:
    """It lies within 0 and 1, around the share that was seen, and four times the records make it narrower."""
    count = round(part * of)
    found, more = share(count, of), share(4 * count, 4 * of)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert more.high - more.low < found.high - found.low


@pytest.mark.parametrize(("of", "true"), [(50, 0.05), (200, 0.1), (200, 0.02), (100, 0.5)])
def test_the_interval_misses_as_rarely_as_it_says(of: int, true: float) -> None:
    """Over all samples that there can be, by their probability, it holds the true share about 95 times of 100."""
    held = sum(
        math.comb(of, count) * true**count * (1 - true) ** (of - count)
        for count in range(of + 1)
        if (found := share(count, of)).low <= true <= found.high
    )
    assert 0.92 <= held <= 0.99


def test_nothing_is_uncertain_where_all_were_asked() -> None:
    """And nothing is known where none was."""
    assert (share(3, 12, all_of_them=True).low, share(3, 12, all_of_them=True).high) == (0.25, 0.25)
    assert (share(0, 0).value, share(0, 0).low, share(0, 0).high) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)
def test_the_exact_interval_is_that_of_clopper_and_pearson(count: int, of: int, low: float, high: float) -> None:
    """As published tables have it; of nothing, all is possible."""
    assert exact(count, of) == pytest.approx((low, high), abs=1e-4)
    assert exact(0, 0) == (0, 1)


@pytest.mark.parametrize("of", [1, 7, 300, 2_000])
def test_the_incomplete_beta_function_is_a_binomial_tail(of: int) -> None:
    """For whole numbers it is a sum that can be added up term by term, from one end to the other."""
    for count in {1, of // 2 + 1, of}:
        for p in (0.001, 0.2, 0.5, 0.93, 0.999):
            logs = [
                math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
                + k * math.log(p) + (of - k) * math.log1p(-p)
                for k in range(count, of + 1)
            ]  # fmt: skip
            assert beta_share(p, count, of - count + 1) == pytest.approx(math.fsum(map(math.exp, logs)), abs=1e-9)


def test_rows_of_one_record_are_worth_as_many_as_there_are_records() -> None:
    """Ten rows of each of twenty texts say no more than twenty rows, and single ones what they always say."""
    assert effective([10] * 20) == pytest.approx(20)
    assert effective([1] * 50) == pytest.approx(50)
    assert effective([]) == 0
    alone, twins = share_of_clusters(15, [1] * 30), share_of_clusters(150, [10] * 30)
    assert (twins.count, twins.of) == (150, 300)
    assert (twins.low, twins.high) == pytest.approx((alone.low, alone.high))


def test_few_of_a_kind_get_the_exact_interval() -> None:
    """Below ten right or wrong ones, else Wilson's."""
    for count in (0, 9, 191, 200):
        found = share_of_clusters(count, [1] * 200)
        assert (found.low, found.high) == exact(count, 200)
    assert share_of_clusters(10, [1] * 200) == share(10, 200)
    assert share_of_clusters(0, []).high == 1


@pytest.mark.parametrize(("accuracy", "drawn"), [(0.5, 200), (0.9, 1_000), (0.98, 100), (0.98, 2_000)])
def test_the_interval_covers_where_rows_share_texts(accuracy: float, drawn: int) -> None:
    """It holds the true share as often as it says, with 30% of the rows from 60 texts, each right or wrong."""
    dice = random.Random(drawn)
    held = 0
    for _ in range(300):
        right = [dice.random() < accuracy for _ in range(60)]
        repeated = Counter(dice.choices(range(60), k=round(0.3 * drawn)))
        count = sum(dice.random() < accuracy for _ in range(drawn - repeated.total()))
        count += sum(size for text, size in repeated.items() if right[text])
        found = share_of_clusters(count, [*[1] * (drawn - repeated.total()), *repeated.values()])
        held += found.low <= accuracy <= found.high
    assert held >= 0.91 * 300


def test_counts_rows_by_record() -> None:
    """A share of rows, with the interval of their records."""
    rows = [(f"r{n % 40}", n % 40 < 20) for n in range(120)]
    assert clustered_share(rows) == share_of_clusters(60, [3] * 40)


def sampled(dice: random.Random, drawn: int, truly: float, wrong: float) -> list[tuple[str, bool, bool]]:
    rows = []
    for n in range(drawn):
        true = dice.random() < truly
        rows.append((f"r{n}", true != (dice.random() < wrong), true))
    return rows


def test_a_labels_share_is_corrected_for_what_the_classifier_gets_wrong() -> None:
    """It covers the true share as often as it says, and is narrower than the drawn rows alone of good answers."""
    dice = random.Random(3)
    held, narrower = 0, 0
    truly, wrong, population = 0.3, 0.08, 50_000
    given_of_all = truly * (1 - wrong) + (1 - truly) * wrong
    for _ in range(400):
        drawn = sampled(dice, 400, truly, wrong)
        found = label_share(round(population * given_of_all), population, drawn)
        plain = clustered_share((record, true) for record, _, true in drawn)
        held += found.low <= truly <= found.high
        narrower += found.high - found.low < plain.high - plain.low
        assert not found.plain
    assert held >= 0.925 * 400
    assert narrower > 380


def test_a_labels_share_is_plain_where_counts_are_small() -> None:
    """With few rows of the label, or few errors, the drawn rows alone speak, with the exact interval."""
    rows = [(f"r{n}", n < 4, n < 5) for n in range(300)]
    found = label_share(900, 50_000, rows)
    assert found.plain
    assert (found.low, found.high) == exact(5, 300)
    assert label_share(0, 10, []).plain
