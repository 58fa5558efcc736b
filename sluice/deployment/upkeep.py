"""What a deployment has of earlier ones: where its tables lie, and versions of functions that no execution uses.

A deployment publishes a version of each function whose code or environment has changed, and keeps those before, since
runs under way go on with what they began with. All of them count against the 75 GB of code of an account.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef
    from mypy_boto3_stepfunctions.literals import ExecutionStatusType

    from sluice.aws.stack import Stack

VERSION = re.compile(r"arn:[^\":]+:lambda:[^\":]+:\d{12}:function:([^\":]+):(\d+)")
# Executions that may still call a version; what failed and is resumed goes on with the newest.
UNDER_WAY: tuple[ExecutionStatusType, ...] = ("RUNNING", "PENDING_REDRIVE")
# The list of executions, and which definition a new one takes, follow a change after a while: a version of which a
# deployment has just made a successor may be in use without anybody seeing it.
FRESH = dt.timedelta(hours=1)
# What is no table of a task.
SHARED_TABLES = frozenset({"runs", "results"})


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of a function; `bytes`: of its code."""

    function: str
    number: str
    bytes: int
    published: dt.datetime


def place_of_tables(stack: Stack) -> str | None:
    """Where the tables of the tasks lie, as the option `tables_in` has it; None without a table, or without a stack."""
    pages = stack.session.client("cloudformation").get_paginator("list_stack_resources")
    try:
        found = [item for page in pages.paginate(StackName=stack.name) for item in page["StackResourceSummaries"]]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    there = [item for item in found if item["ResourceStatus"] != "DELETE_COMPLETE"]
    if any(item["ResourceType"] == "AWS::CloudFormation::Stack" for item in there):
        return "nested"
    tables = {item.get("PhysicalResourceId") for item in there if item["ResourceType"] == "AWS::Glue::Table"}
    return "stack" if tables - SHARED_TABLES else None


class Versions:
    """The published versions of a deployment's functions, and which of them can go."""

    def __init__(self, stack: Stack, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        self._stack = stack
        self._lambda = stack.session.client("lambda")
        self._states = stack.session.client("stepfunctions")
        self._machine = stack.outputs["StateMachineArn"]
        self._now = now

    @cached_property
    def used(self) -> set[tuple[str, str]]:
        """Function and number of each version that the workflow calls, or an execution under way."""
        return {version for definition in self._definitions() for version in VERSION.findall(definition)}

    def unused(self) -> list[Version]:
        """What nobody calls any more, by function, the oldest first."""
        functions = sorted({function for function, _ in self.used})
        return [version for function in functions for version in self._unused_of(function)]

    def delete(self, version: Version) -> None:
        """Delete one; what is called after all fails with a `ResourceNotFoundException`, and nothing else is lost."""
        self._lambda.delete_function(FunctionName=version.function, Qualifier=version.number)

    def _definitions(self) -> Iterator[str]:
        # The executions first: one that begins in between has the definition that is asked for last.
        for status in UNDER_WAY:
            pages = self._states.get_paginator("list_executions")
            for page in pages.paginate(stateMachineArn=self._machine, statusFilter=status):
                for execution in page["executions"]:
                    arn = execution["executionArn"]
                    yield self._states.describe_state_machine_for_execution(executionArn=arn)["definition"]
        yield self._states.describe_state_machine(stateMachineArn=self._machine)["definition"]

    def _unused_of(self, function: str) -> list[Version]:
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        there = [_version(function, item) for page in pages for item in page["Versions"] if item["Version"].isdigit()]
        there.sort(key=lambda version: int(version.number))
        followed = itertools.pairwise(there)
        old = [version for version, successor in followed if self._now() - successor.published >= FRESH]
        return [version for version in old if (function, version.number) not in self.used]


def _version(function: str, item: FunctionConfigurationTypeDef) -> Version:
    published = dt.datetime.fromisoformat(item["LastModified"])
    return Version(function, item["Version"], item["CodeSize"], published)
