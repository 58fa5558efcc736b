"""The functions in a network that is there already, without the internet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from infra.network import SERVICES, WITHOUT_ENDPOINT
from infra.options import ROOT
from infra.permissions import plain
from sluice.local.policies import Role
from sluice.local.template import Template
from tests.infra.conftest import VPC

if TYPE_CHECKING:
    from tests.infra.conftest import Deployed


def _endpoints(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """The endpoints by the last part of their service's name."""
    found = deployed.of_type("AWS::EC2::VPCEndpoint").values()
    return {plain(endpoint["ServiceName"]).rsplit(".", 1)[1]: endpoint for endpoint in found}


def test_without_a_network_there_is_nothing_of_one(deployed: Deployed) -> None:
    """Most have none, and pay for none."""
    assert not [r for r in deployed.template["Resources"].values() if r["Type"].startswith("AWS::EC2::")]
    assert not [function for function in deployed.functions.values() if "VpcConfig" in function]


def test_every_function_joins_the_network(enclosed: Deployed) -> None:
    """The given subnets and security groups, and no look-up of anything."""
    for function in enclosed.functions.values():
        assert function["VpcConfig"] == {"SubnetIds": VPC["subnets"], "SecurityGroupIds": VPC["security_groups"]}


def test_there_is_a_way_to_each_service_that_a_handler_calls(enclosed: Deployed) -> None:
    """A client without an endpoint would hang for ten seconds a try in a network without the internet."""
    code = (ROOT / "lambdas" / "runtime.py").read_text(encoding="utf-8")
    clients = set(re.findall(r'client\("([a-z0-9-]+)"', code))
    assert clients == {*SERVICES, *WITHOUT_ENDPOINT, "s3"}
    assert set(_endpoints(enclosed)) == {*SERVICES.values(), "s3"}


def test_what_has_no_endpoint_gets_none(enclosed: Deployed) -> None:
    """CloudFormation refuses an endpoint of a service that AWS offers none for, and rolls the whole stack back."""
    assert not {*SERVICES} & {*WITHOUT_ENDPOINT}
    assert not [service for service in _endpoints(enclosed) if "quota" in service]


def test_s3_is_reached_by_routes(enclosed: Deployed) -> None:
    """The gateway costs nothing by the gigabyte."""
    gateway = _endpoints(enclosed)["s3"]
    assert (gateway["VpcEndpointType"], gateway["RouteTableIds"]) == ("Gateway", VPC["route_tables"])


def test_endpoints_answer_the_functions_alone(enclosed: Deployed) -> None:
    """TLS from the functions' security groups, under the services' own names, with identities of this account."""
    id_, guard = enclosed.the("AWS::EC2::SecurityGroup")
    rules = [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in guard["SecurityGroupIngress"]]
    assert rules == [("tcp", 443, 443)] * 2
    assert [rule["SourceSecurityGroupId"] for rule in guard["SecurityGroupIngress"]] == VPC["security_groups"]
    for service, endpoint in _endpoints(enclosed).items():
        if service != "s3":
            assert endpoint["PrivateDnsEnabled"] is True
            assert endpoint["SecurityGroupIds"] == [{"Fn::GetAtt": [id_, "GroupId"]}]
            [statement] = endpoint["PolicyDocument"]["Statement"]
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("action", ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"])
def test_lambda_attaches_the_functions_and_their_code_cannot(enclosed: Deployed, action: str) -> None:
    """The permissions are there for Lambda; a call that a function's own code makes carries its ARN, and is denied."""
    interface = "arn:aws:ec2:eu-west-1:123456789012:network-interface/eni-1"
    by_code = {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:Any"}
    for function in Template(enclosed.template, "eu-west-1").functions().values():
        role = Role(function.statements)
        assert role.allows(action, interface)
        assert not role.allows(action, interface, by_code)
