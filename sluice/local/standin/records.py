"""One job's records: from the lines of its input to the lines of its output, streamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, takewhile
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, Any

import msgspec

from sluice.local.requests import BYTES_PER_TOKEN, BadRequest, Line, Request, RequestReader
from sluice.local.sources.source import NoAnswer, Reply

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Iterator

    from sluice.local.faults import Faults, RecordFault
    from sluice.local.sources.source import Source
    from sluice.local.standin.jobs import Counts, Job

BATCH = 2000
FEW = 64  # of a source that takes its time: how many answers are written at once
ENDS = (b"end_turn", b"max_tokens")
_decode_line = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.encode


class Turn:
    """A job's turn to ask, of those that ask the same source: the next one's comes when this one's records are out.

    Jobs that shared the calls would end together, and nobody would ask while their output is written and the next ones
    are fetched.
    """

    def __init__(self, lock: LockType) -> None:
        self._lock = lock
        self._held = False

    def take(self) -> None:
        """Wait for it."""
        self._lock.acquire()
        self._held = True

    def leave(self) -> None:
        """Give it to the next, unless that was done."""
        if self._held:
            self._held = False
            self._lock.release()

    def over(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The lines, from when the turn has come until there are no more."""
        self.take()
        try:
            yield from lines
        finally:
            self.leave()


@dataclass(frozen=True)
class Worker:
    """Answers the records of one job."""

    job: Job
    run: str | None
    source: Source
    faults: Faults
    turn: Turn
    counting: LockType = field(default_factory=Lock)

    def output(self, file: IO[bytes], most: int) -> Iterator[list[bytes]]:
        """The output lines of an input file, in batches; at most so many records, fewer when the job is stopped."""
        reader, stopped = RequestReader(self.job.model, in_batch=True), self.job.stop_asked.is_set
        lines, workers = islice(file, most), self.source.concurrency
        if workers > 1:  # what is under way when the job is stopped comes to its end
            running = self.turn.over(takewhile(lambda _: not stopped(), lines))
            answers, size = as_they_come(lambda raw: self.answer(raw, reader), running, workers), FEW
        else:
            answers, size = (self.answer(raw, reader) for raw in lines), BATCH
        while (workers > 1 or not stopped()) and (written := list(islice(answers, size))):
            yield self.disturb(written) if self.faults.touches_records else written

    def answer(self, raw: bytes, reader: RequestReader) -> bytes:
        """The output line of one input line."""
        try:
            line = _decode_line(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._failed(b'{"malformed":true}', "", 400, f"Malformed record: {error}")
        body = bytes(line.modelInput)
        try:
            request = reader.read(line.recordId, body)
            reply = self.source.answer(request, self.run)
        except BadRequest as error:
            return self._failed(body, line.recordId, 400, str(error))
        except NoAnswer as error:
            return self._failed(body, line.recordId, error.code, str(error))
        reply = reply.cut(request)
        with self.counting:
            self.job.counts.processed += 1
            self.job.counts.success += 1
            output = model_output(request, reply, self.job.counts)
        return b"".join(
            (b'{"modelInput":', body, b',"modelOutput":', output, b',"recordId":"', line.recordId.encode(), b'"}\n')
        )

    def _failed(self, body: bytes, record: str, code: int, message: str) -> bytes:
        with self.counting:
            self.job.counts.processed += 1
            self.job.counts.error += 1
        return failed_line(body, record, code, message)

    def disturb(self, lines: list[bytes]) -> list[bytes]:
        """The lines after the fault plan has been at them."""
        disturbed = []
        for line in lines:
            record = msgspec.json.decode(line)["recordId"]
            fault = self.faults.of_record(self.job.name, self.job.tier, record)
            disturbed += [line] if fault is None else apply(fault, line, record)
        return disturbed


class Room:
    """Places that are taken and given back by many threads: a queue waits in C, a semaphore in Python."""

    def __init__(self, places: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        self.give(places)

    def take(self) -> None:
        """Wait for a place."""
        self._free.get()

    def give(self, places: int = 1) -> None:
        """Give some back."""
        for _ in range(places):
            self._free.put(None)


def as_they_come(work: Callable[[bytes], bytes], items: Iterator[bytes], workers: int) -> Iterator[bytes]:
    """Yield what `work` makes of the items, each as soon as it is there: nobody waits for the slowest of a batch.

    Results are at most as many ahead of the reader as there are workers.
    """
    done: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    lock, room = Lock(), Room(2 * workers)

    def loop() -> None:
        try:
            while True:
                room.take()
                with lock:
                    item = next(items, None)
                if item is None:
                    break
                done.put(work(item))
        except BaseException as error:  # noqa: BLE001  it is raised where the results are read
            done.put(error)
        done.put(None)

    threads = [Thread(target=loop, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    left = workers
    try:
        while left:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            room.give()
            if result is None:
                left -= 1
            else:
                yield result
    finally:
        items = iter(())
        room.give(workers)


def model_output(request: Request, reply: Reply, counts: Counts, cached: tuple[int, int] = (0, 0)) -> bytes:
    """A Converse answer, with the mark of the stand-in; its tokens are added to the job's.

    `cached`: how many of those that are read come out of a cache, and go into one.
    """
    text = encode_text(reply.text)
    read = request.input_tokens if reply.input_tokens is None else reply.input_tokens
    written = max(1, len(text) // BYTES_PER_TOKEN) if reply.output_tokens is None else reply.output_tokens
    counts.input_tokens += read
    counts.output_tokens += written
    return b"".join(
        (
            b'{"standin":true,"metrics":{"latencyMs":0},"output":{"message":{"content":[{"text":',
            text,
            b'}],"role":"assistant"}},"stopReason":"',
            reply.stop_reason.encode(),
            b'","usage":{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d'
            % (max(0, read - sum(cached)), written, read + written),
            b',"cacheReadInputTokens":%d,"cacheWriteInputTokens":%d}}' % cached if any(cached) else b"}}",
        )
    )


def encode_text(text: str) -> bytes:
    """A JSON string; lone surrogates, which msgspec refuses and replies may hold, as `json` writes them."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        import json  # noqa: PLC0415  the rare case

        return json.dumps(text).encode()


def failed_line(body: bytes, record: str, code: int | str | None, message: str) -> bytes:
    """An output line with an error in place of an answer."""
    error: dict[str, Any] = {"errorMessage": message}
    if code is not None:
        error["errorCode"] = code
    return b"".join((b'{"recordId":', _encode(record), b',"modelInput":', body, b',"error":', _encode(error), b"}\n"))


def apply(fault: RecordFault, line: bytes, record: str) -> list[bytes]:
    """What one fault makes of one output line."""
    match fault.fate:
        case "missing":
            return []
        case "duplicate":
            return [line, line]
        case "truncated":
            return [line[: len(line) // 2] + b"\n"]
        case "unparsable":
            return [b"\x00not json\xff\n"]
        case "unknown":
            stranger = record[::-1] if record != record[::-1] else "f" * len(record)
            return [line.replace(record.encode(), stranger.encode())]
        case "error":
            body = bytes(_decode_line(line).modelInput)
            return [failed_line(body, record, fault.code, fault.message.replace("{record}", record))]
