"""What a run is expected to take, worked out from its texts: records, tokens, dollars, hours."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.answers.requests import CLOSE, OPEN, answer_tokens, system_prompt
from sluice.aws.folder import LOCAL
from sluice.budget import costs, whole
from sluice.budget.tokens import characters_of, estimated_tokens, token_range, tokens_of
from sluice.forecast.floors import floors_of
from sluice.forecast.later import jobs_for, with_router
from sluice.forecast.parts import JudgeForecast, TierForecast, judge_forecast
from sluice.forecast.survey import documents
from sluice.forecast.ways import as_if_left_open, compared, taken
from sluice.runs import accounting
from sluice.runs.approval import beyond
from sluice.runs.state import FrozenTier
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sluice.forecast.advice import Mix
    from sluice.forecast.known import Known
    from sluice.forecast.survey import Survey
    from sluice.forecast.texts import Texts
    from sluice.models.catalog import Catalog, Model
    from sluice.runs.settings import Settings
    from sluice.steps.services import Run
    from sluice.task.task import Task

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of a tier's records that go on, for which the cost is told
ROUTED_FIGURES = ("records", "input_tokens", "output_tokens", "expected_usd", "ceiling_usd")  # that a router adds to
FRAME_TOKENS = 10  # of a request's roles and turns


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be forecast: S3 URIs or paths, a task, the share that escalates, a folder of kept replies."""

    inputs: Sequence[str]
    task: Task
    settings: Settings
    catalog: Catalog
    region: str
    escalate: float
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run as it is expected; `budget` tells whether the task's budget lets it reach its end, None without one.

    `approval` tells whether the run will wait for one, None where the settings ask for none.

    `drawn`: rows that are drawn for the last tier; `certified`: for a certificate. `min_score`: decides without one.
    `floors`: of each label with a promise of its own how many sampled rows that takes, and how many are expected.
    `packs`: how many records a request of each tier may hold. `known`: what a folder's kept replies leave to be asked.
    `found` is what the rows hold beside their texts: see `survey.documents`. `routes`: how many rows each takes.
    `offer` is a cheaper model for the second tier, of which nobody has measured how well it answers.
    `judge`: what the judge takes beside the tiers.
    `advice`: other ladders, packs and transports by what they would cost, the cheapest first.

    `tokens` says how they were estimated and what the instructions' share is, `longest` what the longest texts cost.
    """

    task: str
    inputs: list[dict[str, Any]]
    rows: int
    rejected: dict[str, int]
    rejected_rows: list[dict[str, Any]]
    found: dict[str, Any]
    records: int
    escalate: float
    drawn: int
    certified: bool
    floors: list[dict[str, Any]]
    tiers: list[TierForecast]
    packs: list[int]
    expected_usd: float | None
    ceiling_usd: float | None
    shares: list[dict[str, Any]]
    strongest: dict[str, Any]
    offer: dict[str, Any] | None
    advice: list[Mix]
    tokens: dict[str, Any]
    longest: dict[str, Any]
    duration: dict[str, Any]
    budget: dict[str, Any] | None
    approval: dict[str, Any] | None
    warnings: list[str]
    prices: dict[str, str]
    request: dict[str, str] | None
    known: dict[str, Any] | None = None
    routes: Sequence[dict[str, Any]] = ()
    min_score: float | None = None
    judge: JudgeForecast | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """How long the run may take, at the shortest and at the longest."""
        low, high = self.duration["seconds"]
        return low, high

    def as_document(self) -> dict[str, Any]:
        """Make the document that a program reads."""
        rejected = sum(self.rejected.values())
        return {
            "schema_version": 1,
            **{field.name: msgspec.to_builtins(getattr(self, field.name)) for field in fields(self)},
            "rows": {"in": self.rows, "good": self.rows - rejected, "rejected": rejected},
            "records": {"distinct": self.records},
        }


@dataclass(frozen=True)
class Estimate:
    """Works out a forecast from the texts of a run that has been cut into `first_jobs` jobs."""

    asked: Asked
    opened: Run
    first_jobs: int
    texts: Texts
    survey: Survey
    request: dict[str, str] | None
    known: Known | None = None

    def forecast(self, shares: Sequence[float] | None = None) -> Forecast:
        """The forecast, when these shares of each tier's records go on; by default the one that was asked for."""
        opened, task = self.opened, self.asked.task
        tiers = self.tiers(self.shares if shares is None else shares)
        least = self.asked.settings.min_records_per_job
        judge = judge_forecast(task, opened.start, self.load, [tier.records for tier in tiers], least)
        parts: list[TierForecast | JudgeForecast] = [*tiers, *([] if judge is None else [judge])]
        return Forecast(
            task=task.name,
            inputs=self.inputs(),
            rows=opened.plan.rows,
            rejected=opened.plan.rejected,
            rejected_rows=[
                {"source": self.name(row.source), "line": row.line, "reason": row.reason.value}
                for row in self.texts.refused
            ],
            found=documents(self.survey, self.name),
            records=self.texts.records,
            escalate=self.asked.escalate,
            drawn=task.drawn,
            certified=task.quality is not None,
            floors=floors_of(task, self.survey.known_labels),
            tiers=tiers,
            packs=[tier.pack for tier in opened.start.tiers],
            expected_usd=accounting.total(part.expected_usd for part in parts),
            ceiling_usd=accounting.total(part.ceiling_usd for part in parts),
            judge=judge,
            shares=[{"share": share, "expected_usd": self.expected_at(share)} for share in SHARES],
            strongest=self.strongest(),
            offer=None,
            advice=[],
            tokens=self.tokens(),
            longest=self.longest(tiers),
            duration=self.duration(tiers),
            budget=self.budget(tiers),
            approval=self.approval(),
            warnings=[],
            prices=opened.start.prices,
            request=self.request,
            routes=accounting.routes(task, opened.plan),
            min_score=task.min_score,
        )

    @property
    def shares(self) -> list[float]:
        """The asked share for each tier but the last."""
        return [self.asked.escalate] * (len(self.opened.start.tiers) - 1)

    @cached_property
    def models(self) -> list[Model]:
        """The tiers' models, as the catalogue knows them."""
        return [self.asked.catalog.resolve(tier.model, self.asked.region) for tier in self.opened.start.tiers]

    def name(self, number: int) -> str:
        """An input as people call it."""
        return self.opened.inputs.inputs[number].uri.replace(f"s3://{LOCAL}/", "/")

    def inputs(self) -> list[dict[str, Any]]:
        """Each input with its rows, and how many of them are rejected."""
        rows, rejected = self.opened.plan.input_rows, self.survey.rejected
        return [
            {
                "uri": self.name(number),
                "bytes": item.bytes,
                "rows": rows.get(str(number), 0),
                "rejected": sum(found.rows for found in rejected[number].values()) if number in rejected else 0,
            }
            for number, item in enumerate(self.opened.inputs.inputs)
        ]

    @cached_property
    def load(self) -> costs.Load:
        """What the good rows come to as requests."""
        task, figures, texts = self.asked.task, self.asked.catalog.tokens.characters, self.texts
        sampled = tokens_of(self.characters, figures)
        prompt = estimated_tokens([system_prompt(task), OPEN, CLOSE], figures)
        return costs.Load(
            records=texts.records,
            text_tokens=round(sampled / max(1, texts.sampled_bytes) * texts.bytes),
            prompt_tokens=round(prompt) + FRAME_TOKENS,
            answer_tokens=answer_tokens(task),
            most_records=texts.records,
            most_text_bytes=texts.bytes,
            routed=texts.routed,
            router=costs.router_tokens(task),
            repeated=costs.repeated(task, texts.records),
            judge=costs.judge_tokens(task),
        )

    @cached_property
    def characters(self) -> Counter[str]:
        """Characters of the sampled texts by script."""
        return characters_of(self.texts.sample)

    def tiers(self, shares: Sequence[float]) -> list[TierForecast]:
        """Each tier gets the assumed share of what the tier before it got."""
        counts = self.load.sent(shares, self.asked.task.drawn)
        first, *others = [self.tier(number, records) for number, records in enumerate(counts)]
        least = self.asked.settings.min_records_per_job
        figures = {name: getattr(first, name) for name in ROUTED_FIGURES}
        with_its = with_router(self.asked.task, self.opened.start.tiers, self.load, least, figures)
        return [replace(first, **with_its), *others]

    def tier(self, number: int, records: int) -> TierForecast:
        """Figure out one tier; too few records for a batch job go on demand."""
        tier, model, settings = self.opened.start.tiers[number], self.models[number], self.asked.settings
        jobs = self.first_jobs if number == 0 else jobs_for(self.asked.task, settings, self.texts, tier, records)
        way = taken(tier, self.load, records, jobs, settings.min_records_per_job)
        opened = as_if_left_open(tier, model)
        tokens_in, tokens_out = self.load.expected_tokens(records, tier.token_factor, tier.pack)
        return TierForecast(
            model=tier.called,
            transport=way.transport.value,
            way=way.value,
            cheapest=costs.cheapest(opened, self.load, records, settings.min_records_per_job),
            ways=compared(opened, self.load, records),
            instructions=round(self.load.prompt_tokens * tier.token_factor),
            cached_from=costs.cached_from(opened, self.load) if opened.cache_from_tokens else None,
            records=records,
            jobs=jobs,
            waves=math.ceil(jobs / settings.max_jobs_in_flight),
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            expected_usd=costs.expected_usd(tier, self.load, way, records),
            ceiling_usd=costs.ceiling_usd(self.asked.task, tier, self.load.at(number), settings.min_records_per_job),
            seconds=self.seconds(tier, model, way, records, jobs),
            timed=model.server is not None or self.asked.catalog.durations.knows(model.name),
        )

    def seconds(self, tier: FrozenTier, model: Model, way: Way, records: int, jobs: int) -> tuple[float, float]:
        """The shortest and the longest that a tier may take; a job that runs into its time-out is ended there."""
        known, settings = self.asked.catalog.durations, self.asked.settings
        if not records or model.server is not None:  # how fast one's own server is, nobody knows
            return 0.0, 0.0
        if way is not Way.BATCH:
            at_once = settings.on_demand_concurrency * min(jobs, settings.max_jobs_in_flight)
            calls = math.ceil(costs.requests_of(records, tier.pack) / at_once)
            quota = 60 * (costs.on_demand_minutes(tier, self.load, way, records) or 0.0)
            return known.calls[0] * calls, max(known.calls[1] * calls, quota)
        waves = math.ceil(jobs / settings.max_jobs_in_flight)
        low, high = known.job_minutes(model.name, math.ceil(records / jobs))
        return waves * low * 60, waves * min(high * 60, tier.timeout_hours * 3600.0)

    def expected_at(self, share: float) -> float | None:
        """What the run is expected to cost at a share."""
        start, least = self.opened.start, self.asked.settings.min_records_per_job
        return whole.run_expected_usd(start.tiers, self.load, least, share, self.asked.task.drawn, start.judge)

    def strongest(self) -> dict[str, Any]:
        """What the last tier alone would cost, in batch and on demand; None where it cannot be had or has no price."""
        tier, load = self.opened.start.tiers[-1], self.load
        batch = self.models[-1].batch and load.records >= self.asked.settings.min_records_per_job
        in_batch = costs.expected_usd(tier, load, Transport.BATCH, load.records) if batch else None
        on_demand = costs.expected_usd(tier, load, Transport.ON_DEMAND, load.records)
        return {
            "model": tier.called,
            "batch_usd": in_batch,
            "on_demand_usd": on_demand,
            "pays_below_share": self.pays_below(on_demand if in_batch is None else in_batch),
        }

    def pays_below(self, alone: float | None) -> float | None:
        """The share that goes on up to which the tiers together cost less than the last alone, to a thousandth."""
        if alone is None or len(self.opened.start.tiers) < 2 or self.expected_at(0.0) is None:
            return None
        steps = range(1, 1001)  # no search by halves: with records enough for a batch job more can cost less
        return next((step - 1 for step in steps if (self.expected_at(step / 1000) or 0.0) > alone), 1000) / 1000

    def tokens(self) -> dict[str, Any]:
        """How tokens were estimated, and how many of those that are read are instructions."""
        known, load = self.asked.catalog.tokens, self.load
        instructions, read = load.records * load.prompt_tokens, load.expected_tokens(load.records)[0]
        text, characters = load.text_tokens, self.characters
        sampled = tokens_of(characters, known.characters)
        fewest, most = token_range(characters, known)
        return {
            "basis": f"characters per token by script: {known.source}",
            "date": known.date,
            "sampled_records": len(self.texts.sample),
            "scripts": {script: count / characters.total() for script, count in characters.most_common()},
            "text": text,
            "range": [round(text * counted / sampled) for counted in (fewest, most)] if sampled else [0, 0],
            "bytes_per_token": round(self.texts.bytes / text, 2) if text else None,
            "instructions": load.prompt_tokens,
            "instructions_share": instructions / read if read else None,
        }

    def longest(self, tiers: Sequence[TierForecast]) -> dict[str, Any]:
        """What the longest hundredth of the texts costs, over all tiers."""
        records = math.ceil(self.load.records / 100)
        bytes_, shortest = self.texts.longest(records)
        share = bytes_ / self.texts.bytes if self.texts.bytes else 0.0
        part = replace(self.load, records=records, text_tokens=round(self.load.text_tokens * share))
        usd = [
            costs.expected_usd(frozen, part, tier.way, round(records * tier.records / max(1, self.load.records)))
            for frozen, tier in zip(self.opened.start.tiers, tiers, strict=True)
        ]
        return {
            "records": records,
            "from_bytes": shortest,
            "share_of_text": share,
            "expected_usd": accounting.total(usd),
        }

    def duration(self, tiers: Sequence[TierForecast]) -> dict[str, Any]:
        """How long the tiers may take one after the other, and what is known of it."""
        known = self.asked.catalog.durations
        spans = [*(tier.seconds for tier in tiers), *self.judging_seconds([tier.records for tier in tiers])]
        return {
            "seconds": [sum(low for low, _ in spans), sum(high for _, high in spans)],
            "basis": f"{known.source} ({known.date})",
            "not_timed": [tier.model for tier in tiers if tier.transport == Transport.BATCH and not tier.timed],
        }

    def judging_seconds(self, counts: Sequence[int]) -> Iterator[tuple[float, float]]:
        """The shortest and the longest that the judge may take behind tiers, in a round of its own for each."""
        judge, settings = self.opened.start.judge, self.asked.settings
        for records in self.load.shown(counts):
            assert judge is not None, "nobody else looks at answers"
            model, load = self.asked.catalog.resolve(judge.model, self.asked.region), self.load.of_judge
            way = costs.expected_way(judge, load, records, settings.min_records_per_job)
            jobs = jobs_for(self.asked.task.judging, settings, self.texts, judge, records)
            yield self.seconds(judge, model, way, records, jobs)

    def budget(self, tiers: Sequence[TierForecast]) -> dict[str, Any] | None:
        """Hold each round against the budget, as the step plan will when the round comes: it sees bytes, not texts."""
        limit, spent = self.asked.task.budget.max_usd, 0.0
        if limit is None:
            return None
        for number, (frozen, tier) in enumerate(zip(self.opened.start.tiers, tiers, strict=True)):
            expected = costs.expected_usd(frozen, self.rough, tier.way, tier.records) or 0.0
            if spent + expected * accounting.BUDGET_MARGIN > limit:
                return {"max_usd": limit, "fits": False, "stops_before_tier": number}
            spent += tier.expected_usd or 0.0
        return {"max_usd": limit, "fits": True, "stops_before_tier": None}

    @cached_property
    def rough(self) -> costs.Load:
        """The load as the run's own plan will know it, from its rows' bytes."""
        return costs.Load.of_plan(self.asked.task, self.opened.plan)

    def approval(self) -> dict[str, Any] | None:
        """Hold the costs that the run itself will find against what may be spent without an approval."""
        settings = self.asked.settings
        limit, other = settings.approve_above_usd, settings.approve_above_expected_usd
        if limit is None and other is None:
            return None
        ceiling = self.opened.plan.ceiling_usd
        together = whole.all_tiers_usd(
            self.opened.start.tiers, self.rough, settings.min_records_per_job, self.opened.start.judge
        )
        return {
            "above_usd": limit,
            "ceiling_usd": ceiling,
            "above_expected_usd": other,
            "all_tiers_usd": together,
            "waits": beyond(ceiling, limit) or beyond(together, other),
        }
