"""partition: read one span once, decode and key each row, and write the rows grouped by bucket."""

from __future__ import annotations

import re
import tempfile
from array import array
from typing import IO, TYPE_CHECKING

from sluice.errors import BadInput
from sluice.rows.containers import Container, Limits, Reading, lines_of_input
from sluice.rows.record import Buckets, RowReader
from sluice.runs.planning import SKETCH, SMALL
from sluice.runs.state import Piece, Segment, SpanIndex
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.aws.s3 import ObjectWriter
    from sluice.runs.state import Span
    from sluice.steps.services import Services

S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)
ROWS_AT_ONCE = 4096  # of a bucket that are joined: a text that fills the input fills one bucket
RESERVE_SECONDS = 45  # in which to refuse an object instead of being cut off without a word
TABLE_BYTES = 1024 * 1024
HELD = 2  # times `span_bytes` that a segment may take in memory: rows under about 100 bytes cost more than their text


def run(services: Services, span: Span) -> dict[str, int]:
    """Write `rows/<span>` and its index; a span whose index exists is left alone."""
    opened = Run(services.work, span.run)
    if services.work.exists(opened.keys.index(span.span)):
        return {}
    with tempfile.TemporaryFile() as tables:
        with services.work.writer(opened.keys.rows(span.span)) as out:
            partition = _Partition(opened, out, tables)
            for source, begin, end in span.pieces:
                partition.read_piece(services, source, begin, end)
            partition.end_segment()
        _write_index(opened, span.span, partition)
    rows = sum(segment.rows for segment in partition.segments)
    return {"rows": rows, "rejected": sum(sum(s.rejected.values()) for s in partition.segments)}


def _write_index(opened: Run, span: int, partition: _Partition) -> None:
    """The head, and behind it the tables of each segment; it stands only where the whole span has been read."""
    index = SpanIndex(span=span, depth=opened.start.depth, pieces=partition.pieces, segments=partition.segments)
    partition.tables.seek(0)
    with opened.store.writer(opened.keys.index(span)) as out:
        out.write(index.write() + b"\n")
        while block := partition.tables.read(TABLE_BYTES):
            out.write(block)


class _Partition:
    """Rows on their way into segments of about `span_bytes`: a compressed object may hold many times its size.

    The tables of the segments go to a file, since those of thousands of segments would not fit in memory.
    """

    def __init__(self, run: Run, out: ObjectWriter, tables: IO[bytes]) -> None:
        self.run = run
        self.out = out
        self.depth = run.start.depth
        self.buckets = Buckets(RowReader(run.task), self.depth)
        self.reading = Reading.of(run.task)
        self.pieces: list[Piece] = []
        self.segments: list[Segment] = []
        self.tables = tables

    def read_piece(self, services: Services, source: int, begin: int, end: int) -> None:
        item, settings = self.run.inputs.inputs[source], self.run.settings
        match = S3_URI.fullmatch(item.uri)
        assert match is not None
        store, lines, rows = services.bucket(match[1]), 0, 0
        whole = Container.parse(item.container).whole
        limits = Limits(settings.max_row_bytes, settings.max_text_bytes)
        for block in lines_of_input(store, match[2], item, begin, end, limits, self.reading):
            rows += self.buckets.add(block, source, lines + 1, begin)
            lines += len(block)
            if whole and services.remaining_seconds() < RESERVE_SECONDS:
                raise BadInput(
                    f"{item.uri} holds more than the {rows:,} rows that one worker had time for: split it, or write "
                    "JSON Lines without compression, which many workers read at once"
                )
            if self.buckets.bytes >= settings.span_bytes or self.buckets.held >= HELD * settings.span_bytes:
                self.end_segment()
        self.pieces.append(Piece(source=source, lines=lines, rows=rows))

    def end_segment(self) -> None:
        """Write what has been grouped as one segment, with three counts per bucket for the index."""
        buckets = self.buckets
        if not buckets.rows:
            return
        begin, count, rejected = self.out.size, buckets.rows, buckets.rejected
        rows, sizes, distinct = (array("I", bytes(4 * 16**self.depth)) for _ in range(3))
        sketch: list[str] = []
        for bucket, group, keys in buckets.drain():
            rows[bucket] = len(group)
            distinct[bucket] = len(keys)
            if len(sketch) < SKETCH:
                sketch += sorted(key[:SMALL].decode() for key in keys)
            for some in range(0, len(group), ROWS_AT_ONCE):
                sizes[bucket] += self.out.write(b"".join(group[some : some + ROWS_AT_ONCE]))
        self.tables.write(rows.tobytes() + sizes.tobytes() + distinct.tobytes())
        self.segments.append(
            Segment(begin=begin, bytes=self.out.size - begin, rows=count, rejected=rejected, sketch=sketch[:SKETCH])
        )
