"""partition: read one span once, decode and key each row, and write the rows grouped by bucket."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING

from sluice.containers import lines_of_input
from sluice.planning import SKETCH, SMALL
from sluice.rows import Buckets, RowReader, distinct_keys
from sluice.state import Piece, Segment, SpanIndex
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.state import Span
    from sluice.steps.services import Services
    from sluice.store import ObjectWriter

S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)


def run(services: Services, span: Span) -> dict[str, int]:
    """Write `rows/<span>` and its index; a span whose index exists is left alone."""
    opened = Run(services.work, span.run)
    if services.work.exists(opened.keys.index(span.span)):
        return {}
    with services.work.writer(opened.keys.rows(span.span)) as out:
        partition = _Partition(opened, out)
        for source, begin, end in span.pieces:
            partition.read_piece(services, source, begin, end)
        partition.end_segment()
    index = SpanIndex(span=span.span, depth=opened.start.depth, pieces=partition.pieces, segments=partition.segments)
    services.work.put(opened.keys.index(span.span), index.write() + b"\n" + b"".join(partition.tables))
    rows = sum(segment.rows for segment in partition.segments)
    return {"rows": rows, "rejected": sum(sum(s.rejected.values()) for s in partition.segments)}


class _Partition:
    """Rows on their way into segments of about `span_bytes`: a compressed object may hold many times its size."""

    def __init__(self, run: Run, out: ObjectWriter) -> None:
        self.run = run
        self.out = out
        self.depth = run.start.depth
        self.buckets = Buckets(RowReader(run.task), self.depth)
        self.pieces: list[Piece] = []
        self.segments: list[Segment] = []
        self.tables: list[bytes] = []

    def read_piece(self, services: Services, source: int, begin: int, end: int) -> None:
        item, settings = self.run.inputs.inputs[source], self.run.settings
        match = S3_URI.fullmatch(item.uri)
        assert match is not None
        store, lines, rows = services.bucket(match[1]), 0, 0
        for block in lines_of_input(store, match[2], item, begin, end, settings.max_row_bytes):
            rows += self.buckets.add(block, source, lines + 1)
            lines += len(block)
            if self.buckets.bytes >= settings.span_bytes:
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
        for bucket, group in buckets.drain():
            rows[bucket] = len(group) // 2
            keys = distinct_keys(group)
            distinct[bucket] = len(keys)
            if len(sketch) < SKETCH:
                sketch += sorted(key[:SMALL].decode() for key in keys)
            data = b"".join(group)
            sizes[bucket] = len(data)
            self.out.write(data)
        self.tables += [rows.tobytes(), sizes.tobytes(), distinct.tobytes()]
        self.segments.append(
            Segment(begin=begin, bytes=self.out.size - begin, rows=count, rejected=rejected, sketch=sketch[:SKETCH])
        )
