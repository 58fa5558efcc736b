"""Step Functions as the steps use it."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.errors import RetryLater, Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from mypy_boto3_stepfunctions.client import SFNClient
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef, ListExecutionsOutputTypeDef

BUSY = frozenset({"ThrottlingException", "ExecutionLimitExceeded", "ServiceUnavailable", "InternalFailure"})


class Workflow:
    """Executions of one state machine; an execution is named after its run."""

    def __init__(self, client: SFNClient, arn: str) -> None:
        self.client = client
        self.arn = arn

    def start(self, name: str, run: str, max_workers: int) -> str:
        """Start the execution `name` of a run and return its ARN; the same name starts nothing a second time."""
        begin = json.dumps({"run": run, "next": 0, "max_workers": max_workers})
        try:
            started = self.client.start_execution(stateMachineArn=self.arn, name=name, input=begin)
            return started["executionArn"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ExecutionAlreadyExists":
                return self.execution_arn(name)
            raise _translated(error, f"StartExecution {name}") from error

    def execution_arn(self, name: str) -> str:
        return f"{self.arn.replace(':stateMachine:', ':execution:')}:{name}"

    def running(self, name: str) -> bool:
        """Whether an execution of this name is under way."""
        try:
            return self.client.describe_execution(executionArn=self.execution_arn(name))["status"] == "RUNNING"
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ExecutionDoesNotExist":
                return False
            raise Stop(f"DescribeExecution {name}: {error}") from error

    def going_on(self) -> list[str]:
        """The names of the executions that are under way."""
        pages = self.client.get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.arn, statusFilter="RUNNING")
        return [item["name"] for item in self._listed(found)]

    def begun_since(self, moment: datetime) -> list[str]:
        """The names of the executions that began at `moment` or after it, however they stand."""
        pages = self.client.get_paginator("list_executions").paginate(stateMachineArn=self.arn)
        # Those that have ended stand where they ended, and none ends before it begins.
        late = takewhile(lambda item: item.get("stopDate", item["startDate"]) >= moment, self._listed(pages))
        return [item["name"] for item in late if item["startDate"] >= moment]

    def _listed(self, pages: Iterable[ListExecutionsOutputTypeDef]) -> Iterator[ExecutionListItemTypeDef]:
        """The newest first."""
        try:
            for page in pages:
                yield from page["executions"]
        except ClientError as error:
            raise _translated(error, "ListExecutions") from error

    def stop(self, name: str, cause: str) -> None:
        """Stop an execution; one that does not exist or has ended is left alone."""
        try:
            self.client.stop_execution(executionArn=self.execution_arn(name), cause=cause[:1000])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ExecutionDoesNotExist":
                raise Stop(f"StopExecution {name}: {error}") from error


def _translated(error: ClientError, call: str) -> RetryLater | Stop:
    kind = RetryLater if error.response.get("Error", {}).get("Code") in BUSY else Stop
    return kind(f"{call}: {error}")
