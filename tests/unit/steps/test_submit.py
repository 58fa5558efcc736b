from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from sluice.aws.bedrock import AwsBedrock, JobRequest, job_name, job_token
from sluice.errors import RetryLater, Stop
from sluice.runs.document import read
from sluice.runs.job import Failed, Submitted
from sluice.runs.keys import Keys
from sluice.runs.state import Span
from sluice.steps import check, partition, plan, start, submit
from tests.harness.faults import FaultPlan, Killed
from tests.harness.faulty_bedrock import BatchJob
from tests.harness.s3 import client_error
from tests.harness.stage import Stage, cancel, stage

WORK = "s3://work"


def request_named(staged: Stage, name: str, token: str) -> dict[str, Any]:
    """A job that somebody created."""
    keys = staged.keys()
    return {
        "jobName": name,
        "clientRequestToken": token,
        "modelId": "m",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{WORK}/{keys.input_prefix}"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{WORK}/{keys.output_prefix}"}},
    }


def add_job(staged: Stage, name: str, token: str) -> str:
    job = BatchJob(request_named(staged, name, token), 0, 10**9)
    staged.machine.faulty.jobs[token] = job
    return job.arn


def submitted(staged: Stage) -> str:
    key = staged.keys().submitted
    return read(Submitted, staged.machine.work.get(key), key).job_arn


def refused(staged: Stage, code: str) -> None:
    """From here on Create answers with an error."""

    def create(**_request: Any) -> Any:
        raise client_error(code, "CreateModelInvocationJob")

    staged.machine.faulty.create_model_invocation_job = create  # type: ignore[method-assign]


def test_a_job_of_exactly_the_name_is_adopted() -> None:
    """Whatever token it was created with: what has the job's name is the job."""
    staged = stage()
    name = job_name(staged.run, 0, 0)
    add_job(staged, f"{name}9", "longer00000000")
    add_job(staged, f"x{name}", "prefixed000000")
    mine = add_job(staged, name, "exact000000000")
    item = submit.run(staged.services, staged.prepared())
    assert item.next == "poll"
    assert submitted(staged) == mine
    assert staged.machine.faulty.created == 0


def test_a_job_whose_name_only_contains_the_name_is_not() -> None:
    """Bedrock searches by part of a name."""
    staged = stage()
    add_job(staged, f"{job_name(staged.run, 0, 0)}9", "longer00000000")
    submit.run(staged.services, staged.prepared())
    assert staged.machine.faulty.created == 1


def test_name_and_token_are_the_jobs_alone() -> None:
    """They follow from run, round and job, and from nothing else."""
    names = {job_name("run", round_, job) for round_ in range(3) for job in range(3)}
    assert len(names) == 9
    assert len({job_token(name) for name in names}) == 9
    assert job_token("a") == job_token("a")


def test_a_submit_run_twice_creates_one_job() -> None:
    """The second one finds the job noted."""
    staged = stage()
    item = staged.prepared()
    assert [submit.run(staged.services, item).next for _ in range(2)] == ["poll", "poll"]
    assert staged.machine.faulty.created == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submit_that_dies_around_its_note_creates_no_second_job(when: str) -> None:
    """Bedrock has the job whether or not submitted.json was written."""
    staged = stage()
    item = staged.prepared()
    staged.machine.faulty_s3.begin((1, when))
    with pytest.raises(Killed):
        submit.run(staged.services, item)
    staged.machine.faulty_s3.begin(None)
    assert submit.run(staged.services, item).next == "poll"
    assert staged.machine.faulty.created == 1


def test_a_lost_answer_of_create_is_found_again() -> None:
    """The answer of Create is lost and the list does not show the job yet: the token alone prevents a second one."""
    staged = stage(faults=FaultPlan(seed=1, calls=0.7))
    item = staged.prepared()
    while item.next == "submit":
        item = submit.run(staged.services, item)
    assert staged.machine.faulty.created == 1
    assert staged.machine.dice.struck.total() > 1


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "ServiceQuotaExceededException", "InternalServerException", "TooManyRequestsException"],
)
def test_a_refusal_that_passes_waits_longer_each_time(code: str) -> None:
    """Whole seconds, with jitter, from `quota_seconds` to about `poll_seconds_max`, as often as it takes."""
    staged = stage(settings={"quota_seconds": 60, "poll_seconds_max": 600})
    refused(staged, code)
    courses = []
    for _ in range(3):
        item, waits = staged.prepared(), []
        for _ in range(12):
            item = submit.run(staged.services, item)
            assert item.next == "submit"
            waits.append(item.wait_seconds)
        assert all(type(wait) is int for wait in waits)
        assert 45 <= waits[0] <= 75
        assert waits[0] < waits[1] < waits[2]
        assert all(450 <= wait <= 750 for wait in waits[6:])
        courses.append(tuple(waits))
    assert len(set(courses)) > 1
    assert not staged.written(staged.keys().failed)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "ResourceNotFoundException"])
def test_another_refusal_stops_the_run_with_its_cause_and_can_be_resumed(code: str) -> None:
    """Check keeps the cause, plan shows it, nothing is spent; a resumed run submits the job again."""
    staged = stage()
    create = staged.machine.faulty.create_model_invocation_job
    refused(staged, code)
    item = staged.prepared()
    with pytest.raises(Stop) as stopped:
        submit.run(staged.services, item)
    error = {"Error": "Stop", "Cause": f'{{"errorMessage": "{stopped.value}", "errorType": "Stop"}}'}
    assert check.run(staged.services, item, error) is None
    key = staged.keys().failed
    assert code in read(Failed, staged.machine.work.get(key), key).cause
    with pytest.raises(Stop, match=code):
        plan.run(staged.services, staged.run, 1)
    staged.machine.faulty.create_model_invocation_job = create  # type: ignore[method-assign]
    assert [counts.accepted for counts in staged.round(0)] == [10]
    assert not plan.run(staged.services, staged.run, 1).more


def test_a_cancelled_run_creates_no_job() -> None:
    """The marker is read before Create."""
    staged = stage()
    item = staged.prepared()
    cancel(staged)
    assert submit.run(staged.services, item).next == "check"
    assert staged.machine.faulty.created == 0


def test_a_job_that_is_created_while_its_run_is_cancelled_is_stopped() -> None:
    """The marker is read behind Create, too."""
    staged = stage()
    item = staged.prepared()
    staged.machine.faulty.on_create = lambda _number: cancel(staged)
    assert submit.run(staged.services, item).next == "poll"
    assert [job.status for job in staged.machine.faulty.jobs.values()] == ["Stopped"]


def test_a_stop_that_is_throttled_is_asked_for_again() -> None:
    """As often as it takes, and by the closing execution of a run that was cancelled later on."""
    staged = stage()
    item = staged.prepared()
    staged.machine.faulty.on_create = lambda _number: cancel(staged)
    stop, throttled = staged.machine.faulty.stop_model_invocation_job, client_error("ThrottlingException", "Stop", 429)

    def refuse(**_request: Any) -> None:
        raise throttled

    staged.machine.faulty.stop_model_invocation_job = refuse  # type: ignore[method-assign]
    item = submit.run(staged.services, item)
    assert item.next == "submit"
    staged.machine.faulty.stop_model_invocation_job = stop  # type: ignore[method-assign]
    assert submit.run(staged.services, item).next == "poll"
    assert [job.status for job in staged.machine.faulty.jobs.values()] == ["Stopped"]


def test_a_cancelled_run_adopts_what_an_earlier_submit_left() -> None:
    """Its answers are paid for, so they are settled like those of any other job."""
    staged = stage()
    item = staged.prepared()
    staged.machine.faulty_s3.begin((1, "before"))
    with pytest.raises(Killed):
        submit.run(staged.services, item)
    staged.machine.faulty_s3.begin(None)
    [job] = staged.machine.faulty.jobs.values()
    job.lasts = 10  # so that it is under way still when it is found
    cancel(staged)
    counts = staged.settle(item)
    assert counts is not None
    assert counts.status == "Stopped"


def test_what_bedrock_does_not_take_is_refused_before_it_is_asked() -> None:
    """botocore checks no patterns: a name or a URI against them would come back as a puzzling error."""
    staged = stage()
    good = JobRequest("run-r0-00000", "t", "m", "role", f"{WORK}/in/", f"{WORK}/out/", 24)
    bedrock = AwsBedrock(lambda: staged.machine.faulty, lambda: staged.machine.faulty)  # type: ignore[arg-type,return-value]
    for bad in (
        {"name": "run_1"},
        {"name": "a" * 64 + "-" * 70},
        {"input_uri": f"{WORK}/date=1/"},
        {"output_uri": f"{WORK}//x/"},
    ):
        with pytest.raises(Stop):
            bedrock.create_job(JobRequest(**{**good._asdict(), **bad}))
    assert staged.machine.faulty.created == 0


def test_what_to_do_about_an_error_is_told_by_its_branch() -> None:
    """Throttles and lost answers wait; the rest stops."""
    staged = stage(faults=FaultPlan(calls=1.0))
    with pytest.raises(RetryLater):
        staged.services.bedrock.find_job("x")
    with pytest.raises(RetryLater):
        staged.services.bedrock.job("arn")


def test_the_frozen_role_and_time_out_are_what_is_sent() -> None:
    """The same token never meets other parameters, however the deployment changes in between."""
    staged = stage({"model": "nova-micro", "timeout_hours": 48})
    submit.run(staged.services, staged.prepared())
    (job,) = staged.machine.faulty.jobs.values()
    assert job.request["timeoutDurationInHours"] == 48
    assert job.request["roleArn"] == "arn:aws:iam::123456789012:role/bedrock"
    assert job.request["modelInvocationType"] == "Converse"


@pytest.mark.parametrize("key", [None, "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"])
def test_a_job_encrypts_its_output_with_the_deployments_key(key: str | None) -> None:
    """The key is frozen when the run begins, and named to Bedrock with each job; without one S3 keeps its own."""
    staged = stage()
    name = "a.jsonl"
    command = {"task": staged.task.model_dump(mode="json"), "inputs": [f"s3://incoming/faults/{name}"], "nonce": "key"}
    deployment = dataclasses.replace(staged.machine.deployment(), kms_key=key)
    run = start.run(staged.services, deployment, {"command": {**command, "settings": {"min_records_per_job": 2}}})
    assert run is not None
    staged.run = run
    for span in msgspec.json.decode(staged.machine.work.get(Keys(run).spans), type=list[Span]):
        partition.run(staged.services, span)
    plan.run(staged.services, run, 0)
    submit.run(staged.services, staged.prepared())
    [job] = staged.machine.faulty.jobs.values()
    assert job.request["outputDataConfig"]["s3OutputDataConfig"].get("s3EncryptionKeyId") == key
