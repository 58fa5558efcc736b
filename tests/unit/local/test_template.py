"""The template as the local runner reads it."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import Stop
from sluice.local.template import ACCOUNT, Template


def template(**resources: Any) -> Template:
    return Template({"Resources": resources}, "eu-west-1")


ROLE = {"Type": "AWS::IAM::Role", "Properties": {}}
BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}}


def test_an_unknown_resource_type_is_an_error() -> None:
    """Nobody has decided whether a run may leave it out."""
    with pytest.raises(Stop, match="AWS::DynamoDB::Table"):
        template(Table={"Type": "AWS::DynamoDB::Table"})


def test_a_function_has_exactly_the_environment_of_the_template() -> None:
    """References are resolved, and nothing is added."""
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Handler": "lambdas.plan.handler",
            "Runtime": "python3.13",
            "Timeout": 900,
            "MemorySize": 2048,
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Environment": {
                "Variables": {
                    "BUCKET": {"Ref": "Work"},
                    "KEY": {"Fn::Join": ["/", ["a", {"Ref": "AWS::Region"}]]},
                    "URL": {"Fn::Sub": "${Work.Arn}/${AWS::AccountId}/${!literal}"},
                    "GONE": {"Ref": "AWS::NoValue"},
                }
            },
        },
    }
    (found,) = template(Role=ROLE, Work=BUCKET, Function=function).functions().values()
    assert found.environment == {
        "BUCKET": "work",
        "KEY": "a/eu-west-1",
        "URL": f"arn:aws:s3:::work/{ACCOUNT}/${{literal}}",
    }
    assert (found.step, found.timeout, found.memory) == ("plan", 900, 2048)


def test_a_function_in_javascript_is_left_out() -> None:
    """CDK's own helpers are not part of a run."""
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Handler": "index.handler", "Runtime": "nodejs22.x"}}
    assert template(Function=function).functions() == {}


def test_an_unknown_intrinsic_function_is_an_error() -> None:
    """A guess would run something else than what is deployed."""
    with pytest.raises(Stop, match="Fn::Base64"):
        template().resolver.resolve({"Fn::Base64": "x"})


def test_a_reference_to_nothing_is_an_error() -> None:
    """So is an attribute that is not known."""
    with pytest.raises(Stop, match="Nobody"):
        template().resolver.resolve({"Ref": "Nobody"})
    with pytest.raises(Stop, match="WebsiteURL of Work"):
        template(Work=BUCKET).resolver.resolve({"Fn::GetAtt": "Work.WebsiteURL"})


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::If": ["Yes", "a", "b"]}, "a"),
        ({"Fn::If": ["No", "a", "b"]}, "b"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Size"}, "gb"]}, 3),
        ([{"Ref": "AWS::NoValue"}, "x"], ["x"]),
    ],
)
def test_intrinsic_functions(value: Any, resolved: Any) -> None:
    """What the app uses is resolved as CloudFormation does."""
    document = {
        "Resources": {},
        "Parameters": {"Size": {"Default": "small"}},
        "Mappings": {"Sizes": {"small": {"gb": 3}}},
        "Conditions": {
            "Yes": {"Fn::Equals": [{"Ref": "AWS::Region"}, "eu-west-1"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
        },
    }
    assert Template(document, "eu-west-1").resolver.resolve(value) == resolved


def test_a_role_has_the_statements_of_all_its_policies() -> None:
    """Inline, attached, and managed by the template."""

    def policy(action: str) -> dict[str, Any]:
        return {"Statement": [{"Effect": "Allow", "Action": action, "Resource": {"Fn::GetAtt": ["Work", "Arn"]}}]}

    role = {"Type": "AWS::IAM::Role", "Properties": {"Policies": [{"PolicyDocument": policy("s3:a")}]}}
    attached = {"PolicyDocument": policy("s3:b"), "Roles": [{"Ref": "Role"}]}
    managed = {"PolicyDocument": policy("s3:c"), "Roles": [{"Ref": "Role"}]}
    found = template(
        Work=BUCKET,
        Role=role,
        Other=ROLE,
        Attached={"Type": "AWS::IAM::Policy", "Properties": attached},
        Managed={"Type": "AWS::IAM::ManagedPolicy", "Properties": managed},
    )
    statements = found.statements(found.attributes["Role", "Arn"])
    assert [statement.actions for statement in statements] == [("s3:a",), ("s3:b",), ("s3:c",)]
    assert {statement.resources for statement in statements} == {("arn:aws:s3:::work",)}
    assert found.statements(found.attributes["Other", "Arn"]) == ()
