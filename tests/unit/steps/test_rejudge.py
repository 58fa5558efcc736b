from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import BadTask, Stop
from sluice.steps import rejudge, sweep
from sluice.task.file import parse_task
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.stage import make_task, stage

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TIERS = (
    {"model": "nova-micro", "attempts": 2},
    {"model": "claude-haiku-4-5", "transport": "on_demand"},
)


def likely(model: str, text: str) -> str:
    """The first tier says `a`, likely; the second says `b` with certainty, but to every third text nothing of use."""
    if model != HAIKU:
        return json.dumps({"label": "a", "confidence": "likely"})
    return "hm" if int(text.split()[1]) % 3 == 0 else json.dumps({"label": "b", "confidence": "certain"})


def judged(**gates: Any) -> Any:
    return make_task(*TIERS, gates=gates)


def strict_run(rows: int = 9) -> tuple[Machine, str]:
    """A run whose gate lets only the second tier's answers through."""
    machine = Machine(FaultPlan(), likely, {"min_records_per_job": 2, "max_records_per_job": 5})
    task = judged(min_confidence="certain")
    run = machine.begin(task, {"a.jsonl": jsonl([{"text": f"text {n}", "id": str(n)} for n in range(rows)])})
    machine.execute(run)
    return machine, run


def rows_of(machine: Machine, run: str) -> list[dict[str, Any]]:
    return [row for row in machine.rows() if row["run_id"] == run]


def test_the_first_answer_that_passes_counts() -> None:
    """Under a lower gate the cheap tier's answers are good, though the dear one's are stored too."""
    machine, run = strict_run()
    assert {row["label"] for row in rows_of(machine, run)} == {"b", None}
    bought = machine.faulty.bought.total()
    new = rejudge.run(machine.services, run, judged(min_confidence="likely"))
    summary = machine.execute(new)
    rows = rows_of(machine, new)
    assert (summary["status"], len(rows)) == ("succeeded", 9)
    assert {(row["label"], row["tier"], row["status"]) for row in rows} == {("a", 0, "accepted")}
    assert machine.faulty.bought.total() == bought
    assert summary["answers"] == f"rejudge:{run} of memory"
    again = rejudge.run(machine.services, new, judged(min_confidence="certain"))
    assert machine.execute(again)["answers"] == f"rejudge:{new} of memory"


def test_judging_again_under_the_same_gates_decides_alike() -> None:
    """Where no answer passes, the last reason stands; nothing costs anything."""
    machine, run = strict_run()
    task = make_task(*TIERS, gates={"min_confidence": "certain"}, description="the same in other words")
    new = rejudge.run(machine.services, run, task)
    summary = machine.execute(new)
    columns = ("line", "status", "reason", "label", "tier")
    old, again = ([tuple(row[c] for c in columns) for row in rows_of(machine, name)] for name in (run, new))
    assert sorted(old) == sorted(again)
    assert summary["cost_usd"] == 0
    assert sum(row["input_tokens"] + row["output_tokens"] + row["cost_usd"] for row in rows_of(machine, new)) == 0


def test_a_cancelled_run_can_be_judged_again() -> None:
    """Jobs that were never sent have no answers; every row comes out all the same."""
    settings = {"min_records_per_job": 2, "max_records_per_job": 5, "max_jobs_in_flight": 1}
    machine = Machine(FaultPlan(cancel=4), likely, settings)
    rows = [{"text": f"text {n}", "id": str(n)} for n in range(9)]
    run = machine.begin(judged(min_confidence="likely"), {"a.jsonl": jsonl(rows)})
    summary = machine.finish(run, resume_cancelled=False)
    assert summary["status"] == "cancelled"
    new = rejudge.run(machine.services, run, judged(min_confidence="certain"))
    again = machine.execute(new)
    assert again["rows"]["in"] == again["rows"]["unresolved"] == 9
    assert len(rows_of(machine, new)) == 9


def test_the_same_judgement_asked_for_twice_is_one_run() -> None:
    """Its id follows from the run and the task."""
    machine, run = strict_run()
    names = {rejudge.run(machine.services, run, judged(min_confidence="likely")) for _ in range(2)}
    assert len(names) == 1
    assert names != {run}


def test_only_what_was_answered_can_be_judged_again() -> None:
    """No run, none yet, or another text: each is refused with what is wrong."""
    staged = stage(*TIERS)
    with pytest.raises(Stop, match="there is no run"):
        rejudge.run(staged.services, "nobody", staged.task)
    other = {"name": "faults", "input": {"text": "body"}, "labels": ["a", "b"], "tiers": [TIERS[0]]}
    with pytest.raises(BadTask) as caught:
        rejudge.run(staged.services, staged.run, parse_task(other, "task"))
    assert {problem.split(":")[0] for problem in caught.value.problems} == {"input.text", "tiers"}
    fresh = Machine(FaultPlan(), likely, {})
    run = fresh.begin(staged.task, {"a.jsonl": jsonl([{"text": "x"}])})
    with pytest.raises(Stop, match="no answers to judge yet"):
        rejudge.run(fresh.services, run, staged.task)


def test_a_judging_run_is_swept_without_a_call() -> None:
    """It has no jobs of its own."""
    machine, run = strict_run()
    new = rejudge.run(machine.services, run, judged(min_confidence="likely"))
    assert sweep.run(machine.services, {"run": new, "reason": "cancelled"})["stopped"] == 0


def test_columns_that_were_not_read_of_parquet_cannot_be_read_anew() -> None:
    """The rows of a run hold of Parquet what its task named: a task that names more is refused, not given nulls."""
    machine = Machine(FaultPlan(), likely, {"min_records_per_job": 2, "max_records_per_job": 5})
    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["text 1", "text 2"], "more": ["x", "y"]}), out)
    run = machine.begin(judged(min_confidence="certain"), {"a.parquet": out.getvalue()})
    machine.execute(run)
    for changed in ({"keep": {"more": "string"}}, {"keep_input": True}):
        task = make_task(*TIERS, input={"text": "text", "id": "id", **changed})
        with pytest.raises(BadTask, match="was not read from the Parquet files of this run"):
            rejudge.run(machine.services, run, task)
