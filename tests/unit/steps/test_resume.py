from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.errors import Stop
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Resumption
from sluice.steps import resume, start
from sluice.steps.services import Run
from tests.faults.chaos import decisions
from tests.faults.invariants import judge_run
from tests.faults.scenarios import draw_scenario, reply, small_scenario
from tests.harness.faults import FaultPlan, Killed
from tests.harness.machine import Machine
from tests.harness.stage import stage


def resumption(staged: Any, number: int) -> Resumption:
    key = Keys(staged.run).resumption(number)
    return read(Resumption, staged.machine.work.get(key), key)


def test_a_run_that_nobody_knows_cannot_be_resumed() -> None:
    """The message names it."""
    with pytest.raises(Stop, match="there is no run nobody"):
        resume.run(stage().services, "nobody")


def test_a_run_under_way_cannot_be_resumed() -> None:
    """Two executions of one run would do everything twice."""
    staged = stage()
    staged.machine.workflow.running = lambda _name: True  # type: ignore[method-assign]
    with pytest.raises(Stop, match="still under way"):
        resume.run(staged.services, staged.run)


def test_each_execution_has_its_number_and_the_latest_budget_counts() -> None:
    """A resumption without a budget leaves the one before in force."""
    staged = stage(budget={"max_usd": 1.0})
    assert Run(staged.machine.work, staged.run).max_usd == 1.0
    assert resume.run(staged.services, staged.run, 7.5) == f"{staged.run}-1"
    assert resume.run(staged.services, staged.run) == f"{staged.run}-2"
    opened = Run(staged.machine.work, staged.run)
    assert (opened.max_usd, opened.execution) == (7.5, f"{staged.run}-2")


def test_a_resume_that_dies_before_it_starts_anything_can_be_repeated() -> None:
    """The next number is taken."""
    staged = stage()
    staged.machine.faulty_s3.begin((1, "after"))
    with pytest.raises(Killed):
        resume.run(staged.services, staged.run)
    staged.machine.faulty_s3.begin(None)
    assert resume.run(staged.services, staged.run) == f"{staged.run}-2"
    assert staged.machine.workflow.started == [staged.run, f"{staged.run}-2"]


def test_a_finished_run_that_is_resumed_buys_nothing() -> None:
    """Every step returns at once where its output exists."""
    scenario = small_scenario()
    machine = Machine(FaultPlan(), reply, scenario.settings)
    run = machine.begin(scenario.task, scenario.files)
    first = machine.execute(run)
    bought, rows = machine.faulty.bought.total(), decisions(machine)
    resume.run(machine.services, run)
    assert machine.execute(run) == first
    assert (machine.faulty.bought.total(), decisions(machine)) == (bought, rows)


def test_the_same_event_twice_starts_one_run() -> None:
    """S3's events come at least once; the run id follows from what is frozen."""
    scenario = small_scenario()
    machine = Machine(FaultPlan(), reply, scenario.settings)
    first = machine.begin(scenario.task, scenario.files)
    machine.execute(first)
    bought = machine.faulty.bought.total()
    assert machine.command(scenario.task, list(scenario.files)) == first
    machine.execute(first)
    assert machine.faulty.bought.total() == bought
    assert machine.workflow.started == [first]


def test_two_runs_over_one_file_do_not_meet() -> None:
    """Each has its own jobs, objects and results; what one does is nothing to the other, without reuse."""
    scenario = draw_scenario(2)
    scenario = replace(scenario, task=scenario.task.model_copy(update={"reuse": None}))
    machine = Machine(FaultPlan(), reply, scenario.settings)
    first = machine.begin(scenario.task, scenario.files)
    command = {
        "task": scenario.task.model_dump(mode="json"),
        "inputs": [machine.incoming.uri(f"faults/{name}") for name in scenario.files],
        "settings": scenario.settings,
        "answers": "memory",
        "nonce": "another",
    }
    second = start.run(machine.services, machine.deployment(), {"command": command})
    assert second is not None
    assert second != first
    alone = machine.execute(first)
    verdict = judge_run(machine, scenario, first, alone)
    assert verdict.clean
    both = machine.execute(second)
    for name in ("rows", "labels", "cost_usd", "reasons"):
        assert alone[name] == both[name]
    assert len(machine.rows()) == 2 * verdict.rows
