"""Working on jobs: validation, the sequence of statuses, the output and its manifest in S3."""

from __future__ import annotations

import math
import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from sluice.local.standin.jobs import pause
from sluice.local.standin.records import Turn, Worker
from sluice.local.standin.shuffle import Shuffle, temporary
from sluice.runs.keys import REQUESTS

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Iterable

    from mypy_boto3_s3.client import S3Client

    from sluice.local.faults import Faults, JobFault
    from sluice.local.sources.several import Sources
    from sluice.local.standin.access import Access
    from sluice.local.standin.jobs import Job
    from sluice.runs.settings import Settings

JOB_BYTES = 5_000_000_000
PART_BYTES = 8 * 1024 * 1024
AT_ONCE = max(2, os.cpu_count() or 1)
# How long a job stays in a status before it is worked on, in seconds of AWS; the runner's scale shortens them.
SUBMITTED, VALIDATING, SCHEDULED, IN_PROGRESS = 10.0, 30.0, 60.0, 30.0
MESSAGES = {
    "Failed": "The fault plan let this job fail.",
    "Expired": "The job was not started before its time-out.",
    "PartiallyCompleted": "Not all records were processed in time.",
}


class Invalid(Exception):
    """A job ends as Failed at its validation."""


@dataclass(frozen=True)
class Input:
    """One file of a job's input, copied to this machine."""

    name: str
    file: IO[bytes]
    size: int
    records: int


class Factory:
    """Works on jobs, a few at a time, in the order in which they were created."""

    def __init__(
        self, s3: S3Client, sources: Sources, settings: Settings, faults: Faults, access: Access, scale: float
    ) -> None:
        self.s3 = s3
        self.sources = sources
        self.settings = settings
        self.faults = faults
        self.access = access
        self.scale = scale
        self.waiting = ThreadPoolExecutor(256, "job")
        self.working = ThreadPoolExecutor(AT_ONCE, "work")
        self.turns: dict[str, LockType] = {}  # by model

    def start(self, job: Job) -> None:
        """Take a job on."""
        job.fault = self.faults.of_job(job.name, job.tier)
        self.waiting.submit(self._live, job)

    def _live(self, job: Job) -> None:
        try:
            self._pass_time(job)
        except Exception as error:  # noqa: BLE001  a job of Bedrock's ends as Failed, whatever goes wrong
            traceback.print_exc()
            job.move("Failed", f"Internal error: {type(error).__name__}: {error}")

    def _pass_time(self, job: Job) -> None:
        pause(job, SUBMITTED * self.scale)
        if job.stop_asked.is_set():
            job.move("Stopped")
            return
        job.move("Validating")
        pause(job, VALIDATING * self.scale)
        if self.working.submit(self._work, job).result():
            self._finish(job)

    def _work(self, job: Job) -> bool:
        """Validate the job and write its output; whether it is in progress then, and not at its end."""
        try:
            inputs = self._validate(job)
        except Invalid as error:
            job.move("Failed", str(error))
            return False
        try:
            return self._answer(job, inputs)
        finally:
            for item in inputs:
                item.file.close()

    def _validate(self, job: Job) -> list[Input]:
        """The input files, fetched and counted.

        Raises:
            Invalid: access, names, sizes or numbers of records are not what Bedrock takes.
        """
        if refused := self.access.refusal(job.request):
            raise Invalid(refused)
        bucket, prefix = split_uri(job.input_uri)
        found = self._files(bucket, prefix)
        if not found:
            raise Invalid(f"No .jsonl files were found under {job.input_uri}.")
        if sum(size for _, size in found) > JOB_BYTES:
            raise Invalid(f"The input files together exceed {JOB_BYTES} bytes.")
        inputs = [self._fetch(bucket, key, size) for key, size in found]
        job.counts.total = sum(item.records for item in inputs)
        least, most = self.settings.min_records_per_job, self.settings.max_records_per_job
        if not least <= job.counts.total <= most:
            for item in inputs:
                item.file.close()
            raise Invalid(
                f"The job has {job.counts.total} records; a batch inference job takes {least} to {most} of them."
            )
        return inputs

    def _files(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        try:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            objects = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]
        except ClientError as error:
            raise Invalid(f"The input cannot be listed: {error}") from None
        if not prefix.endswith((".jsonl", "/")):
            objects = [(key, size) for key, size in objects if key.startswith(f"{prefix}/")]
        return [(key, size) for key, size in objects if key.endswith(".jsonl")]

    def _fetch(self, bucket: str, key: str, size: int) -> Input:
        if size > self.settings.max_file_bytes:
            raise Invalid(f"{key} has {size} bytes; an input file takes {self.settings.max_file_bytes}.")
        file = temporary()
        records, last = 0, b"\n"
        for block in self.s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            file.write(block)
            records += block.count(b"\n")
            last = block[-1:]
        file.seek(0)
        return Input(PurePosixPath(key).name, file, size, records + (last != b"\n"))

    def _answer(self, job: Job, inputs: list[Input]) -> bool:
        job.move("Scheduled")
        pause(job, SCHEDULED * self.scale)
        fault = job.fault
        if fault is not None and fault.end == "Expired":
            job.move("Expired", fault.message or MESSAGES["Expired"])
            return False
        if not job.stop_asked.is_set():
            job.move("InProgress")
        done = 1.0 if fault is None else share_done(fault)
        bucket, prefix = output_place(job)
        run = run_of(job.input_uri)
        if fault is None or fault.output:
            turn = Turn(self.turns.setdefault(job.model, Lock()))
            worker = Worker(job, run, self.sources.of(job.model), self.faults, turn)
            try:
                for item in inputs:
                    self._write(worker, item, bucket, f"{prefix}/{item.name}.out", math.floor(item.records * done))
            finally:
                turn.leave()
        return True

    def _finish(self, job: Job) -> None:
        """Let a job be in progress for its time, then write its manifest and end it; nobody waits for it meanwhile."""
        fault = job.fault
        pause(job, (IN_PROGRESS if fault is None or fault.seconds is None else fault.seconds) * self.scale)
        if fault is None or fault.manifest:
            bucket, prefix = output_place(job)
            self.s3.put_object(
                Bucket=bucket, Key=f"{prefix}/manifest.json.out", Body=msgspec.json.encode(job.counts.manifest())
            )
        self._end(job, fault)

    def _end(self, job: Job, fault: JobFault | None) -> None:
        if job.stop_asked.is_set():
            job.move("Stopped")
        elif fault is None:
            job.move("Completed")
        else:
            job.move(fault.end, fault.message or MESSAGES.get(fault.end))

    def _write(self, worker: Worker, item: Input, bucket: str, key: str, most: int) -> None:
        with Shuffle(worker.job.name + item.name, item.size) as shuffle:
            for lines in worker.output(item.file, most):
                shuffle.add(lines)
            self._upload(shuffle.blocks(), bucket, key)

    def _upload(self, blocks: Iterable[bytes], bucket: str, key: str) -> None:
        """Write an object by parts; S3 wants each but the last to have 5 MiB."""
        upload, pending = "", b""
        parts: list[dict[str, Any]] = []
        for block in blocks:
            pending += block
            if len(pending) >= PART_BYTES:
                upload = upload or self.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
                parts.append(self._part(bucket, key, upload, len(parts) + 1, pending))
                pending = b""
        if not upload:
            self.s3.put_object(Bucket=bucket, Key=key, Body=pending)
            return
        if pending:
            parts.append(self._part(bucket, key, upload, len(parts) + 1, pending))
        whole: Any = {"Parts": parts}
        self.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=whole)

    def _part(self, bucket: str, key: str, upload: str, number: int, data: bytes) -> dict[str, Any]:
        done = self.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)
        return {"PartNumber": number, "ETag": done["ETag"]}


def share_done(fault: JobFault) -> float:
    """The share of its records that a job answers before a fault ends it."""
    if fault.done is not None:
        return fault.done
    return {"Completed": 1.0, "PartiallyCompleted": 0.5, "Stopped": 0.5}.get(fault.end, 0.0)


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def output_place(job: Job) -> tuple[str, str]:
    """Bucket and prefix of what a job writes."""
    bucket, prefix = split_uri(job.output_uri)
    return bucket, f"{prefix.rstrip('/')}/{job.id}".lstrip("/")


def run_of(uri: str) -> str | None:
    """`<bucket>/<run>` of a URI under `requests/<run>/`."""
    bucket, key = split_uri(uri)
    parts = key.split("/")
    return f"{bucket}/{parts[1]}" if parts[0] == REQUESTS and len(parts) > 1 else None
