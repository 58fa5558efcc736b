"""prepare: stream what a job selects; the first sight of a key is a record; render its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.answers.packs import FRAME_BYTES, Packs, PackWriter, text_room
from sluice.answers.requests import RequestWriter, filler
from sluice.runs import accounting
from sluice.runs.document import read
from sluice.runs.job import Prepared
from sluice.runs.state import JobItem
from sluice.steps.listed import ListedRecords
from sluice.steps.moves import Moves
from sluice.steps.records import JobRecords
from sluice.steps.reuse import Lookup
from sluice.steps.services import Run
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.aws.s3 import ObjectWriter
    from sluice.runs.keys import JobKeys
    from sluice.runs.state import PlannedJob, PlannedSegment
    from sluice.steps.records import Some
    from sluice.steps.reuse import Known
    from sluice.steps.services import Services


def run(services: Services, item: JobItem) -> JobItem:
    """Write a job's input and its list of records; what is written already is left alone.

    A job that would outgrow the limits, since distinct keys were estimated, holds the rest back for the next round.
    """
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.counts):
        return _next(item, "check")
    done = services.work.find(keys.prepared)
    if done is not None and (services.work.exists(keys.input) or _was_sent(services, keys)):
        return _route(item, read(Prepared, done, keys.prepared))
    if opened.start.judges is not None or opened.cancelled:
        return _next(item, "check")
    job = opened.planned_job(item)
    moves = Moves(opened, item, job)
    known = Lookup(opened, job, moves.elsewhere).find(keys.reused)
    with services.work.writer(keys.input) as out, services.work.writer(keys.records) as records:
        preparation = (_Packing if packs_of(opened, job) > 1 else _Preparation)(opened, job, out, moves, known)
        prepared = preparation.write(records)
    if isinstance(preparation, _Packing):
        services.work.put(keys.packs, preparation.packs().write())
    services.work.put(keys.prepared, prepared.write())
    return _route(item, prepared)


def packs_of(run: Run, job: PlannedJob) -> int:
    """At most how many records a request of a job holds."""
    return run.answerer(job).pack if job.pack is None else job.pack


def _was_sent(services: Services, keys: JobKeys) -> bool:
    """Whether a job whose input has expired was sent before; one that was not is written anew, as it was."""
    return services.work.exists(keys.submitted) or services.work.exists(keys.ended)


def _route(item: JobItem, prepared: Prepared) -> JobItem:
    if not prepared.records:
        return _next(item, "check")
    if prepared.transport == accounting.LEARNED:
        return _next(item, "answer")
    return _next(item, "submit" if prepared.transport == accounting.BATCH else "infer")


def _next(item: JobItem, step: str) -> JobItem:
    return JobItem(run=item.run, round=item.round, job=item.job, next=step)


class _Preparation:
    """One job on its way into a file."""

    def __init__(
        self,
        run: Run,
        job: PlannedJob,
        out: ObjectWriter,
        moves: Moves,
        known: Known,
    ) -> None:
        self.run, self.job, self.out, self.moves, self.known = run, job, out, moves, known
        self.tier = run.answerer(job)
        self.way = job.way or (Way.FLEX if self.tier.transport is Transport.FLEX else Way.BATCH)
        self.requests = RequestWriter(run.question(job), self.tier, self.way)
        self.max_records = run.settings.max_records_per_job
        self.max_bytes = run.settings.max_file_bytes
        self.records = ListedRecords()
        self.reused = ListedRecords()
        self.held_records = ListedRecords()

    def write(self, records: ObjectWriter) -> Prepared:
        """Render everything, then list the records.

        Those whose replies are known stand behind the others, and behind these those that are held back, since merge
        looks here for the place of each record.
        """
        selected = self._select()
        for listed in (self.records, self.reused, self.held_records):
            for lines in listed.lines(selected.repeated):
                records.write(lines)
        count, least = self._requests(), self.run.settings.min_records_per_job
        fillers = max(0, least - count) if self.job.fill and self.tier.batch and count else 0
        for number in range(fillers):
            self.out.write(filler(number))
        wants_batch = self.tier.batch and self.way is Way.BATCH and count + fillers >= least
        called = Transport.ON_DEMAND if self.way is Way.BATCH else self.way.transport
        transport = accounting.BATCH if wants_batch else called.value
        if self.tier.is_learned:
            transport = accounting.LEARNED
        return Prepared(
            records=len(self.records.keys),
            fillers=fillers,
            rows=selected.rows,
            bytes=self.out.size,
            transport=transport,
            held=self.moves.close_held(),
            moved=self.moves.close(),
            reused=len(self.reused.keys),
        )

    def _select(self) -> JobRecords:
        """Take the job's records: where all are known, as they were met when their replies were looked for."""
        if self.known.whole is not None:
            selected, self.reused = self.known.whole
            return selected
        selected = JobRecords(self.run, self.job, self.known.keys)
        for some in selected:
            if some.known:
                self.reused.add(some.keys, some.places, some.segment)
            else:
                self._send(self.moves.take(some, self.held_records))
        self._finish()
        return selected

    def _finish(self) -> None:
        """Write what still waits for others."""

    def _requests(self) -> int:
        return len(self.records.keys)

    def _send(self, some: Some) -> None:
        """Write the requests of records."""
        keys, escaped, places, segment, _ = some
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
            self.moves.hold(key, escaped)
            return False
        self.out.write(line)
        return True


class _Packing(_Preparation):
    """The same where a request holds several records: those that follow each other, over all that is selected."""

    def __init__(
        self,
        run: Run,
        job: PlannedJob,
        out: ObjectWriter,
        moves: Moves,
        known: Known,
    ) -> None:
        super().__init__(run, job, out, moves, known)
        asked = run.question(job)
        self.most, self.room = packs_of(run, job), text_room(asked, self.tier)
        # Not the run: whoever classifies the same rows again, since a run was killed, makes the same requests.
        self.salt = b"%d %d %d" % (job.tier, job.attempt, self.most) + b" judge" * job.judge
        self.writer = PackWriter(asked, self.tier, self.salt, self.way)
        self.sizes = bytearray()
        self.waiting: list[tuple[bytes, bytes, Sequence[bytes], PlannedSegment | None]] = []
        self.waiting_bytes = 0

    def packs(self) -> Packs:
        """The requests that were written."""
        return Packs(self.salt, bytes(self.sizes))

    def _requests(self) -> int:
        return len(self.sizes)

    def _send(self, some: Some) -> None:
        for n, (key, text) in enumerate(zip(some.keys, some.escaped, strict=True)):
            size = len(text) + FRAME_BYTES
            if self.waiting and self.waiting_bytes + size > self.room:
                self._finish()
            self.waiting.append((key, text, some.places[n : n + 1], some.segment))
            self.waiting_bytes += size
            if len(self.waiting) == self.most:
                self._finish()

    def _finish(self) -> None:
        """Write the records that wait as one request; where it does not fit into the job, hold all of them back."""
        if not self.waiting:
            return
        keys, texts = [item[0] for item in self.waiting], [item[1] for item in self.waiting]
        line = self.writer.line(keys, texts) if len(keys) > 1 else self.requests.line(keys[0], texts[0])
        count = len(self.records.keys)
        held = count and (self.out.size + len(line) > self.max_bytes or count + len(keys) > self.max_records)
        for key, text, place, segment in self.waiting:
            (self.held_records if held else self.records).add([key], place, segment)
            if held:
                self.moves.hold(key, text)
        if not held:
            self.out.write(line)
            self.sizes.append(len(keys))
        self.waiting, self.waiting_bytes = [], 0
