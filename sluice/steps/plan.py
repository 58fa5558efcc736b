"""plan: cut round 0 into shards, later rounds into packs of what is sent again; keep the budget; end the loop."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import RequestWriter
from sluice.aws.metrics import Measure
from sluice.aws.s3 import ahead
from sluice.budget import costs
from sluice.decoding import decode
from sluice.errors import Stop
from sluice.reasons import Reason
from sluice.runs import accounting, planning
from sluice.runs.books import Counts
from sluice.runs.document import read
from sluice.runs.drawn import ShardItem
from sluice.runs.job import Failed
from sluice.runs.state import LOWEST, End, JobItem, Part, PlannedJob, PlanResult, RoundPlan, Then
from sluice.steps.approval import must_wait
from sluice.steps.arrivals import tell_of_refused
from sluice.steps.drawing import draw
from sluice.steps.refused import sort_out, told
from sluice.steps.services import Run
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.keys import JobKeys
    from sluice.runs.state import FrozenTier, Pending
    from sluice.steps.services import Services

AT_ONCE = 16  # books that are read together: a large run has ten thousand jobs


def run(services: Services, run_id: str, round_: int) -> PlanResult:
    """Plan one round; a round that is planned already is answered from its plan.

    The first one is not, while the run waits for an approval of its cost.

    Raises:
        Stop: a job of the round before has no books, or a tier refused all its records and none has been accepted.
        BadInput: no input could be read.

    """
    opened = Run(services.work, run_id)
    if services.work.exists(opened.keys.end):
        return _result(opened, round_, more=False)
    if services.work.exists(opened.keys.jobs(round_)):
        return _result(opened, round_, more=True)
    if opened.start.judges is not None:
        return _judge_round(opened, round_)
    if round_ == 0:
        _read_run(services, opened)
    if opened.cancelled:
        return _end(opened, round_, Reason.CANCELLED)
    counts = [books for number in range(round_) for books in round_counts(opened, number)]
    if round_ == 0 and must_wait(services, opened):
        return _result(opened, round_, more=False, waits=True)
    jobs, left = _later_round(opened, round_, counts) if round_ else (_first_round(opened), [])
    if opened.task.gives_scores and not jobs:
        if (then := _phase(opened)) is not None:
            return msgspec.structs.replace(_result(opened, round_, more=False), next=round_, then=then)
        jobs = _shard_jobs(opened, []) if opened.decided is None else _not_covered(opened, round_)
    jobs = _filled(opened, jobs, counts)
    affordable = _affordable(opened, jobs, counts)
    if not affordable:
        return _end_for_budget(services, opened, round_, left) if jobs else _end(opened, round_, None, left)
    planned = RoundPlan(
        round=round_,
        jobs=affordable,
        kept_out=jobs[len(affordable) :],
        left=left,
        execution=opened.keys.execution,
        certified=opened.task.gives_scores and opened.decided is not None,
    )
    services.work.put(opened.keys.round_plan(round_), planned.write())
    items = [JobItem(run=run_id, round=round_, job=job.job) for job in affordable]
    services.work.put(opened.keys.jobs(round_), msgspec.json.encode(items))
    return _result(opened, round_, more=True)


def _read_run(services: Services, opened: Run) -> None:
    """Cut what has been read into shards, tell of what could not be, and draw rows for the last tier."""
    from sluice.steps.cutting import cut_run  # noqa: PLC0415 - Arrow is for the first round alone

    cut_run(opened)
    tell_of_refused(services, opened)
    if opened.draws_rows:
        draw(opened)


def _result(opened: Run, round_: int, *, more: bool, waits: bool = False) -> PlanResult:
    return PlanResult(
        run=opened.id,
        round=round_,
        next=round_ + 1,
        more=more,
        waits=waits,
        then=Then.JOBS if more else Then.WAIT if waits else Then.MERGE,
        shards_key=opened.keys.shards,
        jobs_key=opened.keys.jobs(round_),
        parts_key=opened.keys.parts,
        max_concurrency=opened.settings.max_jobs_in_flight,
        max_workers=opened.settings.max_workers,
    )


def _phase(opened: Run) -> Then | None:
    """What comes next where answers get scores, once no record that was sent has an attempt left; None for more jobs.

    A learned first tier is taught by the draws, before it can answer anything.
    """
    if opened.decided is not None or opened.draws.records is None:
        return None
    if not opened.store.exists(opened.keys.learned):
        return Then.LEARN
    if opened.tier(0).is_learned and not opened.shard_jobs:
        return None
    _put_shards(opened)
    return Then.CERTIFY


def _put_shards(opened: Run) -> None:
    """Write the items of the map that scores."""
    items = [ShardItem(run=opened.id, shard=shard) for shard, rows in enumerate(opened.plan.shard_rows) if rows]
    opened.store.put(opened.keys.shards, msgspec.json.encode(items))


def _not_covered(opened: Run, round_: int) -> list[PlannedJob]:
    """A job of the next tier for each shard that has records at the threshold or below; once in a run."""
    decided = opened.decided
    if decided is None or opened.round_plan(round_ - 1).certified:
        return []
    threshold = decided.threshold or LOWEST
    return [
        PlannedJob(
            job=job,
            tier=1,
            attempt=1,
            purpose="escalate",
            records=records,
            shard=shard,
            below=threshold,
        )
        for job, (shard, records) in enumerate(decided.below)
    ]


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
        decided = opened.source.certificate if opened.task.quality else opened.source.score_gate
        if opened.task.gives_scores and not opened.decided and opened.store.exists(decided):
            _put_shards(opened)
            return msgspec.structs.replace(_result(opened, round_, more=False), next=round_, then=Then.CERTIFY)
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
    parts = decode(opened.store.get(opened.source.parts), list[Part])
    return msgspec.json.encode([msgspec.structs.replace(part, run=opened.id) for part in parts])


def _first_round(opened: Run) -> list[PlannedJob]:
    """A job per shard that holds records; before them those of the oracle over the records that were drawn."""
    records = opened.draws.records if opened.draws_rows else None
    if records is None:
        return _shard_jobs(opened, [])
    drawn = _asked_of_oracle(opened, records, accounting.DRAW)
    jobs = drawn if opened.tier(0).is_learned else _shard_jobs(opened, drawn)
    repeats = _asked_of_oracle(opened, opened.draws.repeats, accounting.REPEAT)
    return [msgspec.structs.replace(job, job=n) for n, job in enumerate([*jobs, *repeats])]


def _asked_of_oracle(opened: Run, records: Pending | None, purpose: str) -> list[PlannedJob]:
    jobs = [] if records is None else _packed(opened, [(None, records)])
    return [msgspec.structs.replace(job, purpose=purpose, job=n) for n, job in enumerate(jobs)]


def _shard_jobs(opened: Run, before: Sequence[PlannedJob]) -> list[PlannedJob]:
    """These jobs, and one of the first tier for each shard that holds records."""
    plan, jobs = opened.plan, list(before)
    good = plan.good
    later = sum(rows for route, (rows, _) in plan.routed.items() if opened.task.routes[route].tier)
    here = plan.distinct * (good - later) / good if good else 0  # the others start at other tiers
    for shard, rows in enumerate(plan.shard_rows):
        if rows and good:
            records = max(1, round(here * rows / plan.rows))
            job = PlannedJob(job=len(jobs), tier=0, attempt=1, purpose="classify", records=records, shard=shard)
            jobs.append(job if opened.task.router is None else msgspec.structs.replace(job, router=True, pack=1))
    return jobs


def _later_round(opened: Run, round_: int, counts: Sequence[Counts]) -> tuple[list[PlannedJob], list[PlannedJob]]:
    """The jobs of a round, and what is left since its tier refuses it.

    First what the budget kept out of the round before, and what an earlier execution left; then jobs over what that
    round left, by tier and attempt, and those over what was refused.
    """
    before = opened.round_plan(round_ - 1)
    onward = sort_out(opened, before, counts)
    anew = before.execution < opened.keys.execution
    kept_out = [job for job in before.kept_out if job.purpose != accounting.REPEAT]  # the run does without
    jobs = [*kept_out, *(before.left if anew else [])]
    jobs += _packed(opened, [(None, item) for item in onward.plain])
    jobs += [msgspec.structs.replace(job, purpose=accounting.RETRY) for job in _packed(opened, onward.again)]
    jobs += _packed(opened, onward.passed)
    left = [msgspec.structs.replace(job, purpose=accounting.RETRY) for job in _packed(opened, onward.left)]
    numbered = [msgspec.structs.replace(job, job=n) for n, job in enumerate(jobs)]
    return numbered, [*([] if anew else before.left), *left]


def _filled(opened: Run, jobs: list[PlannedJob], counts: Sequence[Counts]) -> list[PlannedJob]:
    """The jobs; of those below Bedrock's least number the ones that want batch all the same are to be filled up.

    They do by the task's word, or since their calls were throttled for too long; in a run and tier so many that the
    ceiling knows what fillers can cost.
    """
    before = Counter((books.tier, books.judge) for books in counts if books.fillers)
    least = opened.settings.min_records_per_job
    found = []
    for job in jobs:
        wanted = job.fill or (opened.answerer(job).transport is Transport.BATCH and job.records < 2 * least)
        fill = wanted and before[job.tier, job.judge] < costs.MOST_FILLED
        before[job.tier, job.judge] += fill
        found.append(msgspec.structs.replace(job, fill=fill))
    return _with_ways(opened, found, [job.fill for job in jobs])


def _with_ways(opened: Run, jobs: Sequence[PlannedJob], throttled: Sequence[bool]) -> list[PlannedJob]:
    """The jobs, with the way in which the requests of each are sent: by what the round sends to its tier together.

    What was throttled for too long goes in batch, whatever else would cost less.
    """
    whole, least = costs.Load.of_plan(opened.task, opened.plan), opened.settings.min_records_per_job
    together = Counter[tuple[int, bool, int | None]]()
    for job in jobs:
        together[job.tier, job.judge, job.pack] += job.records
    found = []
    for job, was_throttled in zip(jobs, throttled, strict=True):
        tier, load = _tier_of(opened, job), _load_of(whole, job)
        way = costs.expected_way(tier, load, job.records, least)
        if way is not Way.BATCH and tier.batch and costs.requests_of(job.records, tier.pack) >= least:
            way = costs.expected_way(tier, load, together[job.tier, job.judge, job.pack], least)
        found.append(msgspec.structs.replace(job, way=Way.BATCH if tier.batch and (job.fill or was_throttled) else way))
    return found


def _load_of(load: costs.Load, job: PlannedJob) -> costs.Load:
    """The load as the requests of a job."""
    return load.of_router if job.router else load.of_judge if job.judge else load


def _tier_of(opened: Run, job: PlannedJob) -> FrozenTier:
    """Who is asked by a job, with as many records in a request as the job has."""
    tier = opened.answerer(job)
    return tier if job.pack is None else tier.model_copy(update={"pack": job.pack})


def _packed(opened: Run, found: Sequence[tuple[str | None, Pending]]) -> list[PlannedJob]:
    """Jobs over pending records, each with the words in which its records were refused, if they were."""
    jobs: list[PlannedJob] = []
    limits = planning.Limits(opened.settings.max_records_per_job, opened.settings.max_file_bytes)
    ordered = sorted(found, key=lambda pair: (*_order(pair[1]), pair[0] or "", pair[1].fill, pair[1].key))
    alike = groupby(ordered, key=lambda pair: (*_order(pair[1]), pair[0], pair[1].fill))
    for (tier, attempt, size, last, router, judge, refused, fill), group in alike:
        who = opened.start.judge if judge and opened.start.judge is not None else opened.tier(tier)
        constant = RequestWriter(opened.task.asked(router=router, judge=judge), who).constant_bytes
        pack = size or None
        again = attempt > 1 or fill or (pack is not None and not router)
        purpose = accounting.RETRY if again else _purpose(opened, tier, router=router, judge=judge)
        for slices in planning.pack_pending([item for _, item in group], limits, constant):
            jobs.append(
                PlannedJob(
                    job=len(jobs),
                    tier=tier,
                    attempt=attempt,
                    purpose=purpose,
                    records=sum(item.count for item in slices),
                    pending=slices,
                    refused=refused,
                    fill=fill,
                    pack=pack,
                    last=None if last < 0 else last,
                    router=router,
                    judge=judge,
                )
            )
    return jobs


def _purpose(opened: Run, tier: int, *, router: bool, judge: bool) -> str:
    """What a job is for that asks for the first time."""
    if judge:
        return accounting.JUDGE
    first = accounting.CLASSIFY if router or opened.task.router is None else accounting.ROUTED
    return "escalate" if tier else first


def _order(pending: Pending) -> tuple[int, int, int, int, bool, bool]:
    last = -1 if pending.last is None else pending.last
    return pending.tier, pending.attempt, pending.pack or 0, last, pending.router, pending.judge


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
    tier, least = _tier_of(opened, job), opened.settings.min_records_per_job
    load = _load_of(load, job)
    fillers = costs.filler_usd(tier, least) if job.fill else 0.0
    way = job.way or costs.expected_way(tier, load, job.records, least)
    return accounting.total([costs.expected_usd(tier, load, way, job.records), fillers])


def _end_for_budget(services: Services, opened: Run, round_: int, left: Sequence[PlannedJob]) -> PlanResult:
    ended = _end(opened, round_, Reason.BUDGET, left)
    services.measure(Measure.BUDGET_REACHED, 1, task=opened.task.name)
    return ended


def _end(opened: Run, round_: int, reason: Reason | None, left: Sequence[PlannedJob] = ()) -> PlanResult:
    """No more rounds; what is pending stays unresolved, for this reason, and what is left for that of its refusal."""
    opened.store.put(opened.keys.end, End(rounds=round_, reason=reason, left=told(left)).write())
    return _result(opened, round_, more=False)
