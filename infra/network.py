"""The functions inside a network of yours, and the ways from it to AWS's services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnTag, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.permissions import allow

if TYPE_CHECKING:
    from infra.functions import Functions
    from infra.options import Vpc

# The services that a function calls, by their names in an endpoint; S3 has a gateway. Lambda itself carries logs,
# metrics, traces and lost events, and S3 uses the key: none of them goes through the network of a function.
SERVICES = {
    "bedrock": "bedrock",
    "bedrock-runtime": "bedrock-runtime",
    "stepfunctions": "states",
    "events": "events",
}
# What has no endpoint: the settings' defaults hold in its place.
WITHOUT_ENDPOINT = ("service-quotas",)
INTERFACES = f"arn:{Aws.PARTITION}:ec2:{Aws.REGION}:{Aws.ACCOUNT_ID}:*/*"
# What Lambda does in the function's name to give it an address in the network.
ATTACHING = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
LOOKING = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets")


class Network(Construct):
    """An existing VPC, and with `vpc.endpoints` the ways out of it that the functions need."""

    def __init__(self, scope: Construct, id_: str, *, vpc: Vpc) -> None:
        super().__init__(scope, id_)
        self._vpc = vpc
        if vpc.endpoints:
            self._gateway()
            guard = self._guard()
            for service in SERVICES.values():
                self._interface(service, guard)

    def join(self, functions: Functions) -> None:
        """Put every function into the network's subnets and security groups."""
        for function in functions.all():
            resource = function.node.default_child
            assert isinstance(resource, lambda_.CfnFunction)
            resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
                subnet_ids=list(self._vpc.subnets), security_group_ids=list(self._vpc.security_groups)
            )
            _allow_interfaces(function)

    def _gateway(self) -> None:
        """S3 without the internet: free, and by routes instead of addresses."""
        ec2.CfnVPCEndpoint(
            self,
            "S3",
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{Aws.REGION}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(self._vpc.route_tables),
        )

    def _guard(self) -> ec2.CfnSecurityGroup:
        """Make the security group of the endpoints, which only the functions reach, over TLS alone."""
        return ec2.CfnSecurityGroup(
            self,
            "Guard",
            group_description="Lets the functions of Sluice reach AWS services",
            vpc_id=self._vpc.id,
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(
                    ip_protocol="tcp", from_port=443, to_port=443, source_security_group_id=group
                )
                for group in self._vpc.security_groups
            ],
            tags=[CfnTag(key="Name", value=Stack.of(self).stack_name)],
        )

    def _interface(self, service: str, guard: ec2.CfnSecurityGroup) -> None:
        ec2.CfnVPCEndpoint(
            self,
            service,
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{Aws.REGION}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=list(self._vpc.subnets),
            security_group_ids=[guard.attr_group_id],
            policy_document=_of_this_account(),
        )


def _of_this_account() -> iam.PolicyDocument:
    """Let only this account's identities through, so that nobody carries data out with keys of another account."""
    statement = iam.PolicyStatement(
        actions=["*"],
        resources=["*"],
        principals=[iam.AnyPrincipal()],
        conditions={"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}},
    )
    return iam.PolicyDocument(statements=[statement])


def _allow_interfaces(function: lambda_.Function) -> None:
    """Let Lambda attach the function to the network in its name, and the function's own code do nothing of the kind."""
    allow(function, ATTACHING, [INTERFACES], wildcard="Lambda names the interfaces, and asks for all kinds of them")
    allow(function, LOOKING, ["*"], wildcard="a list has no resource")
    role = function.role
    assert isinstance(role, iam.Role)
    ours = f"arn:{Aws.PARTITION}:lambda:{Aws.REGION}:{Aws.ACCOUNT_ID}:function:*"
    role.add_to_policy(
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=[*ATTACHING, *LOOKING],
            resources=["*"],
            conditions={"ArnLike": {"lambda:SourceFunctionArn": ours}},
        )
    )
