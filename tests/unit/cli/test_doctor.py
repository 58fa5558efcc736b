"""`sluice doctor`: each check on a healthy account, and each of its failures once, against botocore's own models."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber

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
    variables = {"SLUICE_SETTINGS": Settings().model_dump_json(exclude_unset=True)}
    found = {"LastModified": "2026-11-20T12:00:00.000+0000", "Runtime": "python3.13", "State": "Active"}
    return {**found, "Environment": {"Variables": variables}, **changes}


def quota(kind: str, value: float) -> dict[str, Any]:
    return {"QuotaCode": "L-1", "QuotaName": f"{kind} for Nova Micro V1", "Value": value}


JOBS = "Sum of in-progress and submitted batch inference jobs using a base model"
QUOTAS = [
    quota("Minimum number of records per batch inference job", 100),
    quota("Records per batch inference job", 100_000),
    quota("Batch inference input file size (in GB)", 1),
    quota(JOBS, 40),
]
LAKE = {"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}
MESSAGE = {"output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}}, "stopReason": "end_turn"}
USAGE = {"usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}, "metrics": {"latencyMs": 321}}
# Service and method, and what they answer; a list is the answers to one call after the other.
HEALTHY: dict[tuple[str, str], Any] = {
    ("sts", "get_caller_identity"): {"Account": "123456789012", "Arn": ME},
    ("cloudformation", "describe_stacks"): stack(),
    ("lambda", "get_function_configuration"): function(),
    ("s3", "head_bucket"): [{}, {}, {}],
    ("bedrock", "list_inference_profiles"): {"inferenceProfileSummaries": []},
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


# The order in which the checks come to a service's calls; one of them where models are not to be called.
ORDER = [*HEALTHY]
ORDER.insert(ORDER.index(("bedrock", "list_model_invocation_jobs")), ("bedrock", "get_foundation_model_availability"))


def place(call: tuple[str, str]) -> int:
    """When a call is made, among those of its service."""
    return ORDER.index(call) if call in ORDER else len(ORDER)


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
        *("region", "credentials", "stack", "buckets", "profiles", "models", "quotas"),
        *("batch jobs", "concurrency", "athena", "lake formation"),
    ]
    assert {finding.status for each in found.values() for finding in each} == {Status.OK}
    assert found["models"][0].found == "nova-micro answered after 321 ms"
    assert found["quotas"][3].found.startswith("max_jobs_in_flight = 40 (Service Quotas: Sum of in-progress")


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
        *("models", P, "You don't have access to the model -> request access under Model access"),
    ),
    "a model by its profile alone": (
        {("bedrock-runtime", "converse"): Refusal("ValidationException: with on-demand throughput isn't supported")},
        *("models", P, "-> the model is called through an inference profile alone"),
    ),
    "a model at its end": (
        {("bedrock-runtime", "converse"): Refusal("ResourceNotFoundException: end of life")},
        *("models", P, "choose another, and give its id"),
    ),
    "no batch jobs at all": (
        {("service-quotas", "list_service_quotas"): {"Quotas": [*QUOTAS[:3], quota(JOBS, 0)]}},
        *("quotas", P, "is 0, so this account may run no such job"),
    ),
    "quotas that nobody may read": (
        {("service-quotas", "list_service_quotas"): Refusal("AccessDeniedException: not you")},
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
    nothing = {("cloudformation", "describe_stacks"): [missing] * 6, ("lambda", "get_function_configuration"): []}
    found = findings(patient(opened, nothing))
    assert [check for check, each in found.items() if each[0].status is Status.PROBLEM] == ["stack"]
    for check in ("buckets", "athena", "lake formation"):
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


ACCESS = {
    "modelId": "amazon.nova-micro-v1:0",
    "agreementAvailability": {"status": "AVAILABLE"},
    "authorizationStatus": "AUTHORIZED",
    "entitlementAvailability": "AVAILABLE",
    "regionAvailability": "AVAILABLE",
}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({}, Status.OK, "nova-micro can be used; it was not asked"),
        ({"agreementAvailability": {"status": "NOT_AVAILABLE"}}, Status.PROBLEM, "lacks its licence agreement"),
        ({"authorizationStatus": "NOT_AUTHORIZED"}, Status.PROBLEM, "lacks authorization"),
    ],
)
def test_without_calls_access_is_looked_up(
    opened: list[Session], changes: dict[str, Any], status: Status, said: str
) -> None:
    """Nothing is bought, and what is missing has its name."""
    access = {("bedrock", "get_foundation_model_availability"): {**ACCESS, **changes}}
    [finding] = findings(patient(opened, access, calls=False))["models"]
    assert (finding.status, said in finding.found) == (status, True)


def test_a_busy_model_is_there(opened: list[Session]) -> None:
    """A throttle proves access."""
    busy = {("bedrock-runtime", "converse"): Refusal("ThrottlingException: slow down")}
    [finding] = findings(patient(opened, busy))["models"]
    assert finding.status is Status.OK


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
    assert "do: ask for a higher quota of concurrent executions, or set max_workers to 1" in said.out
    assert "for a fraction of a cent in all; --no-calls leaves that out" in said.err


def test_json_is_one_document(opened: list[Session], capsys: pytest.CaptureFixture[str]) -> None:
    """All findings, and whether there is a problem."""
    assert see_doctor(patient(opened), as_json=True) == ExitCode.SUCCEEDED
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["checks"][0] == {"check": "region", "status": "ok", "found": "us-east-1", "do": ""}


def test_a_folder_without_tasks_is_no_problem(tmp_path: Path) -> None:
    """The default tiers are looked at then."""
    assert tasks_here(tmp_path / "tasks") == []
