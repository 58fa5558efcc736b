from __future__ import annotations

import io
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice.local.requests import Request
from sluice.local.sources.packed import OneByOne
from sluice.local.sources.replay import ReplaySource
from sluice.local.sources.source import NoAnswer, Tiers
from sluice.models.catalog import Catalog
from sluice.task.file import parse_task
from tests.harness.bedrock import model_output
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.s3 import MemoryS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sluice.task.task import Task
    from tests.harness.faulty_bedrock import BatchJob

LABELS = ("leak", "noise", "heating", "key", "other")
SAID = ("water under the sink", "a drill at night", "cold radiators", "the door code is lost", "thanks for the cake")
MODELS = ("nova-micro", "claude-haiku-4-5")
ROWS = [
    {"id": f"flat-{n}", "text": f"Flat {n} ({n % 7}): {SAID[n % 5]} & <more>, since {n % 3 + 1} days"}
    for n in range(120)
]


class Body(io.BytesIO):
    """An object's body as boto3 gives it."""

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        return iter(lambda: self.read(size), b"")


class ReadS3(MemoryS3):
    """The same objects, for whoever streams them."""

    def get_object(self, **asked: Any) -> Any:
        found = super().get_object(**asked)
        return {**found, "Body": Body(found["Body"].read())}


def first_reply(n: int) -> Any:
    """What the first model was recorded to say of a row: mostly an answer, now and then one that cannot be used."""
    sure = json.dumps({"label": LABELS[n % 5], "confidence": "likely"})
    odd: dict[int, Any] = {
        3: json.dumps({"label": LABELS[n % 4], "confidence": "unsure"}),
        5: f"```json\n{sure}\n```\nThe tenant says so.",
        7: json.dumps({"label": "plumbing", "confidence": "certain"}),
        11: "I cannot tell.",
        13: {"text": sure[:20], "stop_reason": "max_tokens"},
        17: f"{sure}\n{json.dumps({'label': 'other', 'confidence': 'certain'})}",
        19: "",
    }
    return next((reply for step, reply in odd.items() if n % step == step - 1), sure)


def recording(path: Path) -> Path:
    """A file of recorded answers of both models, of which the second has none for some rows."""
    with path.open("w", encoding="utf-8") as file:
        for n, row in enumerate(ROWS):
            answers = {MODELS[0]: first_reply(n)}
            if n % 23:
                answers[MODELS[1]] = json.dumps({"label": LABELS[(n + n % 2) % 5], "confidence": "certain"})
            file.write(json.dumps({"id": row["id"], "answers": answers}) + "\n")
    return path


def replay(file: Path, pack: int) -> dict[int, tuple[Any, ...]]:
    """The decisions about the rows when the recorded models are asked about so many at once."""
    tiers = [{"model": model, "transport": "batch", "pack": pack} for model in MODELS]
    given = {"name": "house", "input": {"text": "text", "id": "id"}, "labels": list(LABELS), "tiers": tiers}
    task: Task = parse_task({**given, "gates": {"min_confidence": "likely"}}, "task")
    machine = Machine(FaultPlan(), lambda _model, _text: "", {"min_records_per_job": 1})
    s3: Any = ReadS3(objects=machine.faulty_s3.objects)
    source = OneByOne(ReplaySource(str(file), task, Tiers.of(task, "us-east-1", Catalog.load()), s3), s3)
    machine.faulty._answered = partial(answered, source)  # type: ignore[method-assign]
    machine.finish(machine.begin(task, {"a.jsonl": b"\n".join(json.dumps(row).encode() for row in ROWS)}))
    return {row["line"]: (row["status"], row["label"], row["tier"], row["reason"]) for row in machine.rows()}


def answered(source: OneByOne, job: BatchJob, record: dict[str, Any], _fate: str) -> list[bytes]:
    """The line that a job's output has for a request."""
    body, model = record["modelInput"], job.request["modelId"]
    raw = json.dumps(body).encode()
    text, most = body["messages"][0]["content"][0]["text"], body["inferenceConfig"]["maxTokens"]
    request = Request(record["recordId"], model, text, raw, most)
    place = job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix("s3://").split("/")
    try:
        reply = source.answer(request, f"{place[0]}/{place[2]}").cut(request)
    except NoAnswer as error:
        came: dict[str, Any] = {"error": {"errorCode": error.code, "errorMessage": str(error)}}
    else:
        output = model_output(reply.text, request.text)
        came = {"modelOutput": {**output, "stopReason": reply.stop_reason}}
    return [json.dumps({"recordId": record["recordId"], "modelInput": body, **came}).encode() + b"\n"]


def test_recorded_answers_come_to_the_same_decisions_in_packs(tmp_path: Path) -> None:
    """Status, label, tier and reason of each row, whether it is asked alone, among five, or among twenty."""
    file = recording(tmp_path / "recorded.jsonl")
    alone = replay(file, 1)
    assert {found[0] for found in alone.values()} == {"accepted", "unresolved"}
    assert {found[2] for found in alone.values()} == {0, 1}
    for pack in (5, 20):
        assert replay(file, pack) == alone
