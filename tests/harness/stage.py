"""A run set up to a point, so that a test can call one step and look at what it did."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.runs.books import Counts
from sluice.runs.document import read
from sluice.runs.keys import JobKeys, Keys
from sluice.runs.state import JobItem, Part, Span
from sluice.steps import check, merge, plan, prepare, publish
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.stepping import STEPS, read_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.steps.services import Services

BATCH = {"model": "nova-micro", "attempts": 2}
ON_DEMAND = {"model": "nova-micro", "transport": "on_demand", "attempts": 2}
MIDDLE = {"model": "nova-lite", "attempts": 1}
STRONGER = {"model": "claude-haiku-4-5", "transport": "on_demand"}
MICRO = "us.amazon.nova-micro-v1:0"
LITE = "us.amazon.nova-lite-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SURE = json.dumps({"label": "a", "confidence": "certain"})


def sure(_model: str, _text: str) -> str:
    return SURE


def make_task(*tiers: dict[str, Any], **changes: Any) -> Task:
    """A task with two labels."""
    made = {"name": "faults", "input": {"text": "text", "id": "id"}, "labels": ["a", "b"], "tiers": list(tiers)}
    return parse_task({**made, **changes}, "task")


@dataclass
class Stage:
    """A planned run."""

    machine: Machine
    task: Task
    run: str

    @property
    def services(self) -> Services:
        return self.machine.services

    def use(self, **changes: Any) -> None:
        """Other services from here on."""
        self.machine.services = dataclasses.replace(self.machine.services, **changes)

    def keys(self, round_: int = 0, job: int = 0) -> JobKeys:
        return Keys(self.run).job(round_, job)

    def prepared(self, round_: int = 0, job: int = 0) -> JobItem:
        return prepare.run(self.services, JobItem(run=self.run, round=round_, job=job))

    def settle(self, item: JobItem, error: dict[str, str] | None = None) -> Counts | None:
        """From where a job stands to its books."""
        while item.next in STEPS:
            self.machine.faulty.tick()
            self.machine.faulty.asking = item.round
            item = STEPS[item.next](self.services, item)
        return check.run(self.services, item, error)

    def round(self, number: int) -> list[Counts]:
        """Plan a round and settle its jobs."""
        result = plan.run(self.services, self.run, number)
        assert result.more
        items = msgspec.json.decode(self.machine.work.get(result.jobs_key), type=list[JobItem])
        found = [self.settle(self.prepared(number, item.job)) for item in items]
        return [counts for counts in found if counts is not None]

    def counts(self, round_: int = 0, job: int = 0) -> Counts:
        key = self.keys(round_, job).counts
        return read(Counts, self.machine.work.get(key), key)

    def written(self, key: str) -> bool:
        return self.machine.work.exists(key)


def stage(
    *tiers: dict[str, Any],
    rows: int | Sequence[Any] = 10,
    answer: Callable[[str, str], str] = sure,
    faults: FaultPlan | None = None,
    settings: dict[str, Any] | None = None,
    **changes: Any,
) -> Stage:
    """A run over `rows` texts, partitioned and with its first round planned."""
    machine = Machine(faults or FaultPlan(), answer, {"min_records_per_job": 2, **(settings or {})})
    task = make_task(*(tiers or (BATCH,)), **changes)
    given = [{"text": f"text {n}", "id": str(n)} for n in range(rows)] if isinstance(rows, int) else list(rows)
    run = machine.begin(task, {"a.jsonl": jsonl(given)})
    for span in msgspec.json.decode(machine.work.get(Keys(run).spans), type=list[Span]):
        read_span(machine.services, span)
    plan.run(machine.services, run, 0)
    return Stage(machine, task, run)


def finish(staged: Stage, first: int = 0) -> dict[str, Any]:
    """Rounds from `first` until there are no more, and the end; run.json."""
    number = first
    while (result := plan.run(staged.services, staged.run, number)).more:
        staged.round(number)
        number += 1
    for part in msgspec.json.decode(staged.machine.work.get(result.parts_key), type=list[Part]):
        merge.run(staged.services, part)
    return publish.run(staged.services, staged.run)


def cancel(staged: Stage) -> None:
    """The marker alone, as sweep writes it."""
    staged.machine.work.put(Keys(staged.run).cancel, b"{}")
