"""What came back for a job, kept small: Bedrock's own output echoes each request, and expires within days.

A stream of Arrow batches, compressed, a row for each line of output in its order: the number of the record in
`records.txt`, the text, why it stops, its tokens, and what was said instead of a text. What judges again reads this.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.answers.replies import Reply
from sluice.reasons import Reason
from sluice.rows.containers.codecs import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.aws.s3 import ObjectWriter

# In place of a number: a line that could not be read, one about nothing that was sent, and the first about a filler.
UNREADABLE, UNKNOWN, FILLED = -1, -2, -3
BATCH_BYTES = 4 * 1024 * 1024  # of texts that wait to be written
BATCH = 16_384
SCHEMA = pa.schema(
    [
        pa.field("number", pa.int32(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("stop", pa.string()),
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("cache_read", pa.int64()),
        pa.field("cache_write", pa.int64()),
    ]
)
NOTHING = Reply("", None, None, None, None)


# One line of output: the number of its record among those sent, or what it is instead, and the reply if it is one.
Line = tuple[int, Reply | None]


class Archive:
    """Writes what came back; in memory are `BATCH` lines at most, and fewer where their texts are long."""

    def __init__(self, out: ObjectWriter) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._stream = pa.ipc.new_stream(pa.PythonFile(out, mode="w"), SCHEMA, options=options)
        self._numbers: list[int] = []
        self._replies: list[Reply] = []
        self._bytes = 0

    def add(self, number: int, reply: Reply | None) -> None:
        """Take one line more; of one that is about nothing that was sent only that it was there."""
        kept = NOTHING if number in {UNREADABLE, UNKNOWN} or reply is None else reply
        self._numbers.append(number)
        self._replies.append(kept)
        self._bytes += len(kept.text or "")
        if self._bytes > BATCH_BYTES or len(self._numbers) >= BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is left; the caller closes the object."""
        self._flush()
        self._stream.close()

    def _flush(self) -> None:
        replies = self._replies
        columns = [
            pa.array(self._numbers, pa.int32()),
            pa.array([reply.text for reply in replies], pa.string()),
            pa.array([reply.stop for reply in replies], pa.string()),
            pa.array([reply.input_tokens for reply in replies], pa.int64()),
            pa.array([reply.output_tokens for reply in replies], pa.int64()),
            pa.array([None if reply.reason is None else reply.reason.value for reply in replies], pa.string()),
            pa.array([reply.message for reply in replies], pa.string()),
            *(pa.array([reply.cached[n] for reply in replies], pa.int64()) for n in range(2)),
        ]
        if replies:
            self._stream.write_batch(pa.record_batch(columns, schema=SCHEMA))
        self._numbers, self._replies, self._bytes = [], [], 0


def archived(blocks: Iterator[bytes], sent: Sequence[str]) -> Iterator[Line]:
    """What `Archive` wrote, from its blocks, line by line; `sent` are the keys of the records by number."""
    with pa.ipc.open_stream(pa.PythonFile(Pipe(blocks), mode="r")) as stream:
        for batch in stream:
            columns = [column.to_pylist() for column in batch.columns]
            columns += [repeat(0, len(batch))] * (len(SCHEMA) - len(columns))  # of a version that did not keep them
            for number, text, stop, tokens_in, tokens_out, reason, message, *cached in zip(*columns, strict=True):
                if number in {UNREADABLE, UNKNOWN}:
                    yield number, None
                    continue
                why = None if reason is None else Reason(reason)
                yield (
                    number,
                    Reply(
                        "" if number == FILLED else sent[number],
                        text,
                        stop,
                        tokens_in,
                        tokens_out,
                        why,
                        message,
                        tuple(cached),
                    ),
                )
