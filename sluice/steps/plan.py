"""plan: cut round 0 into shards, later rounds into packs of what is sent again; keep the budget; end the loop."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import RequestWriter
from sluice.aws.metrics import Measure
from sluice.aws.s3 import ahead
from sluice.budget import costs
from sluice.errors import Stop
from sluice.reasons import Reason
from sluice.runs import accounting, planning
from sluice.runs.books import Counts
from sluice.runs.document import read
from sluice.runs.state import End, Failed, JobItem, Part, PlannedJob, PlanResult, RoundPlan
from sluice.steps.approval import must_wait
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.keys import JobKeys
    from sluice.runs.state import Pending
    from sluice.steps.services import Services

AT_ONCE = 16  # books that are read together: a large run has ten thousand jobs


def run(services: Services, run_id: str, round_: int) -> PlanResult:
    """Plan one round; a round that is planned already is answered from its plan.

    The first one is not, while the run waits for an approval of its cost.

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
        from sluice.steps.cutting import cut_run  # noqa: PLC0415 - Arrow is for the first round alone

        cut_run(opened)
    if opened.cancelled:
        return _end(opened, round_, Reason.CANCELLED)
    counts = [books for number in range(round_) for books in round_counts(opened, number)]
    _stop_on_fatal(opened, counts)
    if round_ == 0 and must_wait(services, opened):
        return _result(opened, round_, more=False, waits=True)
    jobs = _first_round(opened) if round_ == 0 else _later_round(opened, round_, counts)
    affordable = _affordable(opened, jobs, counts)
    if not affordable:
        return _end_for_budget(services, opened, round_) if jobs else _end(opened, round_, None)
    planned = RoundPlan(round=round_, jobs=affordable, kept_out=jobs[len(affordable) :])
    services.work.put(opened.keys.round_plan(round_), planned.write())
    items = [JobItem(run=run_id, round=round_, job=job.job) for job in affordable]
    services.work.put(opened.keys.jobs(round_), msgspec.json.encode(items))
    return _result(opened, round_, more=True)


def _result(opened: Run, round_: int, *, more: bool, waits: bool = False) -> PlanResult:
    return PlanResult(
        run=opened.id,
        round=round_,
        next=round_ + 1,
        more=more,
        waits=waits,
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
    places = [opened.keys.job(round_, job.job) for job in read(RoundPlan, opened.store.get(key), key).jobs]
    books = []
    for keys, data in zip(places, ahead(lambda keys: opened.store.find(keys.counts), places, AT_ONCE), strict=True):
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
    load = costs.Load.of_plan(opened.task, opened.plan)
    kept: list[PlannedJob] = []
    for job in jobs:
        usd = _expected_usd(opened, load, job)
        if spent is None or usd is None:
            raise Stop("the budget cannot be kept, since a tier's price is unknown; give it in models.yaml")
        spent += usd * accounting.BUDGET_MARGIN
        if spent > limit:
            break
        kept.append(job)
    return kept


def _expected_usd(opened: Run, load: costs.Load, job: PlannedJob) -> float | None:
    tier = opened.tier(job.tier)
    transport = costs.expected_transport(tier, job.records, opened.settings.min_records_per_job)
    return costs.expected_usd(tier, load, transport, job.records)


def _end_for_budget(services: Services, opened: Run, round_: int) -> PlanResult:
    ended = _end(opened, round_, Reason.BUDGET)
    services.measure(Measure.BUDGET_REACHED, 1, task=opened.task.name)
    return ended


def _end(opened: Run, round_: int, reason: Reason | None) -> PlanResult:
    """No more rounds; what is pending stays unresolved, for this reason."""
    opened.store.put(opened.keys.end, End(rounds=round_, reason=reason).write())
    return _result(opened, round_, more=False)
