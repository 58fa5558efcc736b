from __future__ import annotations

import pytest

from sluice.runs.document import read
from sluice.runs.state import Ended, JobItem
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


def waits(staged: Stage, item: JobItem) -> list[int]:
    found = []
    for _ in range(12):
        item = poll.run(staged.services, item)
        assert item.next == "poll"
        assert type(item.wait_seconds) is int
        found.append(item.wait_seconds)
    return found


def test_looks_become_rarer() -> None:
    """From `poll_seconds` to `poll_seconds_max`: a day of looks fits the history of a child execution."""
    found = waits(*under_way())
    assert found[:3] == [90, 135, 203]
    assert found == sorted(found)
    assert found[-1] == 600


def test_a_throttled_look_is_a_look() -> None:
    """It is tried again after the longer wait, as often as it takes."""
    staged, item = under_way()
    staged.machine.faulty.dice.plan = FaultPlan(calls=1.0)
    assert waits(staged, item)[-1] == 600


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
