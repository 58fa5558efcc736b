"""`sluice doctor`: whether an account and a deployment can do what runs need, and what to do where they cannot."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.errors import translated
from sluice.aws.service_quotas import ServiceQuotas
from sluice.cli.exits import ExitCode, complain, reader_may_leave
from sluice.errors import BadRequest, BadSetting, SluiceError
from sluice.models.catalog import PROFILE_ID, profile_of
from sluice.runs.fitted import fit
from sluice.runs.settings import Settings, declared_settings
from sluice.task.file import load_task, task_names
from sluice.task.tiers import DEFAULT_TIERS, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.aws.stack import Stack
    from sluice.models.catalog import Catalog, Model
    from sluice.task.task import Task

STEADY = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
EVERYBODY = "IAM_ALLOWED_PRINCIPALS"  # Lake Formation's name for: IAM alone decides
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
BUSY = frozenset({"ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException"})
LOST = "there is none", "`sluice deploy` does not make a lost bucket anew: `sluice destroy` first"
BARRED = "no access", "allow yourself s3:ListBucket on it"
SPARE = 10  # functions that run beside the workers of a map
QUESTION = {"messages": [{"role": "user", "content": [{"text": "Answer with the word yes."}]}]}
BRIEF = {"inferenceConfig": {"maxTokens": 5}}


class Status(StrEnum):
    """What a check says; `unknown` where nobody may look, which hinders no run."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    status: Status
    found: str
    do: str = ""


class Found(NamedTuple):
    """A finding before it has the name of its check."""

    status: Status
    found: str
    do: str = ""


@dataclass(frozen=True)
class Patient:
    """What is looked at: a deployment, with the tasks and the models of this folder. `calls`: models may be asked."""

    cloud: Stack
    tasks: Sequence[Task]
    catalog: Catalog
    calls: bool

    def client(self, service: str) -> Any:
        return self.cloud.session.client(service)  # type: ignore[call-overload]

    @property
    def region(self) -> str:
        return str(self.cloud.session.region_name)

    @cached_property
    def models(self) -> dict[str, Model | BadSetting]:
        """The models of all tasks by their names there, as the Region calls them, or why it does not."""
        tiers = [tier for task in self.tasks for tier in task.tiers] or list(DEFAULT_TIERS)
        return {name: self._model(name) for name in dict.fromkeys(tier.model for tier in tiers)}

    def _model(self, name: str) -> Model | BadSetting:
        try:
            return self.catalog.resolve(name, self.region)
        except BadSetting as error:
            return error

    @property
    def known(self) -> dict[str, Model]:
        """The models that the Region has."""
        return {name: model for name, model in self.models.items() if not isinstance(model, BadSetting)}

    @property
    def in_batch(self) -> list[str]:
        """The ids of the models that tasks use in batch jobs."""
        tiers = [tier for task in self.tasks for tier in task.tiers] or list(DEFAULT_TIERS)
        wanted = {tier.model for tier in tiers if tier.transport is not Transport.ON_DEMAND}
        return [model.id for name, model in self.known.items() if name in wanted and model.batch]

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The function start, as it is deployed."""
        found: Mapping[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=self.cloud.outputs["StartFunction"]
        )
        return found

    @property
    def workgroup(self) -> str:
        """What Athena's workgroup and the database are called."""
        if name := self.cloud.outputs.get("Workgroup"):
            return name
        raise BadRequest(f"the stack {self.cloud.name} names no workgroup of Athena")

    @property
    def settings(self) -> Settings:
        """The deployment's settings; those that this folder declares where there is no deployment to ask."""
        try:
            variables = self.start["Environment"]["Variables"]
        except (BadRequest, ClientError, KeyError):
            return declared_settings(Path("cdk.json"))
        return Settings.model_validate_json(variables["SLUICE_SETTINGS"])


def tasks_here(folder: Path = Path("tasks")) -> list[Task]:
    """The tasks of this folder; none is no problem.

    Raises:
        BadTask: one of them has mistakes, which `sluice check` explains.

    """
    return [load_task(name, folder) for name in task_names(folder)] if folder.is_dir() else []


def see_doctor(patient: Patient, *, as_json: bool) -> ExitCode:
    """Make all checks and print what they found; 1 where there is a problem."""
    if patient.calls:
        complain("asking each model one question, for a fraction of a cent in all; --no-calls leaves that out")
    found = []
    with reader_may_leave():
        for finding in examine(patient):
            found.append(finding)
            if not as_json:
                print("\n".join(lines(finding)), flush=True)
        bad = sum(finding.status is Status.PROBLEM for finding in found)
        if as_json:
            print(json.dumps({"ok": not bad, "checks": [asdict(finding) for finding in found]}, indent=2))
    if bad and not as_json:
        print(f"\n{bad} problem{'s' if bad > 1 else ''}", file=sys.stderr)
    return ExitCode.FAILED if bad else ExitCode.SUCCEEDED


def lines(finding: Finding) -> Iterator[str]:
    """A finding as it is printed."""
    yield f"{finding.status:<9}{finding.check:<16}{finding.found}"
    if finding.do:
        yield f"{'':25}do: {finding.do}"


def examine(patient: Patient) -> Iterator[Finding]:
    """Make the checks in turn; without a Region and credentials there is nothing to make the others with."""
    for name, check in FIRST.items():
        findings = list(_made(name, check, patient, Status.PROBLEM))
        yield from findings
        if any(finding.status is not Status.OK for finding in findings):
            return
    for name, check in CHECKS.items():
        yield from _made(name, check, patient, Status.UNKNOWN)


def _made(name: str, check: Check, patient: Patient, when_denied: Status) -> Iterator[Finding]:
    """What a check found; an error is a finding too."""
    try:
        for found in check(patient):
            yield Finding(name, *found)
    except (SluiceError, ClientError, BotoCoreError) as error:
        yield Finding(name, *_failed(check, error, when_denied))


def _failed(check: Check, error: SluiceError | ClientError | BotoCoreError, when_denied: Status) -> Found:
    """What an error says of a check: what only the caller may not see is no problem of a run."""
    cause = error.__cause__ if isinstance(error, SluiceError) else error
    said = str(translated(error))
    if isinstance(error, BadRequest) and check is not stack:
        return Found(Status.UNKNOWN, f"nothing to look at: {said.partition(':')[0]}")
    if isinstance(cause, ClientError) and _code(cause) in DENIED:
        return Found(when_denied, said, f"allow yourself {cause.operation_name}, or ask somebody who may")
    return Found(Status.PROBLEM, said)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


# The checks.


def region(patient: Patient) -> Iterator[Found]:
    """A Region is set."""
    if patient.cloud.session.region_name is None:
        yield Found(Status.PROBLEM, "no Region is set", "give --region, or set AWS_REGION")
    else:
        yield Found(Status.OK, patient.region)


def credentials(patient: Patient) -> Iterator[Found]:
    """AWS knows who asks."""
    who = patient.client("sts").get_caller_identity()
    yield Found(Status.OK, f"account {who['Account']}, {who['Arn']}")


def stack(patient: Patient) -> Iterator[Found]:
    """The deployment is finished, and its code is in use."""
    name, outputs = patient.cloud.name, patient.cloud.outputs
    status = patient.cloud.status
    if status not in STEADY:
        yield Found(Status.PROBLEM, f"{name} is {status}", "see its events in CloudFormation; `sluice deploy` again")
        return
    function = patient.start
    state, update = function.get("State", "Active"), function.get("LastUpdateStatus", "Successful")
    if (state, update) != ("Active", "Successful"):
        why = function.get("StateReason") or function.get("LastUpdateStatusReason") or "no reason is given"
        said = f"{outputs['StartFunction']} is {state}, its update {update}: {why}"
        yield Found(Status.PROBLEM, said, "`sluice deploy` again")
        return
    yield Found(Status.OK, f"{name} is {status}; its code is of {function['LastModified'][:19]}, {function['Runtime']}")


def buckets(patient: Patient) -> Iterator[Found]:
    """The buckets of the deployment can be reached."""
    outputs = patient.cloud.outputs
    for bucket in (outputs[name] for name in ("IncomingBucket", "WorkBucket", "ResultsBucket")):
        try:
            patient.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            said, do = LOST if _code(error) in {"404", "NoSuchBucket"} else BARRED
            yield Found(Status.PROBLEM, f"{bucket}: {said}", do)
        else:
            yield Found(Status.OK, bucket)


def profiles(patient: Patient) -> Iterator[Found]:
    """Each model of the tasks has an id here, and each inference profile is one that the Region has."""
    pages = patient.client("bedrock").get_paginator("list_inference_profiles").paginate()
    here = {profile["inferenceProfileId"] for page in pages for profile in page["inferenceProfileSummaries"]}
    for name, model in patient.models.items():
        if isinstance(model, BadSetting):
            yield Found(Status.PROBLEM, str(model))
        elif model.id.startswith("arn:") or profile_of(model.id) is None:
            yield Found(Status.OK, f"{name} is {model.id}")
        elif model.id in here:
            yield Found(Status.OK, f"{name} is the profile {model.id}")
        else:
            base = model.id.partition(".")[2]
            others = sorted(profile for profile in here if profile.endswith(f".{base}"))
            do = f"write one of these in the task: {', '.join(others)}" if others else "choose another Region or model"
            yield Found(Status.PROBLEM, f"{name}: {patient.region} has no profile {model.id}", do)


def models(patient: Patient) -> Iterator[Found]:
    """Each model answers; without calls, the account has access to it."""
    for name, model in patient.known.items():
        yield _answers(patient, name, model) if patient.calls else _accessible(patient, name, model)


def _answers(patient: Patient, name: str, model: Model) -> Found:
    try:
        said = patient.client("bedrock-runtime").converse(modelId=model.id, **QUESTION, **BRIEF)
    except ClientError as error:
        if _code(error) in BUSY:
            return Found(Status.OK, f"{name} is there, and busy at the moment ({_code(error)})")
        return Found(Status.PROBLEM, f"{name}: {translated(error)}", _remedy(_code(error), str(error)))
    return Found(Status.OK, f"{name} answered after {said['metrics']['latencyMs']} ms")


def _remedy(code: str, message: str) -> str:
    if code in DENIED:
        return (
            "request access under Model access in the Bedrock console (Anthropic asks for a use case once), and allow "
            "bedrock:InvokeModel on the profile and on the model in every Region that it routes to"
        )
    if "on-demand throughput" in message:
        return "the model is called through an inference profile alone: write its id, such as us.<model>, in the task"
    return "the model may have left this Region or come to its end: choose another, and give its id in the task"


def _accessible(patient: Patient, name: str, model: Model) -> Found:
    base = PROFILE_ID.sub(r"\2", model.id, count=1)
    said = patient.client("bedrock").get_foundation_model_availability(modelId=base)
    lacking = [
        what
        for what, has in (
            ("its licence agreement", said["agreementAvailability"]["status"] in {"AVAILABLE", "NOT_REQUIRED"}),
            ("authorization", said["authorizationStatus"] == "AUTHORIZED"),
            ("entitlement", said["entitlementAvailability"] == "AVAILABLE"),
        )
        if not has
    ]
    if lacking:
        return Found(Status.PROBLEM, f"{name} lacks {', '.join(lacking)}", _remedy("AccessDenied", ""))
    return Found(Status.OK, f"{name} can be used; it was not asked")


def quotas(patient: Patient) -> Iterator[Found]:
    """The account may run batch jobs, and how large ones."""
    if not patient.in_batch:
        yield Found(Status.OK, "no task uses batch jobs")
        return
    listed = ServiceQuotas(patient.client("service-quotas")).of_bedrock()
    found = fit(patient.settings, patient.in_batch, listed, "Service Quotas lists none")
    for name, quota in found.quotas.items():
        guessed = quota.source.startswith("the default")
        yield Found(Status.UNKNOWN if guessed else Status.OK, f"{name} = {quota.value:,} ({quota.source})")


def jobs(patient: Patient) -> Iterator[Found]:
    """Batch jobs can be listed, which `sluice watch` does."""
    open_ = patient.client("bedrock").list_model_invocation_jobs(statusEquals="InProgress", maxResults=100)
    count = len(open_["invocationJobSummaries"])
    yield Found(Status.OK, f"batch jobs can be listed; {count}{'+' if 'nextToken' in open_ else ''} in progress")


def concurrency(patient: Patient) -> Iterator[Found]:
    """Lambda may run as many functions at once as a run's maps start."""
    limit = patient.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    settings = patient.settings
    wanted = max(settings.max_workers, settings.max_jobs_in_flight) + SPARE
    said = f"Lambda runs {limit:,} functions at once; a run of these settings takes up to {wanted:,}"
    if limit < wanted:
        do = f"ask for a higher quota of concurrent executions, or set max_workers to {max(1, limit - SPARE)}"
        yield Found(Status.PROBLEM, said, do)
    else:
        yield Found(Status.OK, said)


def athena(patient: Patient) -> Iterator[Found]:
    """The workgroup takes queries."""
    name = patient.workgroup
    group = patient.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    if group["State"] == "ENABLED":
        yield Found(Status.OK, f"the workgroup {name} is enabled")
    else:
        yield Found(Status.PROBLEM, f"the workgroup {name} is {group['State']}", "enable it in Athena")


def lake_formation(patient: Patient) -> Iterator[Found]:
    """Nothing but IAM stands between a reader and the tables, or the caller has grants."""
    name = patient.workgroup
    patient.client("glue").get_database(Name=name)
    lake = patient.client("lakeformation")
    settings = lake.get_data_lake_settings()["DataLakeSettings"]
    defaults = settings.get("CreateTableDefaultPermissions", [])
    if any(one["Principal"].get("DataLakePrincipalIdentifier") == EVERYBODY for one in defaults):
        yield Found(Status.OK, f"the tables of {name} are guarded by IAM alone")
        return
    who = patient.client("sts").get_caller_identity()["Arn"]
    granted = lake.list_permissions(Resource={"Database": {"Name": name}})["PrincipalResourcePermissions"]
    principals = {one["Principal"]["DataLakePrincipalIdentifier"] for one in granted}
    if principals & {EVERYBODY, who}:
        yield Found(Status.OK, f"Lake Formation guards {name}, and has grants for you")
        return
    do = (
        f"in Lake Formation grant SELECT and DESCRIBE on all tables of {name} to those who query, and to {who} if that "
        f"includes you; or give {EVERYBODY} back its rights"
    )
    yield Found(Status.PROBLEM, f"Lake Formation guards {name}, and shows no grant for {who}", do)


if TYPE_CHECKING:
    Check = Callable[[Patient], Iterator[Found]]

FIRST: dict[str, Check] = {"region": region, "credentials": credentials}
CHECKS: dict[str, Check] = {
    "stack": stack,
    "buckets": buckets,
    "profiles": profiles,
    "models": models,
    "quotas": quotas,
    "batch jobs": jobs,
    "concurrency": concurrency,
    "athena": athena,
    "lake formation": lake_formation,
}
