from __future__ import annotations

import datetime as dt

import pytest

from sluice.runs.document import read
from sluice.runs.state import Ended, JobItem, Looked
from sluice.steps import poll, submit
from tests.harness.faults import FaultPlan
from tests.harness.faulty_bedrock import ENDINGS
from tests.harness.stage import Stage, stage


def under_way(faults: FaultPlan | None = None) -> tuple[Stage, JobItem]:
    """A run whose job Bedrock has, and works on for ever."""
    staged = stage(settings={"poll_seconds": 60, "poll_seconds_max": 600}, faults=faults)
    item = submit.run(staged.services, staged.prepared())
    for job in staged.machine.faulty.jobs.values():
        job.lasts = 10**9
    return staged, item


def waits(staged: Stage, item: JobItem, hours: float = 6) -> list[tuple[float, int]]:
    """Age and wait of each look at a job until it is so old."""
    began, age = staged.services.now(), float(item.wait_seconds)
    found = []
    while age < hours * 3600:
        moment = began + dt.timedelta(seconds=age)
        staged.use(now=lambda moment=moment: moment)
        item = poll.run(staged.services, item)
        assert item.next == "poll"
        assert type(item.wait_seconds) is int
        found.append((age, item.wait_seconds))
        age += item.wait_seconds
    return found


def test_a_look_waits_a_twentieth_of_the_age_of_a_job() -> None:
    """From `poll_seconds` to `poll_seconds_max`: what ended after nine minutes is seen within the tenth."""
    found = waits(*under_way())
    assert [wait for age, wait in found if age <= 1200] == [60] * 20
    assert all(0.05 * age <= wait < 0.05 * age + 1 for age, wait in found if 1200 < age < 12_000)
    assert {wait for age, wait in found if age >= 12_000} == {600}


def test_a_look_keeps_how_many_records_are_processed() -> None:
    """Get tells them from some moment on, and in some places never; the latest look counts."""
    staged, item = under_way()
    (job,) = staged.machine.faulty.jobs.values()
    key = staged.keys().looked
    poll.run(staged.services, item)
    assert not staged.machine.work.exists(key)
    for processed in (3, 7):
        job.counts = {"processedRecordCount": processed, "totalRecordCount": 9}
        poll.run(staged.services, item)
        assert read(Looked, staged.machine.work.get(key), key) == Looked(processed=processed, records=9)


def test_a_throttled_look_is_a_look() -> None:
    """It is tried again after the longer wait, as often as it takes."""
    staged, item = under_way()
    staged.machine.faulty.dice.plan = FaultPlan(calls=1.0)
    assert waits(staged, item)[-1][1] == 600


@pytest.mark.parametrize("status", sorted({ending[1] for ending in ENDINGS}))
def test_any_terminal_status_leads_to_check(status: str) -> None:
    """How the job ended is kept, with Bedrock's message."""
    staged, item = under_way()
    (job,) = staged.machine.faulty.jobs.values()
    job.status, job.message = status, "as it is"
    item = poll.run(staged.services, item)
    assert (item.next, item.wait_seconds) == ("check", 0)
    key = staged.keys().ended
    ended = read(Ended, staged.machine.work.get(key), key)
    assert (ended.status, ended.message) == (status, "as it is")


def test_an_ended_job_is_not_looked_at_again() -> None:
    """A poll run twice asks Bedrock nothing."""
    staged, item = under_way()
    (job,) = staged.machine.faulty.jobs.values()
    job.status = "Completed"
    poll.run(staged.services, item)
    staged.machine.faulty.dice.plan = FaultPlan(calls=1.0)
    assert poll.run(staged.services, item).next == "check"
