"""Whether rows are still like those that a model was taught and measured on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sluice.errors import Stop
from sluice.quality.drift import FEWEST, Profile, is_below, lower_scores, moved_labels
from sluice.quality.features import count
from tests.harness.lessons import COLOURS, HOSTILE, hard, lesson, lessons

if TYPE_CHECKING:
    from sluice.quality.lessons import Lesson


def worded(rows: int, seed: int) -> list[Lesson]:
    """Texts of words of which some are rare."""
    dice = random.Random(seed)
    return [
        lesson(" ".join(f"word{int(dice.paretovariate(0.5)) % 5000}" for _ in range(dice.randrange(3, 12))), "red")
        for _ in range(rows)
    ]


def test_about_one_in_a_hundred_rows_of_the_like_lies_beyond() -> None:
    """Also of rows that the profile was not made of, give or take what so many rows allow."""
    profile = Profile.of(worded(1000, seed=1))
    assert profile is not None
    assert 990 <= profile.drawn <= 1000
    assert 5 <= profile.beyond <= 10
    fresh = profile.unseen(count([each.text for each in worded(2000, seed=2)]))
    assert 0.002 < float((fresh > profile.threshold).mean()) < 0.03
    strange = profile.unseen(count(["ganz andere Worte als zuvor", *HOSTILE]))
    assert strange[0] > profile.threshold
    assert np.all((strange >= 0) & (strange <= 1))


def test_rows_that_went_on_are_seen_and_set_no_threshold() -> None:
    """They are the hard ones; too few drawn rows set none at all."""
    drawn = lessons(FEWEST)
    both = Profile.of([*drawn, *hard(300)])
    assert both is not None
    assert both.drawn == FEWEST
    assert Profile.of([*drawn[1:], *hard(300)]) is None


def test_a_profile_is_read_as_it_was_written() -> None:
    """To the last slot; another file is refused, with its place."""
    profile = Profile.of(lessons(200))
    assert profile is not None
    again = Profile.read(profile.write(), "k")
    assert np.array_equal(again.seen, profile.seen)
    assert (again.threshold, again.drawn, again.beyond) == (profile.threshold, profile.drawn, profile.beyond)
    with pytest.raises(Stop, match=r"^k holds no profile"):
        Profile.read(b"x", "k")


def share(agreeing: int, records: int) -> dict[str, Any]:
    return {"records": records, "records_agreeing": agreeing}


def test_below_is_said_with_95_percent_certainty() -> None:
    """Of 1,000 runs that agree as stated, at most five in a hundred are called below; those that do not mostly are."""
    dice = np.random.default_rng(3)
    stated, same, worse = (dice.binomial(of, p, 1000).tolist() for of, p in ((500, 0.85), (300, 0.85), (300, 0.75)))
    called, found = (
        [is_below(share(now, 300), share(then, 500)) for now, then in zip(agreeing, stated, strict=True)]
        for agreeing in (same, worse)
    )
    assert 0.01 < np.mean(called) < 0.065  # give or take what so many runs allow
    assert np.mean(found) > 0.9
    assert not is_below(share(0, 0), share(400, 500))


def test_labels_whose_share_moved_are_told() -> None:
    """Of drawn records alone; one that is new, and one that is gone."""
    before = [lesson(f"b{n}", COLOURS[n % 2]) for n in range(200)]
    same = [lesson(f"h{n}", COLOURS[n % 2]) for n in range(100)]
    assert moved_labels(same, before) == []
    other = [lesson(f"h{n}", COLOURS[n % 2 * 2]) for n in range(100)]
    told = {
        each["label"]: (each["rows"], each["of"], each["before"], each["of_before"])
        for each in moved_labels(other, before)
    }
    assert told == {"blue": (50, 100, 0, 200), "green": (0, 100, 100, 200)}
    assert moved_labels([each._replace(drawn=0) for each in other], before) == []


def test_lower_scores_are_said_with_95_percent_certainty() -> None:
    """Of 1,000 runs of the like at most five in a hundred are called lower; of those that are, most."""
    dice = np.random.default_rng(4)

    def called(shift: float) -> float:
        found = [lower_scores((dice.random(200) - shift).tolist(), dice.random(300).tolist()) for _ in range(1000)]
        return sum(bool(each and each["lower"]) for each in found) / len(found)

    assert 0.01 < called(0) < 0.065  # give or take what so many runs allow
    assert called(0.15) > 0.9


def test_scores_are_counted_below_the_lowest_tenth_of_earlier_ones() -> None:
    """Equal ones are not below; of few earlier ones nothing is said."""
    before = [n / 100 for n in range(100)]
    told = lower_scores([0.09, 0.08, 0.0, 0.5], before)
    assert told == {"below": 2, "of": 4, "before": 9, "of_before": 100, "lower": False}
    assert lower_scores([0.0] * 20, [0.5] * 100) == {
        "below": 20,
        "of": 20,
        "before": 0,
        "of_before": 100,
        "lower": True,
    }
    assert lower_scores([0.5] * 20, [0.5] * 100) == {
        "below": 0,
        "of": 20,
        "before": 0,
        "of_before": 100,
        "lower": False,
    }
    assert lower_scores([0.0], [0.5] * (FEWEST - 1)) is None
    assert lower_scores([], before) is None
