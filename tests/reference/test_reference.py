"""The workflow decides as the documents say: every row, against a reference that was written from them alone."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.models.catalog import Catalog
from sluice.models.prices import cost
from sluice.task.file import parse_task
from tests.harness.drive import Cloud
from tests.reference.reference import decide
from tests.reference.world import PlayedBedrock, World, draw_world

CATALOG = Catalog.load()
GROUP = 10  # worlds of one test
SAME = ("status", "reason", "labels", "confidence", "tier", "attempts", "shared", "input_tokens", "output_tokens")


def decided(world: World) -> tuple[list[dict[str, Any]], dict[str, Any], list[tuple[float, float]]]:
    """The rows that the workflow publishes, run.json, and the prices of tiers and judge."""
    task = parse_task(world.written, "world")
    cloud = Cloud(lambda _model, _text: "", world.settings)
    bedrock = PlayedBedrock(cloud.work, cloud.answer)
    models = [CATALOG.resolve(tier.model, "us-east-1") for tier in task.answerers]
    bedrock.play(world, {model.id: n for n, model in enumerate(models)})
    cloud.services = cloud.make_services(bedrock)
    prices = [
        (cost(model.price, tier.transport, 1, 0) or 0.0, cost(model.price, tier.transport, 0, 1) or 0.0)
        for model, tier in zip(models, task.answerers, strict=True)
    ]
    summary = cloud.run(task, world.files)
    return cloud.rows(), summary, prices


def disagreements(seed: int) -> list[str]:
    """Where the workflow and the reference decide differently, in words."""
    world = draw_world(seed)
    rows, summary, prices = decided(world)
    wanted = decide(world.task, world.files, world.came, world.word, prices)
    found = {(row["source"].rsplit("/", 1)[1], row["line"]): row for row in rows}
    said = []
    if len(found) != len(rows) or found.keys() != {(row["source"], row["line"]) for row in wanted}:
        said.append(f"seed {seed}: {len(rows)} rows published, {len(wanted)} read")
    for want in wanted:
        row = found.get((want["source"], want["line"]), {})
        trail = [{name: step[name] for name in ("tier", "outcome", "reason")} for step in row.get("trail", [])]
        seen = {name: row.get(name) for name in SAME} | {"trail": trail}
        seen |= {"fields": {name: row.get(name) for name in want["fields"]}}
        said += [
            f"seed {seed}, {want['source']}:{want['line']}, {name}: {seen[name]!r}, by the documents {want[name]!r}"
            for name in seen
            if seen[name] != want[name]
        ]
        if row.get("cost_usd") != pytest.approx(want["cost_usd"], rel=1e-9, abs=1e-15):
            said.append(f"seed {seed}, line {want['line']}: {row.get('cost_usd')} USD, not {want['cost_usd']}")
    if summary["cost_usd"] != pytest.approx(sum(row["cost_usd"] for row in wanted), rel=1e-9, abs=1e-15):
        said.append(f"seed {seed}: the run cost {summary['cost_usd']}")
    return said


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    worlds = metafunc.config.getoption("--worlds")
    metafunc.parametrize("seeds", [range(at, min(at + GROUP, worlds)) for at in range(0, worlds, GROUP)], ids=str)


def test_the_workflow_decides_as_the_documents_say(seeds: range) -> None:
    """Status, reason, labels, fields, tier, attempts, trail, tokens and cost of every row of many random worlds."""
    assert [said for seed in seeds for said in disagreements(seed)] == []
