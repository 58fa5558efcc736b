"""What a run would be: its rows are read by the workflow's own first steps, into a folder, and nothing is sent."""

from __future__ import annotations

import json
import math
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice import accounting, costs, planning, state
from sluice.bedrock import AwsBedrock
from sluice.cli.files import LOCAL, Folder
from sluice.containers import Limits, lines_of_input
from sluice.errors import BadInput
from sluice.prompts import CLOSE, OPEN, RequestWriter, answer_tokens, cut_middle, escape, prompt_tokens, system_prompt
from sluice.rows import BYTES_PER_TOKEN, KEY, RAW, REASONS, Row, RowReader, stored_lines
from sluice.steps import partition, plan, start
from sluice.steps.services import Deployment, Run, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sluice.prices import Catalog
    from sluice.settings import Settings
    from sluice.state import FrozenTier, PlannedJob
    from sluice.store import Store
    from sluice.task import Task

QUOTE = b'"'
SAMPLE_BYTES = 4 * 1024 * 1024  # of each span's rows, from whose records the length of a text is taken


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be forecast: S3 URIs or paths, a task that can be run, and the share of records that escalates."""

    inputs: Sequence[str]
    task: Task
    settings: Settings
    catalog: Catalog
    region: str
    escalate: float


@dataclass(frozen=True, slots=True)
class TierForecast:
    """What one tier is expected to take."""

    model: str
    transport: str
    records: int
    jobs: int
    waves: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run as it is expected; `budget` tells whether the task's budget lets it reach its end, None without one."""

    task: str
    inputs: list[dict[str, Any]]
    rows: int
    rejected: dict[str, int]
    distinct: int
    exact: bool
    escalate: float
    tiers: list[TierForecast]
    cost_usd: float | None
    baseline_usd: float | None
    budget: dict[str, Any] | None
    prices: dict[str, str]
    request: dict[str, str] | None

    def as_document(self) -> dict[str, Any]:
        """Make the document that a program reads."""
        rejected = sum(self.rejected.values())
        return {
            "schema_version": 1,
            "task": self.task,
            "inputs": self.inputs,
            "rows": {"in": self.rows, "good": self.rows - rejected, "rejected": rejected},
            "reasons": self.rejected,
            "records": {"distinct": self.distinct, "exact": self.exact},
            "assumption": {"escalate": self.escalate},
            "tiers": msgspec.to_builtins(self.tiers),
            "cost_usd": self.cost_usd,
            "baseline_usd": self.baseline_usd,
            "budget": self.budget,
            "prices": self.prices,
            "request": self.request,
        }


def forecast(asked: Asked, bucket: Callable[[str], Store], on_span: Callable[[int, int], None]) -> Forecast:
    """Read the inputs once and work out what a run of them would be.

    `bucket` gives the buckets of S3 URIs. `on_span` is told how many spans of how many have been read.

    Raises:
        BadInput: an input cannot be read as rows at all.

    """
    with tempfile.TemporaryDirectory(prefix="sluice-plan-") as folder, _plain_names():
        services = _services(Folder("work", Path(folder)), bucket)
        opened = _begun(services, asked)
        spans = msgspec.json.decode(opened.store.get(opened.keys.spans), type=list[state.Span])
        for number, span in enumerate(spans):
            on_span(number, len(spans))
            partition.run(services, span)
        plan.run(services, opened.id, 0)
        data = opened.store.find(opened.keys.round_plan(0))
        jobs = state.read(state.RoundPlan, data, "the plan").jobs if data else []
        return _Estimate(asked, opened, jobs, *_lengths(opened)).forecast(_request(services, opened))


@contextmanager
def _plain_names() -> Iterator[None]:
    """Call a local file by its path where a step calls it by a URI."""
    try:
        yield
    except BadInput as error:
        raise BadInput(str(error).replace(f"s3://{LOCAL}/", "/")) from None


def _services(work: Store, bucket: Callable[[str], Store]) -> Services:
    files = Folder(LOCAL, Path("/"))
    return Services(
        work=work,
        results=work,
        bucket=lambda name: files if name == LOCAL else bucket(name),
        bedrock=AwsBedrock(None, None),  # type: ignore[arg-type]  # no step that is called here asks it
    )


def _begun(services: Services, asked: Asked) -> Run:
    """Freeze the run, without its budget, which would leave out the jobs that it does not allow."""
    task = asked.task.model_copy(update={"budget": type(asked.task.budget)()})
    command = {
        "task": task.model_dump(mode="json"),
        "inputs": [uri_of(name) for name in asked.inputs],
        "settings": asked.settings.model_dump(),
    }
    deployment = Deployment(
        settings=asked.settings,
        tasks=Path("tasks"),
        catalog=asked.catalog,
        region=asked.region,
        role_arn="",
        incoming_bucket="",
    )
    run = start.run(services, deployment, {"command": command})
    assert run is not None
    return Run(services.work, run)


def uri_of(name: str) -> str:
    """Make the URI of an input: a path's is one of the bucket that stands for this machine."""
    return name if name.startswith("s3://") else f"s3://{LOCAL}{Path(name).resolve()}"


def _lengths(opened: Run) -> tuple[int, int]:
    """Bytes of text and number of the records at the beginning of each span's rows.

    Rows lie in the order of their keys, which are hashes: the first ones are as good as drawn by lot.
    """
    reader, total, seen = RowReader(opened.task), 0, set[bytes]()
    for span in range(opened.start.spans):
        data = b"".join(opened.store.blocks(opened.keys.rows(span), 0, SAMPLE_BYTES))
        lines = stored_lines(data)
        for line in lines[:-1] if len(data) == SAMPLE_BYTES else lines:
            key, flag = line[:KEY], line[RAW - 1]
            if flag not in REASONS and key not in seen:
                seen.add(key)
                total += min(reader.max_bytes, len(escape(reader.text(line[RAW:]))))
    return total, len(seen)


def _request(services: Services, opened: Run) -> dict[str, str] | None:
    """The request of the first good row; None when there is none."""
    reader, settings = RowReader(opened.task), opened.settings
    limits = Limits(settings.max_row_bytes, settings.max_text_bytes)
    for item in opened.inputs.inputs:
        bucket, _, key = item.uri.removeprefix("s3://").partition("/")
        for block in lines_of_input(services.bucket(bucket), key, item, 0, item.bytes, limits):
            for line in block:
                row = reader.read(line) if line.strip() else None
                if isinstance(row, Row):
                    return {"system": system_prompt(opened.task), "user": _user(row.text, reader, cut=row.cut)}
    return None


def _user(text: str, reader: RowReader, *, cut: bool) -> str:
    shown = escape(cut_middle(text, reader.max_bytes) if cut else text)
    return f"{OPEN}{json.loads(b'%b%b%b' % (QUOTE, shown, QUOTE))}{CLOSE}"


@dataclass(frozen=True)
class _Estimate:
    """Works out the tiers; `text_bytes` of `sampled` records are the basis of all tokens."""

    asked: Asked
    opened: Run
    jobs: Sequence[PlannedJob]
    text_bytes: int
    sampled: int

    def forecast(self, request: dict[str, str] | None) -> Forecast:
        plan_, tiers, start_ = self.opened.plan, self.tiers(), self.opened.start
        last = start_.tiers[-1]
        inputs = [
            {"uri": item.uri.replace(f"s3://{LOCAL}/", "/"), "bytes": item.bytes} for item in self.opened.inputs.inputs
        ]
        return Forecast(
            task=self.asked.task.name,
            inputs=inputs,
            rows=plan_.rows,
            rejected=plan_.rejected,
            distinct=plan_.distinct,
            exact=len(plan_.segments) <= 1,
            escalate=self.asked.escalate,
            tiers=tiers,
            cost_usd=accounting.total(tier.cost_usd for tier in tiers),
            baseline_usd=self.tier(last, plan_.distinct, self.jobs_for(last, plan_.distinct)).cost_usd,
            budget=self.budget(),
            prices=start_.prices,
            request=request,
        )

    def tiers(self) -> list[TierForecast]:
        """Each tier gets the assumed share of what the tier before it got."""
        found, records = [], self.opened.plan.distinct
        for number, tier in enumerate(self.opened.start.tiers):
            jobs = len(self.jobs) if number == 0 else self.jobs_for(tier, records)
            found.append(self.tier(tier, records, jobs))
            records = math.ceil(records * self.asked.escalate)
        return found

    def tier(self, tier: FrozenTier, records: int, jobs: int) -> TierForecast:
        """Figure out one tier; too few records for a batch job go on demand."""
        task, settings = self.asked.task, self.asked.settings
        batch = tier.batch and records / max(1, jobs) >= settings.min_records_per_job
        return TierForecast(
            model=tier.model_id,
            transport=accounting.BATCH if batch else accounting.ON_DEMAND,
            records=records,
            jobs=jobs,
            waves=math.ceil(jobs / settings.max_jobs_in_flight),
            input_tokens=records * prompt_tokens(task) + self.text(records) // BYTES_PER_TOKEN,
            output_tokens=records * answer_tokens(task),
            cost_usd=self.cost(tier, records, batch=batch),
        )

    def jobs_for(self, tier: FrozenTier, records: int) -> int:
        """Count the jobs of a later round, as planning packs them."""
        pending = [
            state.Pending(
                key="", tier=0, attempt=1, records=records, bytes=self.text(records), marks=self.marks(records)
            )
        ]
        settings = self.asked.settings
        limits = planning.Limits(settings.max_records_per_job, settings.max_file_bytes)
        return len(planning.pack_pending(pending, limits, RequestWriter(self.asked.task, tier).constant_bytes))

    @staticmethod
    def marks(records: int) -> list[int]:
        """Offsets that a pending object would have noted; here there is none."""
        return [0] * (records // planning.MARK_EVERY + 1)

    def text(self, records: int) -> int:
        """Bytes of the texts of so many records."""
        return round(self.text_bytes / self.sampled * records) if self.sampled else 0

    def cost(self, tier: FrozenTier, records: int, *, batch: bool) -> float | None:
        """Dollars for so many records; None when the price is unknown."""
        transport = accounting.BATCH if batch else accounting.ON_DEMAND
        return costs.expected_usd(tier, self.load, transport, records)

    @property
    def load(self) -> costs.Load:
        """What the good rows come to as requests."""
        rough, distinct = costs.Load.of_plan(self.asked.task, self.opened.plan), self.opened.plan.distinct
        return replace(rough, text_tokens=self.text(distinct) // BYTES_PER_TOKEN)

    def budget(self) -> dict[str, Any] | None:
        """Hold each round against the budget, as the step plan will when the round comes."""
        limit, spent = self.asked.task.budget.max_usd, 0.0
        if limit is None:
            return None
        for number, tier in enumerate(self.tiers()):
            expected = self.first_usd() if number == 0 else tier.cost_usd
            if spent + (expected or 0.0) * accounting.BUDGET_MARGIN > limit:
                return {"max_usd": limit, "fits": False, "stops_before_tier": number}
            spent += tier.cost_usd or 0.0
        return {"max_usd": limit, "fits": True, "stops_before_tier": None}

    def first_usd(self) -> float | None:
        """Expect the first round to cost what the step plan expects: it counts whole rows, not their texts alone."""
        first, plan_ = self.opened.start.tiers[0], self.opened.plan
        load = costs.Load.of_plan(self.asked.task, plan_)
        return costs.expected_usd(first, load, self.tiers()[0].transport, plan_.distinct)
