from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed

STEPS = ["start", "partition", "plan", "prepare", "submit", "poll", "infer", "check", "merge", "publish", "sweep"]
# The actions that no resource can be named for.
ON_EVERYTHING = {
    "xray:PutTelemetryRecords": "X-Ray knows no resources",
    "xray:PutTraceSegments": "X-Ray knows no resources",
    "xray:GetSamplingRules": "X-Ray knows no resources",
    "xray:GetSamplingTargets": "X-Ray knows no resources",
    "bedrock:ListModelInvocationJobs": "a list has no resource",
    "logs:CreateLogDelivery": "log delivery, for the state machine's log",
    "logs:DeleteLogDelivery": "log delivery",
    "logs:DescribeLogGroups": "log delivery",
    "logs:DescribeResourcePolicies": "log delivery",
    "logs:GetLogDelivery": "log delivery",
    "logs:ListLogDeliveries": "log delivery",
    "logs:PutResourcePolicy": "log delivery",
    "logs:UpdateLogDelivery": "log delivery",
}
MODELS = {
    "amazon.nova-micro-v1:0",  # the default tiers
    "anthropic.claude-haiku-4-5-20251001-v1:0",
    "amazon.nova-lite-v1:0",  # the tasks of these tests
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
JOBS = "arn:<AWS::Partition>:bedrock:<AWS::Region>:<AWS::AccountId>:model-invocation-job/*"


def _models() -> set[str]:
    here = "arn:<AWS::Partition>:bedrock:<AWS::Region>:<AWS::AccountId>:inference-profile"
    return {f"{here}/*.{model}" for model in MODELS} | {
        f"arn:<AWS::Partition>:bedrock:*::foundation-model/{model}" for model in MODELS
    }


def _bucket(deployed: Deployed, name: str, objects: str = "") -> str:
    id_, _ = deployed.the("AWS::S3::Bucket", f"Storage{name}")
    return f"<{id_}.Arn>{objects}"


@pytest.mark.parametrize("stack", ["deployed", "encrypted"])
def test_only_what_has_no_resource_is_allowed_on_everything(stack: str, request: pytest.FixtureRequest) -> None:
    """No role may do anything on `*` but a few listed actions, and no role may do every action of a service."""
    deployed: Deployed = request.getfixturevalue(stack)
    for role in deployed.of_type("AWS::IAM::Role"):
        for actions, resources, _ in deployed.statements(role):
            assert not [action for action in actions if "*" in action], role
            assert "*" not in resources or actions <= set(ON_EVERYTHING), role


def test_no_role_has_a_policy_from_elsewhere(deployed: Deployed) -> None:
    """AWS's own policies allow more than the steps do."""
    for role in deployed.of_type("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role
        assert "Policies" not in role


@pytest.mark.parametrize("step", STEPS)
def test_every_step_reads_and_writes_runs(deployed: Deployed, step: str) -> None:
    """Runs alone, with what a broken upload takes, and with the list without which a missing object is forbidden."""
    runs = _bucket(deployed, "Work", "/runs/*")
    for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"):
        assert runs in deployed.allowed(step, action)
        assert not [r for r in deployed.allowed(step, action) if "StorageWork" in r and r != runs]
    assert _bucket(deployed, "Work") in deployed.allowed(step, "s3:ListBucket")


@pytest.mark.parametrize("step", STEPS)
def test_only_start_and_partition_read_what_comes_in(deployed: Deployed, step: str) -> None:
    """They read the frozen versions and write nothing; the other steps see no input."""
    incoming = _bucket(deployed, "Incoming")
    reads = {incoming} if step in {"start", "partition"} else set()
    objects = {f"{bucket}/*" for bucket in reads}
    assert deployed.allowed(step, "s3:GetObjectVersion") == objects
    assert {r for r in deployed.allowed(step, "s3:GetObject") if r.startswith(incoming)} == objects
    assert {r for r in deployed.allowed(step, "s3:ListBucket") if r == incoming} == reads
    assert not {r for r in deployed.allowed(step, "s3:PutObject") if r.startswith(incoming)}


@pytest.mark.parametrize("step", STEPS)
def test_only_publish_writes_results(deployed: Deployed, step: str) -> None:
    """Nothing can stand under results before the books balance."""
    results = _bucket(deployed, "Results")
    written = {r for r in deployed.allowed(step, "s3:PutObject") if r.startswith(results)}
    folders = {f"{results}/{folder}/*" for folder in ("results", "reports", "runs")}
    assert written == (folders if step == "publish" else set())


def test_no_step_deletes_objects(deployed: Deployed) -> None:
    """Only the buckets' own lifecycle throws something away."""
    for step in STEPS:
        assert not deployed.allowed(step, "s3:DeleteObject")


@pytest.mark.parametrize(
    ("action", "steps"),
    [
        ("bedrock:CreateModelInvocationJob", {"submit"}),
        ("bedrock:GetModelInvocationJob", {"submit", "poll", "check", "sweep"}),
        ("bedrock:ListModelInvocationJobs", {"submit", "sweep"}),
        ("bedrock:StopModelInvocationJob", {"submit", "sweep"}),
        ("bedrock:InvokeModel", {"infer"}),
        ("iam:PassRole", {"submit"}),
        ("states:StartExecution", {"start", "sweep"}),
        ("states:DescribeExecution", {"start", "sweep"}),
        ("states:StopExecution", {"sweep"}),
        ("events:PutEvents", {"plan", "publish"}),
        ("sqs:SendMessage", {"start", "sweep"}),
    ],
)
def test_each_permission_belongs_to_the_steps_that_need_it(deployed: Deployed, action: str, steps: set[str]) -> None:
    """What costs money or reaches beyond the buckets is allowed to few."""
    assert {step for step in STEPS if deployed.allowed(step, action)} == steps


def test_the_models_of_the_tasks_can_be_called_and_no_others(deployed: Deployed) -> None:
    """A profile takes itself and the foundation model wherever it routes, in the role of jobs too."""
    role, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    [jobs] = [found for actions, found, _ in deployed.statements(role) if "bedrock:InvokeModel" in actions]
    assert jobs == _models()
    assert deployed.allowed("infer", "bedrock:InvokeModel") == _models()
    assert deployed.allowed("submit", "bedrock:CreateModelInvocationJob") == _models() | {JOBS}


def test_bedrock_takes_its_role_for_our_own_jobs_alone(deployed: Deployed) -> None:
    """Without these conditions anybody's job could ask the service to use the role."""
    _, role = deployed.the("AWS::IAM::Role", "BedrockRole")
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = json.dumps(statement["Condition"]["ArnLike"]["aws:SourceArn"])
    assert ":model-invocation-job/*" in source
    assert "AWS::Region" in source


def test_bedrock_jobs_see_the_work_bucket_alone(deployed: Deployed) -> None:
    """The service reads input and writes output of runs, and nothing else."""
    role, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    on_s3 = {r for actions, found, _ in deployed.statements(role) for r in found if min(actions).startswith("s3:")}
    assert on_s3 == {_bucket(deployed, "Work"), _bucket(deployed, "Work", "/runs/*")}


def test_the_role_can_be_passed_to_bedrock_alone(deployed: Deployed) -> None:
    """Submit hands the one role to the one service."""
    role, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    [(_, resources, conditions)] = [found for found in deployed.step("submit") if "iam:PassRole" in found[0]]
    assert resources == {f"<{role}.Arn>"}
    assert conditions == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


def test_events_are_sent_in_our_own_name_alone(deployed: Deployed) -> None:
    """Publish cannot pose as another source on the account's bus."""
    [(_, resources, conditions)] = [found for found in deployed.step("publish") if "events:PutEvents" in found[0]]
    assert resources == {"arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:event-bus/default"}
    assert conditions == {"StringEquals": {"events:source": "sluice"}}


def test_who_touches_encrypted_objects_may_use_the_key(encrypted: Deployed) -> None:
    """Every step, Bedrock's role and the state machine, for whose maps CDK forgets it."""
    key, _ = encrypted.the("AWS::KMS::Key", "StorageKey")
    bedrock, _ = encrypted.the("AWS::IAM::Role", "BedrockRole")
    machine, _ = encrypted.the("AWS::IAM::Role", "WorkflowMachineRole")
    for role in [bedrock, machine, *(function["Role"]["Fn::GetAtt"][0] for function in encrypted.functions.values())]:
        actions = {
            a for found, resources, _ in encrypted.statements(role) if f"<{key}.Arn>" in resources for a in found
        }
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions, role
