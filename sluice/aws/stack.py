"""A deployed stack: its outputs, its buckets, its functions, its executions.

Everything is decided by the functions; nothing here writes to the work or the results bucket.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sluice.aws.errors import translating
from sluice.aws.s3 import Store
from sluice.errors import BadRequest, Stop, as_raised

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sluice.errors import SluiceError

OUTPUTS = ("IncomingBucket", "WorkBucket", "ResultsBucket", "StateMachineArn", "StartFunction", "SweepFunction")
# The function start looks at each object once, and may take all its time for it; a call that took longer is not
# made a second time behind the user's back.
CALLING = Config(read_timeout=930, connect_timeout=10, retries={"total_max_attempts": 1})


class Execution(NamedTuple):
    """A Step Functions execution: its status, when it began and ended, and why it failed."""

    status: str
    began: datetime
    ended: datetime | None
    cause: str


def open_session(region: str | None = None, profile: str | None = None) -> boto3.Session:
    """Open a session as the variables and the profile say where nothing else is said.

    Raises:
        BadRequest: there is no such profile.

    """
    with translating():
        return boto3.Session(profile_name=profile, region_name=region)


def buckets(session: boto3.Session) -> Callable[[str], Store]:
    """Open any bucket by its name, with a session's rights; the client is made when the first is asked for."""
    made: list[Any] = []

    def bucket(name: str) -> Store:
        if not made:
            made.append(session.client("s3", config=Config(max_pool_connections=32)))
        return Store(made[0], name)

    return bucket


class Stack:
    """One deployed stack. `session` is boto3's; a test passes one that leads elsewhere."""

    def __init__(self, session: boto3.Session, name: str) -> None:
        self.session = session
        self.name = name

    @cached_property
    def _described(self) -> Any:
        """The stack as CloudFormation describes it; `BadRequest` when there is none here."""
        try:
            return self.session.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            where = self.session.region_name
            raise BadRequest(
                f"there is no stack {self.name} in {where}: deploy it with `sluice deploy`, "
                "or name another with --env, --region or --profile"
            ) from None

    @property
    def status(self) -> str:
        """How the stack stands, in CloudFormation's words."""
        return str(self._described["StackStatus"])

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by their names.

        Raises:
            BadRequest: there is no such stack here, or it is none of Sluice.

        """
        found = self._described
        outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}
        missing = [name for name in OUTPUTS if name not in outputs]
        if missing:
            raise BadRequest(
                f"the stack {self.name} has no output {missing[0]} (its status is {found['StackStatus']}): "
                "it is no finished deployment of Sluice"
            )
        return outputs

    @cached_property
    def incoming(self) -> Store:
        """The bucket in which a dropped object starts a run."""
        return self.bucket(self.outputs["IncomingBucket"])

    @cached_property
    def work(self) -> Store:
        """The bucket that holds everything of a run."""
        return self.bucket(self.outputs["WorkBucket"])

    @cached_property
    def results(self) -> Store:
        """The bucket with the published rows and reports."""
        return self.bucket(self.outputs["ResultsBucket"])

    @cached_property
    def bucket(self) -> Callable[[str], Store]:
        """Any bucket by its name, with this session's rights."""
        return buckets(self.session)

    def start(self, event: dict[str, Any]) -> dict[str, Any]:
        """Call the function start and return what it says.

        Raises:
            SluiceError: what the function raised; `Stop` when that is none of ours.

        """
        answer = self._lambda.invoke(FunctionName=self.outputs["StartFunction"], Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read() or b"{}")
        if answer.get("FunctionError"):
            raise _raised(str(said.get("errorType", "")), str(said.get("errorMessage", "it gave no reason")))
        return dict(said)

    def sweep(self, event: dict[str, Any]) -> None:
        """Have the function sweep called; it pauses for minutes, so its end is not waited for."""
        self._lambda.invoke(
            FunctionName=self.outputs["SweepFunction"], InvocationType="Event", Payload=json.dumps(event).encode()
        )

    @cached_property
    def _lambda(self) -> Any:
        return self.session.client("lambda", config=CALLING)

    @cached_property
    def _states(self) -> Any:
        return self.session.client("stepfunctions")

    def execution(self, name: str) -> Execution | None:
        """An execution of the workflow by its name; None when there is none, or none any more."""
        arn = f"{self.outputs['StateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"
        try:
            found = self._states.describe_execution(executionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise
        cause = readable_cause(found.get("cause") or found.get("error") or "")
        return Execution(found["status"], found["startDate"], found.get("stopDate"), cause)


def _raised(kind: str, message: str) -> SluiceError:
    return as_raised(kind, message) or Stop(f"the function failed: {kind}: {message}".replace(": :", ":"))


def readable_cause(cause: str) -> str:
    """Take the message out of the JSON as which a function's error arrives."""
    try:
        found = json.loads(cause)
        return f"{found['errorType']}: {found['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return cause
