"""What waits to be run: the documents of the inbox, whose object is whose, and when what waits is due.

A marker stands for one object that arrived, a signal for a word that what waits may go (a `_READY` object, a tick, a
command), an intent for a run that is being made of them, a claim for the run that an object belongs to.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sluice.runs.document import Document
from sluice.task.triggers import Overlay, read_overlay

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from sluice.aws.s3 import Entry

READY = "_READY"
INTAKE_FILE = "intake.json"  # beside the tasks in the code of start; without one there is nothing beside the tasks
SUBMITTED = "_submitted/"  # no task can be called so: what lies there was uploaded for one command
# Events come out of order: so long a `_READY` object waits for the objects that were put before it.
READY_GRACE_SECONDS = 15.0
LONGEST_SETTLE = 10  # times settle_seconds: where objects keep coming, those that are here do not wait for ever
LEASE_BYTES = 20_000  # of an intent a second: 60 objects, a fifth of what one call of start gets through
LEASE_SECONDS = 900.0  # no call of start lives longer


Schedules = dict[str, Annotated[Overlay, BeforeValidator(read_overlay)]]


class Source(BaseModel):
    """A bucket of somebody else's whose objects are read in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    prefix: Annotated[str, Field(max_length=512, pattern=r"^[^*?]*$")] = ""  # a role's wildcards
    task: str
    kms_key: Annotated[str, Field(pattern=r"^arn:[^:]+:kms:[^:]+:\d{12}:key/.+$")] | None = None


class Intake(BaseModel):
    """What a deployment says of its intake beside the tasks themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedules: Schedules = {}
    sources: tuple[Source, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> Intake:
        """Read what was deployed beside the tasks."""
        file = folder / INTAKE_FILE
        return cls.model_validate_json(file.read_bytes()) if file.exists() else cls()


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object, as S3's event tells of it; `at` is the event's time."""

    bucket: str
    key: str
    version: str | None
    etag: str
    bytes: int
    at: str
    sequencer: str = ""

    @classmethod
    def of(cls, event: dict[str, Any]) -> Dropped:
        """The object of an "Object Created" event; EventBridge hands over the key as it is, not URL-encoded."""
        written = event["detail"]["object"]
        version = written.get("version-id")
        return cls(
            bucket=event["detail"]["bucket"]["name"],
            key=written["key"],
            version=None if version in {None, "", "null"} else version,
            etag=written.get("etag", ""),
            bytes=written.get("size", 0),
            at=event["time"],
            sequencer=written.get("sequencer", ""),
        )

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def id(self) -> str:
        """The same for the same bytes under the same key, however often and in whatever order events tell of them."""
        return _hash("object", self.bucket, self.key, self.version or self.etag)

    @property
    def signal(self) -> str:
        """The id of a `_READY` object: without versions, each one that is put is another, though all are empty."""
        return _hash("ready", self.bucket, self.key, self.version or self.sequencer or self.etag)


class Marker(Document, frozen=True, kw_only=True):
    """An object that waits."""

    task: str
    object: Dropped


class Signal(Document, frozen=True, kw_only=True):
    """What waits for `task`, in `bucket` under `prefix` (None: wherever), may go, `grace` seconds after this.

    `tick` is a schedule's own time, which the run's id has.
    """

    task: str
    at: str
    bucket: str | None = None
    prefix: str = ""
    tick: str | None = None
    grace: float = 0.0

    def covers(self, item: Dropped) -> bool:
        """Whether it speaks of this object."""
        return self.bucket is None or (item.bucket == self.bucket and item.key.startswith(self.prefix))


class Intent(Document, frozen=True, kw_only=True):
    """A run in the making, and the objects that it will have, as far as they are its own. It never changes.

    `passed`: earlier versions of them that will be in no run.
    """

    run: str
    moment: str
    objects: list[Dropped]
    signals: list[str]
    passed: list[Dropped] = msgspec.field(default_factory=list)


class Notice(Document, frozen=True, kw_only=True):
    """Why an object is in no run."""

    bucket: str
    key: str
    version: str | None
    reason: str
    at: str

    @property
    def detail(self) -> dict[str, Any]:
        """What the event "Sluice Object Refused" says."""
        return {"bucket": self.bucket, "key": self.key, "version": self.version, "reason": self.reason}


def _hash(*parts: str) -> str:
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def tick_id(task: str, time: str) -> str:
    """A tick of a schedule is known by its task and its scheduled time, however often it is delivered."""
    return _hash("tick", task, time)


# Keys in the work bucket. What stands under inbox/ goes away when it is done with; claims and notices stay a while.

INBOX = "inbox/"


def is_aside(path: str) -> bool:
    """Whether a path below a task's folder is no data: writers put what is beside it, or not yet it, behind `_` or `.`.

    Spark, Hive and their kin write `_SUCCESS`, `_temporary/…` and `_delta_log/…`, desktops `.DS_Store`.
    """
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def marker_key(task: str, id_: str) -> str:
    return f"{INBOX}waiting/{task}/{id_}.json"


def signal_key(task: str, id_: str) -> str:
    return f"{INBOX}signals/{task}/{id_}.json"


def intent_key(task: str, run: str) -> str:
    return f"{INBOX}open/{task}/{run}.json"


def claim_key(id_: str) -> str:
    return f"claims/{id_}"


def notice_key(id_: str) -> str:
    return f"notices/{id_}.json"


class Open(NamedTuple):
    """An intent in the list, and until when whoever took it up is left alone with it."""

    run: str
    leased_until: dt.datetime


Times = dict[str, dt.datetime]


@dataclass
class Waiting:
    """What one list of the inbox shows, by task: open intents, and ids of signals and objects with their times."""

    open: dict[str, list[Open]] = field(default_factory=lambda: defaultdict(list))
    signals: dict[str, Times] = field(default_factory=lambda: defaultdict(dict))
    objects: dict[str, Times] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def read(cls, entries: Iterable[Entry]) -> Waiting:
        """Sort the entries of a list of the inbox."""
        found = cls()
        for entry in entries:
            kind, task, name = entry.key.removeprefix(INBOX).split("/", 2)
            id_ = name.removesuffix(".json")
            match kind:
                case "open":
                    lease = dt.timedelta(seconds=min(LEASE_SECONDS, entry.size / LEASE_BYTES))
                    found.open[task].append(Open(id_, entry.modified + lease))
                case "signals":
                    found.signals[task][id_] = entry.modified
                case "waiting":
                    found.objects[task][id_] = entry.modified
        return found

    @property
    def tasks(self) -> list[str]:
        """Everybody who waits for something, those who have waited longest first."""
        return sorted({*self.open, *self.signals, *self.objects}, key=lambda task: (self.since(task), task))

    def since(self, task: str) -> dt.datetime:
        """When the oldest of a task's signals and objects came."""
        times = [*self.objects.get(task, {}).values(), *self.signals.get(task, {}).values()]
        return min(times, default=dt.datetime.max.replace(tzinfo=dt.UTC))

    @property
    def count(self) -> int:
        """How many objects wait."""
        return sum(map(len, self.objects.values()))


def due_from(times: Collection[dt.datetime], settle_seconds: float) -> dt.datetime:
    """When what was dropped may go: nothing more has come for a while, or the first has waited long enough."""
    settle = dt.timedelta(seconds=settle_seconds)
    return min(max(times) + settle, min(times) + LONGEST_SETTLE * settle)


def _by_key(items: Iterable[Dropped]) -> list[list[Dropped]]:
    """The versions of each key, the oldest first."""
    versions: dict[str, list[Dropped]] = defaultdict(list)
    for item in sorted(items, key=lambda item: (item.bucket, item.key, item.at, item.sequencer)):
        versions[item.uri].append(item)
    return list(versions.values())


def apart(items: Iterable[Dropped]) -> list[list[Dropped]]:
    """Objects by run: versions of one key in runs of their own, oldest first, since a row is known by its place."""
    versions = _by_key(items)
    most = max(map(len, versions), default=0)
    return [[found[rank] for found in versions if rank < len(found)] for rank in range(most)]


def newest(items: Iterable[Dropped]) -> tuple[list[Dropped], list[Dropped]]:
    """The newest version of each key, and all earlier ones."""
    versions = _by_key(items)
    return [found[-1] for found in versions], [item for found in versions for item in found[:-1]]


def source_of(sources: Iterable[Source], bucket: str, key: str) -> Source | None:
    """The source that an object lies in; of several the one with the longest prefix."""
    fitting = [item for item in sources if item.bucket == bucket and key.startswith(item.prefix)]
    return max(fitting, key=lambda item: len(item.prefix), default=None)
