"""The four buckets: what comes in, what a run works with, what it found, and who read which of them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.options import Encryption, Removal
from infra.permissions import allow
from sluice.results.corrections import FOLDER
from sluice.runs.inbox import SUBMITTED
from sluice.runs.keys import AUDITS, LEARNED, REPLIES, REQUESTS, SAMPLES, VECTORS
from sluice.task.tiers import MAX_REUSE_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_cdk import aws_lambda as lambda_

    from infra.options import Options
    from sluice.runs.inbox import Source

# But not by a first deployment that is rolled back: what it made is empty, and nobody would know whose it is.
KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
# Uploads that nobody finished or aborted are billed and invisible.
UNFINISHED = s3.LifecycleRule(id="unfinished-uploads", abort_incomplete_multipart_upload_after=Duration.days(3))
# Days until S3 takes an object into the class for what is rarely read, and days that it bills there at least.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
COLD_DAYS = 30
COLD_LASTS = 30


class Storage(Construct):
    """The buckets, and the grants on them: each grant is what its steps do and no more."""

    def __init__(
        self, scope: Construct, id_: str, *, options: Options, reuse_days: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(scope, id_)
        self._removed = options.removal is Removal.DESTROY
        self.key = self._key(options.encryption)
        # S3 delivers access logs to buckets with S3-managed encryption alone.
        self.logs = s3.Bucket(
            self,
            "Logs",
            **_guarded(s3.BucketEncryption.S3_MANAGED),
            lifecycle_rules=[_expire("", options.keep_access_logs_days), UNFINISHED],
            # S3 goes on writing them for hours after the last request: whoever empties the bucket is never done.
            removal_policy=KEPT,
        )
        self.incoming = self._bucket(
            "Incoming",
            # A run reads the exact versions that it saw at its start, whatever is uploaded meanwhile.
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(id="replaced", noncurrent_version_expiration=Duration.days(options.keep_runs_days)),
                _expire(SUBMITTED.rstrip("/"), options.keep_runs_days),
                # What expires here leaves a marker; S3 takes no rule that has both days and markers.
                s3.LifecycleRule(id="markers", expired_object_delete_marker=True),
                UNFINISHED,
            ],
        )
        self.work = self._bucket(
            "Work",
            lifecycle_rules=[
                _of_runs(options.keep_runs_days),
                *(_expire(folder, options.keep_runs_days) for folder in ("claims", "notices", LEARNED)),
                _expire(REQUESTS, options.sluice.keep_requests_days),
                # A day more: S3 counts from the midnight behind the write, and a reply may be used on its last day.
                *(_expire(f"{REPLIES}/{task}", days + 1) for task, days in (reuse_days or {}).items()),
                _expire(REPLIES, MAX_REUSE_DAYS + 1),  # of tasks that the deployment does not know, or no longer
                _expire("athena", 7),
                UNFINISHED,
            ],
        )
        self.results = self._bucket("Results", lifecycle_rules=[UNFINISHED])
        _send_events(self.incoming)

    def grant_runs(self, *functions: lambda_.Function) -> None:
        """Let `functions` read and write the files of runs."""
        for function in functions:
            _allow_list(function, self.work)
            _allow_objects(function, self.work, "runs", "s3:GetObject", "s3:PutObject")
            self.grant_key(function)

    def grant_uploads(self, *functions: lambda_.Function) -> None:
        """Let `functions`, which write files of runs by parts, take back an upload that they cannot finish."""
        for function in functions:
            _allow_objects(function, self.work, "runs", "s3:AbortMultipartUpload")

    def grant_requests(self, *, readers: Iterable[lambda_.Function], writers: Iterable[lambda_.Function]) -> None:
        """Let `readers` and `writers` at what expires within days: requests, what came back, tables to publish."""
        for function in readers:
            _allow_objects(function, self.work, REQUESTS, "s3:GetObject")
        for function in writers:
            _allow_objects(function, self.work, REQUESTS, "s3:PutObject", "s3:AbortMultipartUpload")

    def grant_replies(self, *, finds: lambda_.Function, keeps: lambda_.Function, merges: lambda_.Function) -> None:
        """Let functions find and keep the replies that later runs may use; small objects of them become large ones."""
        _allow_objects(finds, self.work, REPLIES, "s3:GetObject")
        _allow_objects(keeps, self.work, REPLIES, "s3:PutObject")
        _allow_objects(merges, self.work, REPLIES, "s3:GetObject", "s3:PutObject", "s3:DeleteObject")

    def grant_audits(self, function: lambda_.Function) -> None:
        """Let `function` enter a run among those that the alarm of a task's audits goes by; nothing is taken away."""
        _allow_objects(function, self.work, AUDITS, "s3:GetObject", "s3:PutObject")

    def grant_lessons(self, *, learns: lambda_.Function, keeps: lambda_.Function) -> None:
        """Let a function read word vectors and what earlier runs have to teach, and one keep what a run has."""
        _allow_objects(learns, self.work, LEARNED, "s3:GetObject")
        _allow_objects(learns, self.work, VECTORS, "s3:GetObject")
        _allow_objects(keeps, self.work, LEARNED, "s3:PutObject")

    def grant_samples(self, function: lambda_.Function) -> None:
        """Let `function` read what people have said of rows that were drawn before a run."""
        _allow_objects(function, self.work, SAMPLES, "s3:GetObject")

    def grant_choice(self, function: lambda_.Function) -> None:
        """Let `function` find what was dropped, and look into it."""
        _allow_objects(function, self.incoming, "", "s3:GetObject")
        self.grant_versions(function)

    def grant_versions(self, function: lambda_.Function) -> None:
        """Let `function` read what was dropped, in the version that a run froze and in no other way."""
        _allow_list(function, self.incoming)
        _allow_objects(function, self.incoming, "", "s3:GetObjectVersion")
        self.grant_key(function)

    def grant_sources(self, sources: Iterable[Source], *functions: lambda_.Function) -> None:
        """Let `functions` read the objects of other buckets that lie in a source, with or without versions."""
        for function, source in product(functions, sources):
            bucket = f"arn:{Aws.PARTITION}:s3:::{source.bucket}"
            allow(function, ["s3:ListBucket"], [bucket])
            objects = [f"{bucket}/{source.prefix}*"]
            allow(function, ["s3:GetObject", "s3:GetObjectVersion"], objects, wildcard=NAMED_LATER)
            if source.kms_key:
                allow(function, ["kms:Decrypt"], [source.kms_key], conditions=BY_S3)

    def grant_inbox(self, function: lambda_.Function) -> None:
        """Let `function` keep the inbox, from which something is deleted when it is done with."""
        _allow_objects(function, self.work, "inbox", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        for folder in ("claims", "notices"):
            _allow_objects(function, self.work, folder, "s3:GetObject", "s3:PutObject")

    def grant_notices(self, function: lambda_.Function) -> None:
        """Let `function` say in a notice, once, why an object could not be read."""
        _allow_objects(function, self.work, "notices", "s3:GetObject", "s3:PutObject")

    def grant_corrections(self, function: lambda_.Function) -> None:
        """Let `function` read what people have said of rows: it lists the folder, and reads what is there alone."""
        folder = {"StringLike": {"s3:prefix": f"{FOLDER}/*"}}
        allow(function, ["s3:ListBucket"], [self.results.bucket_arn], conditions=folder)
        _allow_objects(function, self.results, FOLDER, "s3:GetObject")
        self.grant_key(function)

    def grant_results(self, function: lambda_.Function) -> None:
        """Let `function` publish results, reports and the rows of the table of runs, none of which a step reads."""
        for folder in ("results", "reports", "runs"):
            _allow_objects(function, self.results, folder, "s3:PutObject")
        self.grant_key(function)

    def grant_key(self, grantee: iam.Role | lambda_.Function, *, to_read: bool = False) -> None:
        """Let `grantee` use the customer key, if there is one, through S3 alone; `to_read`: not to write."""
        if self.key:
            actions = ["kms:Decrypt"] if to_read else ["kms:Decrypt", "kms:GenerateDataKey"]
            allow(grantee, actions, [self.key.key_arn], conditions=BY_S3)

    def _key(self, encryption: str) -> kms.IKey | None:
        """Make or find the customer key, if there is to be one; S3 keeps its own otherwise."""
        if encryption == Encryption.S3:
            return None
        if encryption != Encryption.KMS:
            return kms.Key.from_key_arn(self, "Key", encryption)
        # Results outlive the stack, and so must the key that they need.
        removal = RemovalPolicy.DESTROY if self._removed else KEPT
        return kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal)

    def _bucket(self, id_: str, **options: Any) -> s3.Bucket:
        encryption = s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED
        return s3.Bucket(
            self,
            id_,
            **_guarded(encryption),
            encryption_key=self.key,
            bucket_key_enabled=True if self.key else None,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix=f"{id_.lower()}/",
            removal_policy=RemovalPolicy.DESTROY if self._removed else KEPT,
            auto_delete_objects=self._removed,
            **options,
        )


# No step encrypts or decrypts by itself. Buckets that send their events here are in this Region.
BY_S3 = {"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}}
NAMED_LATER = "runs and files get their names when they come"


def _guarded(encryption: s3.BucketEncryption) -> dict[str, Any]:
    """What every bucket has: encryption, TLS alone, nothing public, no access lists."""
    return {
        "encryption": encryption,
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    }


def _expire(folder: str, days: int) -> s3.LifecycleRule:
    """Delete what lies in a folder, or with an empty name everywhere, when it is old."""
    prefix, name = f"{folder}/" if folder else None, folder.replace("/", "-") or "objects"
    return s3.LifecycleRule(id=f"old-{name}", prefix=prefix, expiration=Duration.days(days))


def _of_runs(days: int) -> s3.LifecycleRule:
    """Delete what lies in the folders of runs when it is old; what lasts costs half from the day on that it can.

    Reading it is billed by the GB then, which a run that is resumed or judged again a month later does once. S3 leaves
    objects of less than 128 KB where they are.
    """
    cold = s3.Transition(storage_class=s3.StorageClass.INFREQUENT_ACCESS, transition_after=Duration.days(COLD_DAYS))
    return s3.LifecycleRule(
        id="old-runs",
        prefix="runs/",
        expiration=Duration.days(days),
        # At least so long is billed: what would be deleted before is cheaper where it is.
        transitions=[cold] if days >= COLD_DAYS + COLD_LASTS else [],
    )


def _send_events(bucket: s3.Bucket) -> None:
    """Send the bucket's events to EventBridge by its own property.

    CDK's `event_bridge_enabled` does the same through a helper function with rights on every bucket.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )


def _allow_list(function: lambda_.Function, bucket: s3.Bucket) -> None:
    """Let a missing object be missing: without ListBucket S3 answers 403 in place of 404.

    No condition on the prefix: a read of a missing object carries none, and the answer would be 403 again.
    """
    allow(function, ["s3:ListBucket"], [bucket.bucket_arn])


def _allow_objects(function: lambda_.Function, bucket: s3.Bucket, folder: str, *actions: str) -> None:
    objects = bucket.arn_for_objects(f"{folder}/*" if folder else "*")
    allow(function, actions, [objects], wildcard=NAMED_LATER)
