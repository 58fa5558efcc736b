"""prepare: stream what a job selects; the first sight of a key is a record; render its request."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from sluice import accounting
from sluice.prompts import RequestWriter, cut_middle, escape
from sluice.rows import CUT, GOOD, KEY, PLACE, RAW, SOURCE, UNDECODED, RowReader
from sluice.state import JobItem, Prepared, read
from sluice.steps.selection import PendingWriter, pending_lines, shard_blocks
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.state import PlannedJob, PlannedSegment
    from sluice.steps.services import Services
    from sluice.store import ObjectWriter

FLUSH = 128  # lines rendered at once: a quarter of a megabyte, which a processor's own cache holds
GOOD_ALONE = frozenset({GOOD})
SENT = frozenset({GOOD, CUT})

key_of = itemgetter(slice(KEY))
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


def placed(lines: list[bytes], segment: PlannedSegment) -> list[bytes]:
    """Key and place of stored rows, with the line's number in its object, not in the piece that one span read."""
    base, first = segment.line_base, b"%08d" % segment.first_source
    if not base:
        return [line[:PLACE] for line in lines]
    return [
        b"%b%012d" % (line[:SOURCE], int(line[SOURCE:PLACE]) + base) if line[KEY:SOURCE] == first else line[:PLACE]
        for line in lines
    ]


class _Preparation:
    """One job on its way into a file."""

    def __init__(self, run: Run, item: JobItem, job: PlannedJob, out: ObjectWriter) -> None:
        self.run, self.job, self.out = run, job, out
        self.tier = run.tier(job.tier)
        self.requests = RequestWriter(run.task, self.tier)
        self.max_records = run.settings.max_records_per_job
        self.max_bytes = run.settings.max_file_bytes
        self.firsts: list[bytes] = []
        self.held_firsts: list[bytes] = []
        self.held = PendingWriter(
            run.store, run.keys.pending(item.round, item.job, job.tier, job.attempt, "held"), job.tier, job.attempt
        )
        self.seen: set[bytes] = set()
        self.repeats: dict[bytes, int] = {}  # rows of the records that have several
        self.rows = 0

    def write(self, records: ObjectWriter) -> Prepared:
        """Render everything, then list the records: key, place of the first row, how many rows share it.

        Those that are held back stand behind the others, since merge looks here for the place of each record.
        """
        if self.job.shard is None:
            self._write_pending()
        else:
            self._write_shard(self.job.shard)
        listed, of = self.firsts + self.held_firsts, self.repeats.get
        for at in range(0, len(listed), FLUSH):
            batch = listed[at : at + FLUSH]
            if self.repeats:
                records.write(b"".join([b"%b %d\n" % (first, of(first[:KEY], 1)) for first in batch]))
            else:
                records.write(b" 1\n".join(batch) + b" 1\n")
        wants_batch = self.tier.batch and len(self.firsts) >= self.run.settings.min_records_per_job
        return Prepared(
            records=len(self.firsts),
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
                fresh = self._first_sights(found.lines[at : at + FLUSH])
                self._send(placed(fresh, found.segment), self._escaped(reader, fresh))

    def _first_sights(self, lines: list[bytes]) -> list[bytes]:
        """The good rows whose key was not seen before; most often all of them, which is seen without a loop."""
        seen, repeats = self.seen, self.repeats
        keys = set(map(key_of, lines))
        if len(keys) == len(lines) and seen.isdisjoint(keys) and SENT.issuperset(map(flag_of, lines)):
            seen |= keys
            return lines
        fresh = []
        for line in lines:
            key = line[:KEY]
            if key in seen:
                repeats[key] = repeats.get(key, 1) + 1
            elif line[PLACE] in SENT:
                seen.add(key)
                fresh.append(line)
        return fresh

    def _escaped(self, reader: RowReader, lines: list[bytes]) -> list[bytes]:
        if GOOD_ALONE.issuperset(map(flag_of, lines)):
            try:
                return [escape(text) for text in map(reader.text_of, map(reader.decode, map(raw_of, lines)))]
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

    def _send(self, firsts: list[bytes], escaped: list[bytes]) -> None:
        """Write the requests of records, each given by its key, with or without its place, and its escaped text."""
        if not firsts:
            return
        rendered = self.requests.lines([first[:KEY] for first in firsts], escaped)
        size, records = self.out.size + len(rendered), len(self.firsts) + len(firsts)
        if size <= self.max_bytes and records <= self.max_records:
            self.firsts += firsts
            self.out.write(rendered)
            return
        for first, text in zip(firsts, escaped, strict=True):
            self._send_or_hold(first, text)

    def _send_or_hold(self, first: bytes, escaped: bytes) -> None:
        line = self.requests.line(first[:KEY], escaped)
        # The first is always sent: held back for its size it would come back for ever.
        if self.firsts and (self.out.size + len(line) > self.max_bytes or len(self.firsts) >= self.max_records):
            self.held.add(first[:KEY], escaped)
            self.held_firsts.append(first)
            return
        self.firsts.append(first)
        self.out.write(line)
