"""Policies: which calls a role allows."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import Stop
from sluice.local.policies import Role, Statement


def statement(action: Any, resource: Any = "*", effect: str = "Allow", **condition: Any) -> Statement:
    return Statement.parse({"Effect": effect, "Action": action, "Resource": resource, "Condition": condition})


def role(*statements: Statement) -> Role:
    return Role(statements)


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", "arn:aws:s3:::work/runs/1", True),
        ("s3:getobject", "arn:aws:s3:::work/runs/1", True),
        ("s3:GetObject", "arn:aws:s3:::work", False),
        ("s3:GetObject", "arn:aws:s3:::workshop/runs/1", False),
        ("s3:GetObjectVersion", "arn:aws:s3:::work/runs/1", False),
        ("s3:PutObject", "arn:aws:s3:::work/runs/1", False),
    ],
)
def test_action_and_resource_have_to_match(action: str, resource: str, *, allowed: bool) -> None:
    """Wildcards count, the case of an action does not."""
    assert role(statement(["s3:GetObject"], "arn:aws:s3:::work/*")).allows(action, resource) is allowed


def test_a_denial_wins() -> None:
    """Over any number of statements that allow."""
    careful = role(statement("s3:*"), statement("s3:Delete*", effect="Deny"))
    assert careful.allows("s3:GetObject", "x")
    assert not careful.allows("s3:DeleteObject", "x")


def test_a_condition_that_the_call_does_not_carry_fails() -> None:
    """A missing key fulfils negated operators only."""
    passing = role(statement("iam:PassRole", StringEquals={"iam:PassedToService": "bedrock.amazonaws.com"}))
    assert passing.allows("iam:PassRole", "x", {"iam:PassedToService": "bedrock.amazonaws.com"})
    assert not passing.allows("iam:PassRole", "x", {"iam:PassedToService": "ec2.amazonaws.com"})
    assert not passing.allows("iam:PassRole", "x")
    assert role(statement("a:b", StringNotLike={"k": "v*"})).allows("a:b", "x")


def test_several_values_need_an_operator_on_sets() -> None:
    """A plain operator need not match there, and the set operator alone would let pass a call that names nothing."""
    ours: Any = {"ForAllValues:StringEquals": {"events:source": ["sluice"]}, "Null": {"events:source": "false"}}
    announcing = role(statement("events:PutEvents", **ours))
    assert announcing.allows("events:PutEvents", "bus", {"events:source": "sluice"})
    assert not announcing.allows("events:PutEvents", "bus", {"events:source": "other"})
    assert not announcing.allows("events:PutEvents", "bus")
    plain = role(statement("events:PutEvents", StringEquals={"events:source": "sluice"}))
    assert not plain.allows("events:PutEvents", "bus", {"events:source": "sluice"})
    alone: Any = {"ForAllValues:StringEquals": {"events:source": "sluice"}}
    loose = role(statement("events:PutEvents", **alone))
    assert loose.allows("events:PutEvents", "bus")


def test_what_is_not_understood_is_an_error() -> None:
    """A policy that is read only in part would allow too much."""
    with pytest.raises(Stop, match="NumericLessThan"):
        statement("a:b", NumericLessThan={"k": "1"})
    with pytest.raises(Stop, match="NotAction"):
        Statement.parse({"Effect": "Allow", "NotAction": "a:b", "Resource": "*"})
