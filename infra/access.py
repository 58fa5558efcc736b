"""Access to Bedrock: the role that its batch jobs assume, and what the steps may ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.permissions import allow
from sluice.runs.keys import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aws_cdk import aws_lambda as lambda_

    from infra.storage import Storage

JOBS = f"arn:{Aws.PARTITION}:bedrock:{Aws.REGION}:{Aws.ACCOUNT_ID}:model-invocation-job/*"

# Where the profiles of a geography route to, as patterns: AWS adds Regions to them.
REGIONS: Mapping[str, tuple[str, ...]] = {
    "us": ("us-*",),
    "us-gov": ("us-gov-*",),
    "eu": ("eu-*",),
    "apac": ("ap-*",),
    "jp": ("ap-northeast-*",),
    "au": ("ap-southeast-*",),
    "in": ("ap-south-*",),
    "ca": ("ca-*",),
    "global": ("*",),
}

# Reasons for wildcards.
UNNAMED = "jobs are named by Bedrock when they are created"
ROUTED = "a profile routes to Regions that change, under a prefix that depends on the Region"


class BedrockAccess(Construct):
    """The service role of batch jobs, and grants on jobs and models."""

    def __init__(
        self, scope: Construct, id_: str, *, storage: Storage, models: Iterable[str], geographies: Sequence[str]
    ) -> None:
        super().__init__(scope, id_)
        self._models = model_arns(models, geographies)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "bedrock.amazonaws.com",
                # Only jobs of this account and Region: anybody's jobs have the same service behind them.
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnLike": {"aws:SourceArn": JOBS},
                },
            ),
            description="Reads the input and writes the output of Sluice's batch inference jobs",
        )
        # Both on both, as AWS's own example of the role has it: nobody says which calls Bedrock makes where.
        places = [storage.work.arn_for_objects(f"{REQUESTS}/*/{folder}/*") for folder in ("in", "out")]
        allow(self.role, ["s3:GetObject", "s3:PutObject"], places, wildcard="the jobs of every run lie there")
        # No condition on the prefix: nobody says that Bedrock names one whenever it looks at the bucket.
        allow(self.role, ["s3:ListBucket"], [storage.work.bucket_arn])
        self.grant_invoke(self.role)
        storage.grant_key(self.role)

    def grant_submit(self, function: lambda_.Function) -> None:
        """Let `function` create batch jobs under the service role, find those that it created before, and stop one.

        It stops a job when the run was cancelled while Bedrock was creating it.
        """
        allow(function, ["bedrock:CreateModelInvocationJob"], [JOBS, *self._models], wildcard=f"{UNNAMED}; {ROUTED}")
        self.grant_stop(function)
        passed = {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
        allow(function, ["iam:PassRole"], [self.role.role_arn], conditions=passed)

    def grant_quotas(self, function: lambda_.Function) -> None:
        """Let `function` read the account's quotas."""
        allow(function, ["servicequotas:ListServiceQuotas"], ["*"], wildcard="a list has no resource")

    def grant_poll(self, *functions: lambda_.Function) -> None:
        """Let `functions` see the status of batch jobs."""
        for function in functions:
            allow(function, ["bedrock:GetModelInvocationJob"], [JOBS], wildcard=UNNAMED)

    def grant_stop(self, function: lambda_.Function) -> None:
        """Let `function` find and stop batch jobs."""
        allow(function, ["bedrock:StopModelInvocationJob"], [JOBS], wildcard=UNNAMED)
        allow(function, ["bedrock:ListModelInvocationJobs"], ["*"], wildcard="a list has no resource")

    def grant_invoke(self, grantee: iam.Role | lambda_.Function) -> None:
        """Let `grantee` call the models on demand; Converse asks for the permission of InvokeModel."""
        allow(grantee, ["bedrock:InvokeModel"], self._models, wildcard=ROUTED)


def model_arns(model_ids: Iterable[str], geographies: Sequence[str] = ()) -> list[str]:
    """Return what must be allowed for calls of models, given by their ids without a profile's prefix or as ARNs.

    A profile needs itself and the foundation model in every Region that it routes to. The Regions of a profile change
    without notice, and global profiles check an ARN without any Region: a wildcard in its place covers both. With
    `geographies` only their profiles are allowed, in their Regions, and the model itself in the deployment's own.
    """
    profiles = f"arn:{Aws.PARTITION}:bedrock:{Aws.REGION}:{Aws.ACCOUNT_ID}:inference-profile"
    regions = [Aws.REGION, *(region for name in geographies for region in REGIONS[name])] if geographies else ["*"]
    found = []
    for model in model_ids:
        if model.startswith("arn:"):
            found.append(model)
        else:
            found += [f"arn:{Aws.PARTITION}:bedrock:{region}::foundation-model/{model}" for region in regions]
            found += [f"{profiles}/{name}.{model}" for name in geographies or ["*"]]
    return found
