"""The guard: which permissions a call needs, and what AWS answers without them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.local.guard import Guard
from sluice.local.policies import Role, Statement
from sluice.local.template import ACCOUNT

REGION = "us-east-1"
WORK = "arn:aws:s3:::work"
JOBS = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job"


def guard(*actions: str, keys: dict[str, str] | None = None) -> Guard:
    return Guard(Role((Statement(allow=True, actions=actions, resources=("*",)),)), keys or {}, REGION)


def needs(service: str, operation: str, keys: dict[str, str] | None = None, **parameters: Any) -> list[tuple[str, str]]:
    found = guard(keys=keys).needs(service, operation, parameters)
    return [(action, resource) for action, resource, _ in found]


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("GetObject", {}, [("s3:GetObject", f"{WORK}/k")]),
        ("GetObject", {"VersionId": "1"}, [("s3:GetObjectVersion", f"{WORK}/k")]),
        ("HeadObject", {}, [("s3:GetObject", f"{WORK}/k")]),
        ("UploadPart", {}, [("s3:PutObject", f"{WORK}/k")]),
        ("AbortMultipartUpload", {}, [("s3:AbortMultipartUpload", f"{WORK}/k")]),
        (
            "CopyObject",
            {"CopySource": "in/a%20b"},
            [("s3:PutObject", f"{WORK}/k"), ("s3:GetObject", "arn:aws:s3:::in/a b")],
        ),
        ("ListObjectsV2", {"Prefix": "k"}, [("s3:ListBucket", WORK)]),
        ("DeleteObjects", {"Delete": {"Objects": [{"Key": "a"}]}}, [("s3:DeleteObject", f"{WORK}/a")]),
    ],
)
def test_permissions_of_s3(operation: str, parameters: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """The operation's name is often not the permission's."""
    assert needs("s3", operation, Bucket="work", Key="k", **parameters) == expected


def test_an_encrypted_bucket_needs_its_key() -> None:
    """Reading decrypts, writing makes a data key, parts do both."""
    keys = {"work": "key"}
    assert needs("s3", "GetObject", keys, Bucket="work", Key="k")[1:] == [("kms:Decrypt", "key")]
    assert needs("s3", "PutObject", keys, Bucket="work", Key="k")[1:] == [("kms:GenerateDataKey", "key")]
    assert len(needs("s3", "UploadPart", keys, Bucket="work", Key="k")) == 3


def test_an_inference_profile_needs_its_model_too() -> None:
    """Bedrock checks the profile, and the model in every Region that it routes to."""
    model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert needs("bedrock-runtime", "Converse", modelId=model) == [
        ("bedrock:InvokeModel", f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model}"),
        *(
            ("bedrock:InvokeModel", f"arn:aws:bedrock:{region}::foundation-model/{model.removeprefix('us.')}")
            for region in ("us-east-1", "us-east-2", "us-west-2")
        ),
    ]


def test_a_model_without_a_profile_is_one_resource() -> None:
    """A provider's name is no prefix of a profile."""
    assert [resource for _, resource in needs("bedrock-runtime", "Converse", modelId="amazon.nova-micro-v1:0")] == [
        f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-micro-v1:0"
    ]


def test_creating_a_job_passes_a_role() -> None:
    """Create takes three permissions."""
    found = needs("bedrock", "CreateModelInvocationJob", modelId="amazon.nova-micro-v1:0", roleArn="role")
    assert [action for action, _ in found] == [
        "bedrock:CreateModelInvocationJob",
        "bedrock:CreateModelInvocationJob",
        "iam:PassRole",
    ]


def test_a_job_is_found_by_id_or_arn() -> None:
    """Both are the same resource."""
    by_id = needs("bedrock", "GetModelInvocationJob", jobIdentifier="abc")
    assert by_id == needs("bedrock", "GetModelInvocationJob", jobIdentifier=f"{JOBS}/abc")


def test_a_call_without_permission_is_denied() -> None:
    """With S3's code in S3, and the others' elsewhere."""
    guard("s3:GetObject").check("s3", "GetObject", {"Bucket": "work", "Key": "k"})
    with pytest.raises(ClientError) as denied:
        guard("s3:GetObject").check("s3", "PutObject", {"Bucket": "work", "Key": "k"})
    assert denied.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        guard("s3:*").check("stepfunctions", "StartExecution", {"stateMachineArn": "machine"})
    with pytest.raises(ClientError, match="AccessDeniedException"):
        guard("s3:*").check("events", "PutEvents", {"Entries": [{"Source": "sluice"}]})


def test_an_unknown_operation_of_s3_is_an_error() -> None:
    """Somebody has to say which permission it takes."""
    with pytest.raises(LookupError, match="PutBucketWebsite"):
        needs("s3", "PutBucketWebsite", Bucket="work")
