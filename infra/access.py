"""Access to Bedrock: the role that its batch jobs assume, and what the steps may ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_cdk import aws_lambda as lambda_

    from infra.storage import Storage

JOBS = f"arn:{Aws.PARTITION}:bedrock:{Aws.REGION}:{Aws.ACCOUNT_ID}:model-invocation-job/*"


class BedrockAccess(Construct):
    """The service role of batch jobs, and grants on jobs and models."""

    def __init__(self, scope: Construct, id_: str, *, storage: Storage, models: Iterable[str]) -> None:
        super().__init__(scope, id_)
        self._models = model_arns(models)
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
        objects = storage.work.arn_for_objects("runs/*")
        _allow(self.role, ["s3:GetObject", "s3:PutObject"], [objects])
        _allow(self.role, ["s3:ListBucket"], [storage.work.bucket_arn])
        _allow(self.role, ["bedrock:InvokeModel"], self._models)
        storage.grant_key(self.role)

    def grant_submit(self, function: lambda_.Function) -> None:
        """Let `function` create batch jobs under the service role, and look for those that it created before."""
        _allow(function, ["bedrock:CreateModelInvocationJob"], [JOBS, *self._models])
        _allow(function, ["bedrock:GetModelInvocationJob"], [JOBS])
        _allow(function, ["bedrock:ListModelInvocationJobs"], ["*"])
        function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
            )
        )

    def grant_poll(self, function: lambda_.Function) -> None:
        """Let `function` see the status of batch jobs."""
        _allow(function, ["bedrock:GetModelInvocationJob"], [JOBS])

    def grant_stop(self, function: lambda_.Function) -> None:
        """Let `function` find and stop batch jobs."""
        _allow(function, ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"], [JOBS])
        _allow(function, ["bedrock:ListModelInvocationJobs"], ["*"])

    def grant_invoke(self, function: lambda_.Function) -> None:
        """Let `function` call the models on demand; Converse asks for the permission of InvokeModel."""
        _allow(function, ["bedrock:InvokeModel"], self._models)


def model_arns(model_ids: Iterable[str]) -> list[str]:
    """Return what must be allowed for calls of models, given by their ids without a profile's prefix or as ARNs.

    A profile needs itself and the foundation model in every Region that it routes to. The Regions of a profile change
    without notice, and global profiles check an ARN without any Region: a wildcard in its place covers both.
    """
    profiles = f"arn:{Aws.PARTITION}:bedrock:{Aws.REGION}:{Aws.ACCOUNT_ID}:inference-profile"
    found = []
    for model in model_ids:
        if model.startswith("arn:"):
            found.append(model)
        else:
            found += [f"arn:{Aws.PARTITION}:bedrock:*::foundation-model/{model}", f"{profiles}/*.{model}"]
    return found


def _allow(grantee: iam.IGrantable, actions: list[str], resources: list[str]) -> None:
    grantee.grant_principal.add_to_principal_policy(iam.PolicyStatement(actions=actions, resources=resources))
