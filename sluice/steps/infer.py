"""infer: send a job's records one by one with Converse, and write what a batch job would have written.

Calls are made in chunks. Before a chunk its records are noted, behind it its answers, so that after a crash nothing is
called again that may have been answered and billed: such records count as missing, and a later round asks again.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.bedrock import RecordError
from sluice.containers import split_lines
from sluice.outputs import Manifest
from sluice.prompts import RECORD
from sluice.rows import KEY
from sluice.state import Ended, JobItem
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.state import JobKeys
    from sluice.steps.services import Services

CHUNKS_OF_CALLS = 4  # calls per worker and chunk: what a crash can lose
RESERVE_SECONDS = 60.0  # before the step's time is up: a chunk's slowest call and the last writes
TRIES = 4  # of one record within a chunk, before it counts as an error
FIRST_BACKOFF = 1.0


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815 - Bedrock's names
    modelInput: dict[str, Any]  # noqa: N815


def run(services: Services, item: JobItem) -> JobItem:
    """Send what has not been sent; come back for the rest when the time is up."""
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.ended):
        return msgspec.structs.replace(item, next="check", wait_seconds=0)
    inference = _Inference(services, opened, item, keys)
    while chunk := inference.next_chunk():
        if services.remaining_seconds() < RESERVE_SECONDS:
            return msgspec.structs.replace(item, next="infer", wait_seconds=0)
        if opened.cancelled:
            break
        inference.send(chunk)
    inference.finish("Stopped" if opened.cancelled else "Completed")
    return msgspec.structs.replace(item, next="check", wait_seconds=0)


class _Inference:
    """One job's calls: what has been noted, what is next."""

    def __init__(self, services: Services, run: Run, item: JobItem, keys: JobKeys) -> None:
        self.services, self.keys = services, keys
        self.store = services.work
        self.model_id = run.tier(run.planned_job(item).tier).model_id
        self.workers = run.settings.on_demand_concurrency
        self.begun = {key for key, _ in self.store.keys(keys.infer_prefix)}
        self.chunks = sum(key.endswith(".begun") for key in self.begun)
        self.noted = set(self._noted())
        self.lines = self._unsent(split_lines(self.store.blocks(keys.input), run.settings.max_file_bytes))

    def _noted(self) -> Iterator[bytes]:
        for key in self.begun:
            if key.endswith(".begun"):
                yield from self.store.get(key).split(b"\n")

    def _unsent(self, blocks: Iterator[list[bytes]]) -> Iterator[bytes]:
        for lines in blocks:
            for line in lines:
                if line and line[len(RECORD) : len(RECORD) + KEY] not in self.noted:
                    yield line

    def next_chunk(self) -> list[bytes]:
        return list(islice(self.lines, self.workers * CHUNKS_OF_CALLS))

    def send(self, chunk: list[bytes]) -> None:
        """Note the chunk, call, keep the answers."""
        name = f"{self.keys.infer_prefix}{self.chunks:06d}"
        self.store.put(f"{name}.begun", b"\n".join(line[len(RECORD) : len(RECORD) + KEY] for line in chunk))
        with ThreadPoolExecutor(self.workers) as pool:
            answers = list(pool.map(self._answer, chunk))
        self.store.put(f"{name}.jsonl", b"".join(answers))
        self.chunks += 1

    def _answer(self, line: bytes) -> bytes:
        """A line as a batch job would have written it."""
        record = msgspec.json.decode(line, type=_Line)
        for attempt in range(TRIES):
            try:
                output = self.services.bedrock.converse(self.model_id, record.modelInput)
            except RecordError as error:
                if error.wait and attempt + 1 < TRIES:
                    backoff = FIRST_BACKOFF * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
                    self.services.sleep(backoff)
                    continue
                code = {"throttled": 429, "model_error": 500}.get(error.reason, 400)
                failure = {"errorCode": code, "errorMessage": error.message}
                return msgspec.json.encode({"recordId": record.recordId, "error": failure}) + b"\n"
            return msgspec.json.encode({"recordId": record.recordId, "modelOutput": output}) + b"\n"
        raise AssertionError("the last try returns")

    def finish(self, status: str) -> None:
        """Write the chunks as one output file with a manifest, as a batch job has them."""
        folder = f"{self.keys.output_prefix}on-demand/"
        total = succeeded = failed = 0
        with self.store.writer(f"{folder}part-0.jsonl.out") as out:
            for key, _ in self.store.keys(self.keys.infer_prefix):
                if key.endswith(".jsonl"):
                    data = self.store.get(key)
                    failed += data.count(b'","error":{"errorCode":')
                    total += data.count(b"\n")
                    out.write(data)
        succeeded = total - failed
        manifest = Manifest(
            totalRecordCount=total, processedRecordCount=total, successRecordCount=succeeded, errorRecordCount=failed
        )
        self.store.put(f"{folder}manifest.json.out", msgspec.json.encode(manifest))
        self.store.put(self.keys.ended, Ended(status=status, message=None, submitted=None, ended=None).write())
