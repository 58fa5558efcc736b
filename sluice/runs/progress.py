"""How far a run is, read from the documents that its steps leave in the work bucket.

The local runner's display and the command that watches a run in the cloud look at the same keys through `Reader`,
so what one shows is what the other shows. Looking changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from sluice.runs.accounting import total
from sluice.runs.document import Document, read
from sluice.runs.job import Ended, Failed, Looked
from sluice.runs.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.runs.calls import Calls

D = TypeVar("D", bound=Document)


class Reader(Protocol):
    """What a look needs of the work bucket; `sluice.aws.s3.Store` is one."""

    def find(self, key: str) -> bytes | None:
        """Return the whole object, or None when there is none."""

    def keys(self, prefix: str) -> Iterable[tuple[str, int]]:
        """List the keys under a prefix, with their bytes."""


class Stage(StrEnum):
    """Where a run stands, in order."""

    START = "start"
    PARTITION = "partition"
    PLAN = "plan"
    CLASSIFY = "classify"
    MERGE = "merge"
    PUBLISH = "publish"
    DONE = "done"


class JobState(StrEnum):
    """Where a job stands, in order; one that stays prepared waits for a quota, a failed one has no books."""

    QUEUED = "queued"
    PREPARED = "prepared"
    RUNNING = "running"
    ENDED = "ended"
    SETTLED = "settled"
    FAILED = "failed"


# Of each document only what is shown: the plan of a large run is megabytes, and watching may cost no more than that.


class _Tier(msgspec.Struct):
    model: str


class _Start(Document, frozen=True, kw_only=True):
    task: dict[str, Any]
    tiers: list[_Tier]
    judge: _Tier | None = None
    spans: int
    judges: str | None = None


class _Inputs(Document, frozen=True, kw_only=True):
    inputs: list[msgspec.Raw]


class _RunPlan(Document, frozen=True, kw_only=True):
    rows: int
    rejected: dict[str, int]
    distinct: int
    ceiling_usd: float | None = None
    expected_usd: float | None = None


class _PlannedJob(msgspec.Struct):
    job: int
    tier: int
    records: int
    judge: bool = False


class _RoundPlan(Document, frozen=True, kw_only=True):
    round: int
    jobs: list[_PlannedJob]


class _Resumption(Document, frozen=True, kw_only=True):
    max_usd: float | None = None


class _Submitted(Document, frozen=True, kw_only=True):
    at: str | None = None


class _End(Document, frozen=True, kw_only=True):
    pass


class _Counts(Document, frozen=True, kw_only=True):
    status: str
    message: str | None
    records: int
    accepted: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Gauge:
    """So many of so many."""

    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.done:,} of {self.total:,}"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One job; `status` and `message` are Bedrock's, the counts stand at 0 until the job is settled.

    `since` is when a batch job that runs was submitted, as an ISO time; `processed` how many records it had behind it
    when Bedrock was last asked, None where Bedrock does not say.
    """

    job: int
    tier: int
    records: int
    state: JobState = JobState.QUEUED
    status: str | None = None
    message: str | None = None
    accepted: int = 0
    cost_usd: float | None = 0.0
    since: str | None = None
    processed: int | None = None


@dataclass(frozen=True, slots=True)
class TierProgress:
    """What one tier was given so far: `open` are records whose answers have not been judged."""

    tier: int
    records: int
    accepted: int
    open: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """One round and its jobs."""

    round: int
    jobs: tuple[JobProgress, ...]

    @property
    def settled(self) -> Gauge:
        """Jobs whose answers have been judged."""
        return Gauge(sum(job.state is JobState.SETTLED for job in self.jobs), len(self.jobs))

    @property
    def running(self) -> int:
        return sum(job.state is JobState.RUNNING for job in self.jobs)

    @property
    def since(self) -> str | None:
        """When the job was submitted that has been running longest."""
        return min((job.since for job in self.jobs if job.since), default=None)

    @property
    def processed(self) -> int | None:
        """Records that Bedrock is done with, those of ended jobs among them; None while no running job tells."""
        told = [job.processed for job in self.jobs if job.processed is not None]
        done = {JobState.ENDED, JobState.SETTLED}
        return sum(told) + sum(job.records for job in self.jobs if job.state in done) if told else None

    @property
    def states(self) -> dict[JobState, int]:
        """How many jobs stand where, in the order of the states; none of those that are settled."""
        counts = {stands: sum(job.state is stands for job in self.jobs) for stands in JobState}
        return {stands: count for stands, count in counts.items() if count and stands is not JobState.SETTLED}

    @property
    def waiting(self) -> int:
        """Jobs that could be submitted."""
        return sum(job.state is JobState.PREPARED for job in self.jobs)

    @property
    def records(self) -> int:
        return sum(job.records for job in self.jobs)

    @property
    def accepted(self) -> int:
        return sum(job.accepted for job in self.jobs)

    @property
    def tiers(self) -> tuple[int, ...]:
        return tuple(sorted({job.tier for job in self.jobs}))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `rows` and `records` are None until every row has been read.

    `calls` is told by runs on this machine alone.
    """

    run: str
    stage: Stage = Stage.START
    task: str | None = None
    models: tuple[str, ...] = ()
    inputs: int | None = None
    spans: Gauge = field(default_factory=Gauge)
    rows: int | None = None
    rejected: int = 0
    records: int | None = None
    rounds: tuple[RoundProgress, ...] = ()
    parts: Gauge = field(default_factory=Gauge)
    status: str | None = None
    ceiling_usd: float | None = None
    expected_usd: float | None = None
    budget_usd: float | None = None
    calls: Calls | None = None

    @property
    def accepted(self) -> int:
        """Records accepted so far."""
        return sum(part.accepted for part in self.rounds)

    @property
    def cost_usd(self) -> float | None:
        """Dollars spent by the settled jobs, None when a price is unknown."""
        return total(job.cost_usd for part in self.rounds for job in part.jobs)

    @property
    def tiers(self) -> tuple[TierProgress, ...]:
        """What each tier was given, from the first to the last that was given anything."""
        jobs = [job for part in self.rounds for job in part.jobs]
        return tuple(_tier(tier, [job for job in jobs if job.tier == tier]) for tier in sorted({j.tier for j in jobs}))


def _tier(tier: int, jobs: list[JobProgress]) -> TierProgress:
    return TierProgress(
        tier,
        records=sum(job.records for job in jobs),
        accepted=sum(job.accepted for job in jobs),
        open=sum(job.records for job in jobs if job.state is not JobState.SETTLED),
        cost_usd=total(job.cost_usd for job in jobs),
    )


class Watch:
    """Looks at one run again and again, and reads each document that cannot change once only."""

    def __init__(self, reader: Reader, run: str) -> None:
        self.run = run
        self._reader = reader
        self._keys = Keys(run)
        self._kept: dict[str, Any] = {}

    def look(self) -> Snapshot:
        """Show the run as its documents stand now."""
        start = self._document(_Start, self._keys.start)
        if start is None:
            return Snapshot(self.run)
        self._keys = Keys(self.run, sum(1 for _ in self._reader.keys(self._keys.resumptions)))
        source = Keys(start.judges) if start.judges else self._keys
        inputs = self._document(_Inputs, source.inputs)
        plan = self._document(_RunPlan, source.plan)
        rounds = self._rounds(len(start.tiers)) if plan else ()
        parts = self._parts()
        status = self._status()
        return Snapshot(
            run=self.run,
            stage=_stage(plan=plan is not None, rounds=rounds, parts=parts, ended=status is not None),
            task=str(start.task.get("name", "")),
            models=tuple(tier.model for tier in (*start.tiers, *([] if start.judge is None else [start.judge]))),
            inputs=len(inputs.inputs) if inputs else None,
            spans=Gauge(start.spans if plan else self._partitioned(), start.spans),
            rows=plan.rows if plan else None,
            rejected=sum(plan.rejected.values()) if plan else 0,
            records=plan.distinct if plan else None,
            rounds=rounds,
            parts=parts or Gauge(),
            status=status,
            ceiling_usd=plan.ceiling_usd if plan and not start.judges else None,
            expected_usd=plan.expected_usd if plan and not start.judges else None,
            budget_usd=self._budget(start),
        )

    def _budget(self, start: _Start) -> float | None:
        """The budget of the task, or the one that the run was resumed with last."""
        kept = [self._document(_Resumption, key) for key, _ in self._reader.keys(self._keys.resumptions)]
        given = [item.max_usd for item in kept if item is not None and item.max_usd is not None]
        budget = start.task.get("budget") or {}
        return given[-1] if given else budget.get("max_usd")

    def _partitioned(self) -> int:
        return sum(key.endswith(".index") for key, _ in self._reader.keys(self._keys.rows_prefix))

    def _rounds(self, tiers: int) -> tuple[RoundProgress, ...]:
        """The rounds; what asks the judge stands behind the tiers, as its model does."""
        rounds: list[RoundProgress] = []
        while plan := self._document(_RoundPlan, self._keys.round_plan(len(rounds))):
            for job in plan.jobs:
                job.tier = tiers if job.judge else job.tier
            rounds.append(self._round(plan))
        return tuple(rounds)

    def _round(self, plan: _RoundPlan) -> RoundProgress:
        there = {key for key, _ in self._reader.keys(f"{self._keys.root}/round-{plan.round}/")}
        there |= {f"{key.rpartition('/')[0]}/" for key in there}  # folders too: one that exists has begun
        return RoundProgress(plan.round, tuple(self._job(plan.round, job, there) for job in plan.jobs))

    def _job(self, round_: int, job: _PlannedJob, there: set[str]) -> JobProgress:
        keys = self._keys.job(round_, job.job)
        counts = self._document(_Counts, keys.counts) if keys.counts in there else None
        if counts:
            return JobProgress(
                job=job.job,
                tier=job.tier,
                records=counts.records,
                state=JobState.SETTLED,
                status=counts.status,
                message=counts.message,
                accepted=counts.accepted,
                cost_usd=counts.cost_usd,
            )
        ended = self._document(Ended, keys.ended) if keys.ended in there else None
        if ended:
            return JobProgress(job.job, job.tier, job.records, JobState.ENDED, ended.status, ended.message)
        failed = self._reader.find(keys.failed) if keys.failed in there else None
        if failed:  # goes away when the run is resumed, so it is never kept
            cause = read(Failed, failed, keys.failed)
            return JobProgress(job.job, job.tier, job.records, JobState.FAILED, cause.error, cause.cause)
        if keys.submitted in there or keys.begun_prefix in there:
            submitted = self._document(_Submitted, keys.submitted) if keys.submitted in there else None
            since = submitted.at if submitted else None
            processed = self._processed(keys.looked) if keys.looked in there else None
            return JobProgress(job.job, job.tier, job.records, JobState.RUNNING, since=since, processed=processed)
        return JobProgress(
            job.job, job.tier, job.records, JobState.PREPARED if keys.prepared in there else JobState.QUEUED
        )

    def _processed(self, key: str) -> int | None:
        """How far the latest look found a job; written anew by each, so it is never kept."""
        data = self._reader.find(key)
        return None if data is None else read(Looked, data, key).processed

    def _parts(self) -> Gauge | None:
        """Count the parts once the last round has ended; their list is there from the first plan on."""
        if self._document(_End, self._keys.end) is None:
            return None
        if self._keys.parts not in self._kept:
            self._kept[self._keys.parts] = self._reader.find(self._keys.parts) or b"[]"
        merged = sum(key.endswith(".json") for key, _ in self._reader.keys(self._keys.merged_prefix))
        return Gauge(merged, len(msgspec.json.decode(self._kept[self._keys.parts])))

    def _status(self) -> str | None:
        """How the latest execution ended; beside a further one, run.json may still be of the one before."""
        data = self._reader.find(self._keys.published if self._keys.execution else self._keys.summary)
        return str(msgspec.json.decode(data).get("status")) if data else None

    def _document(self, kind: type[D], key: str) -> D | None:
        if key not in self._kept:
            data = self._reader.find(key)
            if data is None:
                return None
            self._kept[key] = read(kind, data, key)
        kept: D = self._kept[key]
        return kept


def snapshot(reader: Reader, run: str) -> Snapshot:
    """One look at a run."""
    return Watch(reader, run).look()


def _stage(*, plan: bool, rounds: tuple[RoundProgress, ...], parts: Gauge | None, ended: bool) -> Stage:
    if ended:
        return Stage.DONE
    if parts:
        return Stage.PUBLISH if parts.done >= parts.total else Stage.MERGE
    if not plan:
        return Stage.PARTITION
    unsettled = rounds and rounds[-1].settled.done < len(rounds[-1].jobs)
    return Stage.CLASSIFY if unsettled else Stage.PLAN
