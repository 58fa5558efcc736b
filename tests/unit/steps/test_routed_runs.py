from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sluice.report.flow import count_arriving
from sluice.results.run_document import read_run
from sluice.runs import accounting
from sluice.runs.state import FrozenTier
from sluice.steps import rejudge
from sluice.steps.plan import counts_so_far
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.faults.scenarios import LABELS, MODELS, reply
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine

if TYPE_CHECKING:
    from sluice.models.catalog import Model
    from sluice.task.tiers import Tier

KINDS = ("plain", "hard", "cheap")
ROUTES = [
    {"when": {"properties": {"kind": {"const": "hard"}}, "required": ["kind"]}, "tier": 1},
    {"when": {"properties": {"kind": {"enum": ["cheap", "hard"]}}, "required": ["kind"]}, "last": 0},
]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


ROWS = jsonl([{"text": f"text {n}", "id": str(n), "kind": KINDS[n % 3]} for n in range(90)])


def run_routed(
    rows: bytes = ROWS,
    routes: list[dict[str, Any]] = ROUTES,
    plan: FaultPlan | None = None,
    pack: int = 1,
    name: str = "a.jsonl",
    **more: Any,
) -> Machine:
    """A run over three tiers to its end."""
    tiers = [{"model": model, "pack": pack, "transport": "batch", "attempts": 2} for model in MODELS]
    task = {"name": "routed", "input": {"text": "text", "id": "id"}, "labels": list(LABELS), "tiers": tiers}
    machine = Machine(plan or FaultPlan(), reply, {"min_records_per_job": 1, **more.pop("settings", {})})
    machine.finish(machine.begin(parse_task({**task, "routes": routes, **more}, "task"), {name: rows}))
    return machine


def opened(machine: Machine) -> Run:
    return Run(machine.work, next(iter(machine.work.keys("runs/")))[0].split("/")[1])


def asked(row: dict[str, Any]) -> list[int]:
    return [step["tier"] for step in row["trail"]]


@pytest.mark.parametrize("pack", [1, 5])
@pytest.mark.parametrize("records", [0.0, 0.5])
def test_rows_start_and_end_where_the_first_route_that_takes_them_says(pack: int, records: float) -> None:
    """Under faults too: no row is asked of a tier outside of its route, and each is somewhere or has a reason."""
    machine = run_routed(pack=pack, plan=FaultPlan(seed=pack, records=records))
    rows = machine.rows()
    assert len(rows) == 90
    allowed = {"plain": (0, 2), "hard": (1, 2), "cheap": (0, 0)}
    ends = Counter[tuple[str, int]]()
    for row in rows:
        first, last = allowed[KINDS[(row["line"] - 1) % 3]]
        assert asked(row)[0] == first
        assert max(asked(row)) <= last
        ends[KINDS[(row["line"] - 1) % 3], row["tier"]] += 1
    assert ends["plain", 2]
    assert ends["hard", 2]


def test_rows_of_one_text_start_at_the_strongest_tier_of_their_routes_and_go_as_far_as_any() -> None:
    """In whichever order they come, and in whichever object they stand."""
    given = ["cheap", "plain", "hard", "cheap"]
    for order in (given, given[::-1]):
        rows = [{"text": f"text {n}", "id": kind, "kind": kind} for kind in order for n in range(20)]
        found = run_routed(jsonl(rows)).rows()
        assert {asked(row)[0] for row in found} == {1}
        assert {max(asked(row)) for row in found} == {1, 2}
        of_two = [row for row in rows if row["kind"] in ("cheap", "plain")]
        assert {max(asked(row)) for row in run_routed(jsonl(of_two)).rows()} == {0, 1, 2}


def test_the_books_know_how_many_rows_and_records_each_route_sent() -> None:
    """Each record counts once, wherever it starts; run.json tells the rows by route, and the tiers' books balance."""
    machine = run_routed()
    run = opened(machine)
    document = json.loads(machine.work.get(run.keys.published))
    assert document["records"]["distinct"] == 90
    assert document["routes"] == [
        {"route": 0, "tier": 1, "last": 2, "rows": 30},
        {"route": 1, "tier": 0, "last": 0, "rows": 30},
    ]
    assert [tier["bypassed"] for tier in document["tiers"]] == [30, 0, 0]
    assert accounting.distinct(counts_so_far(run)) == 90
    assert sum(tier["accepted"] + tier["unresolved"] for tier in document["tiers"]) == 90
    assert count_arriving(read_run(document))[:2] == [90, 30 + document["tiers"][0]["escalated"]]


def test_a_routed_run_keeps_below_a_ceiling_that_knows_its_routes() -> None:
    """Whatever fails; and both figures are below those of the same rows without routes."""
    with_, without = (run_routed(routes=routes, plan=FaultPlan(seed=3, records=0.9)) for routes in (ROUTES[1:], []))
    plans = [opened(machine).plan for machine in (with_, without)]
    for machine, plan in zip((with_, without), plans, strict=True):
        assert plan.ceiling_usd is not None
        assert sum(row["cost_usd"] for row in machine.rows()) <= plan.ceiling_usd
    assert (plans[0].ceiling_usd or 0) < (plans[1].ceiling_usd or 0)
    assert (plans[0].expected_usd or 0) < (plans[1].expected_usd or 0)


def test_a_text_over_a_models_context_starts_at_the_first_tier_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short texts do not move; one that fits nowhere stays, and the model says so."""
    made = FrozenTier.of

    def narrow(tier: Tier, model: Model) -> FrozenTier:
        room = {MODELS[0]: 2000, MODELS[1]: 4000, MODELS[2]: 9000}[tier.model]
        return made(tier, model).model_copy(update={"context_tokens": room})

    monkeypatch.setattr(FrozenTier, "of", staticmethod(narrow))
    lengths = {"short": 10, "long": 9_000, "longer": 18_000, "longest": 120_000}
    rows = [{"text": f"{n} " + "word " * (length // 5), "id": name} for name, length in lengths.items() for n in (1, 2)]
    found = run_routed(jsonl(rows), routes=[], input={"text": "text", "id": "id", "max_tokens": 60_000}).rows()
    starts = {row["id"]: asked(row)[0] for row in found}
    assert starts == {"short": 0, "long": 1, "longer": 2, "longest": 0}


def test_a_resumed_run_and_one_that_is_judged_again_keep_to_the_routes() -> None:
    """Deaths of steps and of jobs in between change nothing; judging anew finds every row again, where it was asked."""
    plain, hit = run_routed(), run_routed(plan=FaultPlan(seed=5, kills=0.05, jobs=0.3))
    rows = {row["line"]: set(asked(row)) for row in hit.rows()}
    assert hit.failures
    assert all(rows[line] <= {0} for line in range(3, 91, 3))
    assert all(rows[line] <= {1, 2} for line in range(2, 91, 3))
    run = opened(plain)
    again = rejudge.run(plain.services, run.id, parse_task(run.task.model_dump(mode="json") | {"routes": []}, "task"))
    document = plain.finish(again)
    assert document["routes"] == json.loads(plain.work.get(run.keys.published))["routes"]
    assert document["records"]["distinct"] == 90


def test_replies_of_a_tier_are_not_used_for_rows_that_start_at_another() -> None:
    """A run without routes leaves a first tier's reply to each; under routes, the hard rows are asked of the second."""
    machine = run_routed(routes=[], reuse={"days": 9})
    task = parse_task(opened(machine).task.model_dump(mode="json") | {"routes": ROUTES}, "task")
    machine.finish(machine.begin(task, {"b.jsonl": ROWS}))
    hard = [
        row for row in machine.rows() if KINDS[(row["line"] - 1) % 3] == "hard" and row["source"].endswith("b.jsonl")
    ]
    assert len(hard) == 30
    assert {asked(row)[0] for row in hard} == {1}
