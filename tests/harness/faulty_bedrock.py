"""Bedrock's two boto3 clients in memory, under faults: jobs end in every way, records break, calls are refused.

`sluice.aws.bedrock.AwsBedrock` stands on top, so that its own reading of answers and errors is tested too. What is
bought is written down: a record of a batch job when the job has processed it, a Converse call when it was
answered, even if the answer never arrives.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from sluice.aws.bedrock import TERMINAL, AwsBedrock
from sluice.task.router import COMPLEX, SIMPLE
from tests.harness.bedrock import model_output, texts_of, user_text
from tests.harness.faults import Dice, Killed
from tests.harness.s3 import client_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.aws.s3 import Store

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/"
NAME = re.compile(r"(?P<run>.*)-r(?P<round>\d+)-(?P<job>\d{5})")
CONVERSE_CODES: dict[int | str, str] = {
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
}
REFUSAL = "AccessDeniedException: the role has no permission for this model"
# How a job can end besides Completed with all its records: status, share of records processed, files left out.
ENDINGS: tuple[tuple[str, str, bool, tuple[str, ...]], ...] = (
    ("partially completed", "PartiallyCompleted", True, ()),
    ("partially completed, no manifest", "PartiallyCompleted", True, ("manifest",)),
    ("failed", "Failed", False, ("manifest", "output")),
    ("failed, with partial output", "Failed", True, ("manifest",)),
    ("expired", "Expired", False, ("manifest", "output")),
    ("expired, with partial output", "Expired", True, ()),
    ("stopped", "Stopped", True, ()),
    ("completed, no output", "Completed", True, ("output",)),
    ("completed, no manifest", "Completed", False, ("manifest",)),
    ("completed, wrong manifest", "Completed", True, ("right manifest",)),
    ("completed, no successes", "Completed", False, ("successes",)),
    ("completed, all refused", "Completed", False, ("permission",)),
)
AS_ROUTER = " as router"  # behind a model that is asked whether a text is simple or complex
CUT = "\0cut"  # behind a reply that stops at its longest length
FATES = (
    "missing",
    "doubled",
    "unknown record",
    "unparsable line",
    "truncated line",
    "throttled",
    "server error",
    "refused",
    "error, then answer",
    "answer, then error",
    "no text",
)


@dataclass
class BatchJob:
    """One batch job."""

    request: dict[str, Any]
    began: int
    lasts: int
    status: str = "InProgress"
    message: str | None = None
    looks: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def arn(self) -> str:
        return ARN + str(self.request["clientRequestToken"])[:12]

    def shown(self) -> dict[str, Any]:
        found = {"jobArn": self.arn, "jobName": self.name, "status": self.status}
        return found | ({"message": self.message} if self.message else {})


@dataclass
class FaultyBedrock:
    """`answer(model id, text)` is the reply; `asking` the round of the Converse calls that are made now.

    Where it is the router's question, `AS_ROUTER` stands behind the model id.
    `tokens(body)` are those that a call is billed for; `refuses(model id, text)` is a code and a message, or None.
    """

    store: Store
    answer: Callable[[str, str], str]
    dice: Dice
    min_records: int = 1
    max_records: int = 10**9
    clock: int = 0
    asking: int = 0
    jobs: dict[str, BatchJob] = field(default_factory=dict)
    bought: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    answered: set[tuple[str, str]] = field(default_factory=set)
    sold: set[tuple[str, str]] = field(default_factory=set)  # the same of this machine alone
    counted: Counter[tuple[object, ...]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    peak: int = 0
    created: int = 0
    on_create: Callable[[int], None] = lambda _number: None
    tokens: Callable[[dict[str, Any]], tuple[int, int] | None] = lambda _body: None
    refuses: Callable[[str, str], tuple[int | str, str] | None] = lambda _model, _text: None
    refused: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> AwsBedrock:
        """The real client code over this."""
        return AwsBedrock(lambda: self, lambda: self)  # type: ignore[arg-type,return-value]

    def tick(self) -> None:
        """Let time pass."""
        self.clock += 1
        for job in list(self.jobs.values()):
            if job.status not in TERMINAL and self.clock >= job.began + job.lasts:
                self._end(job)

    @property
    def in_flight(self) -> list[str]:
        return [job.name for job in self.jobs.values() if job.status not in TERMINAL]

    def _count(self, *names: object) -> int:
        with self.lock:
            self.counted[names] += 1
            return self.counted[names]

    def _refuse(self, operation: str, *names: object) -> None:
        """Throttle a call, or fail it as a server does."""
        number = self._count(operation, *names)
        if self.dice.happens(self.dice.plan.calls, f"{operation} throttled", *names, number):
            codes = ("ThrottlingException", "InternalServerException", "TooManyRequestsException")
            raise client_error(self.dice.pick(codes, operation, *names, number), operation, 429)

    # CreateModelInvocationJob, Get, List, Stop

    def create_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        name, token = request["jobName"], request["clientRequestToken"]
        self._refuse("Create", name)
        if token in self.jobs:
            if self.jobs[token].request != request:
                raise client_error("ValidationException", "CreateModelInvocationJob")
            return {"jobArn": self.jobs[token].arn}
        if self.dice.plan.quota is not None and len(self.in_flight) >= self.dice.plan.quota:
            self.dice.count("quota refused")
            raise client_error("ServiceQuotaExceededException", "CreateModelInvocationJob")
        self._check_size(name, request)
        self.jobs[token] = BatchJob(request, self.clock, self.dice.number(1, 6, "lasts", name))
        self.created += 1
        self.peak = max(self.peak, len(self.in_flight))
        self.on_create(self.created)
        number = self._count("created", name)
        if self.dice.happens(self.dice.plan.calls, "Create's answer lost", name, number):
            raise ReadTimeoutError(endpoint_url="bedrock")
        return {"jobArn": self.jobs[token].arn}

    def _check_size(self, name: str, request: dict[str, Any]) -> None:
        records = len(self._lines(request))
        if not self.min_records <= records <= self.max_records:
            self.violations.append(f"{name} has {records} records")

    def _job(self, arn: str, operation: str) -> BatchJob:
        job = next((job for job in self.jobs.values() if job.arn == arn), None)
        if job is None:
            raise client_error("ResourceNotFoundException", operation, 404)
        return job

    def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:  # noqa: N803
        self._refuse("Get", jobIdentifier)
        job = self._job(jobIdentifier, "GetModelInvocationJob")
        return job.shown() | job.counts

    def stop_model_invocation_job(self, *, jobIdentifier: str) -> None:  # noqa: N803
        self._refuse("Stop", jobIdentifier)
        job = self._job(jobIdentifier, "StopModelInvocationJob")
        if job.status in TERMINAL:
            raise client_error("ConflictException", "StopModelInvocationJob", 409)
        self._write_end(job, ("stopped", "Stopped", True, ()))

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_model_invocation_jobs"
        return self

    def paginate(self, *, nameContains: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        self._refuse("List", nameContains)
        found = [job for job in list(self.jobs.values()) if nameContains in job.name]
        shown = [job.shown() for job in found if not self._lags(job)]
        yield {"invocationJobSummaries": shown[:1]}
        yield {"invocationJobSummaries": shown[1:]}

    def _lags(self, job: BatchJob) -> bool:
        job.looks += 1
        return job.looks == 1 and self.dice.happens(self.dice.plan.calls, "List lags", job.name)

    # how a job ends

    def _lines(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        prefix = request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix(f"s3://{self.store.bucket}/")
        data = b"".join(self.store.get(key) for key, _ in self.store.keys(prefix) if key.endswith(".jsonl"))
        return [json.loads(line) for line in data.split(b"\n") if line]

    def _end(self, job: BatchJob) -> None:
        named = dict(self.dice.plan.endings).get(f"{_place(job.name)[0]}/{_place(job.name)[1]}")
        if named is not None:
            self._write_end(job, next(ending for ending in ENDINGS if ending[0] == named))
        elif self.dice.happens(self.dice.plan.jobs, "job ended", job.name, counted=False):
            ending = self.dice.pick(ENDINGS, "ending", job.name)
            self.dice.count(f"job {ending[0]}")
            self._write_end(job, ending)
        else:
            self._write_end(job, ("completed", "Completed", False, ()))

    def _write_end(self, job: BatchJob, ending: tuple[str, str, bool, tuple[str, ...]]) -> None:
        _, job.status, partial, without = ending
        if job.status == "Failed":
            job.message = "the job could not be completed: an internal error"
        records = self._lines(job.request)
        if partial:
            records = records[: self.dice.number(0, len(records), "done", job.name)]
        elif job.status != "Completed":
            records = []
        made: list[bytes] = []
        for record in records:
            made += self._output(job, record, without)
        made.sort(key=lambda line: self.dice.number(0, 10**9, line))
        out = job.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix(f"s3://{self.store.bucket}/")
        folder = f"{out}{job.arn.rsplit('/', 1)[1]}/"
        if "output" not in without:
            self.store.put(f"{folder}part-0.jsonl.out", b"\n".join(made))
        if "manifest" not in without:
            claimed = len(self._lines(job.request)) if "right manifest" in without else len(records)
            manifest = {"totalRecordCount": claimed, "processedRecordCount": claimed, "successRecordCount": claimed}
            self.store.put(f"{folder}manifest.json.out", json.dumps({**manifest, "errorRecordCount": 0}).encode())

    def _output(self, job: BatchJob, record: dict[str, Any], without: tuple[str, ...]) -> list[bytes]:
        """The lines of one record."""
        assert set(record) == {"recordId", "modelInput"}
        if "successes" in without or "permission" in without:
            message = REFUSAL if "permission" in without else "the model failed"
            return [
                _line(record, error={"errorCode": 403 if "permission" in without else 500, "errorMessage": message})
            ]
        if (refusal := self._refusal(job.request["modelId"], user_text(record["modelInput"]))) is not None:
            return [_line(record, error={"errorCode": refusal[0], "errorMessage": refusal[1]})]
        fate = ""
        if self.dice.happens(self.dice.plan.records, "record", job.name, record["recordId"], counted=False):
            fate = self.dice.pick(FATES, "fate", job.name, record["recordId"])
            self.dice.count(f"record: {fate}")
        codes: dict[str, int | str] = {"throttled": 429, "server error": "InternalServerException", "refused": 400}
        if fate in codes:
            return [_line(record, error={"errorCode": codes[fate], "errorMessage": fate})]
        return self._answered(job, record, fate)

    def _refusal(self, model_id: str, text: str) -> tuple[int | str, str] | None:
        """A code and words that have an id of the request, as Bedrock's have."""
        found = self.refuses(model_id, text)
        if found is None:
            return None
        with self.lock:
            self.refused[model_id] += 1
            return found[0], f"{found[1]} (Request ID: {self.refused.total():08x}-4f6e-4b0a-9d1c-0123456789ab)"

    def _answered(self, job: BatchJob, record: dict[str, Any], fate: str) -> list[bytes]:
        output = self._buy(_place(job.name)[0], job.request["modelId"], record["modelInput"])
        line = _line(record, modelOutput=output)
        error = _line(record, error={"errorCode": 500, "errorMessage": "once more"})
        if fate == "no text":
            output["output"]["message"]["content"] = None
            return [_line(record, modelOutput=output)]
        lines: dict[str, list[bytes]] = {
            "missing": [],
            "doubled": [line, line],
            "unknown record": [_line({**record, "recordId": "0" * 32}, modelOutput=output)],
            "unparsable line": [b"{" + line],
            "truncated line": [line[: len(line) // 2]],
            "error, then answer": [error, line],
            "answer, then error": [line, error],
        }
        return lines.get(fate, [line])

    def _buy(self, round_: int, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        texts = texts_of(body)
        routes = all(f'"{word}"' in str(body.get("system")) for word in (SIMPLE, COMPLEX))
        asked = f"{model_id}{AS_ROUTER}" if routes else model_id
        with self.lock:
            for _, text in texts:
                self.bought[round_, asked, text] += 1
                self.answered.add((asked, text))
                self.sold.add((asked, text))
        whole = user_text(body)
        reply = self.answer(asked, whole) if len(texts) == 1 else self._together(round_, asked, texts)
        output = model_output(reply.removesuffix(CUT), whole, self.tokens(body))
        return output | {"stopReason": "max_tokens"} if reply.endswith(CUT) else output

    def _together(self, round_: int, model_id: str, texts: list[tuple[str | None, str]]) -> str:
        """The reply to a pack: each answer under its id, and what models do to packs."""
        answers = []
        for name, text in texts:
            alone = self.answer(model_id, text)
            line = alone.replace("{", f'{{"id": "{name}", ', 1) if "{" in alone else alone
            answers.append(self._fated(line, round_, model_id, str(name), text))
        at = f"{round_} {model_id} {texts}"
        if self._strikes("pack: swapped", at):
            answers.reverse()  # not within an answer: what is doubled and cut would be another's word alone
        reply = "\n".join(line for lines in answers for line in lines)
        if self._strikes("pack: poisoned", at):  # a row that says to answer for all: once, or under all ids together
            names = self.dice.pick(["", f'"id": "{", ".join(str(name) for name, _ in texts)}", '], "poisoned", at)
            reply = f'{{{names}"label": "red", "confidence": "certain"}}'
        if self._strikes("pack: cut", at):
            return reply[: self.dice.number(0, len(reply), "pack cut at", at)] + CUT
        return reply

    def _fated(self, line: str, round_: int, model_id: str, name: str, text: str) -> list[str]:
        at = f"{round_} {model_id} {name} {text}"
        if self._strikes("pack: dropped", at):
            return []
        if "{" in line and self._strikes("pack: doubled", at):
            return [line, f'{{"id": "{name}", "label": "red", "confidence": "certain"}}']
        if self._strikes("pack: unknown id", at):
            return [line, '{"id": "none", "label": "red", "confidence": "certain"}']
        return [line]

    def _strikes(self, kind: str, at: str) -> bool:
        return self.dice.happens(self.dice.plan.records / 2, kind, at)

    # Converse

    def converse(self, *, modelId: str, **body: Any) -> dict[str, Any]:  # noqa: N803
        text = user_text(body)
        number = self._count("Converse", self.asking, text)
        names = (self.asking, text, number)
        if self.dice.happens(self.dice.plan.kills / 10, "handler killed in a call", *names):
            self._buy(self.asking, modelId, body)
            raise Killed
        if (refusal := self._refusal(modelId, text)) is not None:
            raise client_error(CONVERSE_CODES.get(refusal[0], "ValidationException"), "Converse", 400, refusal[1])
        if self.dice.happens(self.dice.plan.calls, "Converse", *names, counted=False):
            kind = self.dice.pick(
                ("throttled", "throttled", "busy", "worked in vain", "lost", "refused"), "kind", *names
            )
            self.dice.count(f"Converse {kind}")
            self._fail(kind, modelId, body)
        return {**self._buy(self.asking, modelId, body), "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _fail(self, kind: str, model_id: str, body: dict[str, Any]) -> None:
        if kind in {"lost", "worked in vain"}:
            self._buy(self.asking, model_id, body)
        if kind == "lost":
            raise ReadTimeoutError(endpoint_url="bedrock-runtime")
        codes = {
            "throttled": "ThrottlingException",
            "busy": "ServiceUnavailableException",
            "worked in vain": "ModelTimeoutException",
            "refused": "ModelStreamErrorException",
        }
        raise client_error(codes[kind], "Converse")


def _place(name: str) -> tuple[int, int]:
    """Round and job of a batch job."""
    match = NAME.fullmatch(name)
    assert match is not None, name
    return int(match["round"]), int(match["job"])


def _line(record: dict[str, Any], **came: Any) -> bytes:
    """Characters stand as they are, so that U+2028 does."""
    return json.dumps({**came, **record}, ensure_ascii=False).encode()
