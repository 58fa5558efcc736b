from __future__ import annotations

import datetime as dt

import pytest

from sluice.runs.settings import Settings
from sluice.runs.state import JobItem
from sluice.steps.waiting import Looks, come_back

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html; a retry is scheduled, begun and failed.
MAX_EVENTS, EVENTS_OF_A_LOOK = 25_000, 3
WEEK = dt.timedelta(days=7).total_seconds()
MONTH = dt.timedelta(days=30).total_seconds()


@pytest.mark.parametrize("longest", [0, 1, 60, 600, 3600])
@pytest.mark.parametrize("shortest", [0, 60])
def test_no_setting_brings_a_job_to_the_end_of_its_events(shortest: float, longest: float) -> None:
    """A child that failed would stop its paid siblings: a month of looks fits into one execution, whatever is set."""
    looks = Looks.of(Settings(poll_seconds=shortest, poll_seconds_max=longest))
    assert looks.until(MONTH) * EVENTS_OF_A_LOOK < MAX_EVENTS


def test_a_job_of_an_hour_is_looked_at_so_often() -> None:
    """Each minute for twenty, then with a twentieth of its age between: 43 looks; a thousand in a week."""
    looks = Looks.of(Settings())
    assert looks == (60, 600, 1.05)
    assert [looks.until(seconds) for seconds in (60, 1200, 3600)] == [1, 20, 43]
    assert looks.until(WEEK) == 1056


def test_the_first_thousand_looks_are_as_the_settings_say() -> None:
    """Submit and infer come back by Choice and Wait; a job of an older version has not counted any."""
    item = JobItem(run="r", round=0, job=0)
    for _ in range(1_000):
        item = come_back(item, "submit", 2.5)
        assert (item.next, item.wait_seconds) == ("submit", 3)
    assert come_back(item, "submit", 2.5).wait_seconds == 600
