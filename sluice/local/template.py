"""The synthesized template as the local runner sees it: buckets, functions with their environment, roles, workflow."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.errors import Stop
from sluice.local.intrinsics import NOTHING, Resolver
from sluice.local.policies import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCOUNT = "123456789012"  # moto's account
PARTITION = "aws"
STACK = "sluice-local"

Identity = Callable[[str, str], dict[str, str]]

EXECUTED = {
    "AWS::S3::Bucket",
    "AWS::Lambda::Function",
    "AWS::Lambda::Version",
    "AWS::StepFunctions::StateMachine",
    "AWS::IAM::Role",
    "AWS::IAM::Policy",
    "AWS::IAM::ManagedPolicy",
    "AWS::KMS::Key",
    "AWS::Events::Rule",
    "AWS::Scheduler::Schedule",
}
# Deployed, but without an effect on what a run computes. A type that stands in neither set is an error: somebody has
# to decide whether a local run may leave it out.
LEFT_OUT = {
    "AWS::Athena::NamedQuery",
    "AWS::Athena::WorkGroup",
    "AWS::Budgets::Budget",
    "AWS::CDK::Metadata",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::VPCEndpoint",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::SSM::Parameter",
    "Custom::S3AutoDeleteObjects",
    "Custom::S3BucketNotifications",
}


@dataclass(frozen=True)
class Bucket:
    """One bucket: its name, whether it keeps versions, and the KMS key that encrypts it, if any."""

    name: str
    versioned: bool
    key_arn: str | None


@dataclass(frozen=True)
class Function:
    """One Lambda function: all that decides how its handler is called."""

    name: str
    arn: str
    handler: str
    timeout: float
    memory: int
    environment: dict[str, str]
    statements: tuple[Statement, ...]

    @property
    def step(self) -> str:
        """The step's name: `plan` for the handler `lambdas.plan.handler`."""
        return self.handler.replace("/", ".").rsplit(".", 2)[-2]


@dataclass(frozen=True)
class Rule:
    """A rule of EventBridge: which events, and the ARNs of those that are told of them."""

    pattern: dict[str, Any]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Clock:
    """A schedule of EventBridge Scheduler: the ARN of whom it calls, and with what text."""

    name: str
    target: str
    text: str


@dataclass(frozen=True)
class Workflow:
    """The state machine: its definition as deployed, with every reference resolved."""

    name: str
    arn: str
    definition: str
    role_arn: str
    statements: tuple[Statement, ...]


class Template:
    """A synthesized template, resolved for one Region.

    Raises:
        Stop: a resource type, an intrinsic function or a reference that the local runner does not know.
    """

    def __init__(self, document: Mapping[str, Any], region: str) -> None:
        self.document = document
        self.region = region
        self.resources: dict[str, dict[str, Any]] = document["Resources"]
        self._refuse_unknown_types()
        pseudo = {
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": PARTITION,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": STACK,
            "AWS::StackId": f"arn:{PARTITION}:cloudformation:{region}:{ACCOUNT}:stack/{STACK}/0",
            "AWS::NoValue": NOTHING,
        }
        self.attributes = dict(self._attributes())
        self.resolver = Resolver(document, self.attributes, pseudo)

    def _refuse_unknown_types(self) -> None:
        kinds = {resource["Type"] for resource in self.resources.values()}
        if unknown := sorted(kinds - EXECUTED - LEFT_OUT):
            raise Stop(
                f"the local runner does not know the resource type {', '.join(unknown)}: "
                "teach sluice/local/template.py to execute it or to leave it out"
            )

    def _attributes(self) -> Iterator[tuple[tuple[str, str], str]]:
        for logical_id, resource in self.resources.items():
            for attribute, value in identify(logical_id, resource, self.region).items():
                yield (logical_id, attribute), value

    def of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and unresolved properties of each resource of a type."""
        for logical_id, resource in self.resources.items():
            if resource["Type"] == kind:
                yield logical_id, resource.get("Properties", {})

    def buckets(self) -> dict[str, Bucket]:
        """The buckets by logical id."""
        return {
            logical_id: self._bucket(logical_id, properties)
            for logical_id, properties in self.of_type("AWS::S3::Bucket")
        }

    def _bucket(self, logical_id: str, properties: dict[str, Any]) -> Bucket:
        rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        default = rules[0].get("ServerSideEncryptionByDefault", {}) if rules else {}
        key = self.resolver.resolve(default.get("KMSMasterKeyID"))
        return Bucket(
            name=self.attributes[logical_id, "Ref"],
            versioned=properties.get("VersioningConfiguration", {}).get("Status") == "Enabled",
            key_arn=key,
        )

    def functions(self) -> dict[str, Function]:
        """The Python functions by ARN; CDK's own helpers in JavaScript never run here."""
        found = {}
        for logical_id, properties in self.of_type("AWS::Lambda::Function"):
            if str(properties.get("Runtime", "")).startswith("python"):
                function = self._function(logical_id, properties)
                found[function.arn] = function
        return found

    def _function(self, logical_id: str, properties: dict[str, Any]) -> Function:
        variables = self.resolver.resolve(properties.get("Environment", {}).get("Variables", {}))
        return Function(
            name=self.attributes[logical_id, "Ref"],
            arn=self.attributes[logical_id, "Arn"],
            handler=properties["Handler"],
            timeout=float(properties.get("Timeout", 3)),
            memory=int(properties.get("MemorySize", 128)),
            environment={name: str(value) for name, value in variables.items()},
            statements=self.statements(self.resolver.resolve(properties["Role"])),
        )

    def workflow(self) -> Workflow:
        """The only state machine."""
        found = list(self.of_type("AWS::StepFunctions::StateMachine"))
        if len(found) != 1:
            raise Stop(f"the local runner runs one state machine, and the template has {len(found)}")
        logical_id, properties = found[0]
        role_arn = self.resolver.resolve(properties["RoleArn"])
        return Workflow(
            name=self.attributes[logical_id, "Name"],
            arn=self.attributes[logical_id, "Ref"],
            definition=self.resolver.resolve(properties["DefinitionString"]),
            role_arn=role_arn,
            statements=self.statements(role_arn),
        )

    def rules(self) -> list[Rule]:
        """The rules that look at events."""
        found = [self.resolver.resolve(properties) for _, properties in self.of_type("AWS::Events::Rule")]
        return [
            Rule(rule["EventPattern"], tuple(target["Arn"] for target in rule["Targets"]))
            for rule in found
            if "EventPattern" in rule
        ]

    def clocks(self) -> list[Clock]:
        """The schedules."""
        return [
            Clock(
                logical_id, self.resolver.resolve(properties["Target"]["Arn"]), properties["Target"].get("Input", "{}")
            )
            for logical_id, properties in self.of_type("AWS::Scheduler::Schedule")
        ]

    def statements(self, role_arn: str) -> tuple[Statement, ...]:
        """Everything that the policies of a role say, inline, attached and managed by the template."""
        return tuple(Statement.parse(raw) for document in self._documents(role_arn) for raw in document["Statement"])

    def _documents(self, role_arn: str) -> Iterator[dict[str, Any]]:
        for logical_id, properties in self.of_type("AWS::IAM::Role"):
            if self.attributes[logical_id, "Arn"] == role_arn:
                for policy in properties.get("Policies", []):
                    yield self.resolver.resolve(policy["PolicyDocument"])
        name = role_arn.rsplit("/", 1)[-1]
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for _, properties in self.of_type(kind):
                if name in self.resolver.resolve(properties.get("Roles", [])):
                    yield self.resolver.resolve(properties["PolicyDocument"])


def identify(logical_id: str, resource: Mapping[str, Any], region: str) -> dict[str, str]:
    """What Ref and Fn::GetAtt give for a resource; names that the template leaves to AWS come from the logical id."""
    plain: tuple[str, Identity] = ("", lambda name, _: {"Ref": name})
    name_field, describe = IDENTITIES.get(resource["Type"], plain)
    match resource.get("Properties", {}).get(name_field):
        case str(name) | {"Ref": str(name)}:
            return describe(name, region)
    return describe(logical_id, region)


def arn_of(service: str, region: str, rest: str) -> str:
    """The ARN of a resource of the local account."""
    return f"arn:{PARTITION}:{service}:{region}:{ACCOUNT}:{rest}"


def _bucket_identity(name: str, _: str) -> dict[str, str]:
    bucket = name.lower()[:63]
    domain = f"{bucket}.s3.amazonaws.com"
    arn = f"arn:{PARTITION}:s3:::{bucket}"
    return {"Ref": bucket, "Arn": arn, "DomainName": domain, "RegionalDomainName": domain}


def _machine_identity(name: str, region: str) -> dict[str, str]:
    arn = arn_of("states", region, f"stateMachine:{name}")
    return {"Ref": arn, "Arn": arn, "Name": name}


def _version_identity(function: str, region: str) -> dict[str, str]:
    """A function's version; here it is always the first one, since nothing was deployed before."""
    arn = arn_of("lambda", region, f"function:{function}:1")
    return {"Ref": arn, "FunctionArn": arn, "Version": "1"}


def _key_identity(name: str, region: str) -> dict[str, str]:
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    return {"Ref": key, "Arn": arn_of("kms", region, f"key/{key}"), "KeyId": key}


def _queue_identity(name: str, region: str) -> dict[str, str]:
    url = f"https://sqs.{region}.amazonaws.com/{ACCOUNT}/{name}"
    return {"Ref": url, "Arn": arn_of("sqs", region, name), "QueueName": name}


def _topic_identity(name: str, region: str) -> dict[str, str]:
    arn = arn_of("sns", region, name)
    return {"Ref": arn, "TopicArn": arn, "TopicName": name}


def _plain_identity(service: str, kind: str, *, regional: bool = True, suffix: str = "") -> Identity:
    def describe(name: str, region: str) -> dict[str, str]:
        return {"Ref": name, "Arn": arn_of(service, region if regional else "", f"{kind}{name}{suffix}")}

    return describe


# type: the property that names the resource, and what Ref and Fn::GetAtt give
IDENTITIES: dict[str, tuple[str, Identity]] = {
    "AWS::Events::Rule": ("Name", _plain_identity("events", "rule/")),
    "AWS::IAM::Role": ("RoleName", _plain_identity("iam", "role/", regional=False)),
    "AWS::KMS::Key": ("", _key_identity),
    "AWS::Lambda::Function": ("FunctionName", _plain_identity("lambda", "function:")),
    "AWS::Lambda::Version": ("FunctionName", _version_identity),
    "AWS::Logs::LogGroup": ("LogGroupName", _plain_identity("logs", "log-group:", suffix=":*")),
    "AWS::S3::Bucket": ("BucketName", _bucket_identity),
    "AWS::SNS::Topic": ("TopicName", _topic_identity),
    "AWS::SQS::Queue": ("QueueName", _queue_identity),
    "AWS::Scheduler::ScheduleGroup": ("Name", _plain_identity("scheduler", "schedule-group/")),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", _machine_identity),
}
