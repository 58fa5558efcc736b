"""The tables of roles: what a reader is told of the rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.local.policies import Statement
from sluice.local.rights import WHY, Names, cells, rights, rows, services
from sluice.local.template import Template

if TYPE_CHECKING:
    from typing import Any

WORK = "arn:aws:s3:::storagework0123abcd"


def template(**more: Any) -> Template:
    resources = {
        "StorageWork0123ABCD": {"Type": "AWS::S3::Bucket"},
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"RoleArn": "role", "DefinitionString": "{}"},
        },
        **more,
    }
    return Template({"Resources": resources}, "us-east-1")


def shown(*statements: Statement) -> list[list[str]]:
    return [cells(row) for row in rows(rights(statements, Names(template())))]


def test_actions_for_one_purpose_stand_together() -> None:
    """With all their resources by name, however the policies are cut into statements."""
    log = "arn:aws:logs:us-east-1:123456789012:log-group:x"
    found = shown(
        Statement(allow=True, actions=("logs:PutLogEvents", "logs:CreateLogStream"), resources=(log,)),
        Statement(allow=True, actions=("s3:PutObject",), resources=(f"{WORK}/a/*",)),
        Statement(allow=True, actions=("s3:PutObject",), resources=(f"{WORK}/b/*",)),
        Statement(allow=False, actions=("s3:GetObject",), resources=("*",)),
    )
    assert [row[:3] for row in found] == [
        [
            "`logs:CreateLogStream`<br>`logs:PutLogEvents`",
            f"`{log.replace('us-east-1:123456789012', '<region>:<account>')}`",
            "·",
        ],
        ["`s3:PutObject`", "bucket work `/a/*`<br>bucket work `/b/*`", "·"],
    ]


def test_a_condition_is_told() -> None:
    """A right that holds for one service alone is no right for all."""
    passed = (("StringEquals", "kms:ViaService", ("s3.us-east-1.amazonaws.com",)),)
    [row] = shown(Statement(allow=True, actions=("kms:Decrypt",), resources=("*",), conditions=passed))
    assert row[2] == "`kms:ViaService` is `s3.<region>.amazonaws.com`"


def test_an_action_without_a_reason_cannot_be_rendered() -> None:
    """Whoever gives a new right says what it is for."""
    assert "s3:DeleteBucket" not in WHY
    with pytest.raises(KeyError, match="s3:DeleteBucket"):
        shown(Statement(allow=True, actions=("s3:DeleteBucket",), resources=(WORK,)))


def test_a_role_without_a_name_cannot_be_rendered() -> None:
    """Nobody adds a role that no reader hears of."""
    with pytest.raises(LookupError, match="Surprise"):
        list(services(template(Surprise={"Type": "AWS::IAM::Role"})))
