"""Bedrock as the steps use it: batch jobs by name, and single Converse calls.

Field names and errors are those of botocore's service models `bedrock` and `bedrock-runtime`.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
)

from sluice.errors import Refused, RetryLater, Stop
from sluice.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_bedrock_runtime.client import BedrockRuntimeClient

# Taken on, but no model works on it yet.
WAITING = frozenset({"Submitted", "Validating", "Scheduled"})
TERMINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"})
WAIT = frozenset(
    {
        "ServiceQuotaExceededException",
        "ThrottlingException",
        "TooManyRequestsException",
        "InternalServerException",
        "ServiceUnavailableException",
        "ModelNotReadyException",
        "ModelTimeoutException",
        "ModelErrorException",
    }
)
THROTTLES = frozenset({"ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException"})
# The model may have worked, and its work may be billed: a call that ends so is not repeated in the same round.
WORKED = frozenset({"ModelTimeoutException", "ModelErrorException"})
UNREACHED = (ConnectTimeoutError, EndpointConnectionError)
# CreateModelInvocationJob's own patterns; botocore does not check them.
MAX_NAME = 63  # which the pattern alone does not say
JOB_NAME = re.compile(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}")
S3_URI = re.compile(r"s3://[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9](/[^=:+ /]+)*/?")


class JobRequest(NamedTuple):
    """A batch job before it is created."""

    name: str
    token: str
    model_id: str
    role_arn: str
    input_uri: str
    output_uri: str
    timeout_hours: int
    kms_key: str | None = None


class JobState(NamedTuple):
    """What Bedrock says of a job; times are ISO 8601. It counts records in Get alone, and not from the beginning."""

    arn: str
    name: str
    status: str
    message: str | None
    submitted: str | None
    ended: str | None
    processed: int | None = None
    records: int | None = None


class RecordError(Exception):
    """A Converse call that brought no answer; `wait`: it was not billed, and can be repeated after a while.

    `denied`: the model may not be called, or is not there, so that no other call can succeed either.
    """

    def __init__(self, reason: Reason, message: str, *, wait: bool, denied: bool = False) -> None:
        self.reason = reason
        self.message = message
        self.wait = wait
        self.denied = denied
        super().__init__(message)


class Bedrock(Protocol):
    """Batch jobs and single calls."""

    def find_job(self, name: str) -> JobState | None:
        """The job of exactly this name."""

    def jobs(self, name_contains: str) -> Iterator[JobState]:
        """All jobs whose name contains a text."""

    def create_job(self, request: JobRequest) -> str:
        """Create a job and return its ARN; `RetryLater` on a throttle or a full quota, else `Refused`."""

    def job(self, arn: str) -> JobState:
        """How a job stands."""

    def stop_job(self, arn: str) -> None:
        """Ask Bedrock to stop a job; one that has ended is left alone."""

    def converse(self, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """The `modelOutput` of one request; `RecordError` when there is none."""


def job_name(run: str, round_: int, job: int) -> str:
    """A name that is the job's alone, for all of its life."""
    return f"{run}-r{round_}-{job:05d}"


def job_token(name: str) -> str:
    """The client token of a job: the same name never makes a second job."""
    return hashlib.blake2b(name.encode(), digest_size=20).hexdigest()


class AwsBedrock:
    """Bedrock through boto3. The clients are made when they are first used: most steps need neither."""

    def __init__(self, control: Callable[[], BedrockClient], runtime: Callable[[], BedrockRuntimeClient]) -> None:
        self._make_control = control
        self._make_runtime = runtime

    @cached_property
    def control(self) -> BedrockClient:
        return self._make_control()

    @cached_property
    def runtime(self) -> BedrockRuntimeClient:
        return self._make_runtime()

    def find_job(self, name: str) -> JobState | None:
        """The job of exactly this name; Bedrock itself searches by part of a name."""
        return next((job for job in self.jobs(name) if job.name == name), None)

    def jobs(self, name_contains: str) -> Iterator[JobState]:
        """All jobs whose name contains a text."""
        try:
            for page in self.control.get_paginator("list_model_invocation_jobs").paginate(nameContains=name_contains):
                for job in page.get("invocationJobSummaries", []):
                    yield _state(job)
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, "ListModelInvocationJobs") from error

    def create_job(self, request: JobRequest) -> str:
        """Create a job; its name and URIs are held against Bedrock's patterns first."""
        if len(request.name) > MAX_NAME or not JOB_NAME.fullmatch(request.name):
            raise Stop(f"{request.name!r} is no name for a batch job: letters, digits and inner hyphens, at most 63")
        for uri in (request.input_uri, request.output_uri):
            if not S3_URI.fullmatch(uri):
                raise Stop(f"{uri} cannot be used by a batch job: no = : + space or empty part is allowed in it")
        output: dict[str, Any] = {"s3Uri": request.output_uri}
        if request.kms_key:
            output["s3EncryptionKeyId"] = request.kms_key
        try:
            created = self.control.create_model_invocation_job(
                jobName=request.name,
                clientRequestToken=request.token,
                modelId=request.model_id,
                roleArn=request.role_arn,
                modelInvocationType="Converse",
                inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": request.input_uri}},
                outputDataConfig={"s3OutputDataConfig": output},  # type: ignore[typeddict-item]
                timeoutDurationInHours=request.timeout_hours,
            )
        except (ClientError, BotoCoreError) as error:
            made = _translated(error, f"CreateModelInvocationJob {request.name} on {request.model_id}")
            raise (Refused(str(made)) if isinstance(made, Stop) else made) from error
        return created["jobArn"]

    def job(self, arn: str) -> JobState:
        """How a job stands."""
        try:
            return _state(self.control.get_model_invocation_job(jobIdentifier=arn))
        except (ClientError, BotoCoreError) as error:
            raise _translated(error, f"GetModelInvocationJob {arn}") from error

    def stop_job(self, arn: str) -> None:
        """Ask Bedrock to stop a job; a conflict means that it has ended already."""
        try:
            self.control.stop_model_invocation_job(jobIdentifier=arn)
        except (ClientError, BotoCoreError) as error:
            ended = isinstance(error, ClientError) and _code(error) in {"ConflictException", "ValidationException"}
            if not ended:
                raise _translated(error, f"StopModelInvocationJob {arn}") from error

    def converse(self, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """One Converse call."""
        try:
            got: dict[str, Any] = dict(self.runtime.converse(modelId=model_id, **body))
        except ClientError as error:
            code, text = _code(error), str(error)
            if code in THROTTLES:
                raise RecordError(Reason.THROTTLED, text, wait=True) from error
            if code in WAIT:
                raise RecordError(Reason.MODEL_ERROR, text, wait=code not in WORKED) from error
            if code in {"AccessDeniedException", "ResourceNotFoundException"}:
                raise RecordError(Reason.RECORD_REFUSED, text, wait=False, denied=True) from error
            raise RecordError(Reason.RECORD_REFUSED, text, wait=False) from error
        except ParamValidationError as error:
            raise RecordError(Reason.RECORD_REFUSED, str(error), wait=False) from error
        except BotoCoreError as error:  # no answer came: what was sent may have been answered
            raise RecordError(Reason.MODEL_ERROR, str(error), wait=isinstance(error, UNREACHED)) from error
        got.pop("ResponseMetadata", None)
        return got


def _state(job: Any) -> JobState:
    submitted, ended = job.get("submitTime"), job.get("endTime")
    return JobState(
        job["jobArn"],
        job["jobName"],
        job["status"],
        job.get("message"),
        submitted.isoformat() if submitted else None,
        ended.isoformat() if ended else None,
        job.get("processedRecordCount"),
        job.get("totalRecordCount"),
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translated(error: ClientError | BotoCoreError, what: str) -> RetryLater | Stop:
    waits = not isinstance(error, ClientError) or _code(error) in WAIT
    return (RetryLater if waits else Stop)(f"{what}: {error}")
