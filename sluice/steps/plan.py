"""plan: cut round 0 into shards, later rounds into packs of what is sent again; keep the budget; end the loop."""

from __future__ import annotations

from array import array
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice import accounting, planning
from sluice.errors import Stop
from sluice.prompts import RequestWriter
from sluice.reasons import Reason
from sluice.state import (
    Counts,
    End,
    Failed,
    JobItem,
    Part,
    PlannedJob,
    PlannedSegment,
    PlanResult,
    RoundPlan,
    RunPlan,
    SpanIndex,
    read,
)
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.state import JobKeys, Pending, Segment
    from sluice.steps.services import Services

TABLES = 3  # rows, bytes, distinct keys per bucket
EXPANSION = 1.2  # how much a text may grow by being escaped, on the whole


def run(services: Services, run_id: str, round_: int) -> PlanResult:
    """Plan one round; a round that is planned already is answered from its plan.

    Raises:
        Stop: a job of the round before has no books, or all its records failed for a reason that stays.

    """
    opened = Run(services.work, run_id)
    if services.work.exists(opened.keys.end):
        return _result(opened, round_, more=False)
    if services.work.exists(opened.keys.jobs(round_)):
        return _result(opened, round_, more=True)
    if opened.start.judges is not None:
        return _judge_round(opened, round_)
    if round_ == 0:
        _plan_run(opened)
    if opened.cancelled:
        return _end(opened, round_, Reason.CANCELLED)
    counts = [books for number in range(round_) for books in round_counts(opened, number)]
    _stop_on_fatal(opened, counts)
    jobs = _first_round(opened) if round_ == 0 else _later_round(opened, round_, counts)
    affordable = _affordable(opened, jobs, counts)
    if not affordable:
        return _end(opened, round_, Reason.BUDGET if jobs else None)
    planned = RoundPlan(round=round_, jobs=affordable, kept_out=jobs[len(affordable) :])
    services.work.put(opened.keys.round_plan(round_), planned.write())
    items = [JobItem(run=run_id, round=round_, job=job.job) for job in affordable]
    services.work.put(opened.keys.jobs(round_), msgspec.json.encode(items))
    return _result(opened, round_, more=True)


def _result(opened: Run, round_: int, *, more: bool) -> PlanResult:
    return PlanResult(
        run=opened.id,
        round=round_,
        next=round_ + 1,
        more=more,
        jobs_key=opened.keys.jobs(round_),
        parts_key=opened.keys.parts,
        max_concurrency=opened.settings.max_jobs_in_flight,
        max_workers=opened.settings.max_workers,
    )


def round_counts(opened: Run, round_: int, *, forgiving: bool = False) -> list[Counts]:
    """The books of all jobs of a round; `forgiving` passes over those that have none.

    Raises:
        Stop: a job has none, since check could not settle it.

    """
    key = opened.keys.round_plan(round_)
    books = []
    for job in read(RoundPlan, opened.store.get(key), key).jobs:
        keys = opened.keys.job(round_, job.job)
        data = opened.store.find(keys.counts)
        if data is None and forgiving:
            continue
        if data is None:
            raise Stop(_why_no_books(opened, keys))
        books.append(read(Counts, data, keys.counts))
    return books


def counts_so_far(opened: Run) -> list[Counts]:
    """The books of all jobs that have any."""
    found: list[Counts] = []
    number = 0
    while opened.store.exists(opened.keys.jobs(number)):
        found += round_counts(opened, number, forgiving=True)
        number += 1
    return found


def _why_no_books(opened: Run, keys: JobKeys) -> str:
    data = opened.store.find(keys.failed)
    if data is None:
        return f"{keys.root} has no books: see the log of the step check"
    failed = read(Failed, data, keys.failed)
    return f"{keys.root}: {failed.error}: {failed.cause}"


def _judge_round(opened: Run, round_: int) -> PlanResult:
    """A round of the run whose answers are judged again: its jobs, without anything to send."""
    data = opened.store.find(opened.source.round_plan(round_))
    if data is None:
        opened.store.put(opened.keys.parts, _own_parts(opened))
        return _end(opened, round_, None)
    settled = [
        job
        for job in read(RoundPlan, data, opened.source.round_plan(round_)).jobs
        if opened.store.exists(opened.source.job(round_, job.job).counts)  # of a run that broke off, not all are
    ]
    items = [JobItem(run=opened.id, round=round_, job=job.job) for job in settled]
    opened.store.put(opened.keys.round_plan(round_), RoundPlan(round=round_, jobs=settled).write())
    opened.store.put(opened.keys.jobs(round_), msgspec.json.encode(items))
    return _result(opened, round_, more=True)


def _own_parts(opened: Run) -> bytes:
    parts = msgspec.json.decode(opened.store.get(opened.source.parts), type=list[Part])
    return msgspec.json.encode([msgspec.structs.replace(part, run=opened.id) for part in parts])


def _stop_on_fatal(opened: Run, counts: Sequence[Counts]) -> None:
    forgiven = {place for resumption in opened.resumptions for place in resumption.forgiven}
    fatal = next((books for books in counts if books.fatal and (books.round, books.job) not in forgiven), None)
    if fatal is not None:
        raise Stop(f"round {fatal.round}, job {fatal.job}: {fatal.fatal}")


class _Index(NamedTuple):
    """A span's index, opened: the head, and behind it the counts of each segment."""

    head: SpanIndex
    tables: pa.Buffer

    def table(self, segment: int, which: int) -> pa.Array:
        """One of the three counts of a segment, a number per bucket."""
        buckets = 16**self.head.depth
        at = (segment * TABLES + which) * buckets * 4
        return pa.Array.from_buffers(pa.uint32(), buckets, [None, self.tables.slice(at, buckets * 4)]).cast(pa.int64())


def _indexes(opened: Run) -> Iterator[_Index]:
    for span in range(opened.start.spans):
        key = opened.keys.index(span)
        data = opened.store.find(key)
        if data is None:
            raise Stop(f"span {span} has not been read ({key}): see the log of the step partition")
        head, _, _ = data.partition(b"\n")
        yield _Index(read(SpanIndex, head, key), pa.py_buffer(data).slice(len(head) + 1))


class _Sums:
    """What all segments hold together, bucket by bucket."""

    def __init__(self, depth: int) -> None:
        zeros = pa.array([0] * 16**depth, pa.int64())
        self.rows, self.bytes, self.distinct = zeros, zeros, zeros
        self.segments: list[PlannedSegment] = []
        self.sketches: list[list[str]] = []
        self.rejected: list[dict[str, int]] = []
        self.lines: dict[int, int] = {}
        self.input_rows: dict[str, int] = {}

    def add(self, index: _Index) -> None:
        pieces = index.head.pieces
        first = pieces[0].source if pieces else 0
        base = self.lines.get(first, 0)
        for piece in pieces:
            self.lines[piece.source] = self.lines.get(piece.source, 0) + piece.lines
            name = str(piece.source)
            self.input_rows[name] = self.input_rows.get(name, 0) + piece.rows
        for n, segment in enumerate(index.head.segments):
            self._add_segment(index, n, segment)
            self.segments.append(
                PlannedSegment(span=index.head.span, begin=segment.begin, first_source=first, line_base=base)
            )

    def _add_segment(self, index: _Index, n: int, segment: Segment) -> None:
        self.rows = pc.add(self.rows, index.table(n, 0))
        self.bytes = pc.add(self.bytes, index.table(n, 1))
        self.distinct = pc.add(self.distinct, index.table(n, 2))
        self.sketches.append(segment.sketch)
        self.rejected.append(segment.rejected)


def _plan_run(opened: Run) -> None:
    """Cut the bucket range into shards, and write where each begins in each segment."""
    if opened.store.exists(opened.keys.plan):
        return
    start, settings = opened.start, opened.settings
    sums = _Sums(start.depth)
    for index in _indexes(opened):
        sums.add(index)
    upper = pc.sum(sums.distinct).as_py() or 0
    distinct = planning.estimate_distinct(sums.sketches, upper) if len(sums.sketches) > 1 else upper
    share = distinct / upper if upper else 0.0
    records = [round(count * share) for count in sums.distinct.to_pylist()]
    constant = RequestWriter(opened.task, start.tiers[0]).constant_bytes
    weights = [
        round(bytes_ * share * EXPANSION) + count * constant
        for bytes_, count in zip(sums.bytes.to_pylist(), records, strict=True)
    ]
    limits = planning.Limits(settings.max_records_per_job, settings.max_file_bytes)
    bounds = planning.cut_shards(records, weights, limits)
    cuts = _write_cuts(opened, bounds, len(sums.segments))
    running = pc.cumulative_sum(sums.rows).to_pylist()
    at_bounds = [running[bound - 1] if bound else 0 for bound in bounds]
    plan = RunPlan(
        depth=start.depth,
        rows=at_bounds[-1],
        bytes=pc.sum(sums.bytes).as_py() or 0,
        rejected=accounting.merged(sums.rejected),
        input_rows=sums.input_rows,
        distinct=distinct,
        bounds=bounds,
        shard_rows=[end - begin for begin, end in pairwise(at_bounds)],
        segments=sums.segments,
    )
    _write_parts(opened, cuts, len(sums.segments))
    opened.store.put(opened.keys.plan, plan.write())


def _write_cuts(opened: Run, bounds: Sequence[int], segments: int) -> array[int]:
    """`cuts.bin`: for each bound a row of u32, the bound's offset in each segment."""
    matrix = array("I", bytes(4 * len(bounds) * segments))
    inner = pa.array([bound - 1 for bound in bounds[1:]], pa.int64())
    column = 0
    for index in _indexes(opened):
        for n in range(len(index.head.segments)):
            offsets = pc.cumulative_sum(index.table(n, 1)).take(inner).cast(pa.uint32())
            matrix[segments + column :: segments] = array("I", offsets.buffers()[1].to_pybytes()[: 4 * len(inner)])
            column += 1
    with opened.store.writer(opened.keys.cuts) as out:
        view = memoryview(matrix).cast("B")
        for at in range(0, len(view), 1024 * 1024):
            out.write(bytes(view[at : at + 1024 * 1024]))
    return matrix


def _write_parts(opened: Run, cuts: array[int], segments: int) -> None:
    """`parts.json`: each shard is a part, or several when its rows are many."""
    parts: list[Part] = []
    shards = len(cuts) // segments - 1 if segments else 0
    for shard in range(shards):
        low, high = (cuts[(shard + n) * segments : (shard + n + 1) * segments] for n in (0, 1))
        sizes = [end - begin for begin, end in zip(low, high, strict=True)]
        if not any(sizes):
            continue
        for first, last in planning.cut_parts(sizes, opened.settings.part_bytes):
            parts.append(Part(run=opened.id, part=len(parts), shard=shard, first=first, last=last))
    opened.store.put(opened.keys.parts, msgspec.json.encode(parts))


def _first_round(opened: Run) -> list[PlannedJob]:
    """A job per shard that holds records."""
    plan = opened.plan
    good = plan.rows - sum(plan.rejected.values())
    jobs: list[PlannedJob] = []
    for shard, rows in enumerate(plan.shard_rows):
        if rows and good:
            records = max(1, round(plan.distinct * rows / plan.rows))
            jobs.append(PlannedJob(job=len(jobs), tier=0, attempt=1, purpose="classify", records=records, shard=shard))
    return jobs


def _later_round(opened: Run, round_: int, counts: Sequence[Counts]) -> list[PlannedJob]:
    """What the budget kept out of the round before; then jobs over what that round left, by tier and attempt."""
    before = opened.keys.round_plan(round_ - 1)
    kept_out = read(RoundPlan, opened.store.get(before), before).kept_out
    jobs = [msgspec.structs.replace(job, job=n) for n, job in enumerate(kept_out)]
    pending = sorted((item for books in counts if books.round == round_ - 1 for item in books.pending), key=_order)
    limits = planning.Limits(opened.settings.max_records_per_job, opened.settings.max_file_bytes)
    for (tier, attempt), group in groupby(pending, key=lambda item: (item.tier, item.attempt)):
        constant = RequestWriter(opened.task, opened.tier(tier)).constant_bytes
        purpose = "retry" if attempt > 1 else "escalate" if tier else "classify"
        for slices in planning.pack_pending(list(group), limits, constant):
            records = sum(item.count for item in slices)
            jobs.append(
                PlannedJob(job=len(jobs), tier=tier, attempt=attempt, purpose=purpose, records=records, pending=slices)
            )
    return jobs


def _order(pending: Pending) -> tuple[int, int, str]:
    return pending.tier, pending.attempt, pending.key


def _affordable(opened: Run, jobs: list[PlannedJob], counts: Sequence[Counts]) -> list[PlannedJob]:
    """The jobs that the budget still allows, in order; all of them without a budget."""
    limit = opened.max_usd
    if limit is None:
        return jobs
    spent = accounting.total(books.cost_usd for books in counts)
    kept: list[PlannedJob] = []
    for job in jobs:
        usd = _expected_usd(opened, job)
        if spent is None or usd is None:
            raise Stop("the budget cannot be kept, since a tier's price is unknown; give it in models.yaml")
        spent += usd * accounting.BUDGET_MARGIN
        if spent > limit:
            break
        kept.append(job)
    return kept


def _expected_usd(opened: Run, job: PlannedJob) -> float | None:
    tier, plan = opened.tier(job.tier), opened.plan
    batch = tier.batch and job.records >= opened.settings.min_records_per_job
    text = plan.bytes * job.records // max(1, plan.rows)
    transport = accounting.BATCH if batch else accounting.ON_DEMAND
    return accounting.expected_usd(opened.task, tier, transport, job.records, text)


def _end(opened: Run, round_: int, reason: Reason | None) -> PlanResult:
    """No more rounds; what is pending stays unresolved, for this reason."""
    opened.store.put(opened.keys.end, End(rounds=round_, reason=reason).write())
    return _result(opened, round_, more=False)
