"""prepare: stream what a job selects; the first sight of a key is a record; render its request."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING

from sluice.answers.requests import RequestWriter, cut_middle, escape, escape_all
from sluice.rows.record import CUT, KEY, PLACE, RAW, SENT, UNDECODED, RowReader
from sluice.runs import accounting
from sluice.runs.document import read
from sluice.runs.state import JobItem, Prepared
from sluice.steps.selection import PendingWriter, pending_lines, place_of, shard_blocks
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.aws.s3 import ObjectWriter
    from sluice.runs.state import PlannedJob, PlannedSegment
    from sluice.steps.services import Services

PLACE_BYTES = PLACE - KEY
LISTED = 4096  # lines of the list written at once
FLUSH = 128  # lines rendered at once: a quarter of a megabyte, which a processor's own cache holds

key_of = itemgetter(slice(KEY))
place_in_span = itemgetter(slice(KEY, PLACE))
raw_of = itemgetter(slice(RAW, None))
flag_of = itemgetter(PLACE)


def run(services: Services, item: JobItem) -> JobItem:
    """Write a job's input and its list of records; what is written already is left alone.

    A job that would outgrow the limits, since distinct keys were estimated, holds the rest back for the next round.
    """
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.counts):
        return _next(item, "check")
    done = services.work.find(keys.prepared)
    if done is not None:
        return _route(item, read(Prepared, done, keys.prepared))
    if opened.start.judges is not None or opened.cancelled:
        return _next(item, "check")
    job = opened.planned_job(item)
    with services.work.writer(keys.input) as out, services.work.writer(keys.records) as records:
        prepared = _Preparation(opened, item, job, out).write(records)
    services.work.put(keys.prepared, prepared.write())
    return _route(item, prepared)


def _route(item: JobItem, prepared: Prepared) -> JobItem:
    if not prepared.records:
        return _next(item, "check")
    return _next(item, "submit" if prepared.transport == accounting.BATCH else "infer")


def _next(item: JobItem, step: str) -> JobItem:
    return JobItem(run=item.run, round=item.round, job=item.job, next=step)


class _Records:
    """Records in order: the key of each and, for those of a shard, the place of the first row, as its span counted."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.places = bytearray()  # `PLACE_BYTES` each
        self.segments: list[tuple[int, PlannedSegment]] = []  # each with the first record that comes from it

    def add(self, keys: Sequence[bytes], places: Sequence[bytes], segment: PlannedSegment | None) -> None:
        """Take records of one segment, or, without places, pending ones."""
        if segment is not None and (not self.segments or self.segments[-1][1] is not segment):
            self.segments.append((len(self.keys), segment))
        self.keys += keys
        self.places += b"".join(places)

    def lines(self, repeated: set[bytes]) -> Iterator[bytes]:
        """Lines of `records.txt`: the key, and behind one that several rows share the place of the first of them."""
        for at in range(0, len(self.keys), LISTED):
            keys: Iterable[bytes] = self.keys[at : at + LISTED]
            if not repeated.isdisjoint(keys):
                keys = [key + self._place(n) if key in repeated else key for n, key in enumerate(keys, at)]
            yield b"\n".join(keys) + b"\n"

    def _place(self, n: int) -> bytes:
        segment = self.segments[bisect_right(self.segments, n, key=itemgetter(0)) - 1][1]
        place = self.places[n * PLACE_BYTES : (n + 1) * PLACE_BYTES]
        return b"%08d%012d" % place_of(self.keys[n] + place, segment)


class _Preparation:
    """One job on its way into a file."""

    def __init__(self, run: Run, item: JobItem, job: PlannedJob, out: ObjectWriter) -> None:
        self.run, self.job, self.out = run, job, out
        self.tier = run.tier(job.tier)
        self.requests = RequestWriter(run.task, self.tier)
        self.max_records = run.settings.max_records_per_job
        self.max_bytes = run.settings.max_file_bytes
        self.records = _Records()
        self.held_records = _Records()
        self.held = PendingWriter(
            run.store, run.keys.pending(item.round, item.job, job.tier, job.attempt, "held"), job.tier, job.attempt
        )
        self.seen: set[bytes] = set()
        self.repeated: set[bytes] = set()  # the records of several rows
        self.rows = 0

    def write(self, records: ObjectWriter) -> Prepared:
        """Render everything, then list the records.

        Those that are held back stand behind the others, since merge looks here for the place of each record.
        """
        if self.job.shard is None:
            self._write_pending()
        else:
            self._write_shard(self.job.shard)
        for listed in (self.records, self.held_records):
            for lines in listed.lines(self.repeated):
                records.write(lines)
        wants_batch = self.tier.batch and len(self.records.keys) >= self.run.settings.min_records_per_job
        return Prepared(
            records=len(self.records.keys),
            rows=self.rows,
            bytes=self.out.size,
            transport=accounting.BATCH if wants_batch else accounting.ON_DEMAND,
            held=self.held.close(),
        )

    def _write_shard(self, shard: int) -> None:
        reader = RowReader(self.run.task)
        for found in shard_blocks(self.run, shard):
            self.rows += len(found.lines)
            for at in range(0, len(found.lines), FLUSH):
                lines = found.lines[at : at + FLUSH]
                flags = set(map(flag_of, lines))
                fresh, keys = self._first_sights(lines, all_sent=flags <= SENT)
                if fresh:
                    escaped = self._escaped(reader, fresh, some_cut=CUT in flags)
                    self._send(keys, escaped, list(map(place_in_span, fresh)), found.segment)

    def _first_sights(self, lines: list[bytes], *, all_sent: bool) -> tuple[list[bytes], list[bytes]]:
        """The good rows whose key was not seen before, with their keys; most often all, seen without a loop."""
        seen, keys = self.seen, list(map(key_of, lines))
        if all_sent and seen.isdisjoint(keys):
            before = len(seen)
            seen.update(keys)
            if len(seen) == before + len(keys):
                return lines, keys
            seen.difference_update(keys)
        fresh, of_fresh = [], []
        for key, line in zip(keys, lines, strict=True):
            if line[PLACE] not in SENT:
                continue
            if key in seen:
                self.repeated.add(key)
            else:
                seen.add(key)
                fresh.append(line)
                of_fresh.append(key)
        return fresh, of_fresh

    def _escaped(self, reader: RowReader, lines: list[bytes], *, some_cut: bool) -> list[bytes]:
        if not some_cut:
            try:
                return escape_all(list(map(reader.text_of, map(reader.decode, map(raw_of, lines)))))
            except UNDECODED:
                pass  # one of them reads only slowly
        texts = [(reader.text(line[RAW:]), line[PLACE] == CUT) for line in lines]
        return [escape(cut_middle(text, reader.max_bytes) if cut else text) for text, cut in texts]

    def _write_pending(self) -> None:
        for lines in pending_lines(self.run, self.job):
            self.rows += len(lines)
            for at in range(0, len(lines), FLUSH):
                some = lines[at : at + FLUSH]
                self._send([line[:KEY] for line in some], [line[KEY + 1 :] for line in some])

    def _send(
        self,
        keys: list[bytes],
        escaped: list[bytes],
        places: Sequence[bytes] = (),
        segment: PlannedSegment | None = None,
    ) -> None:
        """Write the requests of records, each given by its key and its escaped text, and its place if it has one."""
        rendered = self.requests.lines(keys, escaped)
        size, count = self.out.size + len(rendered), len(self.records.keys) + len(keys)
        if size <= self.max_bytes and count <= self.max_records:
            self.records.add(keys, places, segment)
            self.out.write(rendered)
            return
        for n, (key, text) in enumerate(zip(keys, escaped, strict=True)):
            listed = self.records if self._send_or_hold(key, text) else self.held_records
            listed.add([key], places[n : n + 1], segment)

    def _send_or_hold(self, key: bytes, escaped: bytes) -> bool:
        """Whether a record still fits into the job. The first does: held back for its size it would come for ever."""
        line, count = self.requests.line(key, escaped), len(self.records.keys)
        if count and (self.out.size + len(line) > self.max_bytes or count >= self.max_records):
            self.held.add(key, escaped)
            return False
        self.out.write(line)
        return True
