from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from infra.permissions import plain
from sluice.local.policies import Role
from sluice.local.template import Template
from sluice.runs.keys import Keys
from tests.infra.conftest import KMS_KEY, OWN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.infra.conftest import Deployed

STEPS = ["start", "partition", "plan", "prepare", "submit", "poll", "infer", "check", "merge", "publish", "sweep"]
# The actions that no resource can be named for.
ON_EVERYTHING = {
    "xray:PutTelemetryRecords": "X-Ray knows no resources",
    "xray:PutTraceSegments": "X-Ray knows no resources",
    "xray:GetSamplingRules": "X-Ray knows no resources",
    "xray:GetSamplingTargets": "X-Ray knows no resources",
    "bedrock:ListModelInvocationJobs": "a list has no resource",
    "servicequotas:ListServiceQuotas": "a list has no resource",
    "ec2:DescribeNetworkInterfaces": "a list has no resource; in a network alone",
    "ec2:DescribeSubnets": "a list has no resource; in a network alone",
    "logs:CreateLogDelivery": "log delivery, for the state machine's log",
    "logs:DeleteLogDelivery": "log delivery",
    "logs:DescribeLogGroups": "log delivery",
    "logs:DescribeResourcePolicies": "log delivery",
    "logs:GetLogDelivery": "log delivery",
    "logs:ListLogDeliveries": "log delivery",
    "logs:PutResourcePolicy": "log delivery",
    "logs:UpdateLogDelivery": "log delivery",
}
STACKS = ("deployed", "encrypted", "enclosed", "staging")
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


@pytest.mark.parametrize("stack", STACKS)
def test_only_what_has_no_resource_is_allowed_on_everything(stack: str, request: pytest.FixtureRequest) -> None:
    """No role may do anything on `*` but a few listed actions, and no role may do every action of a service."""
    deployed: Deployed = request.getfixturevalue(stack)
    assert deployed.of_type("AWS::IAM::Role")
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
    """Runs alone; beside them start the inbox, plan notices, publish audits, and a few kept replies, lessons, requests.

    All have the list without which 404 would be 403.
    """
    more = {"start": ("inbox", "claims", "notices"), "plan": ("notices", "samples"), "publish": ("audits",)}
    passing = {
        "s3:GetObject": ("partition", "plan", "prepare", "infer", "check", "score", "merge", "publish"),
        "s3:PutObject": ("partition", "prepare", "infer", "merge"),
    }
    kept = {"s3:GetObject": ("prepare", "publish"), "s3:PutObject": ("check", "publish")}
    lessons = {"s3:GetObject": "learn", "s3:PutObject": "publish"}
    for action, steps in passing.items():
        also = [folder for folder in more.get(step, ()) if action == "s3:GetObject" or folder != "samples"]
        folders = ("runs", *also, *(["requests"] if step in steps else []))
        folders += ("replies",) if step in kept[action] else ()
        folders += ("learned",) if step == lessons[action] else ()
        expected = {_bucket(deployed, "Work", f"/{folder}/*") for folder in folders}
        assert {r for r in deployed.allowed(step, action) if "StorageWork" in r} == expected
    assert _bucket(deployed, "Work") in deployed.allowed(step, "s3:ListBucket")


@pytest.mark.parametrize("step", STEPS)
def test_only_start_and_partition_read_what_comes_in(deployed: Deployed, step: str) -> None:
    """They read the frozen versions and write nothing; the other steps see no input."""
    incoming = _bucket(deployed, "Incoming")
    reads = {incoming} if step in {"start", "partition"} else set()
    objects = {f"{bucket}/*" for bucket in reads}
    elsewhere = "arn:<AWS::Partition>:s3:::elsewhere"
    others = {f"{elsewhere}/in/*", f"{elsewhere}/more/*"} if reads else set()
    assert deployed.allowed(step, "s3:GetObjectVersion") == objects | others
    assert {r for r in deployed.allowed(step, "s3:GetObject") if r.startswith(elsewhere)} == others
    assert (elsewhere in deployed.allowed(step, "s3:ListBucket")) == bool(reads)
    assert deployed.allowed(step, "kms:Decrypt") == ({KMS_KEY} if reads else set())
    choices = objects if step == "start" else set()
    assert {r for r in deployed.allowed(step, "s3:GetObject") if r.startswith(incoming)} == choices
    assert {r for r in deployed.allowed(step, "s3:ListBucket") if r == incoming} == reads
    assert not {r for r in deployed.allowed(step, "s3:PutObject") if r.startswith(incoming)}


@pytest.mark.parametrize("step", STEPS)
def test_only_publish_writes_results(deployed: Deployed, step: str) -> None:
    """Nothing can stand under results before the books balance."""
    results = _bucket(deployed, "Results")
    written = {r for r in deployed.allowed(step, "s3:PutObject") if r.startswith(results)}
    folders = {f"{results}/{folder}/*" for folder in ("results", "reports", "runs")}
    assert written == (folders if step == "publish" else set())


@pytest.mark.parametrize("step", STEPS)
def test_only_start_reads_results_and_there_what_people_said_alone(deployed: Deployed, step: str) -> None:
    """It lists and reads that folder; no step sees a published row."""
    results = _bucket(deployed, "Results")
    read = {
        (action, resource, json.dumps(conditions))
        for actions, resources, conditions in deployed.step(step)
        for action, resource in product(actions, resources)
        if resource.startswith(results) and action != "s3:PutObject"
    }
    folder = json.dumps({"StringLike": {"s3:prefix": "corrections/*"}})
    mine = {("s3:GetObject", f"{results}/corrections/*", "{}"), ("s3:ListBucket", results, folder)}
    assert read == (mine if step == "start" else set())


@pytest.mark.parametrize("step", STEPS)
def test_only_what_waited_and_what_was_merged_is_deleted(deployed: Deployed, step: str) -> None:
    """Markers go when their run has begun, replies when they stand in a larger object, all else by its age alone."""
    folder = {"start": "inbox", "publish": "replies"}.get(step)
    expected = {_bucket(deployed, "Work", f"/{folder}/*")} if folder else set()
    assert deployed.allowed(step, "s3:DeleteObject") == expected
    assert not deployed.allowed(step, "s3:DeleteObjectVersion")


@pytest.mark.parametrize(
    ("action", "steps"),
    [
        ("bedrock:CreateModelInvocationJob", {"submit"}),
        ("bedrock:GetModelInvocationJob", {"poll", "check"}),
        ("bedrock:ListModelInvocationJobs", {"submit", "sweep"}),
        ("bedrock:StopModelInvocationJob", {"submit", "sweep"}),
        ("bedrock:InvokeModel", {"infer"}),
        ("iam:PassRole", {"submit"}),
        ("states:StartExecution", {"start", "sweep"}),
        ("states:DescribeExecution", {"start"}),
        ("states:StopExecution", {"sweep"}),
        ("states:ListExecutions", {"start"}),
        ("events:PutEvents", {"start", "plan", "publish"}),
        ("servicequotas:ListServiceQuotas", {"start"}),
        ("sqs:SendMessage", {"start", "sweep"}),
        ("s3:AbortMultipartUpload", {"partition", "plan", "prepare", "infer", "check", "merge"}),
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


def test_texts_stay_in_the_geographies_that_were_named(enclosed: Deployed) -> None:
    """Neither a job nor a call on demand reaches a model through another profile, or in another part of the world."""
    template = Template(enclosed.template, "eu-central-1")
    id_, _ = enclosed.the("AWS::IAM::Role", "BedrockRole")
    roles = [Role(template.statements(template.attributes[id_, "Arn"]))]
    roles += [Role(function.statements) for function in template.functions().values() if function.step == "infer"]
    assert len(roles) == 2
    for role in roles:
        for model in MODELS:
            for region, inside in (("eu-central-1", True), ("eu-north-1", True), ("us-east-1", False), ("", False)):
                arn = f"arn:aws:bedrock:{region}::foundation-model/{model}"
                assert role.allows("bedrock:InvokeModel", arn) is inside, arn
            for profile, inside in (("eu", True), ("global", False), ("us", False), ("apac", False)):
                arn = f"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/{profile}.{model}"
                assert role.allows("bedrock:InvokeModel", arn) is inside, arn


def test_bedrock_takes_its_role_for_our_own_jobs_alone(deployed: Deployed) -> None:
    """Without these conditions anybody's job could ask the service to use the role."""
    _, role = deployed.the("AWS::IAM::Role", "BedrockRole")
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = json.dumps(statement["Condition"]["ArnLike"]["aws:SourceArn"])
    assert ":model-invocation-job/*" in source
    assert "AWS::Region" in source


def test_bedrock_reads_what_goes_in_and_writes_what_comes_out(deployed: Deployed) -> None:
    """The service reads and writes in the folders of jobs; rows, books and results are none of its."""
    role, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    on_s3 = {
        (action, resource)
        for actions, found, _ in deployed.statements(role)
        for action in actions
        for resource in found
        if action.startswith("s3:")
    }
    assert on_s3 == {
        *(
            (f"s3:{call}Object", _bucket(deployed, "Work", f"/requests/*/{folder}/*"))
            for call, folder in product(("Get", "Put"), ("in", "out"))
        ),
        ("s3:ListBucket", _bucket(deployed, "Work")),
    }


def test_bedrocks_folders_are_those_that_the_steps_use(deployed: Deployed) -> None:
    """The permissions fit the keys of a run, and only those of a job's input and output."""
    template = Template(deployed.template, "eu-west-1")
    [name] = [bucket.name for id_, bucket in template.buckets().items() if id_.startswith("StorageWork")]
    id_, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    role = Role(template.statements(template.attributes[id_, "Arn"]))
    run = Keys("tickets-20261120t120000-0123456789")
    job = run.job(3, 17)
    assert role.allows("s3:GetObject", f"arn:aws:s3:::{name}/{job.input}")
    assert role.allows("s3:PutObject", f"arn:aws:s3:::{name}/{job.output_prefix}abc/part-0.jsonl.out")
    others = (run.start, run.summary, run.rows(0), run.answer(0, 0, 0), job.counts, job.ended, "results/part-0.parquet")
    for action, key in product(("s3:GetObject", "s3:PutObject"), others):
        assert not role.allows(action, f"arn:aws:s3:::{name}/{key}")


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
    assert conditions == {
        "ForAllValues:StringEquals": {"events:source": ["sluice"]},
        "Null": {"events:source": "false"},
    }


def _on_the_key(deployed: Deployed, key: str) -> dict[str, tuple[set[str], dict[str, Any]]]:
    """By role, what it may do with a key, and under which conditions."""
    return {
        role: (actions, conditions)
        for role in deployed.of_type("AWS::IAM::Role")
        for actions, resources, conditions in deployed.statements(role)
        if key in resources
    }


@pytest.mark.parametrize("stack", ["encrypted", "enclosed"])
def test_who_touches_encrypted_objects_may_use_the_key(stack: str, request: pytest.FixtureRequest) -> None:
    """Every step, Bedrock's role, and to read the state machine, for whose maps CDK forgets it; through S3 alone."""
    deployed: Deployed = request.getfixturevalue(stack)
    keys = [id_ for id_ in deployed.of_type("AWS::KMS::Key") if id_.startswith("StorageKey")]
    bedrock, _ = deployed.the("AWS::IAM::Role", "BedrockRole")
    machine, _ = deployed.the("AWS::IAM::Role", "WorkflowMachineRole")
    steps = {function["Role"]["Fn::GetAtt"][0] for function in deployed.functions.values()}
    found = _on_the_key(deployed, f"<{keys[0]}.Arn>" if keys else OWN_KEY)
    assert found.keys() == {bedrock, machine, *steps}
    for role, (actions, conditions) in found.items():
        assert actions == ({"kms:Decrypt"} if role == machine else {"kms:Decrypt", "kms:GenerateDataKey"})
        assert plain(conditions["StringEquals"]["kms:ViaService"]) == "s3.<AWS::Region>.amazonaws.com"


@pytest.mark.parametrize("step", STEPS)
def test_the_key_of_another_bucket_opens_its_objects_alone(deployed: Deployed, step: str) -> None:
    """Start and partition read with it through S3; nobody writes with it, or uses it for anything else."""
    found = [(actions, conditions) for actions, resources, conditions in deployed.step(step) if KMS_KEY in resources]
    by_s3 = [(actions, plain(conditions["StringEquals"]["kms:ViaService"])) for actions, conditions in found]
    expected = [({"kms:Decrypt"}, "s3.<AWS::Region>.amazonaws.com")]
    assert by_s3 == (expected if step in {"start", "partition"} else [])


def _trusts(deployed: Deployed) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every resource that lets a service of AWS act, the service, and under which conditions."""
    documents = {
        "AWS::IAM::Role": "AssumeRolePolicyDocument",
        "AWS::KMS::Key": "KeyPolicy",
        "AWS::S3::BucketPolicy": "PolicyDocument",
        "AWS::SNS::TopicPolicy": "PolicyDocument",
        "AWS::SQS::QueuePolicy": "PolicyDocument",
    }
    for kind, document in documents.items():
        for id_, properties in deployed.of_type(kind).items():
            for statement in properties[document]["Statement"]:
                principal = statement["Principal"]
                if statement["Effect"] == "Allow" and isinstance(principal, dict) and "Service" in principal:
                    yield id_, principal["Service"], statement.get("Condition", {})
    for id_, permission in deployed.of_type("AWS::Lambda::Permission").items():
        yield id_, permission["Principal"], {"ArnLike": {"aws:SourceArn": permission.get("SourceArn")}}


@pytest.mark.parametrize("stack", STACKS)
def test_no_service_acts_for_another_account(stack: str, request: pytest.FixtureRequest) -> None:
    """Wherever a service is trusted, it says for which resource or account it acts: it serves everybody else too."""
    deployed: Deployed = request.getfixturevalue(stack)
    trusts = list(_trusts(deployed))
    assert {service for _, service, _ in trusts} >= {"bedrock.amazonaws.com", "states.amazonaws.com"}
    for id_, service, conditions in trusts:
        if service == "lambda.amazonaws.com":
            continue  # Lambda names no source; it takes a role from those alone who may pass it in its own account
        if service == "events.amazonaws.com" and id_.startswith("MonitoringTopic"):
            continue  # EventBridge names no source to a topic and its key: with a condition no notice would arrive
        sources = {key for keys in conditions.values() for key, value in keys.items() if value}
        assert sources & {"aws:SourceArn", "aws:SourceAccount"}, (id_, service)
