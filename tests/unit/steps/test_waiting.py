from __future__ import annotations

import datetime as dt

import pytest

from sluice.runs.settings import Settings
from sluice.runs.state import JobItem
from sluice.steps.poll import wait_at
from sluice.steps.waiting import come_back

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html; each wait, choice and task of a look.
MAX_EVENTS, EVENTS_OF_A_LOOK = 25_000, 9
MONTH = dt.timedelta(days=30).total_seconds()


@pytest.mark.parametrize("longest", [0, 1, 60, 600, 3600])
@pytest.mark.parametrize("shortest", [0, 60])
def test_no_setting_brings_a_job_to_the_end_of_its_events(shortest: float, longest: float) -> None:
    """A child that failed would stop its paid siblings: a month of looks fits into one execution, whatever is set."""
    settings = Settings(poll_seconds=shortest, poll_seconds_max=longest)
    item, age = JobItem(run="r", round=0, job=0), 0.0
    while age < MONTH:
        item = come_back(item, "poll", wait_at(age, settings))
        age += item.wait_seconds
    assert item.looks * EVENTS_OF_A_LOOK < MAX_EVENTS


def test_the_first_thousand_looks_are_as_the_settings_say() -> None:
    """A week at the usual waits; a job of an older version has not counted any."""
    item = JobItem(run="r", round=0, job=0)
    for _ in range(1_000):
        item = come_back(item, "submit", 2.5)
        assert (item.next, item.wait_seconds) == ("submit", 3)
    assert come_back(item, "submit", 2.5).wait_seconds == 600
