"""infer: send a job's records one by one with Converse, and write what a batch job would have written.

Calls are made in chunks. Before a chunk its records are noted (`.begun`), behind it what came back (`.jsonl`). A record
noted in a chunk without answers may have been answered and billed before a crash: it is never called again in this
job, counts as missing, and a later round asks again. A record without a line among its chunk's answers was throttled:
nothing was billed, so it is called again. When for `patience_seconds` there was no answer, the job ends without them
where a batch job can take them, which an account's quota on demand of 0 does not stop; else when `throttled_hours` are
over.
"""

from __future__ import annotations

import datetime as dt
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.answers.refusals import REFUSED_JOB
from sluice.answers.replies import Manifest
from sluice.answers.requests import RECORD
from sluice.aws.bedrock import RecordError
from sluice.aws.metrics import Measure
from sluice.decoding import decode
from sluice.errors import RetryLater, Stop
from sluice.reasons import Reason
from sluice.rows.containers import split_lines
from sluice.rows.record import KEY
from sluice.runs.document import read
from sluice.runs.job import THROTTLED, Ended, Throttled
from sluice.runs.state import JobItem
from sluice.steps.services import Run
from sluice.steps.waiting import come_back, longer_wait
from sluice.task.tiers import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.keys import JobKeys
    from sluice.steps.services import Services

THROTTLED_WHY = "the model's calls on demand were throttled for too long"
CHUNKS_OF_CALLS = 4  # calls per worker and chunk: what a crash can lose
RESERVE_SECONDS = 60.0  # before the step's time is up: a chunk's slowest call and the last writes
TRIES = 4  # of one record within a chunk
FIRST_BACKOFF = 1.0
READERS = 16  # chunks read at once when a further invocation goes on
BEGUN, CAME = ".begun", ".jsonl"
CODES = {Reason.MODEL_ERROR: 500}
FAILED = b'","error":{"errorCode":'  # in a line of a call that brought no answer


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815 - Bedrock's names
    modelInput: dict[str, Any]  # noqa: N815


def run(services: Services, item: JobItem) -> JobItem:
    """Send what has not been sent; come back for the rest when the time is up, or when a throttle has passed.

    Raises:
        Stop: the model may be called no more. What was answered before is kept, and a resumed run calls for the rest.

    """
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.ended):
        return msgspec.structs.replace(item, next="check", wait_seconds=0)
    inference = _Inference(services, opened, item, keys)
    while chunk := inference.next_chunk():
        if services.remaining_seconds() < RESERVE_SECONDS:
            return come_back(item, "infer", 0)
        if opened.cancelled or not inference.send(chunk):
            break
    if opened.cancelled:
        inference.finish("Stopped")
    elif inference.denied is not None:
        inference.finish(REFUSED_JOB, inference.denied)
    elif inference.throttled and inference.lost_patience(opened):
        inference.finish(THROTTLED, THROTTLED_WHY)
    elif inference.throttled:
        last = 0 if inference.answered else item.wait_seconds
        wait = longer_wait(last, opened.settings.quota_seconds, opened.settings.poll_seconds_max)
        return come_back(item, "infer", wait)
    else:
        inference.finish("Completed")
    return msgspec.structs.replace(item, next="check", wait_seconds=0)


class _Inference:
    """One job's calls: what has been settled, what is next."""

    def __init__(self, services: Services, run: Run, item: JobItem, keys: JobKeys) -> None:
        self.services, self.keys = services, keys
        self.store = services.work
        self.item = item
        planned = run.planned_job(item)
        self.tier, self.cached = run.answerer(planned), planned.way is Way.CACHED
        self.workers = run.settings.on_demand_concurrency
        begun = sorted(key for key, _ in self.store.keys(keys.begun_prefix) if key.endswith(BEGUN))
        there = {key for key, _ in self.store.keys(keys.came_prefix)}
        came = {note: keys.came_prefix + note.removeprefix(keys.begun_prefix).replace(BEGUN, CAME) for note in begun}
        self.chunks = len(begun)
        self.came = [answers for answers in came.values() if answers in there]
        lost = [note for note, answers in came.items() if answers not in there]
        self.settled = set(self._records([*self.came, *lost]))
        self.lines = self._unsent(split_lines(self.store.blocks(keys.input), run.settings.max_file_bytes))
        self.answered = self.throttled = 0
        self.denied: str | None = None

    def _records(self, names: list[str]) -> Iterator[bytes]:
        """The records named in chunks: ids alone, or lines of answers."""
        with ThreadPoolExecutor(READERS) as pool:
            for records in pool.map(self._records_of, names):
                yield from records

    def _records_of(self, name: str) -> list[bytes]:
        lines = self.store.get(name).split(b"\n")
        return [_record(line) if line.startswith(RECORD) else line for line in lines]

    def _unsent(self, blocks: Iterator[list[bytes]]) -> Iterator[bytes]:
        for lines in blocks:
            for line in lines:
                if line and _record(line) not in self.settled:
                    yield line

    def next_chunk(self) -> list[bytes]:
        """The calls that are made together; where instructions are cached, the first goes alone, and writes them."""
        alone = self.cached and not self.chunks
        return list(islice(self.lines, 1 if alone else self.workers * CHUNKS_OF_CALLS))

    def send(self, chunk: list[bytes]) -> bool:
        """Note the chunk, call, keep what came back; False when all of it was throttled or denied.

        Raises:
            Stop: Bedrock refuses such calls altogether, and did not before. They count as not made.
            RetryLater: another worker is at this job, so that a call here might be its call once more.

        """
        note, came = (f"{self.chunks:06d}{kind}" for kind in (BEGUN, CAME))
        note, came = self.keys.begun_prefix + note, self.keys.came_prefix + came
        if not self.store.put_new(note, b"\n".join(map(_record, chunk))):
            raise RetryLater(f"{note} is being sent by another worker, which a stopped execution has left behind")
        with ThreadPoolExecutor(self.workers) as pool:
            answers = list(pool.map(self._answer, chunk))
        lines = [answer for answer in answers if isinstance(answer, bytes)]
        denied = [answer for answer in answers if isinstance(answer, _Denied)]
        revoked = bool(denied) and (any(map(_is_answer, lines)) or self._answered_before())
        if not revoked:
            lines += [answer.line for answer in denied]
        self.store.put(came, b"".join(lines))
        self.came.append(came)
        self.chunks += 1
        if revoked:
            raise Stop(denied[0].message)
        if len(denied) == len(chunk):
            self.denied = denied[0].message
            return False
        self.answered += len(lines)
        self.throttled += len(chunk) - len(lines)
        return bool(lines)

    def lost_patience(self, run: Run) -> bool:
        """Whether the calls have been throttled for too long; how long it is by now is measured."""
        now, found = self.services.now(), self.store.find(self.keys.throttled)
        if found is None or self.answered:
            self.store.put(self.keys.throttled, Throttled(since=now.isoformat()).write())
            return False
        since = dt.datetime.fromisoformat(read(Throttled, found, self.keys.throttled).since)
        quiet = (now - since).total_seconds()
        tier = run.planned_job(self.item).tier
        self.services.measure(Measure.THROTTLED_SECONDS, quiet, task=run.task.name, tier=tier)
        settings = run.settings
        return quiet >= (settings.patience_seconds if self.tier.batch else settings.throttled_hours * 3600)

    def _answered_before(self) -> bool:
        """Whether any call of this job has been answered."""
        return any(_is_answer(line) for name in self.came for line in self.store.get(name).split(b"\n") if line)

    def _answer(self, line: bytes) -> bytes | _Denied | None:
        """A line as a batch job would have written it; None for a throttled call; what refuses all calls."""
        record = decode(line, _Line)
        body = {**record.modelInput, "requestMetadata": {"record": record.recordId}}  # names the call in Bedrock's logs
        for attempt in range(TRIES):
            try:
                output = self.services.bedrock.converse(self.tier.model_id, body)
            except RecordError as error:
                if error.wait and attempt + 1 < TRIES:
                    backoff = FIRST_BACKOFF * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
                    self.services.sleep(backoff)
                    continue
                if error.reason is Reason.THROTTLED:
                    return None
                failure = {"errorCode": CODES.get(error.reason, 400), "errorMessage": error.message}
                failed = msgspec.json.encode({"recordId": record.recordId, "error": failure}) + b"\n"
                return _Denied(failed, f"Converse on {self.tier.model_id}: {error.message}") if error.denied else failed
            return msgspec.json.encode({"recordId": record.recordId, "modelOutput": output}) + b"\n"
        raise AssertionError("the last try returns")

    def finish(self, status: str, message: str | None = None) -> None:
        """Write the chunks as one output file with a manifest, as a batch job has them."""
        folder = f"{self.keys.output_prefix}on-demand/"
        total = failed = 0
        with self.store.writer(f"{folder}part-0.jsonl.out") as out:
            for name in self.came:
                data = self.store.get(name)
                failed += data.count(FAILED)
                total += data.count(b"\n")
                out.write(data)
        manifest = Manifest(
            totalRecordCount=total,
            processedRecordCount=total,
            successRecordCount=total - failed,
            errorRecordCount=failed,
        )
        self.store.put(f"{folder}manifest.json.out", msgspec.json.encode(manifest))
        first = self.store.head(f"{self.keys.begun_prefix}{0:06d}{BEGUN}")
        began, ended = None if first is None else first.modified, self.services.now().isoformat()
        self.store.put(self.keys.ended, Ended(status=status, message=message, submitted=began, ended=ended).write())


class _Denied(NamedTuple):
    """A call that no other call can better, as a line of output, and why."""

    line: bytes
    message: str


def _is_answer(line: bytes) -> bool:
    return FAILED not in line[: len(RECORD) + KEY + len(FAILED)]


def _record(line: bytes) -> bytes:
    """The record's id in a line of input or output."""
    return line[len(RECORD) : len(RECORD) + KEY]
