"""Batch jobs: what Create accepts, how a status moves on, what Get and List tell."""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sluice.local.rules import Refused, check_request
from sluice.local.template import ACCOUNT, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.local.faults import JobFault

JOBS_PER_MODEL = 100  # Bedrock's default for submitted and in-progress jobs of one model
OPEN = {"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"}
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
PAGE = 100
DEFAULT_HOURS = 24


@dataclass
class Counts:
    """A job's records and tokens so far."""

    total: int = 0
    processed: int = 0
    success: int = 0
    error: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def manifest(self) -> dict[str, int]:
        """The job's manifest."""
        return {
            "totalRecordCount": self.total,
            "processedRecordCount": self.processed,
            "successRecordCount": self.success,
            "errorRecordCount": self.error,
            "inputTokenCount": self.input_tokens,
            "outputTokenCount": self.output_tokens,
        }


@dataclass
class Job:
    """One batch job. `fault` is the end that a fault plan wants."""

    id: str
    region: str
    request: dict[str, Any]
    tier: int
    fault: JobFault | None = None
    status: str = "Submitted"
    message: str | None = None
    submitted: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    modified: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    ended: dt.datetime | None = None
    counts: Counts = field(default_factory=Counts)
    stop_asked: threading.Event = field(default_factory=threading.Event)

    @property
    def arn(self) -> str:
        return f"arn:{PARTITION}:bedrock:{self.region}:{ACCOUNT}:model-invocation-job/{self.id}"

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def model(self) -> str:
        return str(self.request["modelId"])

    @property
    def input_uri(self) -> str:
        return str(self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])

    @property
    def output_uri(self) -> str:
        return str(self.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])

    def move(self, status: str, message: str | None = None) -> None:
        """Go on to a status."""
        self.status = status
        self.modified = dt.datetime.now(dt.UTC)
        if message is not None:
            self.message = message
        if status not in OPEN:
            self.ended = self.modified

    def summary(self) -> dict[str, Any]:
        """What List tells; Get tells the counts too."""
        hours = self.request.get("timeoutDurationInHours", DEFAULT_HOURS)
        document = {
            "jobArn": self.arn,
            "jobName": self.name,
            "modelId": self.model,
            "clientRequestToken": self.request.get("clientRequestToken"),
            "roleArn": self.request["roleArn"],
            "status": self.status,
            "message": self.message,
            "submitTime": stamp(self.submitted),
            "lastModifiedTime": stamp(self.modified),
            "endTime": None if self.ended is None else stamp(self.ended),
            "inputDataConfig": self.request["inputDataConfig"],
            "outputDataConfig": self.request["outputDataConfig"],
            "timeoutDurationInHours": hours,
            "jobExpirationTime": stamp(self.submitted + dt.timedelta(hours=hours)),
            "modelInvocationType": self.request.get("modelInvocationType", "InvokeModel"),
        }
        return {name: value for name, value in document.items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """What Get tells; there are no counts before the records have been counted."""
        document = self.summary()
        if self.status not in {"Submitted", "Validating"}:
            document |= {
                "totalRecordCount": self.counts.total,
                "processedRecordCount": self.counts.processed,
                "successRecordCount": self.counts.success,
                "errorRecordCount": self.counts.error,
            }
        return document


class JobTable:
    """All jobs, and the rules for new ones."""

    def __init__(self, region: str, quota: int, tier_of: Callable[[str], int]) -> None:
        self.region = region
        self.quota = quota
        self.tier_of = tier_of
        self.jobs: dict[str, Job] = {}
        self.lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> tuple[Job, bool]:
        """The job for a request, and whether it is new: the same token with the same request gives the same job.

        Raises:
            Refused: ValidationException, ConflictException or ServiceQuotaExceededException.
        """
        check_request("bedrock", "CreateModelInvocationJob", request)
        if request.get("modelInvocationType") != "Converse":
            raise Refused("ValidationException", "The stand-in takes modelInvocationType Converse only.")
        with self.lock:
            known = self._by_token(request.get("clientRequestToken"))
            if known is not None:
                if known.request != request:
                    raise Refused("ConflictException", "The client request token was used with other parameters.")
                return known, False
            running = sum(job.model == request["modelId"] and job.status in OPEN for job in self.jobs.values())
            if running >= self.quota:
                raise Refused(
                    "ServiceQuotaExceededException",
                    f"{running} jobs of {request['modelId']} are submitted or in progress; the quota is {self.quota}.",
                )
            job = Job(self._new_id(request["jobName"]), self.region, request, self.tier_of(request["modelId"]))
            self.jobs[job.id] = job
            return job, True

    def _by_token(self, token: str | None) -> Job | None:
        if token is None:
            return None
        return next((job for job in self.jobs.values() if job.request.get("clientRequestToken") == token), None)

    def _new_id(self, name: str) -> str:
        """Twelve letters and digits that a second run of the same jobs gives again."""
        number = sum(job.name == name for job in self.jobs.values())
        value = int.from_bytes(blake2b(f"{name}\0{number}".encode(), digest_size=8).digest(), "big")
        letters = ""
        for _ in range(12):
            value, rest = divmod(value, len(ALPHABET))
            letters += ALPHABET[rest]
        return letters

    def get(self, identifier: str) -> Job:
        """A job by ARN or id.

        Raises:
            Refused: there is none.
        """
        check_request("bedrock", "GetModelInvocationJob", {"jobIdentifier": identifier})
        job = self.jobs.get(identifier.rsplit("/", 1)[-1])
        if job is None or (identifier.startswith("arn:") and identifier != job.arn):
            raise Refused("ResourceNotFoundException", f"Could not find the model invocation job {identifier}", 404)
        return job

    def stop(self, identifier: str) -> None:
        """Ask a job to stop.

        Raises:
            Refused: it has ended, or there is none.
        """
        job = self.get(identifier)
        with self.lock:
            if job.status not in OPEN:
                raise Refused("ConflictException", f"The job {job.arn} is {job.status} and cannot be stopped.")
            job.stop_asked.set()
            job.move("Stopping")

    def page(self, query: dict[str, Any]) -> dict[str, Any]:
        """One page of List, newest first unless asked otherwise."""
        check_request("bedrock", "ListModelInvocationJobs", query)
        with self.lock:
            found = sorted(self.jobs.values(), key=lambda job: job.submitted)
        if query.get("sortOrder") != "Ascending":
            found.reverse()
        found = [job for job in found if fits(job, query)]
        first, size = int(query.get("nextToken", 0)), query.get("maxResults", PAGE)
        answer: dict[str, Any] = {"invocationJobSummaries": [job.summary() for job in found[first : first + size]]}
        if first + size < len(found):
            answer["nextToken"] = str(first + size)
        return answer

    def open_jobs(self) -> Iterator[Job]:
        """The jobs that have not ended."""
        return (job for job in self.jobs.values() if job.status in OPEN)


def fits(job: Job, query: dict[str, Any]) -> bool:
    """Whether List's filters let a job pass."""
    return (
        query.get("nameContains", "") in job.name
        and query.get("statusEquals", job.status) == job.status
        and moment(query.get("submitTimeAfter"), job.submitted) <= job.submitted
        and moment(query.get("submitTimeBefore"), job.submitted) >= job.submitted
    )


def moment(text: str | None, default: dt.datetime) -> dt.datetime:
    """A time of a query."""
    return default if text is None else dt.datetime.fromisoformat(text)


def stamp(when: dt.datetime) -> str:
    """A time as the API writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pause(job: Job, seconds: float) -> None:
    """Let time pass, or less when the job is asked to stop."""
    deadline = time.monotonic() + seconds
    job.stop_asked.wait(max(0.0, deadline - time.monotonic()))
