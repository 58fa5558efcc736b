"""Faults that a plan lays over a local run: how jobs end, what becomes of records, which calls are refused, who dies.

docs/internals/faults.md describes the file. Everything here is decided by a seed and by names that a second run has
too, never by the clock: the same plan over the same input gives the same faults.
"""

from __future__ import annotations

import fnmatch
import math
import os
import threading
import time
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from sluice.decoding import convert
from sluice.errors import BadSetting
from sluice.runs.settings import FLOORS
from sluice.task.file import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

End = Literal["Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"]
FOR_GOOD = 900  # seconds: no worker is left alone for longer
Step = Literal["partition", "plan", "prepare", "submit", "poll", "infer", "check", "merge", "publish", "start", "sweep"]
OPERATIONS = (
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "Converse",
    "ListServiceQuotas",
)
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Times = Annotated[int, msgspec.Meta(ge=1)]
Tier = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
RecordFate = Literal["missing", "duplicate", "truncated", "unparsable", "unknown", "error"]


class JobFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How matching jobs end. `done` is the share of their records that are answered by then.

    `seconds`: how long they are in progress, in seconds of AWS.
    """

    end: End
    name: str = "*"
    tier: Tier | None = None
    share: Share = 1.0
    times: Times | None = None
    done: Share | None = None
    seconds: Seconds | None = None
    manifest: bool = True
    output: bool = True
    message: str | None = None


class RecordFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a share of the records of matching jobs."""

    fate: RecordFate
    share: Share = 1.0
    tier: Tier | None = None
    job: str = "*"
    code: int | str | None = 500
    message: str = "Internal server error"


class CallFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An error that an API operation answers: the first `times` calls, or a share of all.

    `after` does what was asked and answers the error all the same, as a lost answer does.
    """

    operation: str
    error: str
    times: Times | None = None
    share: Share = 1.0
    after: bool = False
    message: str = "planned by the fault plan"


class FunctionFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A handler that dies around its n-th S3 write, or whose n-th invocation Lambda refuses or never ends.

    With `timeout` it hangs at that write, and is killed at its step's time-out, which is then so many seconds.
    """

    step: Step
    write: Times | None = None
    crash: Literal["before", "after"] = "before"
    timeout: Seconds | None = None
    invocation: Times | None = None
    error: str | None = None


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Quotas of the account other than the usual ones: Bedrock enforces them, and Service Quotas lists them."""

    min_records_per_job: Times | None = None
    max_records_per_job: Times | None = None
    max_file_bytes: Annotated[int, msgspec.Meta(ge=FLOORS["max_file_bytes"])] | None = None
    max_jobs_in_flight: Times | None = None


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole fault plan; an empty one changes nothing."""

    seed: int = 0
    account: Account = Account()
    quota: Times | None = None
    jobs: tuple[JobFault, ...] = ()
    records: tuple[RecordFault, ...] = ()
    calls: tuple[CallFault, ...] = ()
    functions: tuple[FunctionFault, ...] = ()

    def __post_init__(self) -> None:
        for call in self.calls:
            if not fnmatch.filter(OPERATIONS, call.operation):
                raise ValueError(f"the operation {call.operation} is none of {', '.join(OPERATIONS)}")
        for fault in self.functions:
            if (fault.write is None) == (fault.invocation is None):
                raise ValueError(f"the fault of {fault.step} takes either write or invocation")
            if fault.invocation is not None and fault.error is None:
                raise ValueError(f"the fault of {fault.step} needs the error that its invocation gives")
            if fault.invocation is not None and fault.timeout is not None:
                raise ValueError(f"the fault of {fault.step} takes timeout with write alone")

    def timeout(self, step: str) -> float | None:
        """The time-out of a step that is to meet it, in seconds; None: the template's."""
        given = [fault.timeout for fault in self.functions if fault.step == step and fault.timeout is not None]
        return min(given, default=None)


def read_plan(path: Path) -> Plan:
    """A fault plan from its YAML file.

    Raises:
        BadSetting: it cannot be read, or holds a field or a value that is not allowed.
    """
    try:
        return convert(read_yaml(path) or {}, Plan)
    except OSError as error:
        raise BadSetting(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadSetting(f"{path}: {error}; docs/internals/faults.md tells what a fault plan may hold") from None


class Faults:
    """A plan in use: it remembers how often a fault has struck."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.counted: Counter[tuple[str, int | str]] = Counter()
        self.lock = threading.Lock()
        self.touches_records = bool(self.plan.records)

    def of_job(self, name: str, tier: int) -> JobFault | None:
        """How a job is to end, or None: the first fault that matches and has not struck often enough decides."""
        for n, fault in enumerate(self.plan.jobs):
            fits = fnmatch.fnmatchcase(name, fault.name) and fault.tier in (None, tier)
            if (
                fits
                and self._drawn(fault.share, f"job{n}", within_run(name))
                and self._strikes(("job", n), fault.times)
            ):
                return fault
        return None

    def of_record(self, job: str, tier: int, record: str) -> RecordFault | None:
        """What becomes of a record, or None."""
        for n, fault in enumerate(self.plan.records):
            fits = fnmatch.fnmatchcase(job, fault.job) and fault.tier in (None, tier)
            if fits and self._drawn(fault.share, f"record{n}", within_run(job), record):
                return fault
        return None

    def of_call(self, operation: str) -> CallFault | None:
        """The error that a call answers, or None."""
        for n, fault in enumerate(self.plan.calls):
            if fnmatch.fnmatchcase(operation, fault.operation):
                drawn = self._drawn(fault.share, f"call{n}", str(self._count(("call", n))))
                if drawn and self._strikes(("call struck", n), fault.times):
                    return fault
        return None

    def of_invocation(self, step: str) -> FunctionFault | None:
        """What happens instead of a function's invocation, or None."""
        number = self._count(("invocation", step))
        planned = (fault for fault in self.plan.functions if fault.step == step and fault.invocation == number)
        return next(planned, None)

    def _drawn(self, share: float, *names: str) -> bool:
        return share >= 1 or draw(self.plan.seed, *names) < share

    def _strikes(self, what: tuple[str, int], times: int | None) -> bool:
        return self._count(what) <= (times or math.inf)

    def _count(self, what: tuple[str, int | str]) -> int:
        with self.lock:
            self.counted[what] += 1
            return self.counted[what]


def within_run(job: str) -> str:
    """A job's round and number, the end of its name: the beginning names the run and is never the same twice."""
    return "-".join(job.rsplit("-", 2)[1:]) or job


def draw(seed: int, *names: str) -> float:
    """A number from 0 to before 1 that depends on the seed and the names alone."""
    digest = blake2b(f"{seed}\0{chr(0).join(names)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Crash(msgspec.Struct, frozen=True):
    """The worker of `step` dies "before" or "after" the `write`-th S3 write of the run, or `hangs` there for good.

    `count` is a file with one byte per write so far, since a worker's own memory dies with it.
    """

    step: str
    write: int
    when: str
    count: str
    hangs: bool = False


def crashes(plan: Plan, directory: Path) -> tuple[Crash, ...]:
    """The crashes of a plan, counted in files of `directory`."""
    return tuple(
        Crash(
            fault.step,
            fault.write,
            fault.crash,
            str(directory / f"{fault.step}.writes"),
            hangs=fault.timeout is not None,
        )
        for fault in plan.functions
        if fault.write is not None
    )


class WriteCounter:
    """Counts a step's S3 writes over all its workers, and ends or stops the process where a crash is planned."""

    def __init__(self, step: str, planned: tuple[Crash, ...]) -> None:
        self.crashes = [crash for crash in planned if crash.step == step]
        self.current = 0

    def __call__(self, moment: str) -> None:
        """Hear of a write: `moment` is "before" or "after"."""
        if not self.crashes:
            return
        if moment == "before":
            self.current = count_up(self.crashes[0].count)
        for crash in self.crashes:
            if crash.write == self.current and crash.when == moment:
                if crash.hangs:
                    time.sleep(FOR_GOOD)
                os._exit(1)


def count_up(path: str) -> int:
    """Add one to a counter that several processes share; its value."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, b".")
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)
