"""Every call of every role: none that the role does not allow, and no right that no call and nothing implied needs.

One deployment with all options goes through what a run can do, on the local cloud and, under faults, in memory; the
ledgers tell which rights let a call pass.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import sluice.aws.s3
from sluice.local.cloud import FunctionFailed, LocalCloud
from sluice.local.ledger import FOLDER, INVALID, REFUSED, USED, Rights, read_ledgers
from sluice.local.rights import OPTIONS as TOLD
from sluice.local.rights import WHY
from sluice.local.runner import Request, prepare
from sluice.local.synthesis import load, synthesized
from sluice.local.template import Template, arn_of
from sluice.results.corrections import Correction, Corrections
from sluice.task.file import load_task, parse_task
from tests.faults.chaos import run_plan
from tests.faults.scenarios import draw_plan, draw_scenario
from tests.flow.local import FIRST, SECOND, Flow, numbered, reply, write
from tests.flow.trial import Trial
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine, TaskFailed
from tests.harness.roles import Roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.faults.invariants import Verdict

REGION = "us-east-1"
THIRD = "claude-sonnet-4-5"
SEEDS, IN_PARTS = 40, 5
OPTIONS: dict[str, Any] = {
    "encryption": "kms",
    "models": [THIRD],
    "schedules": {"reviews": "rate(1 day)"},
    "source_buckets": [{"bucket": "elsewhere", "prefix": "in/", "task": "tickets"}],
    "sluice": {"settle_seconds": 0, "max_runs": 9, "sweep_seconds": 1},
    "notify_email": "operator@example.com",
    "vpc": {"id": "vpc-0123456789abcdef0", "subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-01234567"]},
}
STEPS = {"start", "partition", "plan", "prepare", "submit", "poll", "infer", "check", "merge", "publish", "sweep"}
STEPS |= {"answer", "learn", "score", "certify"}

# What no call of ours shows, by the property of a resource that has a service do it with the resource's role.
LOG_DELIVERY = (
    *("CreateLogDelivery", "DeleteLogDelivery", "DescribeLogGroups", "DescribeResourcePolicies"),
    *("GetLogDelivery", "ListLogDeliveries", "PutResourcePolicy", "UpdateLogDelivery"),
)
SAMPLING = ("GetSamplingRules", "GetSamplingTargets")
TRACING = ("PutTelemetryRecords", "PutTraceSegments")
INTERFACES = (
    *("CreateNetworkInterface", "DeleteNetworkInterface"),
    *("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
)
NETWORKS = ("DescribeNetworkInterfaces", "DescribeSubnets")


class Deployed:
    """A template's roles by what they are for, with their rights, and what AWS itself does with them."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.resolve = template.resolver.resolve
        workflow = template.workflow()
        self.roles = {function.step: function.statements for function in template.functions().values()}
        self.roles["workflow"] = workflow.statements
        start = next(one for one in template.functions().values() if one.step == "start")
        self.roles["bedrock"] = template.statements(start.environment["SLUICE_BEDROCK_ROLE_ARN"])
        for _, properties in template.of_type("AWS::Scheduler::Schedule"):
            self.roles["scheduler"] = template.statements(self.resolve(properties["Target"]["RoleArn"]))

    @property
    def rights(self) -> dict[str, Rights]:
        """Each action of each statement with each of its resources."""
        return {
            role: {
                (action, resource)
                for one in statements
                if one.allow
                for action in one.actions
                for resource in one.resources
            }
            for role, statements in self.roles.items()
        }

    @property
    def implied(self) -> dict[str, Rights]:
        """What AWS does in a role's name because a property of the template says so, and what is known to be asked."""
        found: dict[str, Rights] = defaultdict(set)
        for logical_id, properties in self.template.of_type("AWS::Lambda::Function"):
            if "python" in properties["Runtime"]:
                step = properties["Handler"].split(".")[1]
                found[step] |= set(self._of_function(logical_id, properties))
        for _, properties in self.template.of_type("AWS::StepFunctions::StateMachine"):
            found["workflow"] |= set(self._of_machine(properties))
        for _, properties in self.template.of_type("AWS::Scheduler::Schedule"):
            found["scheduler"] |= set(self._of_schedule(self.resolve(properties["Target"])))
        # A job through a profile is asked for on the profile; AWS does not say that the model behind is not looked at.
        found["submit"] |= {
            (action, resource)
            for action, resource in self.rights["submit"]
            if action == "bedrock:CreateModelInvocationJob" and "::foundation-model/" in resource
        }
        return found

    def _of_function(self, logical_id: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        group = properties["LoggingConfig"]["LogGroup"]["Ref"]
        for action in ("CreateLogStream", "PutLogEvents"):
            yield f"logs:{action}", self.template.attributes[group, "Arn"]
        if properties["TracingConfig"]["Mode"] == "Active":
            yield from ((f"xray:{action}", "*") for action in TRACING)
        if "VpcConfig" in properties:
            yield from ((f"ec2:{action}", arn_of("ec2", REGION, "*/*")) for action in INTERFACES)
            yield from ((f"ec2:{action}", "*") for action in NETWORKS)
        for _, config in self.template.of_type("AWS::Lambda::EventInvokeConfig"):
            if config["FunctionName"] == {"Ref": logical_id}:
                yield "sqs:SendMessage", self.resolve(config["DestinationConfig"]["OnFailure"]["Destination"])

    def _of_machine(self, properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if properties["LoggingConfiguration"]["Destinations"]:
            yield from ((f"logs:{action}", "*") for action in LOG_DELIVERY)
        if properties["TracingConfiguration"]["Enabled"]:
            yield from ((f"xray:{action}", "*") for action in (*SAMPLING, *TRACING))
        # Somebody who redrives a failed execution in the console redrives its maps.
        yield "states:RedriveExecution", f"{self._executions}/*:*"

    def _of_schedule(self, target: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield "lambda:InvokeFunction", target["Arn"]
        yield "sqs:SendMessage", target["DeadLetterConfig"]["Arn"]

    @property
    def _executions(self) -> str:
        return self.template.workflow().arn.replace(":stateMachine:", ":execution:")


@pytest.fixture(scope="module")
def whole() -> Path:
    """The template of a deployment with every option that gives somebody a right."""
    return synthesized(options=OPTIONS)


@pytest.fixture(scope="module")
def deployed(whole: Path) -> Deployed:
    """Its roles."""
    return Deployed(Template(load(whole), REGION))


@pytest.fixture(scope="module")
def faulty(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Verdict]]:
    """The ledgers of runs under faults, and what was wrong with each of the runs."""
    ledgers = tmp_path_factory.mktemp("ledgers")
    return ledgers, under_faults(whole, ledgers)


@pytest.fixture(scope="module")
def noted(
    whole: Path, faulty: tuple[Path, list[Verdict]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Rights]]:
    """What became of all calls, by role and kind."""
    folders = [faulty[0]]
    with LocalCloud(tmp_path_factory.mktemp("cloud") / "logs", template=whole) as cloud:
        folder = tmp_path_factory.mktemp("runs")
        on_the_cloud(Flow(cloud, lambda: made(folder)))
        folders += folder.glob(f"*/**/logs/{FOLDER}")
    found: dict[str, dict[str, Rights]] = defaultdict(lambda: defaultdict(set))
    for each in folders:
        for role, kinds in read_ledgers(each).items():
            for kind, rights in kinds.items():
                found[role][kind] |= rights
    return found


def made(folder: Path) -> Path:
    """A folder of its own for a run."""
    run = folder / str(sum(1 for _ in folder.iterdir()))
    run.mkdir()
    return run


def under_faults(whole: Path, ledgers: Path) -> list[Verdict]:
    """Runs in memory in which everything goes wrong: each call is held to its role, and objects are sent by parts."""

    def run(seeds: range) -> list[Verdict]:
        return [run_plan(draw_plan(seed), draw_scenario(seed), roles.watch)[2] for seed in seeds]

    roles = Roles(Template(load(whole), REGION), ledgers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sluice.aws.s3, "PART_BYTES", 64)
        verdicts = run(range(IN_PARTS))
        learned_under_faults(roles)
        audited(roles)
        unlabelled(roles)
        corrected(roles)
    return verdicts + run(range(IN_PARTS, SEEDS))


def learned_under_faults(roles: Roles) -> None:
    """A run that teaches itself its first tier, whose steps are killed in the middle of what they write."""
    rows = [{"text": f"a {('red', 'green')[n % 2]} thing, {n}"} for n in range(280)]
    task: dict[str, Any] = {
        "name": "roles",
        "input": {"text": "text"},
        "labels": ["red", "green"],
        "answer": {"confidence": False},
    }
    task |= {"tiers": [{"kind": "learned"}, {"model": "claude-haiku-4-5"}]}
    task |= {"quality": {"agree": 0.9, "sample": 60, "train": 200}}
    machine = Machine(
        FaultPlan(kills=0.5, max_kills=9), lambda _, text: json.dumps({"label": text.split()[1]}), {"span_bytes": 10**6}
    )
    roles.watch(machine)
    machine.finish(machine.begin(parse_task(task, "roles"), {"a.jsonl": jsonl(rows)}))


def audited(roles: Roles) -> None:
    """A run whose audit has an alarm, which goes by what earlier runs of the task have left."""
    task: dict[str, Any] = {"name": "roles", "input": {"text": "text"}, "labels": ["red", "green"]}
    task |= {"tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}], "audit": {"rows": 4, "at_most": 0.1}}
    machine = Machine(FaultPlan(), lambda *_: '{"label": "red", "confidence": "certain"}', {})
    roles.watch(machine)
    machine.finish(machine.begin(parse_task(task, "roles"), {"a.jsonl": b'{"text": "a"}\n'}))


def unlabelled(roles: Roles) -> None:
    """A run that is to be certified against people's labels, which nobody has given."""
    task: dict[str, Any] = {"name": "roles", "input": {"text": "text"}, "labels": ["red", "green"]}
    task |= {"tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}]}
    task |= {"quality": {"against": "gold", "worse": 0.1, "sample": 60, "train": 200}}
    machine = Machine(FaultPlan(), lambda *_: "", {})
    roles.watch(machine)
    with pytest.raises(TaskFailed):
        machine.execute(
            machine.begin(parse_task(task, "roles"), {"a.jsonl": jsonl([{"text": f"{n}"} for n in range(400)])})
        )


def corrected(roles: Roles) -> None:
    """A run of a task about whose rows people have said something."""
    task: dict[str, Any] = {"name": "roles", "input": {"text": "text"}, "labels": ["red", "green"]}
    task |= {"tiers": [{"model": "nova-micro"}]}
    machine = Machine(FaultPlan(), lambda *_: '{"label": "red", "confidence": "certain"}', {})
    said = Correction(source="s3://a/b", line=1, record="0" * 32, by="ann", at="2026-11-20T10:00:00+00:00", run="r")
    Corrections(machine.results, "roles").add([said])
    roles.watch(machine)
    machine.finish(machine.begin(parse_task(task, "roles"), {"a.jsonl": b'{"text": "a"}\n'}))


def on_the_cloud(flow: Flow) -> None:
    """What only real events, versions, jobs and executions show."""
    tiers = {"tiers": [{"model": model} for model in (FIRST, SECOND, THIRD)]}
    unsure, sure = reply("billing", "unsure"), reply("billing")
    answers = {f"n{n}": {FIRST: unsure, SECOND: unsure, THIRD: sure} for n in range(30)}
    task = {"name": "roles", "input": {"id": "id", "text": "text"}, "labels": ["billing", "other"], **tiers}
    for least in (20, 100):  # in jobs, and on demand
        run = flow.classify(numbered(30), task, answers=answers, settings={"min_records_per_job": least}).run
        assert [tier["sent"] for tier in run["tiers"]] == [30, 30, 30]
    certified(flow)
    approval(flow)
    unseen(flow)
    dropped(flow)
    deleted(flow)
    deleted_elsewhere(flow)


def certified(flow: Flow) -> None:
    """A run that promises something of its labels: rows are drawn, a score is taught, and the rest is asked."""
    names = [f"n{n}" for n in range(300)]
    said = {name: reply("other" if name.endswith(("3", "7")) else "billing") for name in names}
    answers = {
        name: {FIRST: reply("billing") if name.endswith("7") else each, SECOND: each} for name, each in said.items()
    }
    task: dict[str, Any] = {"name": "roles", "input": {"id": "id", "text": "text"}, "labels": ["billing", "other"]}
    task |= {"quality": {"agree": 0.9, "sample": 60, "train": 200}}
    for first in (FIRST, "learned"):
        tiers = {"tiers": [{"model": first}, {"model": SECOND}]}
        run = flow.classify(numbered(300), task | tiers, answers=answers, settings={"min_records_per_job": 20}).run
        assert run["certificate"]["sample"] == 60


def approval(flow: Flow) -> None:
    """A run that would cost too much says so and waits."""
    trial = Trial(flow, 20, settings={"approve_above_usd": 0})
    trial.cloud.wait(trial.begin())


def dies_twice(step: str) -> dict[str, Any]:
    """The faults of a step whose first call fails for good."""
    return {"functions": [{"step": step, "invocation": n, "error": "Lambda.Unknown"} for n in (1, 2)]}


def unseen(flow: Flow) -> None:
    """Nobody has seen how a job ended: check looks itself."""
    broken = {"functions": [{"step": "poll", "invocation": 1, "error": "Broken"}]}  # which nothing tries again
    Trial(flow, 20, faults=broken).go()


def dropped(flow: Flow) -> None:
    """Objects arrive, with versions and without, two of them of no use; another is named that is not there."""
    bucket, elsewhere, cloud = flow.cloud.bucket("SLUICE_INCOMING_BUCKET"), "elsewhere", flow.cloud
    task, row = load_task("tickets"), b'{"subject": "a", "body": "My card was charged twice"}\n'
    prepare(cloud, Request([], task, flow.folder() / "out"))
    cloud.s3.create_bucket(Bucket=elsewhere)
    cloud.put(elsewhere, "in/a.jsonl", row)
    cloud.s3.put_bucket_versioning(Bucket=elsewhere, VersioningConfiguration={"Status": "Enabled"})
    for name, key in ((elsewhere, "in/b.jsonl"), (bucket, "tickets/in"), (bucket, "none/in.jsonl")):
        cloud.put(name, key, row)
    cloud.put(bucket, "tickets/bad.csv", b"subject,subject\na,b\n")  # which only shows when it is read
    cloud.put(bucket, "tickets/_READY", b"")
    for run in cloud.tick("TriggersMinute", datetime.now(UTC))["runs"]:
        assert cloud.wait(run).status == "SUCCEEDED"
    command = {"task": task.model_dump(mode="json"), "inputs": [f"s3://{bucket}/tickets/none.jsonl"]}
    with pytest.raises(FunctionFailed, match="does not exist"):
        flow.cloud.invoke("start", {"command": command})


def deleted_elsewhere(flow: Flow) -> None:
    """The same in a bucket of somebody else's, whose folder was named in a command."""
    cloud, folder = flow.cloud, flow.folder()
    task = load_task("tickets")
    plan = write(folder / "faults.yaml", yaml.safe_dump(dies_twice("partition")).encode())
    prepare(cloud, Request([], task, folder / "out", faults=plan))
    command = {"task": task.model_dump(mode="json"), "inputs": ["s3://elsewhere/in/"]}
    run = cloud.invoke("start", {"command": command})["run"]
    cloud.wait(run)
    for version in cloud.s3.list_object_versions(Bucket="elsewhere")["Versions"]:
        cloud.s3.delete_object(Bucket="elsewhere", Key=version["Key"], VersionId=version["VersionId"])
    with suppress(FunctionFailed):
        cloud.wait(cloud.invoke("start", {"resume": {"run": run}})["execution"])


def deleted(flow: Flow) -> None:
    """An object goes before it is read; what could not be closed is resumed."""
    trial = Trial(flow, 20, faults=dies_twice("partition"))
    found = trial.go().run["inputs"][0]
    bucket, _, key = found["uri"].removeprefix("s3://").partition("/")
    trial.cloud.s3.delete_object(Bucket=bucket, Key=key, VersionId=found["version"])
    with suppress(FunctionFailed):
        trial.resume()


def test_each_call_has_its_right_and_each_right_its_call(
    deployed: Deployed, faulty: tuple[Path, list[Verdict]], noted: dict[str, dict[str, Rights]]
) -> None:
    """In runs that end well whatever fails: no call is refused or invalid, and no right is left that nothing needs.

    One test, since the runs are the same, and take a minute.
    """
    _, verdicts = faulty
    assert {seed: verdict for seed, verdict in enumerate(verdicts) if not verdict.clean} == {}
    assert len(verdicts) == SEEDS
    for kind in (REFUSED, INVALID):
        assert {role: kinds[kind] for role, kinds in noted.items() if kinds[kind]} == {}, kind
    implied = deployed.implied
    left = {role: rights - noted[role][USED] - implied[role] for role, rights in deployed.rights.items()}
    assert {role: sorted(rights) for role, rights in left.items() if rights} == {}


def test_what_aws_does_with_a_role_is_allowed(deployed: Deployed) -> None:
    """Logs, traces, lost events, schedules: without these rights they would fail without a word."""
    rights = deployed.rights
    assert {role: needed - rights[role] for role, needed in deployed.implied.items() if needed - rights[role]} == {}


def test_every_role_of_the_template_is_looked_at(deployed: Deployed) -> None:
    """A role that nobody has thought of cannot hide."""
    assert set(deployed.roles) == STEPS | {"workflow", "bedrock", "scheduler"}
    assert len(list(deployed.template.of_type("AWS::IAM::Role"))) == len(deployed.roles)


def test_a_smaller_deployment_has_no_further_right(deployed: Deployed) -> None:
    """What holds for all options together holds for the defaults."""
    plain = Deployed(Template(load(synthesized()), REGION)).rights
    assert {
        role: rights - deployed.rights[role] for role, rights in plain.items() if rights - deployed.rights[role]
    } == {}


def test_rules_and_functions_know_each_other(deployed: Deployed) -> None:
    """Each rule's function can be called by that rule, each lost event can be sent, and nobody else may do either.

    A topic is open to EventBridge as a whole, which names no rule there.
    """
    template, resolve = deployed.template, deployed.resolve
    targets = {
        (template.attributes[logical_id, "Arn"], target["Arn"], target["DeadLetterConfig"]["Arn"])
        for logical_id, properties in template.of_type("AWS::Events::Rule")
        for target in resolve(properties["Targets"])
    }
    callers = {
        (resolve(properties["SourceArn"]), resolve(properties["FunctionName"]))
        for _, properties in template.of_type("AWS::Lambda::Permission")
    }
    senders = {
        (statement["Condition"]["ArnEquals"]["aws:SourceArn"], statement["Resource"])
        for _, properties in template.of_type("AWS::SQS::QueuePolicy")
        for statement in resolve(properties["PolicyDocument"]["Statement"])
        if statement["Effect"] == "Allow"
    }
    topics = {template.attributes[logical_id, "TopicArn"] for logical_id, _ in template.of_type("AWS::SNS::Topic")}
    assert {target for _, target, _ in targets if ":function:" not in target} == topics
    assert callers == {(rule, target) for rule, target, _ in targets if ":function:" in target}
    assert senders == {(rule, queue) for rule, _, queue in targets}


def test_every_reason_is_that_of_a_right() -> None:
    """docs/internals/roles.md says of each action what it is for, and of no action that nobody has any more."""
    told = Deployed(Template(load(synthesized(options=TOLD)), REGION)).rights
    assert {action for rights in told.values() for action, _ in rights} == set(WHY)
