"""Which way requests take by price, and that what a cache was read for is billed as such, to the token."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sluice.budget.costs import Load
from sluice.budget.whole import run_ceiling_usd
from sluice.runs.books import Counts
from sluice.runs.keys import Keys
from sluice.runs.state import RoundPlan
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.tiers import Way
from tests.harness.bedrock import MemoryBedrock
from tests.harness.drive import Cloud, jsonl

ROWS = [{"text": f"text {n}", "id": str(n)} for n in range(200)]
LABELS = {f"label {n}": "what it is for, told at some length " * 4 for n in range(77)}
FAST = 10**9  # tokens a minute
LONG = 3000  # tokens of instructions, at least


class Caching(MemoryBedrock):
    """Counts what requests on demand say of a cache, as Converse does: instructions are written once, then read."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.work, cloud.answer)
        self.asked: list[dict[str, Any]] = []

    def converse(self, model_id: str, body: dict[str, Any]) -> dict[str, Any]:
        output = super().converse(model_id, body)
        self.asked.append(body)
        if "cachePoint" in str(body["system"]):
            kind = "Write" if len(self.asked) == 1 else "Read"
            usage = output["usage"]
            usage[f"cache{kind}InputTokens"] = LONG
            usage["inputTokens"] = max(1, usage["inputTokens"] - LONG)
        return output


def run_of(tier: dict[str, Any], labels: dict[str, str] | None = None, **settings: Any) -> tuple[Cloud, Run, Caching]:
    task = parse_task(
        {
            "name": "t",
            "input": {"text": "text", "id": "id"},
            "labels": labels or LABELS,
            "answer": {"confidence": False},
            "tiers": [tier],
        },
        "t",
    )
    cloud = Cloud(lambda _model, _text: '{"label": "label 1"}', settings)
    bedrock = Caching(cloud)
    cloud.bedrock = bedrock
    cloud.services = cloud.make_services(bedrock)
    run = cloud.run(task, {"in.jsonl": jsonl(ROWS)})
    return cloud, Run(cloud.work, run["run_id"]), bedrock


def way_of(cloud: Cloud, run: Run) -> Way | None:
    plan = msgspec.json.decode(cloud.work.get(Keys(run.id).round_plan(0)), type=RoundPlan)
    (way,) = {job.way for job in plan.jobs}
    return way


@pytest.mark.parametrize(
    ("tier", "settings", "way"),
    [
        ({"model": "nova-micro"}, {}, Way.BATCH),  # nobody knows the quota
        ({"model": "nova-micro"}, {"on_demand_tokens_per_minute": FAST}, Way.CACHED),
        ({"model": "nova-micro"}, {"on_demand_tokens_per_minute": 0}, Way.BATCH),
        ({"model": "nova-micro"}, {"on_demand_tokens_per_minute": FAST, "min_records_per_job": 300}, Way.CACHED),
        ({"model": "nova-micro", "transport": "batch"}, {"on_demand_tokens_per_minute": FAST}, Way.BATCH),
        ({"model": "nova-micro", "transport": "on_demand"}, {}, Way.CACHED),
        ({"model": "claude-haiku-4-5"}, {"on_demand_tokens_per_minute": FAST}, Way.BATCH),  # it caches from 4,096 on
        ({"model": "nova-pro"}, {"min_records_per_job": 300}, Way.CACHED),
        ({"model": "nova-pro", "transport": "flex"}, {}, Way.FLEX),
        ({"model": "claude-sonnet-5"}, {}, Way.ON_DEMAND),  # nobody says from where on it caches
    ],
)
def test_a_tier_takes_the_cheapest_way_that_it_may_take(
    tier: dict[str, Any], settings: dict[str, Any], way: Way
) -> None:
    """Batch is left only where calls cost less and the account is known to be fast enough for them."""
    cloud, run, bedrock = run_of(tier, **{"min_records_per_job": 100, **settings})
    assert way_of(cloud, run) is way
    marked = [body for body in bedrock.asked if "cachePoint" in str(body)]
    tiers = [body.get("serviceTier") for body in bedrock.asked]
    assert len(marked) == (len(ROWS) if way is Way.CACHED else 0)
    assert tiers == [{"type": "flex"} if way is Way.FLEX else None] * len(ROWS)


def test_short_instructions_are_not_cached() -> None:
    """A mark behind fewer tokens than the model caches would do nothing."""
    cloud, run, _ = run_of({"model": "nova-micro", "transport": "on_demand"}, {"label 1": "", "label 2": ""})
    assert way_of(cloud, run) is Way.ON_DEMAND


def test_cached_tokens_are_billed_as_such_and_below_the_ceiling() -> None:
    """The books, the rows and run.json agree on what was read and written, and the first call writes it alone."""
    cloud, run, bedrock = run_of({"model": "claude-sonnet-4-6", "transport": "on_demand"}, on_demand_concurrency=8)
    counts = msgspec.json.decode(cloud.work.get(run.keys.job(0, 0).counts), type=Counts)
    price = run.start.tiers[0].price
    assert price is not None
    assert (counts.cache_write_tokens, counts.cache_read_tokens) == (LONG, LONG * (len(ROWS) - 1))
    plain = counts.input_tokens - counts.cache_write_tokens - counts.cache_read_tokens
    usd = plain * 3.3 + counts.cache_read_tokens * 0.33 + counts.cache_write_tokens * 4.125
    assert counts.cost_usd == pytest.approx((usd + counts.output_tokens * 16.5) / 1e6)
    assert sum(row["cost_usd"] for row in cloud.rows()) == pytest.approx(counts.cost_usd)
    ceiling = run_ceiling_usd(run.task, run.start.tiers, Load.of_plan(run.task, run.plan), 100)
    assert ceiling is not None
    assert counts.cost_usd is not None
    assert counts.cost_usd < ceiling
    begun = sorted(key for key, _ in cloud.work.keys(run.keys.job(0, 0).begun_prefix))
    assert len(cloud.work.get(begun[0]).split()) == 1
    assert len(bedrock.asked) == len(ROWS)
