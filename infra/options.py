"""What a deployer may set: the `context` of cdk.json, or `-c name=value` on CDK's command line."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sluice.errors import BadSetting
from sluice.runs.inbox import Intake, Schedules, Source
from sluice.runs.settings import PLAIN_ENVIRONMENT, Settings, stack_name

if TYPE_CHECKING:
    from constructs import Node

    Problem = Any

Geography = Literal["us", "us-gov", "eu", "apac", "jp", "au", "ca", "global"]
# The folder of the app: the root of a checkout, or that folder of the installed package (`sluice/places.py`).
ROOT = Path(__file__).resolve().parent.parent
# CDK's own context has a colon or an at sign in its names: feature flags, look-ups, what its command line passes on.
OWN_NAME = re.compile(r"[A-Za-z_][\w-]*")
CDKS_OWN = {"acknowledged-issue-numbers", "cli-telemetry"}
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")
# The periods that CloudWatch Logs knows.
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]


def _is_ours(name: str) -> bool:
    return OWN_NAME.fullmatch(name) is not None and name not in CDKS_OWN


def _decoded(value: Any) -> Any:
    """The command line passes every value as text; lists, objects and numbers are then JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(f"the text is no JSON: {error}") from None


def _settings(value: Any) -> Settings:
    given = _decoded(value)
    if not isinstance(given, dict):
        raise ValueError("a mapping from settings to values")  # noqa: TRY004 (pydantic reports only this kind)
    try:
        return Settings().override(given)
    except BadSetting as error:
        raise ValueError(str(error)) from None


def _environment(value: str) -> str:
    try:
        stack_name(value)
    except BadSetting as error:
        raise ValueError(str(error).partition("is not allowed: ")[2]) from None
    return value


def _email(value: str) -> str:
    if not EMAIL.fullmatch(value):
        raise ValueError("one e-mail address, as in ops@example.com")
    return value


def _encryption(value: str) -> str:
    if value not in set(Encryption) and not KEY_ARN.fullmatch(value):
        raise ValueError(
            "s3 for S3's own keys, kms for a key that is made for this deployment, or the ARN of a key, as in "
            "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab (not of an alias)"
        )
    return value


def _once(value: tuple[Geography, ...]) -> tuple[Geography, ...]:
    return tuple(dict.fromkeys(value))


class Encryption(StrEnum):
    """Whose key the buckets use, where it is not a key that is there already."""

    S3 = "s3"
    KMS = "kms"


class Removal(StrEnum):
    """What happens to what people put in and paid for when the stack is deleted."""

    KEEP = "keep"
    DESTROY = "destroy"


class TablesIn(StrEnum):
    """Where the tables and views of the tasks are declared."""

    AUTO = "auto"
    STACK = "stack"
    NESTED = "nested"
    NOWHERE = "nowhere"


VpcId = Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]
RouteTableId = Annotated[str, Field(pattern=r"^rtb-[0-9a-f]{8,17}$")]


class Vpc(BaseModel):
    """The network that the functions join, all of which is there already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: VpcId
    subnets: Annotated[tuple[SubnetId, ...], Field(min_length=1)]
    security_groups: Annotated[tuple[SecurityGroupId, ...], Field(min_length=1, max_length=5)]
    endpoints: bool = False
    route_tables: tuple[RouteTableId, ...] = ()

    @model_validator(mode="after")
    def _gateways_have_routes(self) -> Vpc:
        if self.endpoints and not self.route_tables:
            raise ValueError("endpoints need the route tables of the subnets, for the way to S3")
        return self


class Thresholds(BaseModel):
    """From where on the alarms go off that have no natural limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unresolved_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    escalation_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    waiting_hours: Annotated[float, Field(gt=0, le=168)] = (
        12  # a job expires after its tier's timeout_hours, by default 24
    )
    overdue_minutes: Annotated[float, Field(gt=0, le=1440)] = 60


class Options(BaseModel):
    """The options of one deployment, each with the value that an untouched cdk.json has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Annotated[str, AfterValidator(_environment)] = Field(
        PLAIN_ENVIRONMENT, description="Names this deployment; several stand side by side in one account and Region."
    )
    sluice: Annotated[Settings, BeforeValidator(_settings)] = Field(
        default_factory=Settings, description="How runs are cut and paced, and the quotas: see Settings below."
    )
    tasks: str = Field("tasks", description="The folder of the task files; their models and tables are deployed.")
    schedules: Annotated[Schedules, BeforeValidator(_decoded)] = Field(
        default_factory=dict,
        description="What counts here in place of a task's own trigger: {tickets: rate(1 day)}, "
        "a mapping as in the task file, or off.",
    )
    source_buckets: Annotated[tuple[Source, ...], BeforeValidator(_decoded)] = Field(
        (), description="Other buckets that are read in place: a list of {bucket, prefix, task, kms_key}."
    )
    models: Annotated[tuple[str, ...], BeforeValidator(_decoded)] = Field(
        (), description="Models that may be called beside those of the tasks and the default tiers."
    )
    geographies: Annotated[tuple[Geography, ...], BeforeValidator(_decoded), AfterValidator(_once)] = Field(
        (), description="Where texts may travel: the inference profiles that may be called, as eu; without any, all."
    )
    notify_email: Annotated[str, AfterValidator(_email)] | None = Field(
        None, description="Who is told by e-mail of alarms, over an SNS topic; AWS asks for a confirmation first."
    )
    alarms: Annotated[Thresholds, BeforeValidator(_decoded)] = Field(
        default_factory=Thresholds,
        description="When alarms go off: {unresolved_share: 0.1, escalation_share: 0.5, waiting_hours: 12, "
        "overdue_minutes: 60}; waiting_hours has to be below the tasks' timeout_hours. docs/operations.md tells each.",
    )
    encryption: Annotated[str, AfterValidator(_encryption)] = Field(
        Encryption.S3.value, description="The buckets' key: s3, kms (a new customer key), or the ARN of your own key."
    )
    vpc: Annotated[Vpc | None, BeforeValidator(_decoded)] = Field(
        None,
        description="The network of the functions: {id, subnets, security_groups}; with endpoints: true and "
        "route_tables also the ways to AWS's services, for a network without the internet.",
    )
    # A job may take a week, a task several rounds, and an approval its time, all of which need the run's files.
    keep_runs_days: Annotated[int, Field(ge=30, le=3650)] = Field(
        90, description="A run's working files are deleted after this, 30 at least; results are kept."
    )
    keep_logs_days: Annotated[LogDays, BeforeValidator(_decoded)] = Field(
        90, description="The logs of functions and workflow are deleted after this."
    )
    keep_access_logs_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        365, description="The logs of who read or wrote which object are deleted after this."
    )
    removal: Removal = Field(
        Removal.KEEP,
        description="What happens to buckets and key when the stack is deleted: keep, or destroy, which empties the "
        "buckets (the access logs stay until they are due).",
    )
    tables_in: TablesIn = Field(
        TablesIn.AUTO,
        description="Where the tasks' tables are declared: stack (the stack itself), nested (stacks nested in it), "
        "auto (nested where its template has no room for them), or nowhere, for one deployment between two of these.",
    )
    scan_limit_gb: Annotated[int, Field(ge=1)] = Field(100, description="Athena stops a query that reads more.")
    bundle: bool = Field(
        default=True, description="false leaves the packages out of the functions' code, for tests and local runs."
    )

    @property
    def intake(self) -> Intake:
        """What the function start has to know of schedules and source buckets."""
        return Intake(schedules=self.schedules, sources=self.source_buckets)

    @classmethod
    def of(cls, node: Node) -> Options:
        """The options in the context of the tree to which `node` belongs.

        Raises:
            BadSetting: an option is not allowed, or there is none of this name; one sentence for each.
        """
        context = {name: value for name, value in node.get_all_context().items() if _is_ours(name)}
        return cls.parse({name: value for name, value in context.items() if value is not None})

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Options:
        """The options with these values.

        Raises:
            BadSetting: an option is not allowed, or there is none of this name; one sentence for each.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BadSetting("\n".join(map(_sentence, error.errors()))) from None


# The options that have a form of their own.
PARTS: dict[str, type[BaseModel]] = {"vpc": Vpc, "source_buckets": Source, "alarms": Thresholds}


def _sentence(problem: Problem) -> str:
    """Say which option is wrong, what it is, and what is allowed."""
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = PARTS.get(str(problem["loc"][0]), Options)
        return f"{name} is no option; there are: {', '.join(known.model_fields)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    reason = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    return f"{name} = {problem['input']!r} is not allowed: {reason[0].lower()}{reason[1:]}"
