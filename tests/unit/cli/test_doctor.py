"""`sluice doctor`: each check on a healthy account, and each of its failures once, against botocore's own models."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

from sluice.answers.requests import system_prompt
from sluice.aws.stack import Stack
from sluice.cli.doctor.examination import examine, see_doctor
from sluice.cli.doctor.findings import Finding, Status
from sluice.cli.doctor.patient import Patient, tasks_here
from sluice.cli.exits import ExitCode
from sluice.models.catalog import Catalog
from sluice.runs.settings import Settings
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION = "us-east-1"
ME = "arn:aws:iam::123456789012:user/me"
MICRO = "us.amazon.nova-micro-v1:0"
OUTPUTS = {
    "IncomingBucket": "incoming",
    "WorkBucket": "work",
    "ResultsBucket": "results",
    "StateMachineArn": f"arn:aws:states:{REGION}:123456789012:stateMachine:m",
    "StartFunction": "start",
    "SweepFunction": "sweep",
    "Workgroup": "sluice",
}


class Refusal(str):
    """The code of an error in place of an answer; what follows a colon is its message."""

    __slots__ = ()


def stack(status: str = "UPDATE_COMPLETE", outputs: dict[str, str] | None = None) -> dict[str, Any]:
    found = OUTPUTS if outputs is None else outputs
    listed = [{"OutputKey": name, "OutputValue": value} for name, value in found.items()]
    made = {"StackName": "Sluice", "CreationTime": "2026-11-20T12:00:00Z", "StackStatus": status, "Outputs": listed}
    return {"Stacks": [made]}


def function(**changes: Any) -> dict[str, Any]:
    variables = {
        "SLUICE_SETTINGS": Settings().model_dump_json(exclude_unset=True),
        "SLUICE_BEDROCK_ROLE_ARN": "arn:aws:iam::123456789012:role/jobs",
    }
    found = {"LastModified": "2026-11-20T12:00:00.000+0000", "Runtime": "python3.13", "State": "Active"}
    return {**found, "Environment": {"Variables": variables}, **changes}


def quota(kind: str, value: float) -> dict[str, Any]:
    return {"QuotaCode": "L-1", "QuotaName": f"{kind} for Nova Micro V1", "Value": value}


def calls(kind: str, value: float) -> dict[str, Any]:
    return {"QuotaCode": "L-DC7FF66C", "QuotaName": f"{kind} for Amazon Nova Micro", "Value": value}


CALLS = "Cross-region model inference tokens per minute"
JOBS = "Sum of in-progress and submitted batch inference jobs using a base model"
QUOTAS = [
    quota("Minimum number of records per batch inference job", 100),
    quota("Records per batch inference job", 100_000),
    quota("Batch inference input file size (in GB)", 1),
    quota(JOBS, 40),
    quota("Cross-region model inference requests per minute", 2_000),
    calls(CALLS, 200_000),
    calls("On-demand model inference tokens per minute", 0),  # of the plain id, which no task names
    calls("Global cross-region model inference tokens per minute", 0),
]
NO_JOB = "ValidationException: The input prefix holds no .jsonl file"
LAKE = {"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}
MESSAGE = {"output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}}, "stopReason": "end_turn"}
USAGE = {"usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}, "metrics": {"latencyMs": 321}}


def access(**changes: Any) -> dict[str, Any]:
    agreed = {"agreementAvailability": {"status": "AVAILABLE"}, "authorizationStatus": "AUTHORIZED"}
    there = {"entitlementAvailability": "AVAILABLE", "regionAvailability": "AVAILABLE"}
    return {"modelId": "amazon.nova-micro-v1:0", **agreed, **there, **changes}


def living(**life: Any) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-micro-v1:0"
    told = {"modelArn": arn, "modelId": "amazon.nova-micro-v1:0", "modelLifecycle": {"status": "ACTIVE", **life}}
    return {"modelDetails": told}


# Service and method, and what they answer; a list is the answers to one call after the other.
HEALTHY: dict[tuple[str, str], Any] = {
    ("sts", "get_caller_identity"): {"Account": "123456789012", "Arn": ME},
    ("cloudformation", "describe_stacks"): stack(),
    ("lambda", "get_function_configuration"): function(),
    ("s3", "head_bucket"): [{}, {}, {}],
    ("bedrock", "list_inference_profiles"): {"inferenceProfileSummaries": []},
    ("bedrock", "get_foundation_model_availability"): access(),
    ("bedrock", "get_foundation_model"): living(),
    ("bedrock", "create_model_invocation_job"): Refusal(NO_JOB),
    ("bedrock-runtime", "converse"): {**MESSAGE, **USAGE},
    ("service-quotas", "list_service_quotas"): {"Quotas": QUOTAS},
    ("bedrock", "list_model_invocation_jobs"): {"invocationJobSummaries": []},
    ("lambda", "get_account_settings"): {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}},
    ("athena", "get_work_group"): {"WorkGroup": {"Name": "sluice", "State": "ENABLED"}},
    ("glue", "get_database"): {"Database": {"Name": "sluice"}},
    ("lakeformation", "get_data_lake_settings"): {"DataLakeSettings": {"CreateTableDefaultPermissions": [LAKE]}},
}


def profile(id_: str) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/{id_}"
    named = {"inferenceProfileName": id_, "inferenceProfileArn": arn, "inferenceProfileId": id_}
    return {**named, "models": [{}], "status": "ACTIVE", "type": "SYSTEM_DEFINED"}


def having(*ids: str) -> dict[str, Any]:
    return {"inferenceProfileSummaries": [profile(id_) for id_ in ids]}


HEALTHY["bedrock", "list_inference_profiles"] = having(MICRO)


@cache
def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local")  # type: ignore[call-overload]


class Session(boto3.Session):
    """Answers each service's calls from what a test says, held to the service's model."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        super().__init__("local", "local", region_name=REGION)
        self.stubs: dict[str, Stubber] = {}
        for (service, method), told in answers.items():
            stub = self.stubs.setdefault(service, Stubber(client(service)))
            for answer in told if isinstance(told, list) else [told]:
                if isinstance(answer, Refusal):
                    code, _, message = answer.partition(": ")
                    stub.add_client_error(method, code, message)
                else:
                    stub.add_response(method, answer)

    def client(self, service_name: str, *_: Any, **__: Any) -> Any:
        stub = self.stubs[service_name]
        stub.activate()
        return stub.client

    def close(self) -> None:
        for stub in self.stubs.values():
            stub.deactivate()


# The order in which the checks come to a service's calls.
ORDER = [*HEALTHY]
LATER = {("bedrock", "stop_model_invocation_job"): ORDER.index(("bedrock", "create_model_invocation_job")) + 0.5}


def place(call: tuple[str, str]) -> float:
    """When a call is made, among those of its service."""
    return ORDER.index(call) if call in ORDER else LATER.get(call, len(ORDER))


@pytest.fixture
def opened() -> Iterator[list[Session]]:
    sessions: list[Session] = []
    yield sessions
    for session in sessions:
        session.close()


def patient(
    opened: list[Session], changes: dict[tuple[str, str], Any] | None = None, *, calls: bool = True, **tier: Any
) -> Patient:
    """A healthy account, but for some answers."""
    answers = {**HEALTHY, **(changes or {})}
    session = Session({key: answers[key] for key in sorted(answers, key=place)})
    opened.append(session)
    tiers = [{"model": "nova-micro", **tier}]
    task = parse_task({"name": "t", "input": {"text": "x"}, "labels": ["a", "b"], "tiers": tiers}, "task")
    return Patient(Stack(session, "Sluice"), [task], Catalog.load(), calls)


def findings(of: Patient) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in examine(of):
        found.setdefault(finding.check, []).append(finding)
    return found


def test_a_healthy_account_has_no_problem(opened: list[Session]) -> None:
    """Each check is made and says what it saw."""
    found = findings(patient(opened))
    assert list(found) == [
        *("region", "credentials", "stack", "buckets", "profiles", "access", "lifecycle", "models", "batch models"),
        *("quotas", "on demand", "batch jobs", "concurrency", "athena", "lake formation"),
    ]
    assert {finding.status for each in found.values() for finding in each} == {Status.OK}
    assert found["models"][0].found == "nova-micro for t answered after 321 ms"
    assert found["access"][0].found == "the account may use nova-micro"
    assert found["lifecycle"][0].found == "nova-micro is Active"
    assert found["batch models"][0].found == "nova-micro takes batch jobs"
    assert found["on demand"][0].found == f"nova-micro: 200,000 ({CALLS} for Amazon Nova Micro, L-DC7FF66C)"
    assert found["quotas"][3].found.startswith("max_jobs_in_flight = 40 (Service Quotas: Sum of in-progress")


NO_BATCH = "Batch inference is not supported for the requested model"


def midnight(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T00:00:00+00:00")


P, U = Status.PROBLEM, Status.UNKNOWN
FAILURES: dict[str, tuple[dict[tuple[str, str], Any], str, Status, str]] = {
    "a stack that is not there": (
        {("cloudformation", "describe_stacks"): Refusal("ValidationError: Stack with id Sluice does not exist")},
        *("stack", P, "there is no stack Sluice in us-east-1: deploy it with `sluice deploy`"),
    ),
    "a stack that failed": (
        {("cloudformation", "describe_stacks"): stack("UPDATE_ROLLBACK_FAILED")},
        *("stack", P, "Sluice is UPDATE_ROLLBACK_FAILED -> see its events"),
    ),
    "a stack of something else": (
        {("cloudformation", "describe_stacks"): stack(outputs={"Topic": "x"})},
        *("stack", P, "has no output IncomingBucket"),
    ),
    "a function that cannot start": (
        {("lambda", "get_function_configuration"): function(State="Failed", StateReason="no room")},
        *("stack", P, "start is Failed, its update Successful: no room -> `sluice deploy`"),
    ),
    "a bucket that is gone": (
        {("s3", "head_bucket"): [{}, Refusal("404"), {}]},
        *("buckets", P, "work: there is none"),
    ),
    "a bucket of others": (
        {("s3", "head_bucket"): [{}, {}, Refusal("403")]},
        *("buckets", P, "results: no access -> allow yourself s3:ListBucket"),
    ),
    "a profile of another Region": (
        {("bedrock", "list_inference_profiles"): having("eu.amazon.nova-micro-v1:0")},
        *("profiles", P, f"us-east-1 has no profile {MICRO} -> write one of these in the task: eu.amazon"),
    ),
    "no list of profiles": (
        {("bedrock", "list_inference_profiles"): Refusal("AccessDeniedException: not you")},
        *("profiles", U, "allow yourself ListInferenceProfiles"),
    ),
    "a model without access": (
        {("bedrock-runtime", "converse"): Refusal("AccessDeniedException: You don't have access to the model")},
        *("models", P, "You don't have access to the model -> once, as an administrator"),
    ),
    "a model by its profile alone": (
        {("bedrock-runtime", "converse"): Refusal("ValidationException: with on-demand throughput isn't supported")},
        *("models", P, "-> in the task, at tiers.0: set model to the id of an inference profile"),
    ),
    "a model at its end": (
        {("bedrock-runtime", "converse"): Refusal("ResourceNotFoundException: end of life")},
        *("models", P, "-> in the task, at tiers.0: set model to another one"),
    ),
    "a model that answers nonsense": (
        {("bedrock-runtime", "converse"): Refusal("ValidationException: The moon is full")},
        *("models", P, "-> the model may have left this Region"),
    ),
    "a busy model": (
        {("bedrock-runtime", "converse"): Refusal("ThrottlingException: slow down")},
        *("models", U, "nova-micro for t: busy at the moment (ThrottlingException) -> try again in some minutes"),
    ),
    "a model nobody agreed to": (
        {("bedrock", "get_foundation_model_availability"): access(entitlementAvailability="NOT_AVAILABLE")},
        *("access", P, 'nova-micro lacks entitlement -> once, as an administrator: see "Before the first run"'),
    ),
    "an agreement on its way": (
        {("bedrock", "get_foundation_model_availability"): access(agreementAvailability={"status": "PENDING"})},
        *("access", P, "its agreement is pending -> wait 15 minutes"),
    ),
    "access that nobody may read": (
        {("bedrock", "get_foundation_model_availability"): Refusal("AccessDeniedException: not you")},
        *("access", U, "allow yourself GetFoundationModelAvailability"),
    ),
    "a model without authorization": (
        {("bedrock", "get_foundation_model_availability"): access(authorizationStatus="NOT_AUTHORIZED")},
        *("access", P, "lacks authorization"),
    ),
    "a model that is Legacy": (
        {("bedrock", "get_foundation_model"): living(status="LEGACY", endOfLifeTime=midnight("2099-03-01"))},
        *("lifecycle", P, "nova-micro is Legacy, until 2099-03-01: AWS is about to withdraw it -> name a newer model"),
    ),
    "a model past its end": (
        {("bedrock", "get_foundation_model"): living(status="LEGACY", endOfLifeTime=midnight("2026-09-14"))},
        *("lifecycle", P, "nova-micro reached its end of life on 2026-09-14 -> name a newer model"),
    ),
    "a Region without batch": (
        {("bedrock", "create_model_invocation_job"): Refusal(f"ValidationException: {NO_BATCH}")},
        *("batch models", U, "even nova-micro is refused here"),
    ),
    "jobs that nobody may make": (
        {("bedrock", "create_model_invocation_job"): Refusal("AccessDeniedException: iam:PassRole")},
        *("batch models", U, "allow yourself CreateModelInvocationJob"),
    ),
    "calls that are throttled for ever": (
        {("service-quotas", "list_service_quotas"): {"Quotas": [*QUOTAS[:4], calls(CALLS, 0)]}},
        *(
            "on demand",
            P,
            f"nova-micro: {CALLS} for Amazon Nova Micro (L-DC7FF66C) is 0, so every call of it is throttled, for ever",
        ),
    ),
    "no tokens for a day": (
        {
            ("service-quotas", "list_service_quotas"): {
                "Quotas": [*QUOTAS[:4], calls(CALLS, 1), calls("Model invocation max tokens per day", 0)]
            }
        },
        *("on demand", P, "Model invocation max tokens per day for Amazon Nova Micro (L-DC7FF66C) is 0"),
    ),
    "calls without a quota": (
        {("service-quotas", "list_service_quotas"): {"Quotas": QUOTAS[:4]}},
        *("on demand", U, f"lists no quota of calls for {MICRO}"),
    ),
    "no batch jobs at all": (
        {("service-quotas", "list_service_quotas"): {"Quotas": [*QUOTAS[:3], quota(JOBS, 0), *QUOTAS[4:]]}},
        *("quotas", P, "is 0, so this account may run no such job"),
    ),
    "quotas that nobody may read": (
        {
            ("service-quotas", "list_service_quotas"): [
                Refusal("AccessDeniedException: not you"),
                {"Quotas": QUOTAS},
            ]
        },
        *("quotas", U, "not you"),
    ),
    "jobs that nobody may list": (
        {("bedrock", "list_model_invocation_jobs"): Refusal("AccessDeniedException: not you")},
        *("batch jobs", U, "allow yourself ListModelInvocationJobs"),
    ),
    "a new account": (
        {("lambda", "get_account_settings"): {"AccountLimit": {"UnreservedConcurrentExecutions": 10}}},
        *("concurrency", P, "Lambda runs 10 functions at once; a run of these settings takes up to 30"),
    ),
    "a workgroup that is off": (
        {("athena", "get_work_group"): {"WorkGroup": {"Name": "sluice", "State": "DISABLED"}}},
        *("athena", P, "is DISABLED -> enable it"),
    ),
    "a database that is gone": (
        {("glue", "get_database"): Refusal("EntityNotFoundException: Database sluice not found")},
        *("lake formation", P, "Database sluice not found"),
    ),
    "tables that Lake Formation guards": (
        {
            ("lakeformation", "get_data_lake_settings"): {"DataLakeSettings": {}},
            ("lakeformation", "list_permissions"): {"PrincipalResourcePermissions": []},
            ("sts", "get_caller_identity"): [{"Account": "1", "Arn": ME}] * 2,
        },
        *("lake formation", P, f"shows no grant for {ME} -> in Lake Formation grant SELECT"),
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_each_failure_is_found_and_says_what_to_do(opened: list[Session], case: str) -> None:
    """Once each; the other checks go on."""
    changes, check, status, said = FAILURES[case]
    found = findings(patient(opened, changes))
    [finding] = [finding for finding in found[check] if finding.status is not Status.OK]
    assert finding.status is status
    assert said in f"{finding.found} -> {finding.do}"
    assert list(found)[-1] == "lake formation"


def test_a_grant_of_lake_formation_is_enough(opened: list[Session]) -> None:
    """Where IAM alone does not decide, one's own grant does."""
    granted = {"PrincipalResourcePermissions": [{"Principal": {"DataLakePrincipalIdentifier": ME}}]}
    changes = {
        ("lakeformation", "get_data_lake_settings"): {"DataLakeSettings": {}},
        ("lakeformation", "list_permissions"): granted,
        ("sts", "get_caller_identity"): [{"Account": "1", "Arn": ME}] * 2,
    }
    [finding] = findings(patient(opened, changes))["lake formation"]
    assert finding.status is Status.OK


def test_without_a_stack_its_parts_are_not_looked_at(opened: list[Session]) -> None:
    """One problem is one problem, and the account is looked at all the same."""
    missing = Refusal("ValidationError: Sluice does not exist")
    unasked = [("lambda", "get_function_configuration"), ("bedrock", "create_model_invocation_job")]
    nothing = {("cloudformation", "describe_stacks"): [missing] * 8, **{call: [] for call in unasked}}
    found = findings(patient(opened, nothing))
    assert [check for check, each in found.items() if each[0].status is Status.PROBLEM] == ["stack"]
    for check in ("buckets", "batch models", "athena", "lake formation"):
        assert [(each.status, each.found) for each in found[check]] == [
            (Status.UNKNOWN, "nothing to look at: there is no stack Sluice in us-east-1")
        ]
    assert found["models"][0].status is Status.OK


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Refusal("ExpiredToken: x"), "your AWS credentials have expired"), (Refusal("AccessDenied: x"), "AWS refuses")],
)
def test_without_credentials_nothing_else_is_asked(opened: list[Session], answer: Refusal, said: str) -> None:
    """Everything else would fail for the same reason."""
    found = findings(patient(opened, {("sts", "get_caller_identity"): answer}))
    assert list(found) == ["region", "credentials"]
    assert found["credentials"][0].status is Status.PROBLEM
    assert said in found["credentials"][0].found


def test_without_any_credentials_the_command_says_how_to_sign_in(opened: list[Session]) -> None:
    """boto3 finds none before it asks anybody."""

    class Nobody(Session):
        def client(self, *_: Any, **__: Any) -> Any:
            raise NoCredentialsError

    examined = Patient(Stack(Nobody({}), "Sluice"), [], Catalog.load(), calls=False)
    assert "aws sso login" in findings(examined)["credentials"][0].found


def test_without_a_region_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service can be reached."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    found = findings(Patient(Stack(boto3.Session(), "Sluice"), [], Catalog.load(), calls=True))
    assert list(found) == ["region"]
    assert found["region"][0].do == "give --region, or set AWS_REGION"


def test_without_calls_nothing_is_sent_nor_tried(opened: list[Session]) -> None:
    """Access and ends of life are looked up all the same."""
    found = findings(patient(opened, calls=False))
    assert not {"models", "batch models"} & {*found}
    assert found["access"][0].status is Status.OK


# As Bedrock puts them; the real ones have a request's id of their own.
WORDS = "The model returned the following errors: "
FIELDS = {
    f"{WORDS}`temperature` is deprecated for this model.": "set temperature to null",
    "The maximum tokens you requested exceeds the model limit of 5000. Try again with a maximum tokens value that is "
    "lower than 5000.": "set max_tokens to 5000 or less",
    "Malformed input request: #: extraneous key [thinking] is not permitted, please reformat your input and try "
    "again.": "take thinking out of request",
    f"{WORDS}top_k: Extra inputs are not permitted": "take top_k out of request",
    "Invocation of model ID x with on-demand throughput isn\u2019t supported.": "set model to the id of an inference",
}


@pytest.mark.parametrize("message", FIELDS)
def test_a_request_that_a_model_refuses_names_the_field_to_change(opened: list[Session], message: str) -> None:
    """By the tier in the task."""
    refusal = Refusal(f"ValidationException: {message} (Request ID: 3f1c9a52-4f6e-4b0a-9d1c-0123456789ab)")
    [finding] = findings(patient(opened, {("bedrock-runtime", "converse"): refusal}))["models"]
    assert finding.status is Status.PROBLEM
    assert finding.do.startswith(f"in the task, at tiers.0: {FIELDS[message]}")


def test_each_tier_is_sent_the_request_of_each_task(opened: list[Session]) -> None:
    """Instructions, parameters and own fields are a run's own; the same request goes to a model once."""
    looked = patient(opened)
    tiers = [
        {"model": "nova-micro", "max_tokens": 90, "temperature": 0.5, "request": {"inferenceConfig": {"topK": 1}}},
        {"model": "claude-haiku-5-5"},
        {"model": "claude-haiku-5-5"},
    ]
    data = {"name": "t", "input": {"text": "x"}, "labels": ["a", "b"], "tiers": tiers}
    task = parse_task(data, "task")
    found = list(replace(looked, tasks=[task, task]).trials)
    assert [(trial.place, trial.model.id) for trial in found] == [
        ("tiers.0", MICRO),
        ("tiers.1", "us.anthropic.claude-haiku-5-5"),
    ]
    assert found[0].body["system"] == found[1].body["system"] == [{"text": system_prompt(task)}]
    assert found[0].body["inferenceConfig"] == {"maxTokens": 90, "temperature": 0.5}
    assert found[0].body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 1}}
    assert found[1].body["inferenceConfig"] == {"maxTokens": 200}
    assert found[1].body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}


def test_a_model_that_takes_no_batch_jobs_is_told_from_a_wrong_input(opened: list[Session]) -> None:
    """Nova Micro's refusal is about the empty prefix, Nova Lite's about the model."""
    lite = "us.amazon.nova-lite-v1:0"
    changes = {
        ("bedrock", "list_inference_profiles"): having(MICRO, lite),
        ("bedrock", "create_model_invocation_job"): [Refusal(NO_JOB), Refusal(f"ValidationException: {NO_BATCH}")],
    }
    [finding] = findings(patient(opened, changes, model="nova-lite"))["batch models"]
    assert finding.status is Status.PROBLEM
    assert finding.found.startswith("nova-lite takes no batch jobs: ")
    assert finding.do.startswith("give its tiers transport: on_demand")


def test_a_job_that_is_made_all_the_same_is_stopped(opened: list[Session]) -> None:
    """Nobody knows whether Bedrock looks at the input before it takes a job on."""
    arn = f"arn:aws:bedrock:{REGION}:123456789012:model-invocation-job/abcdefghijkl"
    changes = {
        ("bedrock", "create_model_invocation_job"): {"jobArn": arn},
        ("bedrock", "stop_model_invocation_job"): {},
    }
    looked = patient(opened, changes)
    [finding] = findings(looked)["batch models"]
    assert finding.found == "nova-micro takes batch jobs"


def test_a_model_whose_end_was_announced_says_what_to_use_instead(opened: list[Session]) -> None:
    """By the catalogue's dates, where Bedrock tells none."""
    [finding] = findings(patient(opened, model="claude-haiku-4-5"))["lifecycle"]
    assert (finding.status, "no sooner than 2026-10-01" in finding.found) == (Status.OK, True)
    assert "instead: claude-haiku-5-5" in finding.found


def test_a_model_that_has_ended_is_a_problem_whatever_bedrock_still_lists(opened: list[Session]) -> None:
    """It is not asked about."""
    found = findings(patient(opened, model="us.amazon.nova-premier-v1:0"))
    [finding] = found["lifecycle"]
    assert (finding.status, finding.do) == (Status.PROBLEM, "name nova-pro or nova-2-lite in the task")


def test_tasks_on_demand_need_no_quota_of_jobs(opened: list[Session]) -> None:
    """Nothing is asked that nobody needs."""
    [finding] = findings(patient(opened, transport="on_demand"))["quotas"]
    assert finding.found == "no task uses batch jobs"


def test_the_command_prints_what_to_do_and_fails(opened: list[Session], capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each finding, one for what to do, and the exit code for scripts."""
    small = {("lambda", "get_account_settings"): {"AccountLimit": {"UnreservedConcurrentExecutions": 10}}}
    assert see_doctor(patient(opened, small), as_json=False) == ExitCode.FAILED
    said = capsys.readouterr()
    assert "ok       region          us-east-1\n" in said.out
    assert "problem  concurrency     Lambda runs 10" in said.out
    assert "concurrent executions, or set max_workers and max_jobs_in_flight to 1" in said.out
    assert "for some cents at most; --no-calls leaves that out" in said.err


def test_json_is_one_document(opened: list[Session], capsys: pytest.CaptureFixture[str]) -> None:
    """All findings, and whether there is a problem."""
    assert see_doctor(patient(opened), as_json=True) == ExitCode.SUCCEEDED
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["checks"][0] == {"check": "region", "status": "ok", "found": "us-east-1", "do": ""}


def test_a_folder_without_tasks_is_no_problem(tmp_path: Path) -> None:
    """The default tiers are looked at then."""
    assert tasks_here(tmp_path / "tasks") == []
