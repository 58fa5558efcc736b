from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.storage import COLD_DAYS
from tests.infra.conftest import OWN_KEY, Deployed

if TYPE_CHECKING:
    from pathlib import Path

BUCKETS = {"StorageLogs", "StorageIncoming", "StorageWork", "StorageResults"}


def _rules(bucket: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}


def test_there_are_four_buckets_and_nothing_in_them_is_public(deployed: Deployed) -> None:
    """Every bucket blocks public access in all four ways and knows no access lists."""
    buckets = deployed.of_type("AWS::S3::Bucket")
    assert {id_[:-8] for id_ in buckets} == BUCKETS
    for bucket in buckets.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert "AccessControl" not in bucket


def test_buckets_are_encrypted(deployed: Deployed) -> None:
    """Without an option every bucket has S3's own key."""
    for bucket in deployed.of_type("AWS::S3::Bucket").values():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_a_customer_key_encrypts_what_is_ours(encrypted: Deployed) -> None:
    """With kms incoming, work and results have the customer key; access logs cannot."""
    for id_, bucket in encrypted.of_type("AWS::S3::Bucket").items():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        algorithm = rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if id_.startswith("StorageLogs") else "aws:kms"), id_
        assert id_.startswith("StorageLogs") or rule["BucketKeyEnabled"] is True
    _, key = encrypted.the("AWS::KMS::Key", "StorageKey")
    assert key["EnableKeyRotation"] is True


def test_a_key_that_is_there_already_is_used_and_left_alone(enclosed: Deployed) -> None:
    """No second key is made, and the given one encrypts as one of the stack would, with bucket keys."""
    assert not [id_ for id_ in enclosed.of_type("AWS::KMS::Key") if id_.startswith("Storage")]
    for id_, bucket in enclosed.of_type("AWS::S3::Bucket").items():
        if not id_.startswith("StorageLogs"):
            [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == OWN_KEY
            assert rule["BucketKeyEnabled"] is True
    variables = enclosed.functions["start"]["Environment"]["Variables"]
    assert variables["SLUICE_KMS_KEY_ARN"] == OWN_KEY


def test_a_key_of_the_stack_stays_with_what_it_encrypts(encrypted: Deployed) -> None:
    """Without it nobody would ever read the results again."""
    resources = encrypted.template["Resources"]
    [key] = [resource for id_, resource in resources.items() if id_.startswith("StorageKey")]
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_athena_encrypts_what_it_finds(deployed: Deployed, encrypted: Deployed, enclosed: Deployed) -> None:
    """Answers of queries are rows too, and have the buckets' key, whatever the client asks for."""
    key, _ = encrypted.the("AWS::KMS::Key", "StorageKey")
    expected = (
        (deployed, "SSE_S3", None),
        (encrypted, "SSE_KMS", {"Fn::GetAtt": [key, "Arn"]}),
        (enclosed, "SSE_KMS", OWN_KEY),
    )
    for stack, option, key_arn in expected:
        _, workgroup = stack.the("AWS::Athena::WorkGroup")
        configuration = workgroup["WorkGroupConfiguration"]
        assert configuration["EnforceWorkGroupConfiguration"] is True
        encryption = configuration["ResultConfiguration"]["EncryptionConfiguration"]
        assert (encryption["EncryptionOption"], encryption.get("KmsKey")) == (option, key_arn)


def test_buckets_speak_tls_alone(deployed: Deployed) -> None:
    """Every bucket denies everything to everybody without TLS 1.2."""
    policies = deployed.of_type("AWS::S3::BucketPolicy")
    assert len(policies) == len(BUCKETS)
    for policy in policies.values():
        denied = [s["Condition"] for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_work_is_thrown_away_and_results_are_not(deployed: Deployed) -> None:
    """Runs, lessons, claims and notices expire, Athena's answers sooner, unfinished uploads everywhere; no results."""
    _, work = deployed.the("AWS::S3::Bucket", "StorageWork")
    _, results = deployed.the("AWS::S3::Bucket", "StorageResults")
    rules = _rules(work)
    assert rules["old-runs"]["Transitions"] == [{"StorageClass": "STANDARD_IA", "TransitionInDays": COLD_DAYS}]
    for folder in ("runs", "claims", "notices", "learned"):
        assert (rules[f"old-{folder}"]["Prefix"], rules[f"old-{folder}"]["ExpirationInDays"]) == (f"{folder}/", 90)
    assert not [rule for rule in rules.values() if rule.get("Prefix", "x").startswith("inbox")]
    assert (rules["old-athena"]["Prefix"], rules["old-athena"]["ExpirationInDays"]) == ("athena/", 7)
    assert list(_rules(results)) == ["unfinished-uploads"]
    for bucket in deployed.of_type("AWS::S3::Bucket").values():
        assert _rules(bucket)["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}


def test_no_bucket_goes_with_the_stack(deployed: Deployed) -> None:
    """Taking the deployment down leaves what people put in and what was paid for; a first deploy that fails nothing."""
    for resource in deployed.template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_a_deployment_that_is_to_go_takes_its_data_along(enclosed: Deployed) -> None:
    """CloudFormation deletes no bucket with objects in it, so a helper empties them first; access logs stay."""
    emptied = {
        r["Properties"]["BucketName"]["Ref"]
        for r in enclosed.template["Resources"].values()
        if r["Type"] == "Custom::S3AutoDeleteObjects"
    }
    for id_, resource in enclosed.template["Resources"].items():
        if resource["Type"] == "AWS::S3::Bucket":
            stays = id_.startswith("StorageLogs")
            assert (resource["DeletionPolicy"] == "RetainExceptOnCreate") is stays
            assert (id_ in emptied) is not stays


def test_how_long_things_are_kept_is_an_option(tasks: Path) -> None:
    """Working files, logs of functions and workflow, logs of access: each for as many days as was said."""
    from infra.app import synthesize

    deployed = Deployed(synthesize(tasks=str(tasks), keep_runs_days=40, keep_logs_days=30, keep_access_logs_days=5))
    _, work = deployed.the("AWS::S3::Bucket", "StorageWork")
    _, incoming = deployed.the("AWS::S3::Bucket", "StorageIncoming")
    _, logs = deployed.the("AWS::S3::Bucket", "StorageLogs")
    assert _rules(work)["old-runs"]["ExpirationInDays"] == 40
    assert _rules(incoming)["replaced"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 40}
    assert _rules(logs)["old-objects"]["ExpirationInDays"] == 5
    assert {group["RetentionInDays"] for group in deployed.of_type("AWS::Logs::LogGroup").values()} == {30}


def test_nothing_is_left_of_what_was_uploaded_for_a_command(deployed: Deployed) -> None:
    """In a bucket with versions age leaves a marker, then the version goes, and at last the marker."""
    _, incoming = deployed.the("AWS::S3::Bucket", "StorageIncoming")
    rules = _rules(incoming)
    assert rules["old-_submitted"]["Prefix"] == "_submitted/"
    assert rules["markers"] == {"Id": "markers", "ExpiredObjectDeleteMarker": True, "Status": "Enabled"}


def test_incoming_keeps_versions_and_sends_events(deployed: Deployed) -> None:
    """A run reads the version that it froze; a dropped object reaches EventBridge without a helper function."""
    _, incoming = deployed.the("AWS::S3::Bucket", "StorageIncoming")
    assert incoming["VersioningConfiguration"] == {"Status": "Enabled"}
    assert incoming["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert not [r for r in deployed.template["Resources"].values() if r["Type"].startswith("Custom::")]


def test_access_is_logged(deployed: Deployed) -> None:
    """Who read or wrote what stands in the logs bucket, under the bucket's own prefix."""
    logs, _ = deployed.the("AWS::S3::Bucket", "StorageLogs")
    for id_, bucket in deployed.of_type("AWS::S3::Bucket").items():
        if id_ != logs:
            assert bucket["LoggingConfiguration"]["DestinationBucketName"] == {"Ref": logs}
