"""answer: what the run has taught itself answers the records of a job, as a batch job would have."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.replies import Manifest
from sluice.decoding import decoder
from sluice.errors import Stop
from sluice.runs.job import Ended
from sluice.runs.state import JobItem
from sluice.steps.learn import held_of, taught
from sluice.steps.scores import HIGHEST
from sluice.steps.services import Run
from sluice.task.answer import Confidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.aws.s3 import ObjectWriter
    from sluice.steps.services import Services

AT_ONCE = 2048  # texts that are answered together
CERTAIN, LIKELY = 0.9, 0.5  # from which probability on an answer says so, where the task asks for a word


class _Message(msgspec.Struct):
    content: list[dict[str, str]]


class _Input(msgspec.Struct):
    messages: list[_Message]


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815 - Bedrock's names
    modelInput: _Input  # noqa: N815

    @property
    def text(self) -> str:
        """The record's text, as it was before it was escaped for a request."""
        return html.unescape(self.modelInput.messages[0].content[0]["text"])


def run(services: Services, item: JobItem) -> JobItem:
    """Write the job's output; one that has ended is left alone."""
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.find(keys.ended) is None:
        began = services.now().isoformat()
        answerer = _Answerer(opened)
        count = 0
        with services.work.writer(f"{keys.output_prefix}learned/part-0.jsonl.out") as out:
            for lines in _lines(opened, keys.input):
                answerer.write(lines, out)
                count += len(lines)
        manifest = Manifest(
            totalRecordCount=count, processedRecordCount=count, successRecordCount=count, errorRecordCount=0
        )
        services.work.put(f"{keys.output_prefix}learned/manifest.json.out", msgspec.json.encode(manifest))
        ended = Ended(status="Completed", message=None, submitted=began, ended=services.now().isoformat())
        services.work.put(keys.ended, ended.write())
    return JobItem(run=item.run, round=item.round, job=item.job, next="check")


def _lines(opened: Run, key: str) -> Iterator[list[_Line]]:
    decode, carry, waiting = decoder(_Line).decode, b"", list[_Line]()
    for block in opened.store.blocks(key):
        *whole, carry = (carry + block).split(b"\n")
        waiting += map(decode, whole)
        while len(waiting) >= AT_ONCE:
            yield waiting[:AT_ONCE]
            del waiting[:AT_ONCE]
    if waiting:
        yield waiting


class _Answerer:
    """Answers as the taught model does, of a record that taught it as one that had not been taught by it.

    Where nothing could be taught, no answer has a label, and all records go on.
    """

    def __init__(self, run: Run) -> None:
        by = taught(run)
        if by is None and run.task.quality is not None:
            raise Stop("learn has taught nothing that could answer")
        self.model, self.held = None if by is None else by[0], held_of(run).answers
        self.several, self.confidence = run.task.many, run.task.answer.confidence

    def write(self, lines: Sequence[_Line], out: ObjectWriter) -> None:
        """Write the answers to these lines as a batch job would."""
        for line, (labels, sure) in zip(lines, self._answers(lines), strict=True):
            answer: dict[str, object] = {}
            if labels is not None:
                answer = {"labels": labels} if self.several else {"label": labels[0]}
                answer |= {"confidence": _word(sure)} if self.confidence else {}
            text = json.dumps(answer, ensure_ascii=False)
            output = {
                "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 0, "outputTokens": 0},
            }
            out.write(msgspec.json.encode({"recordId": line.recordId, "modelOutput": output}) + b"\n")

    def _answers(self, lines: Sequence[_Line]) -> Iterator[tuple[Sequence[str] | None, float]]:
        """The labels of each text, None where nobody was taught, and how sure of them the model is."""
        if self.model is None:
            yield from ((None, 0.0) for _ in lines)
            return
        for line, (labels, sure) in zip(lines, self.model.answer([line.text for line in lines]), strict=True):
            held = self.held.get(line.recordId)
            if held is None or held.labels is None:
                yield labels, sure
            else:
                yield held.labels, held.score / HIGHEST


def _word(sure: float) -> str:
    return (Confidence.CERTAIN if sure >= CERTAIN else Confidence.LIKELY if sure >= LIKELY else Confidence.UNSURE).value
