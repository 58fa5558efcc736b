"""Statements of roles. Every wildcard in one carries its reason, which cdk-nag and its readers find with the role."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from constructs import IConstruct


def allow(
    grantee: iam.Role | lambda_.Function,
    actions: Sequence[str],
    resources: Sequence[str],
    *,
    wildcard: str = "",
    conditions: Mapping[str, Any] | None = None,
) -> None:
    """Add one statement; `wildcard` says why its resources may hold a `*`.

    Raises:
        ValueError: there is a `*` and no reason for it.
    """
    role = grantee.role if isinstance(grantee, lambda_.Function) else grantee
    assert isinstance(role, iam.Role)
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions))
    open_ended = [resource for resource in resources if "*" in resource]
    if open_ended and not wildcard:
        raise ValueError(f"{', '.join(actions)} on {open_ended[0]}: say why not on less")
    accept_wildcards(role, open_ended, wildcard)


def accept_wildcards(construct: IConstruct, resources: Iterable[str], reason: str) -> None:
    """Say why the policies under `construct` may name these resources, each with a `*`."""
    stack = Stack.of(construct)
    findings = {f"AwsSolutions-IAM5[Resource::{plain(stack.resolve(resource))}]": reason for resource in resources}
    accept(construct, findings)


def accept(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Acknowledge findings of cdk-nag under `construct`, each with its reason."""
    for finding, reason in findings.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def plain(value: Any) -> str:
    """Spell a resolved ARN as cdk-nag does: references in angle brackets, other functions as JSON."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(plain(part) for part in parts)
        case _:
            return json.dumps(value, separators=(",", ":"))
