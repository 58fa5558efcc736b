"""`make chaos`: many seeded fault plans, and a table of what they broke.

    python -m tests.faults.chaos --plans 1000 --seed 0

A plan that broke something is run again by `--plans 1 --seed N`.
"""

# ruff: noqa: T201 - what a command prints

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.faults.invariants import Verdict, inherit, judge_run, reuse_problems
from tests.faults.scenarios import draw_plan, draw_scenario, reply
from tests.harness.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.faults.scenarios import Scenario
    from tests.harness.faults import FaultPlan

AGAIN = 10  # every so manieth plan is run a second time, and has to come out the same
WORKERS = 2


class Outcome(NamedTuple):
    """What one plan did."""

    seed: int
    verdict: Verdict
    struck: Counter[str]
    status: str
    executions: int


class JudgedMachine(Machine):
    """A machine that holds a cancelled run against the same rules before it is resumed."""

    scenario: Scenario
    before: Verdict | None = None

    def after_cancel(self, run: str, summary: dict[str, Any]) -> None:
        self.before = judge_run(self, self.scenario, run, summary)


def run_plan(
    plan: FaultPlan, scenario: Scenario, watch: Callable[[Machine], None] = lambda _machine: None
) -> tuple[JudgedMachine, dict[str, Any], Verdict]:
    """One run under a plan, and what is wrong with it; `watch` is given the machine before it starts.

    A scenario that reuses replies runs twice, both times under the plan: what is told is of the second run.
    """
    first = _run_once(plan, scenario, watch)
    if scenario.task.reuse is None:
        return first
    return _run_once(plan, scenario, watch, first)


def _run_once(
    plan: FaultPlan,
    scenario: Scenario,
    watch: Callable[[Machine], None],
    before: tuple[JudgedMachine, dict[str, Any], Verdict] | None = None,
) -> tuple[JudgedMachine, dict[str, Any], Verdict]:
    machine = JudgedMachine(plan, reply, scenario.settings)
    if before is not None:
        inherit(machine, before[0])
    machine.scenario = scenario
    watch(machine)
    run = machine.begin(scenario.task, scenario.files)
    summary = machine.finish(run, resume_cancelled=plan.seed % 2 == 0)
    verdict = judge_run(machine, scenario, run, summary)
    if before is not None:
        verdict.wrong += [f"in the first run: {problem}" for problem in before[2].wrong]
        verdict.wrong += reuse_problems(before[0], machine, scenario)
        verdict.lost += before[2].lost
        verdict.doubled += before[2].doubled
        verdict.bought_twice += before[2].bought_twice
    if machine.before is not None:
        verdict.wrong += [f"when cancelled: {problem}" for problem in machine.before.wrong]
        verdict.lost += machine.before.lost
        verdict.doubled += machine.before.doubled
    return machine, summary, verdict


def run_seed(seed: int) -> Outcome:
    """The plan and the scenario of a seed; an exception is a wrong, too."""
    scenario, plan = draw_scenario(seed), draw_plan(seed)
    try:
        machine, summary, verdict = run_plan(plan, scenario)
        if seed % AGAIN == 0:
            again = run_plan(plan, scenario)
            if decisions(again[0]) != decisions(machine) or again[1] != summary:
                verdict.wrong.append("the same plan came out differently the second time")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with its seed
        return Outcome(seed, Verdict(wrong=[f"{type(error).__name__}: {error}"]), Counter(), "crashed", 0)
    return Outcome(seed, verdict, machine.dice.struck, summary["status"], machine.executions)


def decisions(machine: Machine) -> list[dict[str, Any]]:
    """All rows in the order of the input."""
    return sorted(machine.rows(), key=lambda row: (row["source"], row["line"]))


def print_table(outcomes: list[Outcome], seconds: float) -> bool:
    """The table; whether nothing broke."""
    struck: Counter[str] = Counter()
    for outcome in outcomes:
        struck.update(outcome.struck)
    for name, count in sorted(struck.items()):
        print(f"  {name:<40}{count:>9,}")
    verdicts = [outcome.verdict for outcome in outcomes]
    statuses = Counter(outcome.status for outcome in outcomes)
    lines = {
        "plans": f"{len(outcomes):,}",
        "ended as": ", ".join(f"{count:,} {status}" for status, count in statuses.most_common()),
        "executions": f"{sum(outcome.executions for outcome in outcomes):,}",
        "faults": f"{struck.total():,} of {len(struck)} kinds",
        "rows": f"{sum(verdict.rows for verdict in verdicts):,}",
        "lost": f"{sum(verdict.lost for verdict in verdicts):,}",
        "doubled": f"{sum(verdict.doubled for verdict in verdicts):,}",
        "wrong": f"{sum(len(verdict.wrong) for verdict in verdicts):,}",
        "bought twice": f"{sum(verdict.bought_twice for verdict in verdicts):,}",
        "seconds": f"{seconds:,.0f}",
    }
    print()
    for name, figure in lines.items():
        print(f"  {name:<14}{figure}")
    return all(verdict.clean for verdict in verdicts)


def print_broken(outcomes: list[Outcome]) -> None:
    for outcome in [outcome for outcome in outcomes if not outcome.verdict.clean][:20]:
        verdict = outcome.verdict
        print(
            f"seed {outcome.seed}: {verdict.lost} lost, {verdict.doubled} doubled, {verdict.bought_twice} bought twice"
        )
        for problem in verdict.wrong[:5]:
            print(f"    {problem[:400]}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run seeded fault plans and count what they break.")
    parser.add_argument("--plans", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=WORKERS)
    given = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(given.workers) as pool:
        outcomes = list(pool.map(run_seed, range(given.seed, given.seed + given.plans), chunksize=5))
    clean = print_table(outcomes, time.monotonic() - began)
    print_broken(outcomes)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
