"""Jobs that end badly, lost answers, full quotas, dying handlers: no row is lost, and nothing is bought twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.flow.local import SAMPLES
from tests.flow.trial import Trial, exit_code

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flow.local import Flow, Outcome

ACCESS = "You don't have access to the model with the specified model ID."
# As Bedrock says it: no two messages are the same, since each names its own request.
OWN_REQUEST = " (Service: BedrockRuntime, Status Code: {code}, Request ID: {{record}}) (SDK Attempt Count: 1)"
FIELD = "`temperature` is deprecated for this model."
TOO_MANY = (
    "The maximum tokens you requested exceeds the model limit of 5000. Try again with a maximum tokens value that is "
    "lower than 5000."
)
KEY = "Malformed input request: #: extraneous key [top_k] is not permitted, please reformat your input and try again."
SUBSCRIPTION = "AccessDeniedException: Model access is denied due to a missing AWS Marketplace subscription."


def trails(outcome: Outcome) -> Counter[tuple[tuple[str, str | None], ...]]:
    """How many rows went through which outcomes, each with its reason."""
    return Counter(tuple((tried["outcome"], tried["reason"]) for tried in row["trail"]) for row in outcome.rows)


def ends(outcome: Outcome) -> list[str]:
    """The statuses of the run's jobs, in the order of the run."""
    return [job["status"] for job in outcome.run["jobs"]]


def all_accepted(outcome: Outcome) -> None:
    """The run succeeded, and each row has its label."""
    assert outcome.run["status"] == "succeeded"
    assert exit_code(outcome) == 0
    assert outcome.run["rows"]["accepted"] == len(outcome.rows) == outcome.run["rows"]["in"]


def test_an_expired_claude_job_is_sent_again(flow: Flow) -> None:
    """Its records go to the same tier once more, in one new job, and run.json says that one expired."""
    trial = Trial(flow, unsure=60, faults={"jobs": [{"end": "Expired", "tier": 1, "times": 1}]})
    outcome = trial.go()
    all_accepted(outcome)
    assert ends(outcome) == ["Completed", "Expired", "Completed"]
    assert outcome.run["jobs"][1]["message"] == "The job was not started before its time-out."
    assert [len(records) for records in trial.sent().values()] == [200, 60, 60]
    assert trails(outcome) == {
        (("accepted", None),): 140,
        (("escalated", "low_confidence"), ("retried", "job_expired"), ("accepted", None)): 60,
    }


def test_a_tier_whose_jobs_all_expire_leaves_its_rows_unresolved(flow: Flow) -> None:
    """After the tier's attempts there is no further job, and the rows say why they have no label."""
    trial = Trial(flow, unsure=60, faults={"jobs": [{"end": "Expired", "tier": 1}]})
    outcome = trial.go()
    assert outcome.run["rows"] == {"in": 200, "accepted": 140, "unresolved": 60, "rejected": 0}
    assert outcome.run["reasons"] == {"job_expired": 60}
    assert ends(outcome) == ["Completed", "Expired", "Expired"]


def test_ten_jobs_wait_for_a_quota_of_two(flow: Flow) -> None:
    """A refused Create is no failure: the job waits its turn, and in the end each of the ten was created once."""
    trial = Trial(flow, 500, faults={"quota": 2}, settings={"max_records_per_job": 55})
    outcome = trial.go()
    all_accepted(outcome)
    asked = Counter(call["error"] for call in trial.calls("CreateModelInvocationJob"))
    assert asked[None] == len(trial.jobs()) == 10
    assert asked["ServiceQuotaExceededException"] > 0
    assert trial.most_at_once() <= 2


def test_jobs_in_flight_stay_below_the_setting(flow: Flow) -> None:
    """With max_jobs_in_flight there is no Create that the quota would refuse."""
    settings = {"max_records_per_job": 55, "max_jobs_in_flight": 3}
    trial = Trial(flow, 500, faults={"quota": 3}, settings=settings)
    all_accepted(trial.go())
    assert {call["error"] for call in trial.calls("CreateModelInvocationJob")} == {None}
    assert trial.most_at_once() <= 3


def test_partly_completed_then_throttled(flow: Flow) -> None:
    """What is there is used; the rest is sent again, and what is then throttled goes on to the next tier."""
    faults = {
        "jobs": [{"end": "PartiallyCompleted", "done": 0.6, "times": 1}],
        "records": [{"fate": "error", "code": 429, "message": "Too many requests", "job": "*-r1-*", "share": 0.5}],
    }
    trial = Trial(flow, faults=faults)
    outcome = trial.go()
    all_accepted(outcome)
    found = trails(outcome)
    throttled = found[("retried", "missing"), ("escalated", "throttled"), ("accepted", None)]
    assert 20 <= throttled <= 60
    assert found == {
        (("accepted", None),): 120,
        (("retried", "missing"), ("accepted", None)): 80 - throttled,
        (("retried", "missing"), ("escalated", "throttled"), ("accepted", None)): throttled,
    }
    assert ends(outcome)[0] == "PartiallyCompleted"


def test_throttled_calls_are_made_again_as_long_as_it_takes(flow: Flow) -> None:
    """On demand a throttle is waited out: each row is answered once, in its first round."""
    trial = Trial(
        flow,
        40,
        faults={"calls": [{"operation": "Converse", "error": "ThrottlingException", "times": 12}]},
        task={"tiers": [{"model": "nova-micro", "transport": "on_demand"}]},
    )
    outcome = trial.go()
    all_accepted(outcome)
    assert trails(outcome) == {(("accepted", None),): 40}
    assert Counter(call["error"] for call in trial.calls("Converse")) == {None: 40, "ThrottlingException": 12}


SLOW = {"end": "Completed", "done": 0.5, "seconds": 12_000}


def in_mid_round(flow: Flow) -> Trial:
    """A run with one job done, three half answered and still in progress, and one that waits to be sent."""
    settings = {"max_records_per_job": 55, "max_jobs_in_flight": 3, "poll_seconds": 30, "poll_seconds_max": 30}
    trial = Trial(flow, 250, faults={"jobs": [{**SLOW, "name": "*-r0-0000[123]"}]}, settings=settings)
    trial.begin()
    working = Counter({"Completed": 1, "InProgress": 3})
    trial.wait_until(lambda: Counter(job.status for job in trial.jobs()) == working)
    trial.wait_until(lambda: len(trial.keys("counts.json")) == 1 and len(trial.keys("submitted.json")) == 4)
    return trial


def hold_stopped(trial: Trial, outcome: Outcome) -> None:
    """A run that was stopped in mid-round tells the truth, and leaves nothing running."""
    run = outcome.run
    assert run["status"] == "cancelled"
    assert exit_code(outcome) == 3
    assert Counter(job.status for job in trial.jobs()) == {"Completed": 1, "Stopped": 3}
    assert ends(outcome) == ["Completed", "Stopped", "Stopped", "Stopped"]
    first, *halves = (len(trial.records(f"runs/{trial.run}/round-0/{job:05d}")) for job in range(4))
    answered = first + sum(records // 2 for records in halves)
    assert run["rows"] == {"in": 250, "accepted": answered, "unresolved": 250 - answered, "rejected": 0}
    assert run["reasons"] == {"cancelled": 250 - answered}
    assert trails(outcome)[(("retried", "job_stopped"),)] == run["tiers"][0]["retried"] > 0
    assert not trial.keys("round-0/00004/submitted.json")


def hold_resumed(trial: Trial, outcome: Outcome, before: Outcome) -> None:
    """The resumed run has every row, and bought only what was missing."""
    all_accepted(outcome)
    assert sum(map(len, trial.sent().values())) == 250 + before.run["tiers"][0]["retried"]
    kept = {row["id"] for row in before.rows if row["status"] == "accepted"}
    assert all(row["attempts"] == 1 for row in outcome.rows if row["id"] in kept)


def test_a_run_that_is_cancelled_in_mid_round_can_be_resumed(flow: Flow) -> None:
    """Cancelled, it keeps what was answered and stops its jobs; resumed, it buys the rest."""
    trial = in_mid_round(flow)
    trial.cloud.cancel(trial.run)
    before = trial.outcome()
    hold_stopped(trial, before)
    hold_resumed(trial, trial.resume(), before)


def test_an_execution_that_is_aborted_in_the_console_is_closed(flow: Flow) -> None:
    """StopExecution has the same end as a cancellation: jobs stopped, results published, run.json true."""
    trial = in_mid_round(flow)
    execution = trial.cloud.execution(trial.run).document["executionArn"]
    trial.cloud.states.stop_execution(executionArn=execution, cause="somebody clicked")
    before = trial.finish()
    hold_stopped(trial, before)
    hold_resumed(trial, trial.resume(), before)


def test_a_bedrock_job_that_is_stopped_in_the_console_is_sent_again(flow: Flow) -> None:
    """What it answered is used, the rest is a new job of the next round, and run.json calls it stopped."""
    trial = Trial(flow, faults={"jobs": [{**SLOW, "name": "*-r0-*"}]}, settings={"poll_seconds_max": 60})
    trial.begin()
    trial.wait_until(lambda: [job.status for job in trial.jobs()] == ["InProgress"])
    trial.bedrock.stop_model_invocation_job(jobIdentifier=trial.jobs()[0].arn)
    outcome = trial.finish()
    all_accepted(outcome)
    assert ends(outcome) == ["Stopped", "Completed"]
    assert trails(outcome) == {
        (("accepted", None),): 100,
        (("retried", "job_stopped"), ("accepted", None)): 100,
    }


def test_a_call_that_is_killed_at_its_time_out_loses_no_more_than_was_in_flight(flow: Flow) -> None:
    """What came back before stays; what was called and not kept is asked again in the next round, never in this one."""
    faults = {"functions": [{"step": "infer", "write": 4, "crash": "before", "timeout": 2}]}
    trial = Trial(flow, 60, faults=faults, task={"tiers": [{"model": "nova-micro", "transport": "on_demand"}]})
    outcome = trial.go()
    all_accepted(outcome)
    assert trails(outcome) == {(("accepted", None),): 32, (("retried", "missing"), ("accepted", None)): 28}
    calls = Counter(call["request"] for call in trial.calls("Converse"))
    assert sorted(calls.values()) == [1] * 32 + [2] * 28


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_check_that_is_killed_at_its_time_out_is_tried_again(flow: Flow, crash: str) -> None:
    """Killed once, before or after a write, it settles the job the second time; the job is not sent again."""
    faults = {"functions": [{"step": "check", "write": 2, "crash": crash, "timeout": 2}]}
    trial = Trial(flow, unsure=60, faults=faults)
    outcome = trial.go()
    all_accepted(outcome)
    assert len(trial.jobs()) == 2
    assert (trial.request.out / "logs" / "writes" / "check.writes").stat().st_size > 3


def test_a_check_that_dies_twice_stops_the_run_with_the_cause(flow: Flow) -> None:
    """Nothing further is bought; resumed, the run settles the job from what lies there, and buys nothing again."""
    faults = {"functions": [{"step": "check", "write": write} for write in (1, 2)]}
    trial = Trial(flow, unsure=60, faults=faults)
    stopped = trial.go()
    assert (stopped.run["status"], exit_code(stopped), stopped.rows) == ("failed", 1, [])
    assert "check" in stopped.run["error"]
    assert len(trial.jobs()) == 1
    all_accepted(trial.resume())
    assert [len(records) for records in trial.sent().values()] == [200, 60]


def test_lambda_throttling_is_waited_out(flow: Flow) -> None:
    """Each step is refused three times by Lambda itself; the Retry list of the state machine sees to it."""
    steps = ("partition", "plan", "prepare", "submit", "poll", "check", "merge", "publish")
    refused = "Lambda.TooManyRequestsException"
    functions = [{"step": step, "invocation": n, "error": refused} for step in steps for n in (1, 2, 3)]
    trial = Trial(flow, unsure=60, faults={"functions": functions})
    outcome = trial.go()
    all_accepted(outcome)
    assert Counter(call["error"] for call in trial.calls("CreateModelInvocationJob")) == {None: 2}


LOST_ANSWERS: dict[str, dict[str, Any]] = {
    # boto3 itself asks again, with the same token
    "a 500": {
        "calls": [{"operation": "Create*", "error": "InternalServerException", "after": True, "times": 1}],
    },
    # the step comes back later, and finds the job by its name
    "another error": {
        "calls": [{"operation": "Create*", "error": "ModelNotReadyException", "after": True, "times": 2}],
    },
    "a dead handler": {"functions": [{"step": "submit", "write": 1, "crash": "before"}]},
}


@pytest.mark.parametrize("case", LOST_ANSWERS)
def test_a_job_whose_creation_got_no_answer_is_adopted(flow: Flow, case: str) -> None:
    """Bedrock took it on, nobody heard: it is found again, and there is one job."""
    trial = Trial(flow, faults=LOST_ANSWERS[case])
    outcome = trial.go()
    all_accepted(outcome)
    assert len(trial.jobs()) == 1
    assert len({call["token"] for call in trial.calls("CreateModelInvocationJob")}) == 1


def refusing(message: str, code: int, **more: Any) -> dict[str, Any]:
    """A fault by which records are refused, each under its own request's id."""
    return {"fate": "error", "code": code, "message": message + OWN_REQUEST.format(code=code), **more}


REFUSED: dict[str, tuple[dict[str, Any], str, int]] = {
    "at the job": ({"jobs": [{"end": "Failed", "message": ACCESS, "times": 2}]}, ACCESS, 0),
    "at each record": (
        {"records": [refusing(FIELD, 400, job="*-r0-*")]},
        f"400: {FIELD}",
        0,
    ),
    "at Create": (
        {"calls": [{"operation": "Create*", "error": "AccessDeniedException", "message": ACCESS, "times": 2}]},
        ACCESS,
        2,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_refuses_all_records_stops_the_run_before_the_next_round(flow: Flow, case: str) -> None:
    """The message reaches run.json, no dearer model is asked; once the cause is gone, resume finishes the run."""
    faults, message, refused = REFUSED[case]
    trial = Trial(flow, faults=faults, settings={"max_records_per_job": 110})
    stopped = trial.go()
    assert (stopped.run["status"], exit_code(stopped), stopped.rows) == ("failed", 1, [])
    assert message in stopped.run["error"]
    assert len(trial.jobs()) == 2 - refused
    assert [message in job["message"] for job in stopped.run["jobs"]] == [True, True]
    outcome = trial.resume()
    all_accepted(outcome)
    assert {job.model for job in trial.jobs()} == {trial.jobs()[0].model}
    assert len(trial.jobs()) == 2 + 2 - refused


def test_a_message_that_names_what_to_change_says_so_in_the_tasks_words(flow: Flow) -> None:
    """Of calls on demand that all are refused: the run stops with what to change, and resume answers every row."""
    refused = {"operation": "Converse", "error": "ValidationException", "message": KEY, "times": 30}
    task = {"tiers": [{"model": "nova-micro", "transport": "on_demand"}]}
    trial = Trial(flow, 30, faults={"calls": [refused]}, task=task)
    stopped = trial.go()
    assert (stopped.run["status"], stopped.rows) == ("failed", [])
    assert KEY in stopped.run["error"]
    assert "take top_k out of request" in stopped.run["error"]
    all_accepted(trial.resume())


def test_a_second_tier_that_refuses_all_leaves_its_rows_and_says_what_to_change(flow: Flow) -> None:
    """What the first tier settled is published; the rest keeps the tier's words, which differ by request alone."""
    trial = Trial(flow, 100, unsure=40, faults={"records": [refusing(TOO_MANY, 400, tier=1)]})
    outcome = trial.go()
    assert outcome.run["status"] == "over_limit"
    assert outcome.run["rows"] == {"in": 100, "accepted": 60, "unresolved": 40, "rejected": 0}
    assert outcome.run["reasons"] == {"record_refused": 40}
    assert "set max_tokens to 5000 or less" in " ".join(outcome.run["warnings"])


def test_a_job_whose_later_records_are_denied_is_asked_again_and_passes_nothing_on(flow: Flow) -> None:
    """Access that ends in the middle of a job is no fault of its records: the same tier answers them afterwards."""
    trial = Trial(flow, 100, faults={"records": [refusing(SUBSCRIPTION, 403, job="*-r0-*", share=0.6)]})
    outcome = trial.go()
    all_accepted(outcome)
    denied = len(list(trial.sent().values())[1])
    assert 40 <= denied <= 80
    assert {job.model for job in trial.jobs()} == {trial.jobs()[0].model}
    assert {row["tier"] for row in outcome.rows} == {0}


def test_throttles_that_never_end_become_a_batch_job_filled_up(flow: Flow) -> None:
    """An account without a quota on demand: what is too few for a batch job is sent in one all the same."""
    trial = Trial(
        flow,
        5,
        faults={"calls": [{"operation": "Converse", "error": "ThrottlingException"}]},
        settings={"patience_seconds": 0, "quota_seconds": 1},
    )
    outcome = trial.go()
    all_accepted(outcome)
    assert trails(outcome) == {(("retried", "throttled"), ("accepted", None)): 5}
    assert [len(records) for records in trial.sent().values()] == [5, 20]
    assert {call["error"] for call in trial.calls("Converse")} == {"ThrottlingException"}


FATES = ("missing", "duplicate", "unknown", "truncated", "unparsable", "error")


def test_output_of_every_broken_kind_loses_no_row(flow: Flow) -> None:
    """Whole lines count once, the rest is sent again, and run.json warns of what it found."""
    records = [{"fate": fate, "share": 0.15, "job": "*-r0-*"} for fate in FATES]
    trial = Trial(flow, 300, faults={"records": records})
    outcome = trial.go()
    all_accepted(outcome)
    found = trails(outcome)
    assert set(found) == {
        (("accepted", None),),
        (("retried", "missing"), ("accepted", None)),
        (("retried", "model_error"), ("accepted", None)),
    }
    assert found[("accepted", None),] < 220
    said = " ".join(outcome.run["warnings"])
    for word in ("had its answer already", "never sent", "could not be read", "the manifest says"):
        assert word in said


def test_a_job_without_manifest_and_one_without_output(flow: Flow) -> None:
    """Completed is no promise: without its manifest a job counts as it lies there, without its output it is resent."""
    jobs = [
        {"end": "Completed", "manifest": False, "name": "*-r0-00000"},
        {"end": "Completed", "output": False, "name": "*-r0-00001"},
    ]
    trial = Trial(flow, faults={"jobs": jobs}, settings={"max_records_per_job": 110})
    outcome = trial.go()
    all_accepted(outcome)
    first, second = (len(trial.records(f"runs/{trial.run}/round-0/{job:05d}")) for job in (0, 1))
    assert trails(outcome) == {
        (("accepted", None),): first,
        (("retried", "missing"), ("accepted", None)): second,
    }


def test_a_job_that_completes_without_a_success_is_tried_again_then_escalates(flow: Flow) -> None:
    """All records of both attempts end as a 500: each goes on to the next tier, which answers them."""
    trial = Trial(flow, faults={"records": [{"fate": "error", "code": 500, "tier": 0}]})
    outcome = trial.go()
    all_accepted(outcome)
    assert trails(outcome) == {(("retried", "model_error"), ("escalated", "model_error"), ("accepted", None)): 200}
    assert outcome.run["jobs"][0]["message"] == "500: Internal server error"
    assert ends(outcome) == ["Completed"] * 3


ENDINGS = ("job_expired", "job_failed", "job_stopped")
PLANS = sorted((SAMPLES / "faults").glob("*.yaml"))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.stem)
def test_the_plans_of_the_sample_data_account_for_every_row(flow: Flow, plan: Path) -> None:
    """Under each of them every row has a label or a reason, unless the run says why it broke off."""
    faults = yaml.safe_load(plan.read_text())
    trial = Trial(flow, 200, unsure=40, faults=faults, settings={"max_records_per_job": 45})
    outcome = trial.go()
    rows = outcome.run["rows"]
    if plan.stem == "no-access":
        assert (outcome.run["status"], rows["in"], outcome.rows) == ("failed", 200, [])
        assert "have access to the model" in outcome.run["error"]
        return
    assert (outcome.run["status"], len(outcome.rows)) == ("succeeded", 200)
    assert rows["accepted"] + rows["unresolved"] == 200
    assert set(outcome.run["reasons"]) <= {"missing", "model_error", "throttled", *ENDINGS}
