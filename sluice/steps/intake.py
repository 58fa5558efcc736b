"""intake: what is due becomes a run; each object is in exactly one, whatever breaks off.

An event leaves a marker (`sluice.steps.arrivals`). A sweep of the inbox writes an intent for what is due, claims its
objects for the run, begins it, and removes the markers and then the intent. Each write is conditional or the same
whoever makes it, and a claim is never taken back: whoever finds an intent rolls it forward to the same run.
`docs/internals/architecture.md` has the protocol.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.aws.metrics import Measure
from sluice.errors import BadInput, BadTask, RetryLater, SluiceError
from sluice.models.fitting import check_models
from sluice.runs.document import read
from sluice.runs.inbox import (
    INBOX,
    Dropped,
    Intent,
    Marker,
    Notice,
    Signal,
    Waiting,
    apart,
    claim_key,
    due_from,
    intent_key,
    marker_key,
    newest,
    notice_key,
    signal_key,
    tick_id,
)
from sluice.runs.keys import Keys
from sluice.runs.state import Input, Inputs, PassedOver
from sluice.steps import start
from sluice.steps.arrivals import put_signal, refuse
from sluice.steps.pace import Pace, of_keys
from sluice.steps.spending import spent_since
from sluice.task.file import load_task
from sluice.task.triggers import by_drop, effective, versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.steps.services import Deployment, Services
    from sluice.task.task import Task

T = TypeVar("T")
R = TypeVar("R")

RESERVE_SECONDS = 45.0  # of the function's time: by then a sweep leaves the rest to the next one
BATCH = 500  # objects between two looks at the clock


@dataclass
class Swept:
    """What a sweep came to: runs that began, objects that wait still, and for how long the oldest that is due has."""

    runs: list[str] = field(default_factory=list)
    waiting: int = 0
    overdue_seconds: float = 0.0
    refused: list[Notice] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    held: str | None = None


def sweep(services: Services, deployment: Deployment, wanted: dict[str, Any]) -> Swept:
    """Finish the runs in the making, then make runs of what is due.

    `wanted` is {} (every minute), {"task", "time"} (a tick of a task's schedule) or {"task", "now": true} (a command);
    the latter two look after their task alone.

    Raises:
        BadTask: there is no such task.

    """
    only = wanted.get("task")
    if only is not None:
        load_task(only, deployment.tasks)
        _note(services, only, wanted.get("time"))
    swept = _Sweep(services, deployment).run(only)
    if only is None:
        services.measure(Measure.OBJECTS_WAITING, swept.waiting)
        services.measure(Measure.OVERDUE_SECONDS, swept.overdue_seconds)
    return swept


def _note(services: Services, task: str, time: str | None) -> None:
    """Keep a tick or a command until its run has begun, whatever happens meanwhile."""
    at = services.now().isoformat()
    id_ = tick_id(task, time or f"now {at}")
    put_signal(services, id_, Signal(task=task, at=at, tick=time))


class _Sweep:
    """One sweep of the inbox."""

    def __init__(self, services: Services, deployment: Deployment) -> None:
        self.services = services
        self.deployment = deployment
        self.work = services.work
        self.now = services.now()
        self.swept = Swept()
        self.tasks: dict[str, Task] = {}
        self.inbox = Waiting.read(self.work.entries(INBOX))

    def run(self, only: str | None) -> Swept:
        """Task by task, in order of age; what goes wrong with one is no reason to leave the others."""
        for task in self.inbox.tasks:
            if only in (None, task):
                try:
                    late = not self._serve(task)
                except SluiceError as error:
                    self.swept.problems.append(f"{task}: {error}")
                    late = True
                if late:
                    self._count_late(task)
        self.swept.waiting = self.inbox.count
        return self.swept

    def _serve(self, task: str) -> bool:
        """Finish a task's runs in the making, and make one of what is due; False when that has to wait."""
        for found in self.inbox.open.get(task, []):
            if self.now < found.leased_until:
                return False  # somebody is at it, with the very objects that are marked
            self._finish(task, found.run)
        signals = self._signals(task)
        due = self._due(task, signals)
        if not due and not signals:
            return True
        chosen, earlier = newest(due) if self._latest(task) else (due, [])
        pace = Pace.of(self.services, task, self.deployment.settings.max_versions_per_hour if due else None)
        runs = apart(chosen) or [[]]
        for number, items in enumerate(runs, 1):
            going = pace.let_go(items)
            if items and not going:
                continue
            if items and (held := self._held()):
                self.swept.held = held
                return False
            # The signals go with the last run: until then they say that the others may go.
            taken = sorted(signals) if number == len(runs) and not pace.held else []
            self._propose(task, going, signals, taken, passed=of_keys(earlier, going))
        self.swept.held = pace.held or self.swept.held
        return pace.held is None

    def _count_late(self, task: str) -> None:
        if self.inbox.objects.get(task):
            waited = (self.now - self._due_since(task)).total_seconds()
            self.swept.overdue_seconds = max(self.swept.overdue_seconds, waited)

    def _due_since(self, task: str) -> dt.datetime:
        """Since when the objects of a task could have gone: by themselves, or since the oldest signal."""
        times, signals = self.inbox.objects[task].values(), self.inbox.signals.get(task, {}).values()
        try:
            by_drop = self._triggered_by_drop(task)
        except BadTask:
            return min(times)
        found = [due_from(times, self.deployment.settings.settle_seconds)] if by_drop else []
        if signals:
            found.append(max(min(signals), min(times)))
        return min(found, default=min(times))

    def _finish(self, task: str, run: str) -> None:
        """Take up an intent that somebody left; writing it anew says so to the next sweep."""
        key = intent_key(task, run)
        if (data := self.work.find(key)) is not None:
            self.work.put(key, data)
            self._roll_forward(task, read(Intent, data, key))

    # What is due.

    def _signals(self, task: str) -> dict[str, Signal]:
        """The signals of a task whose grace is over; those that a run has taken before are removed."""
        found = {}
        for id_, written in self.inbox.signals.get(task, {}).items():
            key = signal_key(task, id_)
            if (data := self.work.find(key)) is None:
                continue
            signal = read(Signal, data, key)
            if self.work.exists(claim_key(id_)):
                self.work.delete([key])
            elif (self.now - written).total_seconds() >= signal.grace:
                found[id_] = signal
        return found

    def _due(self, task: str, signals: dict[str, Signal]) -> list[Dropped]:
        """The objects of a task that may go now."""
        times = self.inbox.objects.get(task, {})
        settle = self.deployment.settings.settle_seconds
        dropped = self._triggered_by_drop(task) and self.now >= due_from(times.values(), settle)
        if not times or not (dropped or signals):
            return []
        items = self._marked(task, list(times))
        return [item for item in items if dropped or any(signal.covers(item) for signal in signals.values())]

    def _task(self, name: str) -> Task:
        """A task of the deployment, read once a sweep."""
        if name not in self.tasks:
            self.tasks[name] = load_task(name, self.deployment.tasks)
        return self.tasks[name]

    def _triggered_by_drop(self, task: str) -> bool:
        if not self.inbox.objects.get(task):
            return False
        own = self._task(task).trigger
        return by_drop(effective(own, self.deployment.intake.schedules.get(task)))

    def _latest(self, task: str) -> bool:
        """Whether earlier versions of what waits are passed over."""
        own = self._task(task).trigger
        return versions_of(own, self.deployment.intake.schedules.get(task)) == "latest"

    def _marked(self, task: str, ids: list[str]) -> list[Dropped]:
        """The objects behind markers; another sweep may have removed some by now."""

        def load(id_: str) -> Dropped | None:
            key = marker_key(task, id_)
            data = self.work.find(key)
            return None if data is None else read(Marker, data, key).object

        return [item for item in self._each(load, ids) if item is not None]

    # Limits.

    def _held(self) -> str | None:
        """Why no run may begin now; None when one may."""
        settings, workflow = self.deployment.settings, self.services.workflow
        if workflow is None:
            return None
        if settings.max_runs is not None:
            going_on = {*workflow.going_on(), *self.swept.runs}
            if len(going_on) >= settings.max_runs:
                return f"max_runs = {settings.max_runs}: so many runs are under way"
        if settings.max_usd_per_day is not None:
            spent = spent_since(self.services, self.now.replace(hour=0, minute=0, second=0, microsecond=0))
            if reason := spent.passes(settings.max_usd_per_day):
                return f"max_usd_per_day = {settings.max_usd_per_day:g}: {reason}"
        return None

    # One run.

    def _propose(
        self, task: str, due: list[Dropped], signals: dict[str, Signal], taken: list[str], passed: list[Dropped]
    ) -> None:
        """Write down the run that these objects make, which takes these signals with it, and make it."""
        ticks = [signal.tick for signal in signals.values() if signal.tick]
        said = ticks or [item.at for item in due] or [signal.at for signal in signals.values()]
        moment = max(map(dt.datetime.fromisoformat, said))
        ids = sorted(item.id for item in due)
        # Who sees another earlier version makes another run of it, so that no marker is left that nobody takes.
        more = [sorted(item.id for item in passed)] if passed else []
        intent = Intent(
            run=start.run_id(task, moment, task, ids, taken, *more),
            moment=moment.isoformat(),
            objects=due,
            signals=taken,
            passed=passed,
        )
        key = intent_key(task, intent.run)
        if not self.work.put_new(key, intent.write()):
            # A sweep beside this one has proposed it. Should it be through by now, there is nothing to do.
            if (data := self.work.find(key)) is None:
                return
            intent = read(Intent, data, key)
        self._roll_forward(task, intent)

    def _roll_forward(self, task: str, intent: Intent) -> None:
        """Bring a run in the making to its begin, wherever it stopped; markers and intent go last."""
        keys = Keys(intent.run)
        begun = self.work.exists(keys.start)
        inputs = [] if begun else self._inputs(intent, keys)
        if begun or inputs:
            self._begin(task, intent, inputs)
        ids = [item.id for item in (*intent.objects, *intent.passed)]
        self.work.delete([marker_key(task, id_) for id_ in ids] + [signal_key(task, id_) for id_ in intent.signals])
        self.work.delete([intent_key(task, intent.run)])
        for id_ in ids:
            self.inbox.objects[task].pop(id_, None)
        for id_ in intent.signals:
            self.inbox.signals[task].pop(id_, None)

    def _begin(self, name: str, intent: Intent, inputs: list[Input]) -> None:
        """Begin the run with the task and settings that are deployed now, so that a mistake in them can be mended."""
        task = self._task(name)
        models = check_models(task, self.deployment.catalog, self.deployment.region)
        moment = dt.datetime.fromisoformat(intent.moment)
        asked = start.Asked(task, models, self.deployment.settings, "bedrock", moment)
        start.begin(self.services, self.deployment, asked, intent.run, inputs)
        self.swept.runs.append(intent.run)

    def _inputs(self, intent: Intent, keys: Keys) -> list[Input]:
        """The run's objects: those of the intent that are claimed for it, but for what cannot be read.

        They are fixed once every claim has been tried, by whomever.
        """
        if (data := self.work.find(keys.inputs)) is not None:
            return read(Inputs, data, keys.inputs).inputs
        self._each(lambda id_: self._claim(id_, intent.run), intent.signals)
        claimed = self._each(lambda item: self._claim(item.id, intent.run), intent.objects)
        own = [item for item, ours in zip(intent.objects, claimed, strict=True) if ours]
        over = [item for item in self._each(lambda item: self._pass_over(item, intent), intent.passed) if item]
        found = [item for item in self._each(self._frozen, own) if item is not None]
        return start.keep_inputs(self.services, keys, found, over) if found else []

    def _pass_over(self, item: Dropped, intent: Intent) -> PassedOver | None:
        """Take an earlier version out of what waits, with a notice; None where another run has it."""
        if not self._claim(item.id, intent.run):
            return None
        later = next(other for other in intent.objects if other.uri == item.uri)
        reason = (
            f"versions: latest: the version {later.version} of {later.at} waited beside it, and is read in its place. "
            f"sluice submit '{item.uri}' --task NAME reads what is current"
        )
        notice = Notice(bucket=item.bucket, key=item.key, version=item.version, reason=reason, at=item.at)
        self.work.put_new(notice_key(item.id), notice.write())
        return PassedOver(uri=item.uri, version=item.version, at=item.at)

    def _claim(self, id_: str, run: str) -> bool:
        """Whether an object is this run's; the first to ask has it."""
        key = claim_key(id_)
        return self.work.put_new(key, run.encode()) or self.work.get(key).decode() == run

    def _frozen(self, item: Dropped) -> Input | None:
        """An object of the run as it is read; None, with a notice, for one that cannot be.

        Whatever else S3 or KMS refuse (a role, a key) is mended there, and says nothing about the object: the intent
        stays open until then.
        """
        try:
            return self._as_dropped(item)
        except BadInput as error:
            if notice := refuse(self.services, item, str(error)):
                self.swept.refused.append(notice)
            return None

    def _as_dropped(self, item: Dropped) -> Input:
        store = self.services.bucket(item.bucket)
        frozen, _ = start.freeze(store, item.key, self.deployment.settings, item.version)
        if item.version is None and frozen.etag.strip('"') != item.etag:
            raise BadInput(f"{item.uri} was replaced before it was read")
        return frozen

    def _each(self, call: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What `call` makes of each item, many at a time.

        Raises:
            RetryLater: the function's time is nearly up; the next sweep goes on.

        """
        done: list[R] = []
        at_once = min(self.services.at_once, len(items))
        with ThreadPoolExecutor(at_once) if at_once > 1 else nullcontext() as pool:
            for at in range(0, len(items), BATCH):
                if self.services.remaining_seconds() < RESERVE_SECONDS:
                    raise RetryLater(f"out of time after {at:,} objects; the next sweep goes on")
                done += (pool.map if pool else map)(call, items[at : at + BATCH])
        return done
