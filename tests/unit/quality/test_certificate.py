from __future__ import annotations

import math
import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest

from sluice.quality.certificate import (
    Certified,
    KnownRow,
    Place,
    Promise,
    SampledRow,
    Threshold,
    accepts,
    certify,
    certify_labels,
    label_samples,
    last_safe_step,
    lowest_threshold,
    worse_than_oracle,
    wrong_at,
)

NINETY_FIVE = Promise(Decimal("0.95"))


def rows(*spec: tuple[int, str]) -> list[SampledRow]:
    """Rows from the top: so many agree (`+`), differ (`-`), fail a gate (`x`: whatever they would have been)."""
    told = [sign for count, sign in spec for _ in range(count)]
    return [SampledRow(None if sign == "x" else (1_000_000 - n, n), bad=sign != "+") for n, sign in enumerate(told)]


def accepted(sample: list[SampledRow], threshold: Threshold | None) -> list[SampledRow]:
    assert threshold is not None
    return [row for row in sample if threshold.accepts(row.place)]


def slow_threshold(sample: list[SampledRow], x: int) -> set[Place]:
    """Places that are accepted, by trying every sampled place as the lowest one."""
    places = {row.place for row in sample if row.place is not None}
    good: set[Place] = set()
    for lowest in places:
        above = [row for row in sample if row.place is not None and row.place >= lowest]
        if sum(row.bad for row in above) <= x:
            good |= {row.place for row in above if row.place is not None}
    return good


@pytest.mark.parametrize("levels", [2, 7, 10_000])
def test_the_threshold_is_the_lowest_that_leaves_enough(levels: int) -> None:
    """It accepts the rows that trying every place accepts, with many equal places or none, gates and twins included."""
    dice = random.Random(levels)
    for _ in range(200):
        sample = []
        for _ in range(dice.randrange(40)):
            place = None if dice.random() < 0.2 else (dice.randrange(levels), dice.randrange(3))
            sample += [SampledRow(place, bad=dice.random() < 0.3)] * dice.choice((1, 1, 3))
        for x in range(6):
            found = {row.place for row in accepted(sample, lowest_threshold(sample, x))}
            assert found == slow_threshold(sample, x)


def test_as_many_disagreements_as_are_allowed_or_fewer_accept_all_that_pass_the_gates() -> None:
    """With x sampled disagreements every row with a place is accepted, also below the lowest sampled one."""
    sample = rows((480, "+"), (16, "-"), (4, "x"))
    found = certify(NINETY_FIVE, 20_000, sample)
    assert (found.at_most, found.disagreements) == (975, 16)
    assert found.threshold == Threshold(None)
    assert found.threshold is not None
    assert found.threshold.accepts((0, 0))
    assert not found.threshold.accepts(None)


def test_one_disagreement_more_ends_acceptance_above_it() -> None:
    """The row one too many, and whatever lies at its place or below, is not accepted."""
    sample = rows((400, "+"), (17, "-"), (83, "+"))
    found = certify(NINETY_FIVE, 20_000, sample)
    assert found.threshold == Threshold(sample[416].place)
    assert len(accepted(sample, found.threshold)) == 416


def test_disagreements_that_fail_the_gates_do_not_count() -> None:
    """What no threshold could accept takes nothing from what others may differ."""
    sample = rows((440, "+"), (16, "-"), (44, "x"))
    assert certify(NINETY_FIVE, 20_000, sample).threshold == Threshold(None)


def test_twins_of_one_record_count_each() -> None:
    """Two drawn rows of one text stand at one place, and are two disagreements."""
    twins = [SampledRow((500, 9), bad=True)] * 2
    sample = [*rows((10, "+")), *twins, SampledRow((400, 1), bad=False)]
    assert lowest_threshold(sample, 1) == Threshold((500, 9))
    assert lowest_threshold(sample, 2) == Threshold(None)


def test_a_missing_answer_of_the_oracle_is_a_disagreement() -> None:
    """Drawn rows that stayed without an oracle's answer are bad rows, and may end acceptance."""
    sample = [*rows((483, "+"), (16, "-")), SampledRow((5, 0), bad=True)]
    assert certify(NINETY_FIVE, 20_000, sample).threshold == Threshold((5, 0))


def test_nothing_acceptable_is_a_certificate_and_too_small_a_sample_is_none() -> None:
    """Where the surest answers are the wrong ones nothing is accepted; with 58 rows nothing can be said."""
    nothing = certify(NINETY_FIVE, 20_000, rows((17, "-"), (483, "+")))
    assert not nothing.refused
    assert len(accepted(rows((17, "-"), (483, "+")), nothing.threshold)) == 16
    assert not accepted(rows((1, "-"), (58, "+")), certify(NINETY_FIVE, 20_000, rows((1, "-"), (58, "+"))).threshold)
    assert certify(NINETY_FIVE, 20_000, rows((58, "+"))).refused


def test_the_promise_is_told_as_a_share_of_the_accepted_rows_too() -> None:
    """Five of a hundred rows are more of those that were accepted."""
    found = Certified(20_000, 500, 975, 16, Threshold(None))
    assert float(found.share_of(13_260)) == pytest.approx(0.0735, abs=1e-4)
    assert found.share_of(0) == 0
    assert found.share_of(10) == 1


def test_floors_hold_within_their_label_and_share_the_risk() -> None:
    """A label is certified among its own rows at delta / K; too few of them, and it goes up whole."""
    often = [SampledRow((900 - n, n), bad=n == 150, label="often") for n in range(200)]
    seldom = [SampledRow((400 - n, n), bad=False, label="seldom") for n in range(70)]
    sample = [*often, *seldom]
    floors = {"often": Decimal("0.95"), "seldom": Decimal("0.95")}
    found = certify_labels(floors, Decimal("0.05"), {"often": 40_000, "seldom": 9_000}, sample)
    assert (found["often"].population, found["often"].drawn, found["often"].disagreements) == (40_000, 200, 3)
    assert found["seldom"].refused  # 70 rows are enough for one floor at 5%, not for two at 2.5% each
    overall = certify(NINETY_FIVE, 100_000, sample)
    taken = Counter(row.label for row in sample if accepts(row, overall, found))
    assert taken == {"often": 200}
    alone = certify_labels({"seldom": Decimal("0.95")}, Decimal("0.05"), {"seldom": 9_000}, sample)
    assert not alone["seldom"].refused


def test_floors_miss_together_no_more_often_than_they_say() -> None:
    """Three labels, of whose first answers just more than allowed are bad and score highest; 400 draws of one seed.

    By each floor alone a miss has a probability of about delta / 3; how many rows of a label are drawn is left to luck.
    """
    dice, labels, delta = random.Random(11), ("a", "b", "c"), Decimal("0.1")
    places = [(label, place) for label in labels for place in range(600)]
    bad = {(label, place) for label in labels for place in range(600 - 66, 600)}
    missed = 0
    for _ in range(400):
        drawn = set(dice.sample(places, 300))
        sample = [SampledRow((row[1], 0), bad=row in bad, label=row[0]) for row in drawn]
        found = certify_labels(dict.fromkeys(labels, Decimal("0.9")), delta, dict.fromkeys(labels, 600), sample)
        kept = Counter(
            row[0]
            for row in bad - drawn
            if (threshold := found[row[0]].threshold) is not None and threshold.accepts((row[1], 0))
        )
        missed += any(kept[label] > found[label].at_most for label in labels)
    assert missed / 400 <= 0.1 + 3.3 * math.sqrt(0.1 * 0.9 / 400)
    assert missed > 0  # it is hard enough to tell


def test_a_row_has_to_pass_the_overall_threshold_and_that_of_its_label() -> None:
    """The stricter of two thresholds decides; labels without a floor know the overall one alone."""
    overall = Certified(10, 1, 0, 0, Threshold((50, 0)))
    floors = {"a": Certified(5, 1, 0, 0, Threshold((70, 0)))}
    rows_ = [SampledRow((at, 0), bad=False, label=label) for label in "ab" for at in (40, 60, 80)]
    assert [accepts(row, overall, floors) for row in rows_] == [False, False, True, False, True, True]


def test_tells_what_sample_the_floors_take() -> None:
    """Each label's own share, at the risk that is left to it."""
    floors = {f"L{n}": Decimal("0.95") for n in range(4)} | {"sure": Decimal("0.99")}
    assert label_samples(floors, Decimal("0.05")) == dict.fromkeys(("L0", "L1", "L2", "L3"), 90) | {"sure": 459}


def test_against_known_answers_bad_is_what_the_oracle_would_have_had_right() -> None:
    """Both wrong or both right is no harm; what the person left open is bad."""
    answers = [(True, True), (True, False), (False, True), (False, False), (None, None)]
    found = worse_than_oracle([((n, n), first, oracle) for n, (first, oracle) in enumerate(answers)])
    assert [row.bad for row in found] == [False, False, True, False, True]


def test_absolute_accuracy_goes_by_fixed_steps_up_to_the_first_that_fails() -> None:
    """A step that would be safe again after one that is not is never reached."""
    promise = Promise(Decimal("0.9"))
    assert last_safe_step([20, 25, 30, 38, 39, 10], promise, 20_000, 500) == 3
    assert last_safe_step([20, 25], promise, 20_000, 500) == 1


def test_an_oracle_that_is_not_accurate_enough_certifies_nothing() -> None:
    """Where even all rows by the oracle are too often wrong, there is no step to stand on."""
    assert last_safe_step([39, 10, 10], Promise(Decimal("0.9")), 20_000, 500) is None


def test_a_step_counts_the_label_that_a_row_would_have_ended_with() -> None:
    """The first tier's above the threshold, the oracle's elsewhere and at rows that no threshold accepts."""
    sample = [
        KnownRow((9, 0), first_wrong=True, oracle_wrong=False),
        KnownRow((5, 0), first_wrong=False, oracle_wrong=True),
        KnownRow(None, first_wrong=True, oracle_wrong=False),
    ]
    steps = [None, Threshold((9, 0)), Threshold((7, 0)), Threshold((5, 0)), Threshold(None)]
    assert [wrong_at(sample, step) for step in steps] == [1, 1, 2, 2, 1]


def test_exact_shares_decide_at_the_border() -> None:
    """T is a decimal: with a thousand rows and five hundred drawn, 25 may differ at 0.95, and 24 at a hair above."""
    assert Promise(Decimal("0.95")).most(1_000, 500) == 25
    assert Promise(Fraction(95, 100) + Fraction(1, 10**9)).most(1_000, 500) == 24
