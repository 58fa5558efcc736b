"""Plays the state machine over the real steps, under a fault plan: retries, catches, maps, the loop, and what follows.

A handler that is killed is tried once more, as the machine's Retry does; what it fails with then, or at once with an
error of its own, goes to the Catch of its state. A failed or aborted execution is swept and resumed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sluice.aws.s3 import Store
from sluice.errors import SluiceError
from sluice.runs.drawn import ShardItem
from sluice.runs.keys import Keys
from sluice.runs.state import JobItem, Part, Span, Then
from sluice.steps import certify, check, learn, merge, plan, prepare, publish, resume, score, sweep
from sluice.steps.services import Run, Services
from tests.harness.drive import Cloud
from tests.harness.faults import Dice, FaultPlan, FaultyS3, Killed
from tests.harness.faulty_bedrock import FaultyBedrock
from tests.harness.s3 import MemoryS3
from tests.harness.stepping import STEPS, read_span

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from sluice.task.task import Task

T = TypeVar("T")
MAX_TURNS = 20_000  # of jobs in one execution: more means that a job never ends
MAX_EXECUTIONS = 40
CALM_AFTER = 12  # executions: from then on nothing more goes wrong, and the run has to end
UNKNOWN = {"Error": "Lambda.Unknown", "Cause": '{"errorMessage": "the process ended"}'}


class TaskFailed(Exception):
    """A task state that failed, with what its Catch is given."""

    def __init__(self, error: dict[str, str]) -> None:
        self.error = error
        super().__init__(str(error))


class Aborted(Exception):
    """The execution was stopped from outside."""


@dataclass
class MemoryWorkflow:
    """Executions as the steps see them: which were started, and whether the latest was stopped."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, name: str, _run: str, _max_workers: int) -> str:
        if name not in self.started:
            self.started.append(name)
        return name

    def running(self, _name: str) -> bool:
        return False

    def stop(self, name: str, _cause: str) -> None:
        self.stopped.append(name)


class Machine(Cloud):
    """A deployment in memory whose parts fail as a plan says."""

    def __init__(self, faults: FaultPlan, answer: Callable[[str, str], str], settings: dict[str, Any]) -> None:
        self.faults = faults
        self.dice = Dice(faults)
        self.faulty_s3 = FaultyS3(dice=self.dice)
        super().__init__(answer, settings, self.faulty_s3)
        own = Store(MemoryS3(objects=self.faulty_s3.objects), "work")  # type: ignore[arg-type]
        self.faulty = FaultyBedrock(
            own,
            answer,
            self.dice,
            min_records=settings.get("min_records_per_job", 100),
            max_records=settings.get("max_records_per_job", 50_000),
        )
        self.faulty.on_create = self._created
        self.workflow = MemoryWorkflow()
        self.services = Services(
            work=self.work,
            results=self.results,
            bucket=self.store,
            bedrock=self.faulty.client(),
            workflow=self.workflow,  # type: ignore[arg-type]
            publish_event=lambda kind, _detail: self.published.append(kind),
            measure=self.readings,
            now=lambda: dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC),
            sleep=lambda _seconds: None,
            remaining_seconds=self._remaining,
        )
        self.published: list[str] = []
        self.invocations: Counter[tuple[str, str]] = Counter()
        self.kills = self.turn = self.executions = self.looks = 0
        self.abandoned: set[str] = set()
        self.failures: list[dict[str, str]] = []
        self.cancelled_in: str | None = None
        self.step = ""  # the function that runs

    def command(self, task: Task, files: Iterable[str]) -> str:
        """Start a run; its writes are the first that count."""
        self.faulty_s3.all_writes = 0
        return self.insist("start", "", partial(super().command, task, list(files)))

    # one function

    def task(self, step: str, place: str, call: Callable[[], T]) -> T:
        """One task state: a killed handler is tried once more, an error of the handler is final.

        Raises:
            TaskFailed: with what the state's Catch is given.

        """
        for _ in range(2):
            try:
                result = self._handle(step, place, call)
                if self.dice.happens(
                    self.faults.twice, "handler run twice", step, place, self.invocations[step, place]
                ):
                    result = self._handle(step, place, call)
            except Killed:
                continue
            except SluiceError as error:
                cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
                raise TaskFailed({"Error": type(error).__name__, "Cause": cause}) from error
            return result
        raise TaskFailed(UNKNOWN)

    def insist(self, step: str, place: str, call: Callable[[], T]) -> T:
        """What a user, or an event that comes again, asks for until it is through."""
        for _ in range(MAX_EXECUTIONS):
            try:
                return self.task(step, place, call)
            except TaskFailed as failed:
                error = failed
        raise error

    def _handle(self, step: str, place: str, call: Callable[[], T]) -> T:
        self.step = step
        self.invocations[step, place] += 1
        names = (step, place, self.invocations[step, place])
        armed = None
        if self.kills < self.faults.max_kills and self.dice.happens(self.faults.kills, "kill", *names, counted=False):
            self.kills += 1
            when = self.dice.pick(("before", "after", "before", "after", "busy"), "when", *names)
            armed = (self.dice.number(1, 4, "write", *names), when)
        self.faulty_s3.begin(armed)
        self.looks = 0
        try:
            return call()
        finally:
            self.faulty_s3.begin(None)

    def _remaining(self) -> float:
        self.looks += 1
        return 30.0 if self.dice.happens(self.faults.time_outs, "time is up", self.turn, self.looks) else 900.0

    # one execution

    def execute(self, run: str) -> dict[str, Any]:
        """One execution; returns run.json.

        Raises:
            TaskFailed: the execution failed.
            Aborted: it was stopped.

        """
        self.executions += 1
        self.dice.calm = self.executions > CALM_AFTER
        services, keys = self.services, Keys(run)
        for span in msgspec.json.decode(self.work.get(keys.spans), type=list[Span]):
            self.task("partition", str(span.span), partial(read_span, services, span))
        number, then = 0, Then.JOBS
        while then in (Then.JOBS, Then.LEARN, Then.CERTIFY):
            result = self.task("plan", str(number), partial(plan.run, services, run, number))
            then, number = result.then, result.next
            if then is Then.LEARN:
                self.task("learn", run, partial(learn.run, services, run))
            if then is Then.CERTIFY:
                self._certify(run, result.shards_key)
            if then is Then.JOBS:
                items = msgspec.json.decode(self.work.get(result.jobs_key), type=list[JobItem])
                self._map_jobs(run, items, result.max_concurrency)
        for part in msgspec.json.decode(self.work.get(result.parts_key), type=list[Part]):
            self.task("merge", str(part.part), partial(merge.run, services, part))
        return self.task("publish", run, lambda: publish.run(services, run))

    def _certify(self, run: str, shards_key: str) -> None:
        for item in msgspec.json.decode(self.work.get(shards_key), type=list[ShardItem]):
            self.task("score", str(item.shard), partial(score.run, self.services, item))
        self.task("certify", run, partial(certify.run, self.services, run))

    def _map_jobs(self, run: str, items: Sequence[JobItem], width: int) -> None:
        """The map over a round's jobs: at most `width` at once, each going on in an order of its own."""
        waiting, active = list(items), list[tuple[JobItem, "Generator[None]"]]()
        begun = self.turn
        while waiting or active:
            while waiting and len(active) < width:
                item = waiting.pop(0)
                active.append((item, self._child(item)))
            self.turn += 1
            assert self.turn < begun + MAX_TURNS, "a job never ends"
            self.faulty.tick()
            if self.turn == self.faults.cancel:
                self.cancel(run)
            if self.cancelled_in is not None:
                self.cancelled_in = None
                self.abandoned |= set(self.faulty.in_flight)
                raise Aborted
            at = self.dice.number(0, len(active) - 1, "turn", self.turn)
            if next(active[at][1], "ended") == "ended":
                active.pop(at)
                self._check_flight(len(active), width)

    def _check_flight(self, active: int, width: int) -> None:
        """Jobs in flight are those of the children that go on, and those that a dead child left."""
        flying = set(self.faulty.in_flight)
        if len(flying) > width:
            left = len(self.abandoned & flying)
            if len(flying) - left > width:
                self.faulty.violations.append(f"{len(flying)} jobs in flight, {width} allowed")
        if len(flying) > active:
            self.abandoned |= flying

    def _child(self, item: JobItem) -> Generator[None]:
        """One job's child execution, which never fails: everything is caught into check, and check's own end is {}."""
        place, services, error = f"{item.round}/{item.job}", self.services, None
        try:
            item = self.task("prepare", place, partial(prepare.run, services, item))
            while item.next in STEPS:
                assert type(item.wait_seconds) is int
                assert item.wait_seconds >= 0
                yield
                self.faulty.asking = item.round
                item = self.task(item.next, place, partial(STEPS[item.next], services, item))
        except TaskFailed as failed:
            error = failed.error
        try:
            self.task("check", place, partial(check.run, services, item, error))
        except TaskFailed as failed:
            self.failures.append(failed.error)

    # cancelling, and what follows an execution

    def cancel(self, run: str) -> None:
        """`sluice cancel`, repeated by its user until it is through."""
        self.dice.count("cancelled")
        self.cancelled_in = run
        self.insist("sweep", run, lambda: sweep.run(self.services, {"run": run, "reason": "cancelled"}))

    def _created(self, number: int) -> None:
        """The marker comes while Bedrock is creating a job: the submit is alive and goes on when this returns."""
        if number == self.faults.cancel_in_create and self.running is not None:
            armed, self.step = self.faulty_s3.armed, "sweep"
            self.dice.count("cancelled in Create")
            self.cancelled_in = self.running
            sweep.run(self.services, {"run": self.running, "reason": "cancelled"})
            self.faulty_s3.armed, self.step = armed, "submit"

    running: str | None = None

    def _event(self, run: str, execution: str, failed: TaskFailed) -> dict[str, Any]:
        detail = {
            "name": execution,
            "status": "FAILED",
            "input": json.dumps({"run": run}),
            "error": failed.error["Error"],
            "cause": failed.error["Cause"],
        }
        return {"detail": detail}

    def _report(self, run: str, event: dict[str, Any]) -> None:
        """EventBridge invokes sweep, and again twice when it dies; then the event is gone."""
        for _ in range(3):
            try:
                self.task("sweep", run, lambda: sweep.run(self.services, event))
            except TaskFailed:
                continue
            return

    def finish(self, run: str, *, resume_cancelled: bool = True) -> dict[str, Any]:
        """Executions until the run is published; a cancelled one is resumed after its end when asked for."""
        self.running = run
        events: list[dict[str, Any]] = []
        while self.executions < MAX_EXECUTIONS:
            execution, started = Run(self.work, run).execution, len(self.workflow.started)
            try:
                summary = self.execute(run)
            except Aborted:
                continue
            except TaskFailed as failed:
                self.failures.append(failed.error)
                events.append(self._event(run, execution, failed))
                if not self.dice.happens(self.faults.late, "report comes late", execution):
                    self._report(run, events[-1])
                if len(self.workflow.started) == started:
                    self._resume(run)
                if self.dice.happens(self.faults.late, "report comes twice", execution):
                    self._report(run, events[-1])
                continue
            if summary["status"] != "cancelled" or not resume_cancelled:
                for event in events:
                    self._report(run, event)
                return summary
            self.after_cancel(run, summary)
            self._resume(run)
        raise AssertionError(f"the run never ends: {self.failures[-3:]}")

    def after_cancel(self, run: str, summary: dict[str, Any]) -> None:
        """What a test looks at when a cancelled run has been closed."""

    def _resume(self, run: str) -> None:
        self.insist("start", run, lambda: resume.run(self.services, run))
