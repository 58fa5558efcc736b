"""partition: read one span once, decode and key each row, and write the rows grouped by bucket."""

from __future__ import annotations

import re
import tempfile
from array import array
from typing import IO, TYPE_CHECKING

import msgspec

from sluice.budget.tokens import estimated_tokens
from sluice.decoding import decode
from sluice.errors import BadInput, RetryLater
from sluice.rows.containers import Container, Limits, Reading, lines_of_input
from sluice.rows.record import PLACE, RAW, SENT, SETTLED, Buckets, RowReader, key_of, route_in
from sluice.rows.routes import router_of
from sluice.runs.planning import SKETCH, SMALL
from sluice.runs.state import Piece, Segment, SpanIndex
from sluice.steps.drawing import Drawing
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.aws.s3 import ObjectWriter
    from sluice.runs.state import Span
    from sluice.steps.services import Services

S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)
ROWS_AT_ONCE = 4096  # of a bucket that are joined: a text that fills the input fills one bucket
RESERVE_SECONDS = 45  # in which to refuse an object instead of being cut off without a word
TABLE_BYTES = 1024 * 1024
LOOKED_AT = 64  # rows of a segment whose tokens are estimated: with those of all segments, enough for a few per cent
MOST_CHARACTERS = 4000  # of a text that are looked at
HELD = 2  # times `span_bytes` that a segment may take in memory: rows under about 100 bytes cost more than their text


def run(services: Services, span: Span) -> dict[str, int]:
    """Write `rows/<span>` and its index; a span whose index exists is left alone.

    Of an object that cannot be read nothing is kept, and the index says why; the others of the span are read.

    Raises:
        RetryLater: one object took all the time that there was. The next try leaves it out.

    """
    opened = Run(services.work, span.run)
    if services.work.exists(opened.keys.index(span.span)):
        return {}
    with tempfile.TemporaryFile() as tables:
        with services.work.writer(opened.keys.rows(span.span)) as out:
            partition = _Partition(opened, out, tables)
            partition.refused = _given_up(opened, span.span)
            for source, begin, end in span.pieces:
                if str(source) in partition.refused:
                    continue
                try:
                    partition.read_piece(services, source, begin, end)
                except OutOfTime as slow:
                    found = {**partition.refused, str(source): str(slow)}
                    services.work.put(opened.keys.given_up(span.span), msgspec.json.encode(found))
                    raise RetryLater(f"{slow}. The others are read without it") from None
            partition.end_segment()
        if opened.draws_rows:
            services.work.put(opened.keys.ranks(span.span), partition.drawing.written())
        _write_index(opened, span.span, partition)
    rows = sum(segment.rows for segment in partition.segments)
    return {"rows": rows, "rejected": sum(sum(s.rejected.values()) for s in partition.segments)}


class OutOfTime(Exception):
    """An object that one worker cannot read in its time."""


def _given_up(opened: Run, span: int) -> dict[str, str]:
    """What an earlier try at the span could not read in its time, and what else it had refused by then."""
    data = opened.store.find(opened.keys.given_up(span))
    return {} if data is None else decode(data, dict[str, str])


def _write_index(opened: Run, span: int, partition: _Partition) -> None:
    """The head, and behind it the tables of each segment; it stands only where the whole span has been read."""
    index = SpanIndex(
        span=span,
        depth=opened.start.depth,
        pieces=partition.pieces,
        segments=partition.segments,
        refused=partition.refused,
    )
    partition.tables.seek(0)
    with opened.store.writer(opened.keys.index(span)) as out:
        out.write(index.write() + b"\n")
        while block := partition.tables.read(TABLE_BYTES):
            out.write(block)


class _Partition:
    """Rows on their way into segments of about `span_bytes`: a compressed object may hold many times its size.

    The tables of the segments go to a file, since those of thousands of segments would not fit in memory. The rows of
    an object are kept apart until it has been read to its end: of one that cannot be, none is kept. Segments of it that
    have been written by then stay in the object, and in no index.
    """

    def __init__(self, run: Run, out: ObjectWriter, tables: IO[bytes]) -> None:
        self.run = run
        self.out = out
        self.depth = run.start.depth
        self.buckets = Buckets(RowReader(run.task), self.depth, router_of(run.task))
        self.reading = Reading.of(run.task)
        self.own = Buckets(self.buckets.reader, self.depth, self.buckets.route_of)  # of the object that is being read
        self.pieces: list[Piece] = []
        self.segments: list[Segment] = []
        self.refused: dict[str, str] = {}
        self.tables = tables
        self.drawing = Drawing(run)
        self.known = {record.record.encode() for record in run.settled}
        self.kept = (0, 0)  # segments, and bytes of their tables, that no object can take back

    def read_piece(self, services: Services, source: int, begin: int, end: int) -> None:
        """Read a piece of an object; what cannot be read is noted with its reason, and leaves nothing behind."""
        self.kept = len(self.segments), self.tables.tell()
        self.drawing.begin(source, begin)
        try:
            piece = self._read(services, source, begin, end)
        except BadInput as error:
            written, size = self.kept
            self.own.clear()
            del self.segments[written:]
            self.drawing.forget(written)
            self.tables.seek(size)
            self.tables.truncate()
            self.refused[str(source)] = str(error)
            return
        self.buckets.take(self.own)
        self.pieces.append(piece)
        if self._is_full(self.buckets):
            self.end_segment()

    def _read(self, services: Services, source: int, begin: int, end: int) -> Piece:
        item, settings = self.run.inputs.inputs[source], self.run.settings
        match = S3_URI.fullmatch(item.uri)
        assert match is not None
        store, lines, rows = services.bucket(match[1]), 0, 0
        whole = Container.parse(item.container).whole
        limits = Limits(settings.max_row_bytes, settings.max_text_bytes)
        for block in lines_of_input(store, match[2], item, begin, end, limits, self.reading):
            rows += self.own.add(block, source, lines + 1, begin)
            lines += len(block)
            if whole and services.remaining_seconds() < RESERVE_SECONDS:
                raise OutOfTime(
                    f"{item.uri} holds more than the {rows:,} rows that one worker had time for: split it, or write "
                    "JSON Lines without compression, which many workers read at once"
                )
            if self._is_full(self.own):
                if self.buckets.rows:  # so that the segments behind hold rows of this object alone
                    self.end_segment()
                    self.kept = len(self.segments), self.tables.tell()
                self._end(self.own)
        return Piece(source=source, lines=lines, rows=rows)

    def _is_full(self, buckets: Buckets) -> bool:
        """Whether the rows, with those of the objects before, are enough for a segment."""
        both = {id(item): item for item in (buckets, self.buckets)}.values()
        size = self.run.settings.span_bytes
        return sum(item.bytes for item in both) >= size or sum(item.held for item in both) >= HELD * size

    def end_segment(self) -> None:
        """Write what has been grouped of whole objects as one segment."""
        self._end(self.buckets)

    def _end(self, buckets: Buckets) -> None:
        """Write rows as one segment, with three counts per bucket for the index."""
        if not buckets.rows:
            return
        begin, count, rejected = self.out.size, buckets.rows, buckets.rejected
        routed = dict(sorted(buckets.routed.items()))
        rows, sizes, distinct = (array("I", bytes(4 * 16**self.depth)) for _ in range(3))
        settled = 0
        sketch: list[str] = []
        sample: list[bytes] = []
        for bucket, group, keys in buckets.drain():
            rows[bucket] = len(group)
            if not self.known.isdisjoint(keys):
                settled += self._settle(group, routed)
                keys.difference_update(self.known)
            distinct[bucket] = len(keys)
            if len(sketch) < SKETCH:
                sketch += sorted(key[:SMALL].decode() for key in keys)
            if len(sample) < LOOKED_AT:  # keys are hashes: the first buckets are a sample like any other
                sample += group[: LOOKED_AT - len(sample)]
            if self.drawing.wanted:
                self.drawing.offer(group, self.out.size)
            for some in range(0, len(group), ROWS_AT_ONCE):
                sizes[bucket] += self.out.write(b"".join(group[some : some + ROWS_AT_ONCE]))
        self.drawing.end_segment()
        self.tables.write(rows.tobytes() + sizes.tobytes() + distinct.tobytes())
        self.segments.append(
            Segment(
                begin=begin,
                bytes=self.out.size - begin,
                rows=count,
                rejected=rejected,
                sketch=sketch[:SKETCH],
                routed=routed,
                settled=settled,
                looked_at=self._look_at(sample),
            )
        )

    def _settle(self, group: list[bytes], routed: dict[int, tuple[int, int]]) -> int:
        """Mark the rows of a bucket whose texts people have settled, which no route takes any more; how many."""
        count = 0
        for n, row in enumerate(group):
            if row[PLACE + 1] in SENT and key_of(row) in self.known:
                if (route := route_in(row[PLACE + 1])) is not None:
                    routed[route] = routed[route][0] - 1, routed[route][1] - len(row) + RAW + 1
                group[n] = b"%b%c%b" % (row[: PLACE + 1], SETTLED, row[RAW + 1 :])
                count += 1
        return count

    def _look_at(self, rows: list[bytes]) -> tuple[int, float]:
        """The bytes of the good ones among some stored rows, and the tokens of their texts by the scripts in them."""
        figures, bytes_, tokens = self.run.start.tokens, 0, 0.0
        for row in rows if figures else ():
            if row[PLACE + 1] in SENT:  # behind its line feed
                text = self.buckets.reader.text(row[RAW + 1 :])
                seen = text[:MOST_CHARACTERS]
                tokens += estimated_tokens([seen], figures) * len(text) / len(seen)
                bytes_ += len(row)
        return bytes_, tokens
