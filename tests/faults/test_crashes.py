from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.faults.chaos import decisions
from tests.faults.invariants import judge_run
from tests.faults.scenarios import reply, small_scenario
from tests.harness.faults import FaultPlan, WriteKill
from tests.harness.machine import Machine

ENDINGS = (("0/0", "partially completed"), ("0/1", "expired, with partial output"))
DECIDED = ("source", "line", "status", "reason", "label", "tier", "model", "shared", "record")


def run(kill: WriteKill | None) -> tuple[Machine, list[dict[str, Any]]]:
    """The small run with one crash; what was decided about each row."""
    scenario = small_scenario()
    machine = Machine(FaultPlan(seed=3, endings=ENDINGS, kill_at=kill), reply, scenario.settings)
    name = machine.begin(scenario.task, scenario.files)
    summary = machine.finish(name)
    verdict = judge_run(machine, scenario, name, summary)
    assert verdict.clean, verdict
    return machine, [{column: row[column] for column in DECIDED} for row in decisions(machine)]


@cache
def undisturbed() -> tuple[Machine, list[dict[str, Any]]]:
    return run(None)


def test_the_small_run_holds_all_that_can_crash() -> None:
    """Two spans, batch and on demand, retries and escalations; else the crashes below would prove less."""
    machine, rows = undisturbed()
    keys = [key for key in machine.faulty_s3.writes if key.startswith(("runs/", "requests/"))]
    for part in ("rows/000001", "round-0/00001/submitted", "round-1/", "/infer/", "-retry.txt", "-next.txt"):
        assert any(part in key for key in keys), part
    assert {row["tier"] for row in rows} >= {0, 1}


@pytest.mark.parametrize("again", [False, True], ids=["retried", "resumed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_write_changes_no_decision(when: str, again: bool) -> None:
    """The handler dies at each write in turn: once, or so often that the run breaks off and is resumed."""
    whole, expected = undisturbed()
    for write in range(1, whole.faulty_s3.all_writes + 1):
        machine, rows = run(WriteKill(write, when, again=again))
        assert 1 <= machine.dice.struck["handler killed"] <= 1 + again, write
        assert rows == expected, (write, whole.faulty_s3.writes[write])
