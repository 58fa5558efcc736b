from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.aws.bedrock import job_name
from sluice.runs.keys import Keys
from sluice.steps import resume, submit, sweep
from sluice.steps.services import Run
from tests.harness.faults import Killed
from tests.harness.faulty_bedrock import BatchJob
from tests.harness.stage import Stage, stage

WORK = "s3://work"


def under_way() -> Stage:
    """A run with one batch job out."""
    staged = stage()
    submit.run(staged.services, staged.prepared())
    for job in staged.machine.faulty.jobs.values():
        job.lasts = 10**9
    return staged


def asked(staged: Stage) -> dict[str, Any]:
    return sweep.run(staged.services, {"run": staged.run, "reason": "cancelled"})


def report(staged: Stage, status: str = "FAILED", name: str | None = None, **detail: Any) -> dict[str, Any]:
    """EventBridge's report that an execution ended."""
    given = {"name": name or staged.run, "status": status, "input": json.dumps({"run": staged.run}), **detail}
    return {"detail-type": "Step Functions Execution Status Change", "detail": given}


def statuses(staged: Stage) -> list[str]:
    return [job.status for job in staged.machine.faulty.jobs.values()]


def test_cancelling_marks_stops_and_closes() -> None:
    """Marker, execution, jobs; then an execution that settles and publishes what there is."""
    staged = under_way()
    assert asked(staged) == {"stopped": 1, "execution": f"{staged.run}-1"}
    assert staged.written(Keys(staged.run).cancel)
    assert staged.machine.workflow.stopped == [staged.run]
    assert staged.machine.workflow.started[-1] == f"{staged.run}-1"
    assert statuses(staged) == ["Stopped"]
    assert Run(staged.machine.work, staged.run).cancelled
    summary = staged.machine.execute(staged.run)
    assert summary["status"] == "cancelled"
    assert summary["rows"]["in"] == 10


def test_what_was_inside_create_is_stopped_by_the_second_sweep() -> None:
    """Bedrock knew nothing of the job when it was first asked."""
    staged = stage()
    item = staged.prepared()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        keys = staged.keys()
        request = {
            "jobName": job_name(staged.run, 0, item.job),
            "clientRequestToken": "late0000000000",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{WORK}/{keys.input_prefix}"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{WORK}/{keys.output_prefix}"}},
            "modelId": "m",
        }
        staged.machine.faulty.jobs["late"] = BatchJob(request, 0, 10**9)

    staged.use(sleep=sleep)
    assert asked(staged)["stopped"] == 1
    assert pauses == [130]
    assert statuses(staged) == ["Stopped"]


def test_an_aborted_execution_is_cleaned_up_like_a_cancelled_one() -> None:
    """Somebody stopped it in the console."""
    staged = under_way()
    assert sweep.run(staged.services, report(staged, "ABORTED"))["execution"] == f"{staged.run}-1"
    assert statuses(staged) == ["Stopped"]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT"])
def test_a_run_that_broke_off_stops_its_jobs_and_says_why(status: str) -> None:
    """run.json tells the cause; the run waits to be resumed, and is not closed."""
    staged = under_way()
    cause = json.dumps({"errorType": "Stop", "errorMessage": "no access to the model"})
    assert sweep.run(staged.services, report(staged, status, cause=cause)) == {"stopped": 1}
    summary = json.loads(staged.machine.work.get(Keys(staged.run).summary))
    assert (summary["status"], summary["error"]) == ("failed", "Stop: no access to the model")
    assert staged.machine.workflow.started == [staged.run]


def test_a_sweep_that_comes_twice_closes_once() -> None:
    """The second report finds the run's closing execution."""
    staged = under_way()
    sweep.run(staged.services, report(staged, "ABORTED"))
    assert sweep.run(staged.services, report(staged, "ABORTED")) == {"stopped": 0}
    assert staged.machine.workflow.started == [staged.run, f"{staged.run}-1"]


def test_a_late_report_leaves_the_resumed_run_alone() -> None:
    """The execution that it tells of has a successor, whose jobs these are."""
    staged = stage()
    resume.run(staged.services, staged.run)
    submit.run(staged.services, staged.prepared())
    assert sweep.run(staged.services, report(staged)) == {"stopped": 0}
    assert statuses(staged) == ["InProgress"]


def test_a_run_that_is_resumed_during_the_pause_keeps_its_jobs() -> None:
    """The second look is for what slipped through, not for what a resumed run has sent since."""
    staged = stage()

    def sleep(_seconds: float) -> None:
        resume.run(staged.services, staged.run)
        submit.run(staged.services, staged.prepared())

    staged.use(sleep=sleep)
    sweep.run(staged.services, report(staged))
    assert statuses(staged) == ["InProgress"]


@pytest.mark.parametrize("write", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sweep_that_dies_is_taken_up_again(write: int, when: str) -> None:
    """Whether the marker or the closing execution was noted: in the end that execution is started, once."""
    staged = under_way()
    staged.machine.faulty_s3.begin((write, when))
    with pytest.raises(Killed):
        sweep.run(staged.services, report(staged, "ABORTED"))
    staged.machine.faulty_s3.begin(None)
    sweep.run(staged.services, report(staged, "ABORTED"))
    assert staged.machine.workflow.started == [staged.run, f"{staged.run}-1"]


def test_a_run_that_cannot_be_closed_is_left_to_its_user() -> None:
    """Each closing execution that fails is swept again, but not for ever."""
    staged = under_way()
    asked(staged)
    for number in range(1, 9):
        sweep.run(staged.services, report(staged, name=f"{staged.run}-{number}", error="Unbalanced"))
    assert staged.machine.workflow.started[-1] == f"{staged.run}-3"
    assert json.loads(staged.machine.work.get(Keys(staged.run).summary))["status"] == "failed"
    assert asked(staged)["execution"] == f"{staged.run}-4"


def test_a_published_run_is_left_alone() -> None:
    """A report that comes after the end."""
    staged = stage()
    summary = staged.machine.execute(staged.run)
    assert summary["status"] == "succeeded"
    assert sweep.run(staged.services, report(staged)) == {"stopped": 0}
    assert asked(staged) == {"stopped": 0}


def test_only_the_runs_own_jobs_are_stopped() -> None:
    """Bedrock searches by part of a name; another run's may hold this one's."""
    staged = under_way()
    (mine,) = staged.machine.faulty.jobs.values()
    other = BatchJob({**mine.request, "jobName": f"x-{mine.name}", "clientRequestToken": "other000000000"}, 0, 10**9)
    staged.machine.faulty.jobs["other"] = other
    asked(staged)
    assert (mine.status, other.status) == ("Stopped", "InProgress")


def test_a_run_that_nobody_knows_is_nothing_to_sweep() -> None:
    """A report of an execution that began no run."""
    staged = stage()
    assert sweep.run(staged.services, {"run": "nobody", "reason": "cancelled"}) == {"stopped": 0}


def test_a_cancelled_run_that_is_resumed_goes_on() -> None:
    """Its answers are kept, and what is missing is bought: nothing twice within a round."""
    staged = under_way()
    asked(staged)
    staged.machine.execute(staged.run)
    resume.run(staged.services, staged.run)
    summary = staged.machine.execute(staged.run)
    assert (summary["status"], summary["rows"]["accepted"]) == ("succeeded", 10)
    assert max(staged.machine.faulty.bought.values()) == 1
