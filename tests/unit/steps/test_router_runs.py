from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sluice.errors import BadTask
from sluice.reasons import TRANSPORT
from sluice.runs import accounting
from sluice.steps import rejudge
from sluice.steps.plan import counts_so_far
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.faults.scenarios import LABELS, MODELS
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine

ROWS = b"\n".join(json.dumps({"text": f"text {n}", "id": str(n)}).encode() for n in range(60))
SAYS = {0: "simple", 1: "complex", 2: "hm"}


class Routed(Machine):
    """A run whose first model says of a text whether it is simple, when it is asked that."""

    def __init__(self, plan: FaultPlan | None = None) -> None:
        super().__init__(plan or FaultPlan(), lambda _model, _text: "", {"min_records_per_job": 1})
        buy = self.faulty._buy

        def answered(round_: int, model: str, body: dict[str, Any]) -> dict[str, Any]:
            asks = '"simple"' in json.dumps(body["system"]).replace("\\", "")
            self.asked[asks, model] += 1
            self.faulty.answer = (lambda _model, text: said(text)) if asks else (lambda model, _text: label(model))
            return buy(round_, model, body)

        self.asked: Counter[tuple[bool, str]] = Counter()
        self.faulty._buy = answered  # type: ignore[assignment,method-assign]


def said(text: str) -> str:
    word = SAYS[int(text.split()[1]) % 3]
    return word if word == "hm" else json.dumps({"label": word})


def label(model: str) -> str:
    return json.dumps({"label": LABELS[[name in model for name in MODELS].index(True)], "confidence": "certain"})


def task(**more: Any) -> Any:
    tiers = [{"model": model, "pack": pack, "transport": "batch"} for model, pack in zip(MODELS, (4, 1), strict=False)]
    given = {
        "name": "asks",
        "input": {"text": "text", "id": "id"},
        "labels": list(LABELS),
        "tiers": tiers,
        "router": {},
    }
    return parse_task({**given, **more}, "task")


@pytest.mark.parametrize("plan", [FaultPlan(), FaultPlan(seed=3, jobs=0.3, kills=0.03)])
def test_the_router_leaves_simple_rows_to_the_first_tier_and_sends_all_others_on(plan: FaultPlan) -> None:
    """What it says that cannot be read sends a row on, too; its own word is nobody's label."""
    machine = Routed(plan)
    summary = machine.finish(machine.begin(task(), {"a.jsonl": ROWS}))
    rows = machine.rows()
    assert len(rows) == 60
    for row in rows:
        simple = int(row["id"]) % 3 == 0
        assert (row["status"], row["tier"], row["label"]) == ("accepted", 1 - simple, LABELS[1 - simple])
        assert row["trail"][0]["label"] is None
        assert row["trail"][0]["reason"] in {"routed", "reply_not_json", *(reason.value for reason in TRANSPORT)}
    assert summary["rows"]["accepted"] == 60


def test_the_books_count_the_routers_question_among_what_the_first_tier_was_sent() -> None:
    """Records count once; the run keeps below its ceiling; packs hold rows of the task alone."""
    machine = Routed()
    run = Run(machine.work, machine.begin(task(), {"a.jsonl": ROWS}))
    machine.finish(run.id)
    document = json.loads(machine.work.get(run.keys.published))
    assert document["records"]["distinct"] == 60
    assert [(tier["sent"], tier["retried"], tier["escalated"], tier["accepted"]) for tier in document["tiers"]] == [
        (80, 20, 40, 20),
        (40, 0, 0, 40),
    ]
    assert machine.asked == {
        (True, machine_id(run, 0)): 60,
        (False, machine_id(run, 0)): 5,
        (False, machine_id(run, 1)): 40,
    }
    assert [item["purpose"] for item in document["rounds"]] == ["classify", accounting.ROUTED, "escalate"]
    spent, plan = sum(row["cost_usd"] for row in machine.rows()), run.plan
    assert spent <= (plan.ceiling_usd or 0)
    assert accounting.distinct(counts_so_far(run)) == 60


def machine_id(run: Run, tier: int) -> str:
    return run.tier(tier).model_id


def test_a_routed_run_that_is_judged_again_takes_no_word_of_the_router_for_an_answer() -> None:
    """The rows come out as they were."""
    machine = Routed()
    run = machine.begin(task(), {"a.jsonl": ROWS})
    machine.finish(run)
    before = [(row["line"], row["label"]) for row in machine.rows()]
    again = rejudge.run(machine.services, run, task())
    summary = machine.finish(again)
    assert summary["rows"]["accepted"] == 60
    assert summary["labels"] == {LABELS[1]: 40, LABELS[0]: 20}
    assert sorted(before) == sorted((row["line"], row["label"]) for row in machine.rows())[:60] or len(before) == 60


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"quality": {}}, "router: leave it out beside quality"),
        ({"audit": {}}, "router: leave it out beside audit"),
        ({"reuse": {"days": 3}}, "reuse: leave it out beside router"),
        ({"tiers": [{"model": "nova-micro"}]}, "router: takes two tiers or more"),
        ({"router": {"ask": "hm"}}, "router.ask: no such field"),
    ],
)
def test_a_router_is_refused_where_it_would_choose_between_nothing_or_break_a_promise(
    more: dict[str, Any], said: str
) -> None:
    """By its place, with the reason."""
    with pytest.raises(BadTask) as refused:
        task(**more)
    assert [problem for problem in refused.value.problems if problem.startswith(said)]
