"""A deployed stack as the command line sees it: its outputs, its buckets, its functions, its executions.

Everything is decided by the functions; nothing here writes to the work or the results bucket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ProfileNotFound

from sluice.aws.s3 import Store
from sluice.cli.display import busy
from sluice.cli.exits import ExitCode, UsageError, complain, complain_of_task
from sluice.errors import BadInput, BadSetting, BadTask, SluiceError, Stop
from sluice.runs.settings import stack_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

OUTPUTS = ("IncomingBucket", "WorkBucket", "ResultsBucket", "StateMachineArn", "StartFunction", "SweepFunction")
# The function start looks at each object once, and may take all its time for it; a call that took longer is not
# made a second time behind the user's back.
CALLING = Config(read_timeout=930, connect_timeout=10, retries={"total_max_attempts": 1})
REFUSALS = {error.__name__ for error in (BadInput, BadSetting, BadTask)}
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN_KEY = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure"})
SIGN_IN = "sign in (aws sso login, aws configure), or name a profile with --profile"


@dataclass(frozen=True, slots=True)
class Place:
    """Which deployment is meant; None stands for what the variables and the profile say."""

    environment: str
    region: str | None = None
    profile: str | None = None


class Execution(NamedTuple):
    """A Step Functions execution: its status, when it began and ended, and why it failed."""

    status: str
    began: datetime
    ended: datetime | None
    cause: str


class FunctionFailed(Stop):
    """A function raised; `kind` is the name of its error."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Cloud:
    """One deployed stack. `session` is boto3's; a test passes one that leads elsewhere."""

    def __init__(self, session: boto3.Session, stack: str) -> None:
        self.session = session
        self.stack = stack

    @classmethod
    def at(cls, place: Place) -> Cloud:
        """Find a deployment's place; nothing is asked of AWS before it is needed."""
        stack = stack_name(place.environment)
        return cls(boto3.Session(profile_name=place.profile, region_name=place.region), stack)

    @cached_property
    def _described(self) -> Any:
        """The stack as CloudFormation describes it; `UsageError` when there is none here."""
        try:
            return self.session.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            where = self.session.region_name
            raise UsageError(
                f"there is no stack {self.stack} in {where}: deploy it with `make deploy`, "
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
            UsageError: there is no such stack here, or it is none of Sluice.

        """
        found = self._described
        outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}
        missing = [name for name in OUTPUTS if name not in outputs]
        if missing:
            raise UsageError(
                f"the stack {self.stack} has no output {missing[0]} (its status is {found['StackStatus']}): "
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
    def _s3(self) -> Any:
        return self.session.client("s3", config=Config(max_pool_connections=32))

    def bucket(self, name: str) -> Store:
        """Any bucket, with this session's rights."""
        return Store(self._s3, name)

    def start(self, event: dict[str, Any]) -> dict[str, Any]:
        """Call the function start and return what it says; `FunctionFailed` when it raises."""
        name = self.outputs["StartFunction"]
        with busy("waiting for the function start"):
            answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read() or b"{}")
        if answer.get("FunctionError"):
            raise FunctionFailed(str(said.get("errorType", "")), _told(said))
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


def _told(said: dict[str, Any]) -> str:
    kind, message = said.get("errorType", ""), said.get("errorMessage", "it gave no reason")
    ours = {error.__name__ for error in SluiceError.__subclasses__() + Stop.__subclasses__()}
    return str(message) if kind in ours else f"the function failed: {kind}: {message}".replace(": :", ":")


def readable_cause(cause: str) -> str:
    """Take the message out of the JSON as which a function's error arrives."""
    try:
        found = json.loads(cause)
        return f"{found['errorType']}: {found['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return cause


def concluded(command: Callable[[], ExitCode]) -> ExitCode:
    """Run a command to its exit code: whatever goes wrong ends in one sentence on standard error."""
    try:
        return command()
    except BadTask as error:
        complain_of_task(error)
        return ExitCode.USAGE
    except (UsageError, SluiceError, BotoCoreError, ClientError, OSError) as error:
        complain(sentence(error))
        return ExitCode.USAGE if _is_usage(error) else ExitCode.FAILED


def _is_usage(error: Exception) -> bool:
    """Whether nothing has been started, and another command line would do."""
    refused = isinstance(error, FunctionFailed) and error.kind in REFUSALS
    return refused or isinstance(error, UsageError | BadSetting | BadInput | ProfileNotFound | NoRegionError)


def sentence(error: Exception) -> str:
    """Say what went wrong, and what to do about it, for somebody who did not write this."""
    match error:
        case ProfileNotFound() | NoRegionError():
            return f"{str(error).rstrip('.')}; give --profile and --region, or set AWS_PROFILE and AWS_REGION"
        case SluiceError(__cause__=ClientError() as cause) if _code(cause) in EXPIRED | UNKNOWN_KEY:
            return _refused(cause)
        case ClientError():
            return _refused(error)
        case BotoCoreError():
            return _unreached(error)
        case OSError():  # a full disk, a folder that may not be written
            return f"{error.filename or 'a file'}: {error.strerror or error}"
        case _:
            return str(error)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused(error: ClientError) -> str:
    code = _code(error)
    if code in EXPIRED:
        return f"your AWS credentials have expired: {SIGN_IN}"
    if code in UNKNOWN_KEY:
        return f"AWS does not know your credentials ({code}): {SIGN_IN}"
    return f"AWS refuses: {error}"


def _unreached(error: BotoCoreError) -> str:
    name = type(error).__name__
    if "Credential" in name or "Token" in name or "SSO" in name:
        return f"no AWS credentials: {str(error).rstrip('.').lower()}; {SIGN_IN}"
    return f"AWS cannot be reached: {error}"
