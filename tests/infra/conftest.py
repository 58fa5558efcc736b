from __future__ import annotations

import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from infra.permissions import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TICKETS = """\
name: support-tickets
input: {text: body, keep: {created: timestamp, amount: double, day: date, n: int, urgent: bool}, keep_input: true}
labels: [billing, other]
answer: {fields: {Product: {type: [string, 'null']}, codes: {type: array, items: {type: integer}}}}
"""
MAILS = """\
name: mails
input: {text: body}
labels: [spam, other]
tiers: [{model: nova-lite}, {model: global.anthropic.claude-sonnet-4-5-20250929-v1:0}]
trigger: {schedule: "cron(0 6 * * ? *)", timezone: Europe/Berlin, window_minutes: 15}
"""
KMS_KEY = "arn:aws:kms:eu-west-1:123456789012:key/of-elsewhere"


class Deployed:
    """A synthesized template with the questions that the tests ask."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.template = template

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties by logical id."""
        return {
            id_: resource.get("Properties", {})
            for id_, resource in self.template["Resources"].items()
            if resource["Type"] == kind
        }

    def the(self, kind: str, name: str = "") -> tuple[str, dict[str, Any]]:
        """Return the only resource of a kind whose logical id begins with `name`."""
        [found] = [(id_, properties) for id_, properties in self.of_type(kind).items() if id_.startswith(name)]
        return found

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions by step."""
        found = self.of_type("AWS::Lambda::Function").values()
        return {f["Handler"].split(".")[1]: f for f in found if f["Handler"].startswith("lambdas.")}

    def statements(self, role: str) -> Iterator[tuple[set[str], set[str], dict[str, Any]]]:
        """Yield actions, resources and conditions of a role's statements, those aside that deny something."""
        for policy in self.of_type("AWS::IAM::Policy").values():
            if {"Ref": role} in policy["Roles"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow":
                        yield _set(statement["Action"]), _set(statement["Resource"]), statement.get("Condition", {})

    def step(self, step: str) -> list[tuple[set[str], set[str], dict[str, Any]]]:
        """Return the statements of a step's role."""
        return list(self.statements(self.functions[step]["Role"]["Fn::GetAtt"][0]))

    def allowed(self, step: str, action: str) -> set[str]:
        """Return the resources on which a step may do something."""
        return {resource for actions, resources, _ in self.step(step) if action in actions for resource in resources}

    @property
    def definition(self) -> dict[str, Any]:
        """The state machine's definition; references stand in angle brackets."""
        _, machine = self.the("AWS::StepFunctions::StateMachine")
        definition: dict[str, Any] = json.loads(plain(machine["DefinitionString"]))
        return definition


def _set(value: Any) -> set[str]:
    return {plain(item) for item in (value if isinstance(value, list) else [value])}


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "support-tickets.yaml").write_text(TICKETS, encoding="utf-8")
    (folder / "mails.yaml").write_text(MAILS, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Deployed]:
    """Synthesizes the app with some options, once for all workers of a session: each time takes seconds."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the session, in which each worker has its own

    def make(*, tasks: Path | None = None, **options: Any) -> Deployed:
        what = json.dumps([tasks is None, options], sort_keys=True).encode()
        file = folder / f"template-{hashlib.sha256(what).hexdigest()}.json"
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                from infra.app import synthesize

                given = options if tasks is None else options | {"tasks": str(tasks)}
                written = json.dumps(synthesize(**given))
                file.write_text(written)
        return Deployed(json.loads(file.read_bytes()))

    return make


@pytest.fixture(scope="session")
def deployed(tasks: Path, synthesized: Callable[..., Deployed]) -> Deployed:
    """The stack as cdk.json declares it, with two tasks, one of them by the clock, and another bucket as source."""
    return synthesized(tasks=tasks, source_buckets=SOURCES)


@pytest.fixture(scope="session")
def encrypted(tasks: Path, synthesized: Callable[..., Deployed]) -> Deployed:
    """The stack with a customer key and a topic for the alarms."""
    return synthesized(tasks=tasks, encryption="kms", notify_email="ops@example.com")


VPC = {
    "id": "vpc-0123456789abcdef0",
    "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "security_groups": ["sg-0123456789abcdef0", "sg-0123456789abcdef1"],
    "endpoints": True,
    "route_tables": ["rtb-0123456789abcdef0"],
}
OWN_KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

SOURCES = [
    {"bucket": "elsewhere", "prefix": "in/", "task": "mails", "kms_key": KMS_KEY},
    {"bucket": "elsewhere", "prefix": "more/", "task": "support-tickets"},
]
FULLEST: dict[str, Any] = {
    "encryption": "kms",
    "models": ["claude-sonnet-4-5"],
    "notify_email": "ops@example.com",
    "removal": "destroy",
    "source_buckets": SOURCES,
    "vpc": VPC,
}


@pytest.fixture(scope="session")
def enclosed(tasks: Path, synthesized: Callable[..., Deployed]) -> Deployed:
    """The stack inside a network and a geography, with a key that is there already, and nothing that outlives it."""
    return synthesized(tasks=tasks, vpc=VPC, encryption=OWN_KEY, removal="destroy", geographies=["eu"])


@pytest.fixture(scope="session")
def staging(tasks: Path, synthesized: Callable[..., Deployed]) -> Deployed:
    """A second environment, beside the one that cdk.json declares."""
    return synthesized(tasks=tasks, environment="staging-1", schedules={"mails": "off"})


@pytest.fixture(scope="session")
def untouched(synthesized: Callable[..., Deployed]) -> Deployed:
    """The stack of an untouched folder: its cdk.json, its task."""
    return synthesized()


@pytest.fixture(scope="session")
def fullest(tasks: Path, synthesized: Callable[..., Deployed]) -> Deployed:
    """The stack with every option that adds a resource or a right."""
    return synthesized(tasks=tasks, **FULLEST)
