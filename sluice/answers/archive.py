"""What came back for a job, kept small: Bedrock's own output echoes each request, and expires within days.

A stream of Arrow batches, compressed, a row for each line of output in its order: the number of the record in
`records.txt`, the text, why it stops, its tokens, and what was said instead of a text. What judges again reads this.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from sluice.answers.replies import Reply
from sluice.reasons import Reason
from sluice.rows.containers.codecs import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.aws.s3 import ObjectWriter

# In place of a number: a line that could not be read, one about nothing that was sent, and the first about a filler.
UNREADABLE, UNKNOWN, FILLED = -1, -2, -3
NO_REPLY = frozenset({UNREADABLE, UNKNOWN})
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


class Lines(NamedTuple):
    """Lines of output: of each the number of its record among those sent, or what it is instead; the reply if one."""

    numbers: list[int]
    replies: list[Reply | None]


class Archive:
    """Writes what came back; in memory are `BATCH` lines at most, and fewer where their texts are long."""

    def __init__(self, out: ObjectWriter) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._stream = pa.ipc.new_stream(pa.PythonFile(out, mode="w"), SCHEMA, options=options)
        self._numbers: list[int] = []
        self._replies: list[Reply] = []
        self._bytes = 0

    def add(self, lines: Lines) -> None:
        """Take the lines of a block; of one that is about nothing that was sent only that it was there."""
        kept = [reply or NOTHING for reply in lines.replies]
        self._numbers += lines.numbers
        self._replies += kept
        self._bytes += sum(len(reply.text or "") for reply in kept)
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


def archived(blocks: Iterator[bytes], sent: Sequence[str]) -> Iterator[Lines]:
    """What `Archive` wrote, from its blocks, some lines at a time; `sent` are the keys of the records by number."""
    with pa.ipc.open_stream(pa.PythonFile(Pipe(blocks), mode="r")) as stream:
        for batch in stream:
            columns = [column.to_pylist() for column in batch.columns]
            columns += [repeat(0, len(batch))] * (len(SCHEMA) - len(columns))  # of a version that did not keep them
            replies = [
                None
                if number in NO_REPLY
                else Reply(
                    "" if number == FILLED else sent[number],
                    text,
                    stop,
                    tokens_in,
                    tokens_out,
                    None if reason is None else Reason(reason),
                    message,
                    tuple(cached),
                )
                for number, text, stop, tokens_in, tokens_out, reason, message, *cached in zip(*columns, strict=True)
            ]
            yield Lines(columns[0], replies)
