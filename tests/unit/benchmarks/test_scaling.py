"""The planner at sizes that no machine holds: the indexes are made up as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks import scaling
from benchmarks.simulated import RUN, SimulatedRun
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.planning import MAX_ITEMS
from sluice.runs.settings import Settings
from sluice.runs.state import RunPlan
from sluice.steps import plan

if TYPE_CHECKING:
    from sluice.runs.state import PlanResult

ITEM_BYTES = 256 * 1024  # an item of a Distributed Map


@pytest.fixture(scope="module")
def large() -> tuple[SimulatedRun, PlanResult]:
    """100 million rows in 1,000 objects: 65,536 buckets in 600 segments; a tenth of what `make bench` plans."""
    run = SimulatedRun(100_000_000, 1000)
    return run, plan.run(run.services, RUN, 0)


def test_every_map_of_a_large_run_is_within_its_limits(large: tuple[SimulatedRun, PlanResult]) -> None:
    """Spans, jobs and parts are far fewer than a map may have, and each is a small item."""
    run, result = large
    for items in (run.spans, run.items(result.jobs_key), run.items(result.parts_key)):
        assert 0 < len(items) <= MAX_ITEMS
        assert max(len(msgspec.json.encode(item)) for item in items) < ITEM_BYTES / 4


def test_the_shards_of_a_large_run_are_balanced(large: tuple[SimulatedRun, PlanResult]) -> None:
    """No job is above the limit, none is a tail, and no row is left out."""
    run, _ = large
    planned = read(RunPlan, run.client.objects[Keys(RUN).plan], "plan")
    assert max(planned.shard_rows) <= run.settings.max_records_per_job
    assert min(planned.shard_rows) >= 0.9 * max(planned.shard_rows)
    assert sum(planned.shard_rows) == planned.rows == pytest.approx(100_000_000, rel=0.05)


def test_the_requests_of_planning_grow_with_the_segments_alone(large: tuple[SimulatedRun, PlanResult]) -> None:
    """Two requests for each segment's index: the sums, and where the shards begin in it."""
    run, _ = large
    assert run.client.gets <= 2 * len(run.spans) + 10
    assert run.client.puts <= 10


def test_texts_that_repeat_in_every_segment_are_one_job() -> None:
    """A million rows of 1,000 texts over 60 segments: the sketches know the texts again."""
    run = SimulatedRun(1_000_000, 10, texts=1000, span_bytes=5 * 1024**2)
    assert len(run.spans) >= 55
    result = plan.run(run.services, RUN, 0)
    assert len(run.items(result.jobs_key)) == 1
    assert read(RunPlan, run.client.objects[Keys(RUN).plan], "plan").distinct == 1000


def test_fifty_thousand_small_files_are_few_spans() -> None:
    """Files of 200 rows: as many spans as their bytes require, and as many jobs as their records."""
    run = SimulatedRun(10_000_000, 50_000)
    result = plan.run(run.services, RUN, 0)
    assert len(run.spans) <= 65
    assert len(run.items(result.jobs_key)) <= 1.1 * 200


@pytest.mark.parametrize("rows", [100_000, 1_000_000, 100_000_000])
def test_a_million_look_ups_cost_less_than_a_cent(rows: int) -> None:
    """Where thirty nights have kept as many other replies each."""
    usd = scaling.reuse_dollars(scaling.cut(rows, Settings()), 30, {"prepare": 1769})
    assert 0.001 < usd / rows * 1e6 < 0.01
