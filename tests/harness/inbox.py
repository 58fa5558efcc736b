"""A deployment in memory whose inbox is under test: events and ticks come as a test says, and processes die.

Everything that changes something is a point: a write, a removal, StartExecution, an event that is sent. At a point the
process may die before or after it, S3 may answer that another write is under way, or another process may run from its
beginning to its end.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.s3 import Store
from sluice.local.events import object_created
from sluice.models.catalog import Catalog
from sluice.runs.document import read
from sluice.runs.inbox import Intake
from sluice.runs.keys import Keys
from sluice.runs.settings import Settings
from sluice.runs.state import Inputs, Span, Start
from sluice.steps import arrivals, intake
from sluice.steps.services import Deployment, Services
from tests.harness.s3 import MemoryS3, Objects, client_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

START = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
CATALOG = Catalog.load()
MAX_DEPTH = 3  # processes that overlap

TASKS = {"texts": "on_drop", "batches": "on_ready", "nightly": '{schedule: "cron(0 6 * * ? *)"}'}


def write_tasks(folder: Path) -> Path:
    """A task for each kind of trigger."""
    for name, trigger in TASKS.items():
        text = f"name: {name}\ninput: {{text: text}}\nlabels: [a, b]\ntrigger: {trigger}\n"
        (folder / f"{name}.yaml").write_text(text)
    return folder


class Killed(BaseException):
    """The process is gone: no code may catch this."""


@dataclass
class Process:
    """One invocation of a function."""

    dead: bool = False


class InboxS3(MemoryS3):
    """S3 that keeps versions in `incoming` alone, and tells the world of every change before and after it."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=lambda: world.now)
        self.world = world
        self.denied: set[str] = set()  # buckets that a role or a key does not allow to be read

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> Any:  # noqa: N803
        def put() -> Any:
            return MemoryS3.put_object(self, Bucket=Bucket, Key=Key, Body=Body, IfNoneMatch=IfNoneMatch)

        return self.world.point(put, conditional=IfNoneMatch is not None)

    def delete_objects(self, *, Bucket: str, Delete: Any) -> Any:  # noqa: N803
        return self.world.point(lambda: MemoryS3.delete_objects(self, Bucket=Bucket, Delete=Delete))

    def head_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> Any:  # noqa: N803
        if Bucket in self.denied:
            raise client_error("403", "HeadObject", 403)  # an answer to HEAD has no body that could say more
        found = super().head_object(Bucket=Bucket, Key=f"{Key}\0{VersionId}" if VersionId else Key)
        return {**found, "VersionId": VersionId} if VersionId else found

    def get_object(self, *, Bucket: str, Key: str, VersionId: str | None = None, **more: Any) -> Any:  # noqa: N803
        return super().get_object(Bucket=Bucket, Key=f"{Key}\0{VersionId}" if VersionId else Key, **more)


@dataclass
class World:
    """One deployment. `plan` says what happens at which point, counted over everything."""

    tasks: Path
    plan: dict[int, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    intake: Intake = field(default_factory=Intake)
    remaining: Callable[[], float] = lambda: 900.0
    now: dt.datetime = START
    points: int = 0
    running: list[Process] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    began: dict[str, dt.datetime] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s3 = InboxS3(self)
        self.work, self.incoming = self.store("work"), self.store("incoming")
        self.services = Services(
            work=self.work,
            results=self.store("results"),
            bucket=self.store,
            bedrock=None,  # type: ignore[arg-type]
            workflow=self,  # type: ignore[arg-type]
            publish_event=self._publish,
            now=lambda: self.now,
            remaining_seconds=lambda: self.remaining(),  # noqa: PLW0108 (a test sets another one later)
            at_once=1,
        )
        self.deployment = Deployment(
            settings=Settings(**self.settings),
            tasks=self.tasks,
            catalog=CATALOG,
            region="us-east-1",
            role_arn="arn:aws:iam::123456789012:role/bedrock",
            incoming_bucket="incoming",
            intake=self.intake,
        )

    def store(self, name: str) -> Store:
        return Store(self.s3, name)  # type: ignore[arg-type]

    def goes_on(self, plan: dict[int, Any]) -> World:
        """Another world in which all has happened that happened here, and that goes on under a plan of its own."""
        own = ("executions", "ended", "began", "told", "events")
        world = replace(self, plan=plan, running=[], **{name: copy(getattr(self, name)) for name in own})
        world.s3.objects, world.s3.modified = Objects(self.s3.objects), dict(self.s3.modified)
        return world

    # What happens at a point.

    def point(self, change: Callable[[], Any], *, conditional: bool = False) -> Any:
        """Make a change, unless the plan has something else in mind for this moment."""
        process = self.running[-1] if self.running else Process()
        if process.dead:
            raise Killed
        action, self.points = self.plan.get(self.points), self.points + 1
        if callable(action) and len(self.running) < MAX_DEPTH:
            action(self)
        if action == "conflict" and conditional and self.plan.get(self.points - 2) != "conflict":
            raise client_error("ConditionalRequestConflict", "PutObject", 409)
        process.dead = action == "die before"
        if process.dead:
            raise Killed
        result = change()
        process.dead = action == "die after"
        if process.dead:
            raise Killed
        return result

    def invoke(self, call: Callable[[], Any]) -> Any:
        """Run a function; None when it died."""
        self.running.append(Process())
        try:
            return call()
        except Killed:
            return None
        finally:
            self.running.pop()

    # Step Functions and EventBridge, as far as intake uses them.

    def start(self, name: str, run: str, _max_workers: int) -> str:
        def begin() -> None:
            assert self.work.exists(Keys(run).start), "an execution of a run that is not written"
            if name not in self.executions:
                self.executions.append(name)
                self.began[name] = self.now

        self.point(begin)
        return name

    def going_on(self) -> list[str]:
        return [name for name in self.executions if name not in self.ended]

    def begun_since(self, moment: dt.datetime) -> list[str]:
        return [name for name in self.executions if self.began.get(name, moment) >= moment]

    def _publish(self, kind: str, detail: Mapping[str, object]) -> None:
        assert kind == "Sluice Object Refused"
        self.point(lambda: self.told.update([f"{detail['bucket']}/{detail['key']}"]))

    # What a test does.

    def drop(self, key: str, body: bytes = b'{"text": "x"}\n', bucket: str = "incoming") -> dict[str, Any]:
        """Put an object; the event that S3 sends of it, which is not delivered yet."""
        version = f"v{len(self.events)}" if bucket == "incoming" else None
        self.s3.objects[bucket, key] = body
        if version:
            self.s3.objects[bucket, f"{key}\0{version}"] = body
        self.s3.modified[bucket, f"{key}\0{version}"] = self.s3.modified[bucket, key] = self.now
        etag = MemoryS3._etag(body)
        event = object_created(region="us-east-1", bucket=bucket, key=key, size=len(body), etag=etag, version=version)
        event["time"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.events.append(event)
        return event

    def deliver(self, event: dict[str, Any]) -> Any:
        return self.invoke(lambda: arrivals.receive(self.services, self.deployment, event))

    def sweep(self, **wanted: Any) -> Any:
        return self.invoke(lambda: intake.sweep(self.services, self.deployment, wanted))

    def later(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def arrive(self, *keys: str) -> None:
        """Drop objects and deliver their events."""
        for key in keys:
            self.deliver(self.drop(key))

    # What a test looks at.

    def keys(self, prefix: str) -> list[str]:
        return [key for key, _ in self.work.keys(prefix)]

    def runs(self) -> dict[str, list[tuple[str, str | None]]]:
        """URI and version of each object of each run that begins, or has begun."""
        found = {}
        for key in self.keys("runs/"):
            if key.endswith("/start.json"):
                keys = Keys(key.split("/")[1])
                inputs = read(Inputs, self.work.get(keys.inputs), keys.inputs).inputs
                spans = msgspec.json.decode(self.work.get(keys.spans), type=list[Span])
                assert read(Start, self.work.get(key), key).spans == len(spans)
                assert {piece[0] for span in spans for piece in span.pieces} == set(range(len(inputs)))
                found[keys.run] = [(item.uri, item.version) for item in inputs]
        return found
