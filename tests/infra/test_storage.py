from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed

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


def test_buckets_speak_tls_alone(deployed: Deployed) -> None:
    """Every bucket denies everything to everybody without TLS 1.2."""
    policies = deployed.of_type("AWS::S3::BucketPolicy")
    assert len(policies) == len(BUCKETS)
    for policy in policies.values():
        denied = [s["Condition"] for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_work_is_thrown_away_and_results_are_not(deployed: Deployed) -> None:
    """Runs expire, Athena's answers sooner, unfinished uploads everywhere; nothing expires a result."""
    _, work = deployed.the("AWS::S3::Bucket", "StorageWork")
    _, results = deployed.the("AWS::S3::Bucket", "StorageResults")
    rules = _rules(work)
    assert (rules["old-runs"]["Prefix"], rules["old-runs"]["ExpirationInDays"]) == ("runs/", 90)
    assert (rules["old-athena"]["Prefix"], rules["old-athena"]["ExpirationInDays"]) == ("athena/", 7)
    assert list(_rules(results)) == ["unfinished-uploads"]
    for bucket in deployed.of_type("AWS::S3::Bucket").values():
        assert _rules(bucket)["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}


def test_no_bucket_goes_with_the_stack(deployed: Deployed) -> None:
    """Taking the deployment down leaves what people put in and what was paid for."""
    for resource in deployed.template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            assert resource["DeletionPolicy"] == "Retain"


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
