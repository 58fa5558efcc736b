from __future__ import annotations

import datetime as dt

import pytest

from sluice.errors import StillRunning, StillYoung
from sluice.runs.document import read
from sluice.runs.job import Ended, Looked, Submitted
from sluice.runs.state import JobItem
from sluice.steps import poll, submit
from tests.harness.faults import FaultPlan
from tests.harness.faulty_bedrock import ENDINGS
from tests.harness.stage import Stage, stage
from tests.harness.stepping import look


def under_way(faults: FaultPlan | None = None) -> tuple[Stage, JobItem]:
    """A run whose job Bedrock has, and works on for ever."""
    staged = stage(settings={"poll_seconds": 60, "poll_seconds_max": 600}, faults=faults)
    item = submit.run(staged.services, staged.prepared())
    for job in staged.machine.faulty.jobs.values():
        job.lasts = 10**9
    return staged, item


def look_at(staged: Stage, item: JobItem, age: float) -> type[StillRunning]:
    """The error by which a look at a job of so many seconds says that it has not ended."""
    moment = dt.datetime.fromisoformat(read(Submitted, staged.machine.work.get(staged.keys().submitted), "").at)
    staged.use(now=lambda: moment + dt.timedelta(seconds=age))
    with pytest.raises(StillRunning) as raised:
        poll.run(staged.services, item)
    return raised.type


def test_a_look_says_that_a_job_has_not_ended_and_whether_it_is_young() -> None:
    """Young is one of which a twentieth of its age is less than the shortest wait; the state machine waits by that."""
    staged, item = under_way()
    assert {age: look_at(staged, item, age) for age in (60, 1199, 1200, 80_000)} == {
        60: StillYoung,
        1199: StillYoung,
        1200: StillRunning,
        80_000: StillRunning,
    }


def test_a_look_keeps_how_many_records_are_processed() -> None:
    """Get tells them from some moment on, and in some places never; the latest look counts."""
    staged, item = under_way()
    (job,) = staged.machine.faulty.jobs.values()
    key = staged.keys().looked
    look(staged.services, item)
    assert not staged.machine.work.exists(key)
    for processed in (3, 7):
        job.counts = {"processedRecordCount": processed, "totalRecordCount": 9}
        look(staged.services, item)
        assert read(Looked, staged.machine.work.get(key), key) == Looked(processed=processed, records=9)


def test_a_throttled_look_is_a_look() -> None:
    """It is tried again as late as any other look, and as often as it takes."""
    staged, item = under_way()
    staged.machine.faulty.dice.plan = FaultPlan(calls=1.0)
    assert [look_at(staged, item, age) for age in (60, 80_000)] == [StillYoung, StillRunning]


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
