"""Fault plans for the tests in memory: what goes wrong is drawn from a seed and from names, never from time or order.

`sluice.local.faults` lays the same faults over a run of the real state machine, from a file that a user writes.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sluice.local.faults import draw
from tests.harness.s3 import MemoryS3, client_error

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class FaultPlan:
    """What goes wrong: shares of all chances that there are for it.

    `cancel` happens at that turn of the jobs; `kills` at most `max_kills` times; `quota` is how many batch
    jobs Bedrock allows at once. `kill_at` kills at one write, counted over the whole run; see `WriteKill`.
    `endings` says how single jobs end, by round and job: ("0/1", "expired").
    """

    seed: int = 0
    jobs: float = 0.0
    records: float = 0.0
    calls: float = 0.0
    kills: float = 0.0
    max_kills: int = 8
    twice: float = 0.0
    late: float = 0.0
    time_outs: float = 0.0
    quota: int | None = None
    cancel: int | None = None
    cancel_in_create: int | None = None
    kill_at: WriteKill | None = None
    endings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class WriteKill:
    """Death before or after the n-th write of all steps; `again`: the one retry dies at its first write, too."""

    write: int
    when: str
    again: bool = False


class Killed(BaseException):
    """The process is gone: no code may catch this."""


@dataclass
class Dice:
    """Draws a plan's faults, and counts those that struck."""

    plan: FaultPlan
    struck: Counter[str] = field(default_factory=Counter)
    calm: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def happens(self, share: float, kind: str, *names: object, counted: bool = True) -> bool:
        hit = not self.calm and share > 0 and draw(self.plan.seed, kind, *map(str, names)) < share
        if hit and counted:
            self.count(kind)
        return hit

    def count(self, kind: str) -> None:
        with self.lock:
            self.struck[kind] += 1

    def number(self, low: int, high: int, *names: object) -> int:
        return low + int(draw(self.plan.seed, *map(str, names)) * (high - low + 1))

    def pick(self, options: Sequence[T], *names: object) -> T:
        return options[self.number(0, len(options) - 1, *names)]


@dataclass
class FaultyS3(MemoryS3):
    """S3 whose client dies around a write: the n-th of an invocation (`armed`), or of the whole run (`kill_at`)."""

    dice: Dice = field(default_factory=lambda: Dice(FaultPlan()))
    armed: tuple[int, str] | None = None
    invocation_writes: int = 0
    all_writes: int = -(10**6)  # counted from the first write of start
    killed_at: int | None = None

    def begin(self, armed: tuple[int, str] | None) -> None:
        """A new invocation; where in it the process will die, if it does."""
        self.armed = armed
        self.invocation_writes = 0

    def _write(self, bucket: str, key: str, body: bytes) -> str:
        self.invocation_writes += 1
        self.all_writes += 1
        when = self._due()
        if when == "busy":
            self.dice.count("S3 busy")
            raise client_error("SlowDown", "PutObject", 503)
        if when == "before":
            self._kill()
        etag = super()._write(bucket, key, body)
        if when == "after":
            self._kill()
        return etag

    def _due(self) -> str | None:
        at = self.dice.plan.kill_at
        if at is not None and self.all_writes == at.write and self.killed_at is None:
            return at.when
        if at is not None and at.again and self.killed_at is not None and self.all_writes == self.killed_at + 1:
            return "before"
        if self.armed is not None and self.armed[0] == self.invocation_writes:
            return self.armed[1]
        return None

    def _kill(self) -> None:
        self.dice.count("handler killed")
        self.armed = None
        if self.killed_at is None:
            self.killed_at = self.all_writes
        raise Killed
