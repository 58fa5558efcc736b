"""Step Functions as the steps use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.errors import Stop

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient


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
            raise Stop(f"StartExecution {name}: {error}") from error

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

    def stop(self, name: str, cause: str) -> None:
        """Stop an execution; one that does not exist or has ended is left alone."""
        try:
            self.client.stop_execution(executionArn=self.execution_arn(name), cause=cause[:1000])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ExecutionDoesNotExist":
                raise Stop(f"StopExecution {name}: {error}") from error
