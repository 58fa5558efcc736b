from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sluice.aws.metrics import Measure
from sluice.errors import Stop
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import End, JobItem, Resumption, RoundPlan
from sluice.steps import plan, resume
from tests.harness.faults import FaultPlan, Killed
from tests.harness.stage import BATCH, HAIKU, SURE, Stage, cancel, finish, stage

UNSURE = SURE.replace("certain", "unsure")


def weak(model: str, _text: str) -> str:
    """The first tier is never sure, the second always."""
    return SURE if model == HAIKU else UNSURE


def reasons(staged: Stage) -> set[str | None]:
    return {row["reason"] for row in staged.machine.rows()}


def ending(staged: Stage, execution: int = 0) -> End:
    key = Keys(staged.run, execution).end
    return read(End, staged.machine.work.get(key), key)


def dear(**changes: Any) -> Stage:
    """Ten records in two jobs, all of which go on to a tier that costs 60 times as much."""
    tiers = BATCH, {"model": "claude-haiku-4-5"}
    return stage(*tiers, answer=weak, settings={"max_records_per_job": 5, "min_records_per_job": 1}, **changes)


def test_the_budget_keeps_a_round_out() -> None:
    """What was escalated is unresolved for the budget, and the run says that it is over its limit."""
    staged = dear(budget={"max_usd": 0.0002})
    summary = finish(staged)
    assert (summary["status"], summary["rows"]["unresolved"]) == ("nothing_accepted", 10)
    assert summary["cost_usd"] <= 0.0002
    assert reasons(staged) == {"budget"}
    assert ending(staged).reason == "budget"
    assert staged.machine.readings.values(Measure.BUDGET_REACHED) == [1]
    assert any("budget" in warning for warning in summary["warnings"])


def test_the_budget_is_held_with_a_margin() -> None:
    """Spent plus expected with a quarter more, whichever job is the first to exceed it; the tokens are estimates."""
    spent = {}
    for dollars in (0.0004, 0.0008, 0.0012, 0.0016):
        staged = dear(budget={"max_usd": dollars})
        spent[dollars] = finish(staged)["cost_usd"]
        assert spent[dollars] <= dollars
    assert len(set(spent.values())) > 1


def one_affordable() -> Stage:
    """A budget that lets one of the two jobs of round 1 through."""
    for step in range(1, 60):
        staged = dear(budget={"max_usd": 0.0001 * step})
        staged.round(0)
        if not plan.run(staged.services, staged.run, 1).more:
            continue
        key = Keys(staged.run).round_plan(1)
        planned = read(RoundPlan, staged.machine.work.get(key), key)
        if planned.kept_out:
            return staged
    raise AssertionError("no budget lets one job through")


def test_what_the_budget_keeps_out_of_a_round_is_unresolved_for_it() -> None:
    """The affordable job of the round runs; the other one's records end with the reason budget, not with another."""
    staged = one_affordable()
    staged.round(1)
    end = finish(staged, 2)
    assert end["status"] == "over_limit"
    assert (end["rows"]["accepted"], end["rows"]["unresolved"]) == (5, 5)
    assert reasons(staged) == {None, "budget"}


def test_more_budget_buys_what_was_kept_out_and_nothing_else() -> None:
    """resume with a larger budget: every row has its label, no record is bought twice."""
    staged = one_affordable()
    finish(staged)
    before = dict(staged.machine.faulty.bought)
    resume.run(staged.services, staged.run, 1.0)
    end = finish(staged)
    assert (end["status"], end["rows"]["accepted"]) == ("succeeded", 10)
    assert max(staged.machine.faulty.bought.values()) == 1
    assert len(staged.machine.faulty.bought) == len(before) + 5


def test_a_shard_that_the_budget_kept_out_is_bought_later_with_its_costs() -> None:
    """Round 0 itself was too dear in part: the books balance before and after the budget is raised."""
    budget = {"max_usd": 0.0001}
    settings = {"max_records_per_job": 5, "min_records_per_job": 1}
    for step in range(1, 80):
        staged = stage(BATCH, settings=settings, budget={"max_usd": 1e-6 * step})
        if staged.written(Keys(staged.run).round_plan(0)):
            key = Keys(staged.run).round_plan(0)
            if read(RoundPlan, staged.machine.work.get(key), key).kept_out:
                break
    end = finish(staged)
    assert (end["status"], end["rows"]["accepted"], end["rows"]["unresolved"]) == ("over_limit", 5, 5)
    assert reasons(staged) == {None, "budget"}
    resume.run(staged.services, staged.run, budget["max_usd"])
    end = finish(staged)
    assert (end["status"], end["rows"]["accepted"], end["records"]["distinct"]) == ("succeeded", 10, 10)
    rows = staged.machine.rows()
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(end["cost_usd"])


def test_a_budget_without_a_price_is_refused() -> None:
    """It could not be kept."""
    staged = dear()
    keys = Keys(staged.run)
    start = json.loads(staged.machine.work.get(keys.start))
    start["tiers"][1]["price"] = None
    staged.machine.work.put(keys.start, json.dumps(start).encode())
    staged.machine.work.put(keys.resumption(1), Resumption(number=1, cancelled=False, forgiven=[], max_usd=5.0).write())
    staged.round(0)
    with pytest.raises(Stop, match="price is unknown"):
        plan.run(staged.services, staged.run, 1)


def test_a_job_without_books_stops_the_run() -> None:
    """Even when not even the cause could be kept."""
    staged = stage()
    with pytest.raises(Stop, match="has no books"):
        plan.run(staged.services, staged.run, 1)


def test_a_plan_run_twice_plans_once() -> None:
    """The second one answers from the first one's plan."""
    staged = dear()
    staged.round(0)
    first = plan.run(staged.services, staged.run, 1)
    writes = len(staged.machine.faulty_s3.writes)
    assert plan.run(staged.services, staged.run, 1) == first
    assert len(staged.machine.faulty_s3.writes) == writes


@pytest.mark.parametrize("write", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_plan_that_dies_plans_the_same_again(write: int, when: str) -> None:
    """Whichever of a round's documents is missing."""
    expected = dear()
    expected.round(0)
    plan.run(expected.services, expected.run, 1)
    staged = dear()
    staged.round(0)
    staged.machine.faulty_s3.begin((write, when))
    with pytest.raises(Killed):
        plan.run(staged.services, staged.run, 1)
    staged.machine.faulty_s3.begin(None)
    plan.run(staged.services, staged.run, 1)
    for key in (Keys(staged.run).round_plan(1), Keys(staged.run).jobs(1)):
        assert staged.machine.work.get(key) == expected.machine.work.get(key)


def test_rows_without_a_text_plan_no_job() -> None:
    """Nothing is prepared, sent or waited for where no row can be sent."""
    staged = stage(BATCH, rows=[{"text": ""}, {"other": 1}])
    assert not staged.written(Keys(staged.run).jobs(0))
    assert finish(staged)["rows"] == {"in": 2, "accepted": 0, "unresolved": 0, "rejected": 2}


def test_a_cancelled_run_plans_no_round() -> None:
    """What is open stays so, for that reason."""
    staged = dear()
    staged.round(0)
    cancel(staged)
    assert not plan.run(staged.services, staged.run, 1).more
    assert ending(staged).reason == "cancelled"


def test_retries_and_escalations_are_jobs_of_their_own() -> None:
    """A job of a later round has one tier and one attempt, so that its books need no per-record attempt."""
    staged = stage(
        BATCH,
        {"model": "claude-haiku-4-5"},
        rows=60,
        answer=weak,
        faults=FaultPlan(seed=1, endings=(("0/0", "partially completed"),)),
        settings={"min_records_per_job": 1},
    )
    staged.round(0)
    result = plan.run(staged.services, staged.run, 1)
    items = msgspec.json.decode(staged.machine.work.get(result.jobs_key), type=list[JobItem])
    key = Keys(staged.run).round_plan(1)
    planned = read(RoundPlan, staged.machine.work.get(key), key).jobs
    assert [(job.tier, job.attempt, job.purpose) for job in planned] == [(0, 2, "retry"), (1, 1, "escalate")]
    assert [item.job for item in items] == [job.job for job in planned]
    assert sum(job.records for job in planned) == 60
