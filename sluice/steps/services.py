"""What a step is given: the edges and the clock, passed in so that tests can pass in others."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sluice.aws.metrics import ignore
from sluice.errors import SluiceError
from sluice.models.catalog import Catalog
from sluice.runs.document import read
from sluice.runs.drawn import Certificate, Draws, JudgedRows, ScoreGate
from sluice.runs.inbox import Intake
from sluice.runs.keys import Keys
from sluice.runs.settings import Settings
from sluice.runs.settled import SettledRecord, read_settled
from sluice.runs.state import Inputs, JobItem, PlannedJob, Resumption, RoundPlan, RunPlan, Start
from sluice.runs.taught import Taught
from sluice.task.file import parse_task
from sluice.task.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sluice.aws.bedrock import Bedrock
    from sluice.aws.metrics import Meter
    from sluice.aws.s3 import Store
    from sluice.aws.step_functions import Workflow
    from sluice.models.quotas import Listed
    from sluice.runs.state import FrozenTier

ANNOUNCE_PAUSES = (0.5, 2.0)  # seconds between tries to announce something


@dataclass(frozen=True, kw_only=True)
class Services:
    """The edges of one deployment."""

    work: Store
    results: Store
    bucket: Callable[[str], Store]
    bedrock: Bedrock
    workflow: Workflow | None = None
    publish_event: Callable[[str, Mapping[str, object]], None] = lambda _kind, _detail: None
    quotas: Callable[[], list[Listed]] | None = None
    measure: Meter = ignore
    warn: Callable[[str], None] = lambda _problem: None
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    sleep: Callable[[float], None] = time.sleep
    at_once: int = 32  # calls of S3 that intake makes at a time
    remaining_seconds: Callable[[], float] = lambda: 900.0

    def announce(self, kind: str, detail: Mapping[str, object]) -> str | None:
        """Tell whoever listens what is a fact already, trying again for some seconds; a failure decides nothing.

        Returns:
            What went wrong, for a warning; None when it was told.

        """
        for pause in (*ANNOUNCE_PAUSES, None):
            try:
                self.publish_event(kind, detail)
            except SluiceError as error:
                if pause is None:
                    problem = f"{error}; what it tells of has happened all the same"
                    self.warn(problem)
                    return problem
                self.sleep(pause)
            else:
                break
        return None


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What only start needs to know of the deployment, since it freezes it into the run."""

    settings: Settings
    tasks: Path
    catalog: Catalog
    region: str
    role_arn: str
    incoming_bucket: str
    intake: Intake = field(default_factory=Intake)
    kms_key: str | None = None


@dataclass(frozen=True)
class Run:
    """A frozen run, opened. `keys` are its own; `source` those of the run whose rows and jobs it works on.

    Both are the same but for a run that judges the stored answers of another.
    """

    store: Store
    id: str

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.id, len(self.resumptions), self.start.requests_in)

    @cached_property
    def source(self) -> Keys:
        judges, requests_in = self.start.judges, self.start.requests_in
        return self.keys if judges is None else Keys(judges, requests_in=requests_in)

    @cached_property
    def resumptions(self) -> list[Resumption]:
        """The further executions of this run, oldest first."""
        keys = [key for key, _ in self.store.keys(Keys(self.id).resumptions)]
        return [read(Resumption, self.store.get(key), key) for key in keys]

    @property
    def execution(self) -> str:
        """The name of the latest execution."""
        return f"{self.id}-{len(self.resumptions)}" if self.resumptions else self.id

    @property
    def max_usd(self) -> float | None:
        """The budget: the task's, or what the latest resumption allows."""
        given = [item.max_usd for item in self.resumptions if item.max_usd is not None]
        return given[-1] if given else self.task.budget.max_usd

    @property
    def exists(self) -> bool:
        """Whether there is such a run."""
        return self.store.exists(Keys(self.id).start)

    @cached_property
    def start(self) -> Start:
        key = Keys(self.id).start
        return read(Start, self.store.get(key), key)

    @cached_property
    def task(self) -> Task:
        return parse_task(self.start.task, self.keys.start, frozen=True)

    @cached_property
    def settings(self) -> Settings:
        return Settings.model_validate(self.start.settings)

    @cached_property
    def inputs(self) -> Inputs:
        return read(Inputs, self.store.get(self.source.inputs), self.source.inputs)

    @cached_property
    def settled(self) -> list[SettledRecord]:
        """The records that people had settled before the run began."""
        return read_settled(self.store.get(self.source.settled)) if self.start.settled else []

    @cached_property
    def plan(self) -> RunPlan:
        return read(RunPlan, self.store.get(self.source.plan), self.source.plan)

    @cached_property
    def draws_rows(self) -> bool:
        """Whether the last tier is asked about drawn rows; or was, where stored answers are judged again."""
        return self.task.drawn > 0 if self.start.judges is None else self.store.exists(self.source.draws)

    @property
    def promises_nothing(self) -> bool:
        """Whether rows are drawn to measure the tiers below the last one, or to teach, and for no certificate."""
        return self.draws_rows and self.task.quality is None

    @cached_property
    def draws(self) -> Draws:
        """The rows that were drawn for the certificate or the audit."""
        return read(Draws, self.store.get(self.source.draws), self.source.draws)

    @cached_property
    def certificate(self) -> Certificate | None:
        """The certificate, once there is one."""
        data = self.store.find(self.keys.certificate)
        return None if data is None else read(Certificate, data, self.keys.certificate)

    @cached_property
    def score_gate(self) -> ScoreGate | None:
        """Which first answers stand by their score in a run without a certificate, once it is known."""
        data = self.store.find(self.keys.score_gate)
        return None if data is None else read(ScoreGate, data, self.keys.score_gate)

    @property
    def taught(self) -> Taught | None:
        """What the run's learned model was taught by, once it is; a run that judges answers again taught none."""
        data = self.store.find(self.source.taught)
        return None if data is None else read(Taught, data, self.source.taught)

    @property
    def decided(self) -> Certificate | ScoreGate | None:
        """What says which of the first answers that waited for their scores stand, once there is one."""
        return self.score_gate if self.task.quality is None else self.certificate

    @property
    def read_so_far(self) -> RunPlan:
        """The plan, or an empty one when the run broke off before it had any."""
        if self.store.exists(self.source.plan):
            return self.plan
        nothing: dict[str, int] = {}
        return RunPlan(
            depth=self.start.depth,
            rows=0,
            bytes=0,
            rejected=nothing,
            input_rows=nothing,
            distinct=0,
            bounds=[],
            shard_rows=[],
            segments=[],
        )

    @cached_property
    def shard_jobs(self) -> dict[int, tuple[int, int]]:
        """Round and job that first sent each shard: round 0, or a later one when the budget kept the shard out."""
        found: dict[int, tuple[int, int]] = {}
        number, more = 0, True
        while more and (data := self.store.find(self.source.round_plan(number))) is not None:
            plan = read(RoundPlan, data, self.source.round_plan(number))
            found |= {job.shard: (number, job.job) for job in plan.jobs if job.shard is not None and job.below is None}
            # Of a learned first tier the shards come behind the draws.
            more = not found or any(job.shard is not None and job.below is None for job in plan.kept_out)
            number += 1
        return found

    def tier(self, number: int) -> FrozenTier:
        return self.start.tiers[number]

    def answerer(self, job: PlannedJob) -> FrozenTier:
        """Who is asked by a job: its tier, or the judge about the tier's answers."""
        if not job.judge:
            return self.start.tiers[job.tier]
        assert self.start.judge is not None, "only a run with a judge has such jobs"
        return self.start.judge

    def question(self, job: PlannedJob) -> Task:
        """What a job asks: the task, or what the router or the judge is asked."""
        return self.task.asked(router=job.router, judge=job.judge)

    def judges(self, tier: int) -> bool:
        """Whether answers of a tier that pass all else are shown to a judge."""
        return tier in self.judged_tiers

    @property
    def scores_judged(self) -> bool:
        """Whether the score of the first tier's answers weighs what the judge says of them."""
        return self.task.gives_scores and self.judges(0)

    @property
    def judged_rows(self) -> JudgedRows | None:
        """What the judge is worth beside the score, once that is known."""
        return None if self.decided is None else self.decided.judged

    @cached_property
    def judged_tiers(self) -> frozenset[int]:
        """The tiers of which they are; none without a judge."""
        return frozenset(self.task.judged_tiers)

    def round_plan(self, number: int) -> RoundPlan:
        """What a round asks, and what it leaves."""
        key = self.source.round_plan(number)
        return read(RoundPlan, self.store.get(key), key)

    def planned_job(self, item: JobItem) -> PlannedJob:
        """What a job selects."""
        return self.round_plan(item.round).jobs[item.job]

    @property
    def escalates_refused(self) -> bool:
        """Whether what a tier refuses, asked anew by this execution, goes on to the next tier."""
        return bool(self.resumptions) and self.resumptions[-1].escalate_refused

    @property
    def approved(self) -> bool:
        """Whether somebody has approved the run's cost."""
        return any(item.approved for item in self.resumptions)

    @property
    def waiting(self) -> bool:
        """Whether the run waits for an approval; one that is being cancelled does not."""
        return self.store.exists(self.keys.approval) and not self.store.exists(self.keys.cancel)

    @property
    def cancelled(self) -> bool:
        """Whether nothing more may be sent."""
        asked_before = bool(self.resumptions) and self.resumptions[-1].cancelled
        return asked_before or self.store.exists(self.keys.cancel)
