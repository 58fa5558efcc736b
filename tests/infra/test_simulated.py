"""What the roles allow by a second opinion: an IAM simulator that shares no code with the guard of local runs.

`python -m tests.infra.test_simulated` prints the table of roles and calls.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from infra.options import ROOT
from sluice.local.policies import Statement, listed
from sluice.local.synthesis import load, synthesized
from sluice.local.template import ACCOUNT
from tests.harness.simulator import ALLOWED, REGION, Call, Simulated, carried, sampled, simulate, simulation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "kms": {"encryption": "kms"},
    "schedules, sources": {
        "encryption": "kms",
        "schedules": {"tickets": "rate(1 day)"},
        "source_buckets": [{"bucket": "elsewhere", "prefix": "in/", "task": "tickets"}],
    },
}
POLICIES = ROOT / "docs/examples/policies"
JOB = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/0a1b2c3d4e5f"
STRANGER = f"arn:aws:iam::{ACCOUNT}:role/Administrator"
BEDROCK = {"iam:PassedToService": "bedrock.amazonaws.com"}
# As the policy of a key has it whose use is left to the policies of the account.
OWNER = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
OF_KEYS = {"Version": "2012-10-17", "Statement": [OWNER]}
RUN = "runs/tickets-20261128t031200-4f2a"


@pytest.fixture(scope="module", params=VARIANTS)
def simulated(request: pytest.FixtureRequest) -> Simulated:
    """A deployment's roles."""
    return built(request.param)


def built(variant: str) -> Simulated:
    """The roles of a variant."""
    return Simulated(load(synthesized(options=VARIANTS[variant])))


def unnamed(call: Call) -> bool:
    """Whether AWS's reference names no such resource for the action, although AWS's guide to batch jobs asks for it."""
    return call.action == "bedrock:CreateModelInvocationJob" and ":inference-profile/" in call.resource


def granted(simulated: Simulated) -> list[Call]:
    """A call for each right."""
    return [call for call in simulated.rights() if not unnamed(call)]


def without_context(simulated: Simulated) -> Iterator[Call]:
    """The calls whose right has a condition, each as a request that carries something else, and nothing."""
    for call in granted(simulated):
        for key, value in call.context.items():
            other: str | list[str] = ["aws.s3"] if isinstance(value, list) else "lambda.amazonaws.com"
            yield dataclasses.replace(call, context={**call.context, key: other})
            yield dataclasses.replace(call, context={k: v for k, v in call.context.items() if k != key})


def nobodys(simulated: Simulated) -> Iterator[Call]:
    """What no role may do."""
    work, results, incoming = map(simulated.bucket, ("work", "results", "incoming"))
    machine = simulated.template.workflow().arn
    function = next(iter(simulated.template.functions()))
    other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:Other"
    asked: list[tuple[str, str, dict[str, str | list[str]]]] = [
        *(("s3:DeleteObject", f"{place}/{RUN}/run.json", {}) for place in (work, results, incoming)),
        *(("s3:DeleteObjectVersion", f"{place}/{RUN}/run.json", {}) for place in (work, results, incoming)),
        *((f"s3:{action}", results, {}) for action in ("DeleteBucket", "PutBucketPolicy", "PutLifecycleConfiguration")),
        *((f"s3:{action}", "arn:aws:s3:::of-somebody-else/a.jsonl", {}) for action in ("GetObject", "PutObject")),
        ("s3:PutObject", f"{incoming}/tickets/in.jsonl", {}),
        ("iam:PassRole", STRANGER, {"iam:PassedToService": "bedrock.amazonaws.com"}),
        ("iam:PassRole", simulated.arns["bedrock"], {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("iam:PutRolePolicy", simulated.arns["start"], {}),
        ("sts:AssumeRole", simulated.arns["bedrock"], {}),
        ("bedrock:InvokeModel", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1", {}),
        ("bedrock:StopModelInvocationJob", JOB.replace(ACCOUNT, "999999999999"), {}),
        ("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default", {"events:source": ["aws.s3"]}),
        ("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/other", {"events:source": ["sluice"]}),
        ("lambda:UpdateFunctionCode", function, {}),
        ("lambda:InvokeFunction", other, {}),
        ("states:UpdateStateMachine", machine, {}),
        ("states:DeleteStateMachine", machine, {}),
        ("states:StartExecution", machine.rpartition(":")[0] + ":Other", {}),
        ("logs:DeleteLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:Other", {}),
        *(("kms:ScheduleKeyDeletion", key, {}) for key in simulated.of_resources if ":kms:" in key),
    ]
    yield from (Call(role, *call) for role in simulated.policies for call in asked)


def others(simulated: Simulated) -> Iterator[Call]:
    """What one role may, and no other."""
    work, results = simulated.bucket("work"), simulated.bucket("results")
    only: list[tuple[set[str], str, str, dict[str, str | list[str]]]] = [
        ({"submit"}, "bedrock:CreateModelInvocationJob", JOB, {}),
        ({"submit"}, "iam:PassRole", simulated.arns["bedrock"], {**BEDROCK}),
        ({"submit", "sweep"}, "bedrock:StopModelInvocationJob", JOB, {}),
        ({"poll", "check"}, "bedrock:GetModelInvocationJob", JOB, {}),
        ({"infer", "bedrock"}, "bedrock:InvokeModel", nova(), {}),
        ({"publish"}, "s3:PutObject", f"{results}/results/tickets/run=a/part-0.parquet", {}),
        ({"start"}, "s3:DeleteObject", f"{work}/inbox/tickets/1.json", {}),
        ({"publish"}, "s3:DeleteObject", f"{work}/replies/tickets/1", {}),
        ({"check", "publish"}, "s3:PutObject", f"{work}/replies/tickets/1", {}),
        ({"prepare", "publish", "workflow"}, "s3:GetObject", f"{work}/replies/tickets/1", {}),
        ({"plan", "workflow"}, "s3:GetObject", f"{work}/samples/tickets/1.json", {}),
        (set(), "s3:PutObject", f"{work}/samples/tickets/1.json", {}),
        ({"publish", "workflow"}, "s3:GetObject", f"{work}/audits/tickets/runs/1.json", {}),
        ({"publish"}, "s3:PutObject", f"{work}/audits/tickets/runs/1.json", {}),
        ({"start"}, "s3:PutObject", f"{work}/claims/1.json", {}),
        ({"start", "sweep", "workflow"}, "states:StartExecution", simulated.template.workflow().arn, {}),
        ({"workflow"}, "lambda:InvokeFunction", function_of(simulated, "plan") + ":1", {}),
        ({"scheduler"}, "lambda:InvokeFunction", function_of(simulated, "start"), {}),
        (set(simulated.policies) - {"bedrock", "scheduler", "workflow"}, "s3:PutObject", f"{work}/{RUN}/a.json", {}),
    ]
    for roles, action, resource, context in only:
        yield from (Call(role, action, resource, context) for role in simulated.policies if role not in roles)


def nova() -> str:
    """The first tier's model."""
    return "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"


def function_of(simulated: Simulated, step: str) -> str:
    """The ARN of a step's function."""
    return next(one.arn for one in simulated.template.functions().values() if one.step == step)


def insecure(simulated: Simulated) -> Iterator[Call]:
    """What roles may do in the buckets, without TLS."""
    for call in granted(simulated):
        if call.resource.startswith(tuple(map(simulated.bucket, ("work", "results", "incoming")))):
            yield dataclasses.replace(call, context={**call.context, "aws:SecureTransport": "false"})


def refused(simulated: Simulated) -> list[Call]:
    """All that must be denied."""
    return [*without_context(simulated), *nobodys(simulated), *others(simulated), *insecure(simulated)]


def told(found: Iterable[tuple[Call, str]]) -> list[str]:
    """Calls with what was said of them."""
    return [f"{call}: {result}" for call, result in found]


def test_every_right_is_one(simulated: Simulated) -> None:
    """Each action fits its resource, and what a request carries meets the condition."""
    found = simulated.results(granted(simulated))
    assert told(pair for pair in found if pair[1] != ALLOWED) == []
    assert {call.role for call, _ in found} == set(simulated.policies)


def test_what_must_be_denied_is_denied(simulated: Simulated) -> None:
    """Other contexts, others' resources, others' work, no TLS: and each of these is a request that AWS could get."""
    found = simulated.results(refused(simulated))
    assert told(pair for pair in found if not pair[1].endswith("Denied")) == []


def test_a_plain_operator_on_a_key_of_several_values_is_denied() -> None:
    """The simulator holds to what AWS's reference says of `events:source`, so that the first test can fail."""
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    call = Call("start", "events:PutEvents", bus, {"events:source": ["sluice"]})
    allow = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"}
    conditions = [{f"{sets}StringEquals": {"events:source": "sluice"}} for sets in ("", "ForAllValues:")]
    policies = [{"Version": "2012-10-17", "Statement": [{**allow, "Condition": one}]} for one in conditions]
    asked = [simulation(call, [{"name": "p", "policy": policy}], STRANGER) for policy in policies]
    assert simulate(asked) == ["ImplicitlyDenied", ALLOWED]


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_policy_of_the_docs_allows_what_it_lists(path: Path) -> None:
    """Each action fits one of its resources at least, and each resource one of its actions."""
    policy = filled(path.read_text(encoding="utf-8"))
    asked = list(listed_calls(policy))
    named = [{"name": path.stem, "policy": policy}]
    simulations = [simulation(one, named, STRANGER, OF_KEYS if ":kms:" in one.resource else None) for one in asked]
    found = zip(asked, simulate(simulations), strict=True)
    results: dict[str, set[str]] = defaultdict(set)
    for call, result in found:
        results[call.action].add(result)
        results[call.resource].add(result)
    assert {name: said for name, said in results.items() if ALLOWED not in said} == {}


def filled(text: str) -> dict[str, Any]:
    """A policy of the docs with names in place of its placeholders."""
    functions = {f"<{name}>": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" for name in ("start", "sweep")}
    known = {"<region>": REGION, "<account>": ACCOUNT, **functions}
    for placeholder, name in known.items():
        text = text.replace(placeholder, name)
    policy: dict[str, Any] = json.loads(text.replace("<", "").replace(" name>", "").replace(">", ""))
    return policy


def listed_calls(policy: dict[str, Any]) -> Iterator[Call]:
    """Each action of each statement on each of its resources."""
    for statement in policy["Statement"]:
        context = carried(Statement.parse(statement))
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                yield Call("somebody", action, sampled(resource), context)


def main() -> None:
    """Print how many calls of each role are allowed and denied, and what should not be so."""
    for variant in VARIANTS:
        simulated = built(variant)
        allowed = simulated.results(granted(simulated))
        denied = simulated.results(refused(simulated))
        counts = [Counter(call.role for call, result in found) for found in (allowed, denied)]
        print(f"{variant:20} {'allowed':>8} {'denied':>8}")  # noqa: T201
        for role in simulated.policies:
            print(f"  {role:18} {counts[0][role]:8} {counts[1][role]:8}")  # noqa: T201
        wrong = [pair for pair in allowed if pair[1] != ALLOWED]
        wrong += [pair for pair in denied if not pair[1].endswith("Denied")]
        print("\n".join(told(wrong)) or "  as it should be")  # noqa: T201


if __name__ == "__main__":
    main()
