"""Batch jobs of the stand-in, through its API, over an S3 in memory."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from sluice.local.faults import CallFault, Faults, JobFault, Plan, RecordFault
from sluice.local.sources.several import Sources
from sluice.local.sources.source import NoAnswer, Reply
from sluice.local.standin.access import Access
from sluice.local.standin.api import Api, Server
from sluice.local.standin.jobs import JobTable
from sluice.local.standin.work import Factory
from sluice.runs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.local.requests import Request

WORK = "s3://work"

MODEL = "us.amazon.nova-micro-v1:0"
REGION = "us-east-1"
ENDED = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while block := self.read(size):
            yield block


@dataclass
class MemoryS3:
    """As much of an S3 client as the stand-in uses."""

    objects: dict[str, bytes] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)

    def get_paginator(self, _: str) -> MemoryS3:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803
        found = [(key, data) for key, data in sorted(self.objects.items()) if key.startswith(f"{Bucket}/{Prefix}")]
        return [{"Contents": [{"Key": key.split("/", 1)[1], "Size": len(data)} for key, data in found]}]

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": Body(self.objects[f"{Bucket}/{Key}"])}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = Body

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        self.parts.clear()
        return {"UploadId": "1"}

    def upload_part(self, *, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803
        self.parts.append(bytes(Body))
        return {"ETag": "x"}

    def complete_multipart_upload(self, *, Bucket: str, Key: str, **_: Any) -> None:  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = b"".join(self.parts)


class Echo:
    """Answers with the record's text."""

    name = "echo"
    concurrency = 1

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()
        self.asked = threading.Event()

    def answer(self, request: Request, run: str | None) -> Reply:  # noqa: ARG002  the interface
        self.asked.set()
        self.hold.wait(10)
        if "unanswerable" in request.text:
            raise NoAnswer("nobody knows", code=424)
        return Reply(request.text)


@dataclass
class Bench:
    """A stand-in, and how a test talks to it."""

    s3: MemoryS3
    api: Api
    source: Echo

    def call(self, method: str, target: str, document: Any = None) -> tuple[int, str | None, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        status, code, answer = self.api.handle(method, target, body)
        return status, code, json.loads(answer)

    def create(self, **changes: Any) -> tuple[int, str | None, Any]:
        return self.call("POST", "/model-invocation-job", request(**changes))

    def finish(self, arn: str) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            _, _, found = self.call("GET", f"/model-invocation-job/{arn.rsplit('/', 1)[-1]}")
            if found["status"] in ENDED:
                return dict(found)
            time.sleep(0.005)
        raise AssertionError(found)

    def run(self, lines: list[bytes], **changes: Any) -> dict[str, Any]:
        self.s3.objects["work/runs/r/in/part-0.jsonl"] = b"".join(lines)
        return self.finish(self.create(**changes)[2]["jobArn"])

    def output(self, job: dict[str, Any], name: str = "part-0.jsonl.out") -> bytes:
        return self.s3.objects[f"work/runs/r/out/{job['jobArn'].rsplit('/', 1)[-1]}/{name}"]


def bench(plan: Plan | None = None, quota: int = 100, **settings: Any) -> Bench:
    s3, source, faults = MemoryS3(), Echo(), Faults(plan)
    limits = Settings(**{"min_records_per_job": 1, **settings})
    factory = Factory(s3, Sources.only(source), limits, faults, Access(None, REGION), scale=0.0)  # type: ignore[arg-type]
    return Bench(s3, Api(JobTable(REGION, quota, lambda _: 0), factory, faults), source)


def request(**changes: Any) -> dict[str, Any]:
    return {
        "jobName": "job-1",
        "roleArn": "arn:aws:iam::123456789012:role/Bedrock",
        "clientRequestToken": "token1",
        "modelId": MODEL,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{WORK}/runs/r/in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{WORK}/runs/r/out/"}},
    } | changes


def line(n: int, text: str | None = None, **body: Any) -> bytes:
    content = {"messages": [{"role": "user", "content": [{"text": text or f"text {n}"}]}]} | body
    return json.dumps({"recordId": f"{n:032x}", "modelInput": content}).encode() + b"\n"


def rows(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(row) for row in data.splitlines()]


def test_a_job_answers_every_record_in_another_order() -> None:
    """The input is echoed, the answer is Converse's, and everything says that it is a stand-in."""
    b = bench()
    job = b.run([line(n) for n in range(500)])
    assert job["status"] == "Completed"
    found = rows(b.output(job))
    assert sorted(row["recordId"] for row in found) == [f"{n:032x}" for n in range(500)]
    assert [row["recordId"] for row in found] != sorted(row["recordId"] for row in found)
    for row in found:
        assert row["modelOutput"]["standin"] is True
        assert row["modelOutput"]["stopReason"] == "end_turn"
        sent = row["modelInput"]["messages"][0]["content"][0]["text"]
        assert row["modelOutput"]["output"]["message"]["content"] == [{"text": sent}]
        usage = row["modelOutput"]["usage"]
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]


def test_the_manifest_and_get_count_alike() -> None:
    """Totals, successes, errors and tokens, as in Bedrock's own manifest."""
    b = bench()
    job = b.run([line(1), line(2, "unanswerable"), line(3, system=[], surprise=1)])
    manifest = json.loads(b.output(job, "manifest.json.out"))
    usage = [row["modelOutput"]["usage"] for row in rows(b.output(job)) if "modelOutput" in row]
    assert manifest == {
        "totalRecordCount": 3,
        "processedRecordCount": 3,
        "successRecordCount": 1,
        "errorRecordCount": 2,
        "inputTokenCount": sum(item["inputTokens"] for item in usage),
        "outputTokenCount": sum(item["outputTokens"] for item in usage),
    }
    assert (job["successRecordCount"], job["errorRecordCount"], job["totalRecordCount"]) == (1, 2, 3)


@pytest.mark.parametrize("name", ["temperature", "topP"])
def test_a_model_refuses_what_newer_ones_refuse(name: str) -> None:
    """On every record, in Bedrock's words."""
    b = bench()
    job = b.run([line(1, inferenceConfig={name: 0})], modelId="us.anthropic.claude-opus-5")
    [row] = rows(b.output(job))
    assert "is deprecated for this model." in row["error"]["errorMessage"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"modelId": MODEL}, "modelId: Extra inputs are not permitted"),
        ({"toolConfig": {}}, "toolConfig is not supported"),
        ({"inferenceConfig": {"maxTokens": 10_001}}, "maxTokens: 10001"),
        ({"inferenceConfig": {"temperature": 2}}, "temperature: 2"),
        ({"messages": []}, "must start with a user message"),
        ({"messages": [{"role": "user", "content": [{"text": "  "}]}]}, "is blank"),
        ({"messages": [{"role": "user", "content": [{"text": "x" * 600_000}]}]}, "too long"),
        ({"messages": "hello"}, "Malformed input request"),
    ],
)
def test_a_wrong_body_is_the_records_error(body: dict[str, Any], message: str) -> None:
    """The job completes all the same: validation does not look into the bodies."""
    b = bench()
    job = b.run([line(1, **body), line(2)])
    assert job["status"] == "Completed"
    (failed,) = [row for row in rows(b.output(job)) if "error" in row]
    assert message in failed["error"]["errorMessage"]
    assert failed["error"]["errorCode"] == 400
    assert "modelOutput" not in failed


@pytest.mark.parametrize(("records", "least", "most"), [(3, 4, 10), (11, 4, 10)])
def test_the_number_of_records_is_checked(records: int, least: int, most: int) -> None:
    """Too few or too many fail the job, with the numbers in its message."""
    job = bench(min_records_per_job=least, max_records_per_job=most).run([line(n) for n in range(records)])
    assert job["status"] == "Failed"
    assert f"{records} records" in job["message"]


def test_files_without_the_suffix_are_no_input() -> None:
    """Nor is a prefix with nothing under it."""
    b = bench()
    b.s3.objects["work/runs/r/in/part-0.json"] = line(1)
    assert "No .jsonl files" in b.finish(b.create()[2]["jobArn"])["message"]


def test_a_file_that_is_too_large_fails_the_job() -> None:
    """With its size."""
    assert "an input file takes 50" in bench(max_file_bytes=50).run([line(1)])["message"]


def test_a_token_makes_one_job() -> None:
    """The same request again gives the same job, another one a conflict."""
    b = bench()
    b.source.hold.clear()
    first = b.create()[2]["jobArn"]
    assert b.create()[2]["jobArn"] == first
    assert b.create(jobName="other")[:2] == (400, "ConflictException")
    assert b.create(clientRequestToken="token2")[2]["jobArn"] != first
    b.source.hold.set()


def test_the_quota_counts_open_jobs_of_a_model() -> None:
    """A refused job can be made once another one has ended."""
    b = bench(quota=1)
    b.s3.objects["work/runs/r/in/part-0.jsonl"] = line(1)
    b.source.hold.clear()
    first = b.create()[2]["jobArn"]
    assert b.create(clientRequestToken="two")[:2] == (400, "ServiceQuotaExceededException")
    assert b.create(clientRequestToken="three", modelId="us.amazon.nova-lite-v1:0")[0] == 200
    b.source.hold.set()
    b.finish(first)
    assert b.create(clientRequestToken="two")[0] == 200


def test_a_stopped_job_keeps_what_it_has() -> None:
    """A job that has ended cannot be stopped."""
    b = bench()
    b.s3.objects["work/runs/r/in/part-0.jsonl"] = b"".join(line(n) for n in range(5000))
    b.source.hold.clear()
    arn = b.create()[2]["jobArn"]
    identifier = arn.replace(":", "%3A").replace("/", "%2F")
    assert b.source.asked.wait(60)  # the first record is under way
    assert b.call("POST", f"/model-invocation-job/{identifier}/stop")[0] == 200
    b.source.hold.set()
    job = b.finish(arn)
    assert job["status"] == "Stopped"
    assert 0 < len(rows(b.output(job))) < 5000
    assert b.call("POST", f"/model-invocation-job/{identifier}/stop")[1] == "ConflictException"


def test_a_job_that_is_not_there() -> None:
    """Is not found."""
    assert bench().call("GET", "/model-invocation-job/abcdefghijkl")[:2] == (404, "ResourceNotFoundException")


def test_list_filters_and_pages() -> None:
    """By part of the name and by status, newest first."""
    b = bench()
    b.source.hold.clear()
    for n in range(5):
        b.create(jobName=f"run-{n % 2}-{n}", clientRequestToken=f"t{n}")
    first = b.call("GET", "/model-invocation-jobs?nameContains=run-0&maxResults=2")[2]
    assert [job["jobName"] for job in first["invocationJobSummaries"]] == ["run-0-4", "run-0-2"]
    rest = b.call("GET", f"/model-invocation-jobs?nameContains=run-0&maxResults=2&nextToken={first['nextToken']}")[2]
    assert [job["jobName"] for job in rest["invocationJobSummaries"]] == ["run-0-0"]
    assert "nextToken" not in rest
    assert b.call("GET", "/model-invocation-jobs?statusEquals=Completed")[2]["invocationJobSummaries"] == []
    b.source.hold.set()


@pytest.mark.parametrize(
    ("fault", "status", "answered"),
    [
        (JobFault(end="Failed", message="no access"), "Failed", 0),
        (JobFault(end="Expired", output=False), "Expired", None),
        (JobFault(end="PartiallyCompleted", done=0.25), "PartiallyCompleted", 25),
        (JobFault(end="Stopped"), "Stopped", 50),
        (JobFault(end="Completed", done=0.0), "Completed", 0),
    ],
)
def test_a_plan_ends_a_job(fault: JobFault, status: str, answered: int | None) -> None:
    """With as many answers as it says."""
    b = bench(Plan(jobs=(fault,)))
    job = b.run([line(n) for n in range(100)])
    assert job["status"] == status
    if answered is None:
        assert not [key for key in b.s3.objects if "/out/" in key]
    else:
        assert len(rows(b.output(job))) == answered


def test_a_plan_can_take_the_manifest_away() -> None:
    """And limit itself to the first job."""
    b = bench(Plan(jobs=(JobFault(end="Completed", manifest=False, times=1),)))
    first = b.run([line(1)])
    second = b.run([line(1)], clientRequestToken="two")
    assert len([key for key in b.s3.objects if key.endswith("manifest.json.out")]) == 1
    assert b.output(first)
    assert b.output(second, "manifest.json.out")


@pytest.mark.parametrize("fate", ["missing", "duplicate", "truncated", "unparsable", "unknown", "error"])
def test_a_plan_disturbs_a_share_of_the_records(fate: Any) -> None:
    """The same ones each time."""
    plan = Plan(records=(RecordFault(fate=fate, share=0.2, code="500"),))
    b = bench(plan)
    lines = [line(n) for n in range(300)]
    output = b.output(b.run(lines))
    assert output == (again := bench(plan)).output(again.run(lines))
    found: Counter[str] = Counter()
    for raw in output.splitlines():
        try:
            row = json.loads(raw)
        except ValueError:
            continue
        found["error" if "error" in row else row["recordId"]] += 1
    whole = {f"{n:032x}" for n in range(300)}
    untouched = [key for key in whole if found[key] == 1]
    assert 200 < len(untouched) < 270
    assert len(output.splitlines()) == {"missing": len(untouched), "duplicate": 600 - len(untouched)}.get(fate, 300)
    assert (found["error"] > 0) == (fate == "error")
    assert bool(set(found) - whole - {"error"}) == (fate == "unknown")


def test_a_plan_refuses_calls() -> None:
    """A number of times, or after the deed, as when an answer is lost."""
    throttled = CallFault(operation="CreateModelInvocationJob", error="ThrottlingException", times=2)
    lost = CallFault(operation="StopModelInvocationJob", error="InternalServerException", after=True)
    b = bench(Plan(calls=(throttled, lost)))
    assert [b.create()[0] for _ in range(3)] == [429, 429, 200]
    (job,) = b.api.jobs.jobs.values()
    b.source.hold.clear()
    job.status = "InProgress"
    assert b.call("POST", f"/model-invocation-job/{job.id}/stop")[0] == 500
    assert job.stop_asked.is_set()
    b.source.hold.set()


def test_converse_over_http() -> None:
    """boto3 understands answers and errors, the ARN of a job in a path included."""
    b = bench(Plan(calls=(CallFault(operation="Converse", error="ThrottlingException", times=1),)))
    server = Server(b.api, "x")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION)
        place: Any = {
            "endpoint_url": f"http://127.0.0.1:{server.server_port}",
            "config": Config(retries={"total_max_attempts": 1}),
        }
        runtime = session.client("bedrock-runtime", **place)
        message: Any = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
        with pytest.raises(runtime.exceptions.ThrottlingException):
            runtime.converse(modelId=MODEL, **message)
        answer = runtime.converse(modelId=MODEL, **message)
        assert answer["output"]["message"]["content"][0]["text"] == "hello"
        message["messages"][0]["content"][0]["text"] = "unanswerable"
        with pytest.raises(runtime.exceptions.ModelErrorException, match="nobody knows"):
            runtime.converse(modelId=MODEL, **message)
        batch = session.client("bedrock", **place)
        b.s3.objects["work/runs/r/in/part-0.jsonl"] = line(1)
        arn = batch.create_model_invocation_job(**request())["jobArn"]
        assert batch.get_model_invocation_job(jobIdentifier=arn)["jobName"] == "job-1"
        with pytest.raises(batch.exceptions.ValidationException, match="jobName"):
            batch.create_model_invocation_job(**request(jobName="a_b"))
    finally:
        server.shutdown()
        server.server_close()
