"""Log groups: made by the stack, so that what is logged is not kept for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

if TYPE_CHECKING:
    from constructs import Construct


def log_group(scope: Construct, id_: str, *, days: int, name: str | None = None) -> logs.LogGroup:
    """Make a log group that keeps its entries for `days`, one of the periods that CloudWatch Logs knows."""
    group = logs.LogGroup(scope, id_, log_group_name=name, removal_policy=RemovalPolicy.DESTROY)
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)
    resource.retention_in_days = days  # CDK's enumeration has a word for each number
    return group
