from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.faults.chaos import decisions
from tests.faults.invariants import judge_run
from tests.faults.scenarios import reply, small_scenario
from tests.harness.faults import FaultPlan, WriteKill
from tests.harness.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
ENDINGS = (("0/0", "partially completed"), ("0/1", "expired, with partial output"))
DECIDED = ("source", "line", "status", "reason", "label", "tier", "model", "shared", "record")
# All that a deployment in memory remembers, by the part of it.
OF_MACHINE = ("kills", "turn", "executions", "looks", "abandoned", "failures", "published", "invocations", "step")
OF_S3 = ("modified", "writes", "uploads", "requests", "all_writes", "invocation_writes")
OF_BEDROCK = ("clock", "asking", "jobs", "bought", "answered", "sold", "counted", "violations", "peak", "created")


@dataclass
class Journal:
    """The tasks of an undisturbed run in order: what each returned, and what was there after it.

    `moments` tells of each write in which task it was and how often something outside S3 had been called by then.
    """

    tasks: list[tuple[Any, int, bytes]] = field(default_factory=list)
    moments: list[tuple[int, int]] = field(default_factory=list)

    def before(self, write: int) -> int:
        """How many tasks are through when a write comes."""
        return sum(writes < write for _, writes, _ in self.tasks)

    def ends_at(self, write: int) -> bool:
        """Whether death after a write leaves something else than death before the next one."""
        return write == len(self.moments) or self.moments[write - 1] != self.moments[write]


class Recorder(Machine):
    """A machine that keeps a journal."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.journal = Journal()
        write = self.faulty_s3._write

        def noted(bucket: str, key: str, body: bytes) -> str:
            calls = self.faulty.counted.total() + len(self.published) + len(self.workflow.started)
            self.journal.moments.append((len(self.journal.tasks), calls + len(self.readings.taken)))
            return write(bucket, key, body)

        self.faulty_s3._write = noted  # type: ignore[method-assign]

    def command(self, *given: Any) -> str:
        self.journal.moments.clear()
        return super().command(*given)

    def task(self, step: str, place: str, call: Callable[[], T]) -> T:
        result = super().task(step, place, call)
        self.journal.tasks.append((result, self.faulty_s3.all_writes, pickle.dumps(remembered(self))))
        return result


class Successor(Machine):
    """A machine to which the first tasks have happened as a journal has it, instead of once more."""

    def __init__(self, journal: Journal, through: int, *given: Any) -> None:
        super().__init__(*given)
        self.through = iter(journal.tasks[:through])

    def task(self, step: str, place: str, call: Callable[[], T]) -> T:
        for result, _, state in self.through:
            remember(self, pickle.loads(state))
            return result  # type: ignore[no-any-return]
        return super().task(step, place, call)


def remembered(machine: Machine) -> list[dict[Any, Any]]:
    parts = ((machine, OF_MACHINE), (machine.faulty_s3, OF_S3), (machine.faulty, OF_BEDROCK))
    found = [{name: getattr(part, name) for name in names} for part, names in parts]
    return [*found, vars(machine.workflow), vars(machine.readings), dict(machine.faulty_s3.objects)]


def remember(machine: Machine, state: list[dict[Any, Any]]) -> None:
    parts = (machine, machine.faulty_s3, machine.faulty, machine.workflow, machine.readings)
    *found, objects = state
    for part, values in zip(parts, found, strict=True):
        vars(part).update(values)
    kept = machine.faulty_s3.objects  # which Bedrock's own client has, too
    for name in [name for name in kept if name not in objects]:
        del kept[name]
    for name, body in objects.items():
        kept[name] = body


def run(kill: WriteKill | None) -> tuple[Machine, list[dict[str, Any]]]:
    """The small run with one crash; what was decided about each row."""
    scenario = small_scenario()
    given = (FaultPlan(seed=3, endings=ENDINGS, kill_at=kill), reply, scenario.settings)
    machine: Machine = Recorder(*given)
    if kill is not None:
        journal = undisturbed()[0].journal
        machine = Successor(journal, journal.before(kill.write), *given)
    name = machine.begin(scenario.task, scenario.files)
    summary = machine.finish(name)
    verdict = judge_run(machine, scenario, name, summary)
    assert verdict.clean, verdict
    return machine, [{column: row[column] for column in DECIDED} for row in decisions(machine)]


@cache
def undisturbed() -> tuple[Recorder, list[dict[str, Any]]]:
    machine, rows = run(None)
    assert isinstance(machine, Recorder)
    return machine, rows


def test_the_small_run_holds_all_that_can_crash() -> None:
    """Two spans, batch and on demand, retries and escalations; else the crashes below would prove less."""
    machine, rows = undisturbed()
    keys = [key for key in machine.faulty_s3.writes if key.startswith(("runs/", "requests/"))]
    for part in ("rows/000001", "round-0/00001/submitted", "round-1/", "/infer/", "-retry.txt", "-next.txt"):
        assert any(part in key for key in keys), part
    assert {row["tier"] for row in rows} >= {0, 1}
    assert len(machine.journal.moments) == machine.faulty_s3.all_writes


@pytest.mark.parametrize("again", [False, True], ids=["retried", "resumed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_write_changes_no_decision(when: str, again: bool) -> None:
    """The handler dies at each write in turn: once, or so often that the run breaks off and is resumed.

    Death after a write is death before the handler's next one where nothing is called between both.
    """
    whole, expected = undisturbed()
    for write in range(1, whole.faulty_s3.all_writes + 1):
        if when == "after" and not whole.journal.ends_at(write):
            continue
        machine, rows = run(WriteKill(write, when, again=again))
        assert 1 <= machine.dice.struck["handler killed"] <= 1 + again, write
        assert rows == expected, (write, whole.faulty_s3.writes[write])
