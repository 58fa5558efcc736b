"""How deployed runs stand: read from the work bucket, and from Step Functions where the bucket cannot know."""

from __future__ import annotations

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.errors import BadRequest
from sluice.runs.approval import Approval
from sluice.runs.document import Document, read
from sluice.runs.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.stack import Execution, Stack

RUNS = "runs/"
AT_ONCE = 16
READ = 500  # runs whose beginning is read; of more, those whose ids name the latest time
STAMP = re.compile(r"-(\d{8}t\d{6})-[0-9a-f]+$")
CLOSING = dt.timedelta(minutes=10)  # by then sweep has begun the execution that closes a cancelled or aborted run
BEGINNING = dt.timedelta(minutes=5)  # an execution is started right behind its note, however often the call is tried
ENDED_BADLY = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
RUNNING, CANCELLING, FAILED, WAITING = "running", "cancelling", "failed", "waiting_for_approval"
GOING_ON = frozenset({RUNNING, CANCELLING})
NO_EXECUTION = "its execution cannot be found: it never began, or ended more than 90 days ago"


class Beginning(Document, frozen=True, kw_only=True):
    """Of start.json what a list of runs shows."""

    task: dict[str, Any]
    created: str
    date: str
    judges: str | None = None

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task.get("name", ""))

    @property
    def at(self) -> dt.datetime:
        """When the run began."""
        return dt.datetime.fromisoformat(self.created)


class _Plan(Document, frozen=True, kw_only=True):
    rows: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A run as it stands; `document` is its run.json, once the latest execution has written one."""

    run: str
    beginning: Beginning
    status: str
    error: str | None = None
    rows: int | None = None
    document: dict[str, Any] | None = None
    approval: Approval | None = None

    @property
    def cost_usd(self) -> float | None:
        """What a run that has ended cost; None while that is not known."""
        return self.document.get("cost_usd") if self.document else None

    def as_document(self) -> dict[str, Any]:
        """Make the line of a list that a program reads."""
        return {
            "run_id": self.run,
            "task": self.beginning.name,
            "status": self.status,
            "rows": self.rows,
            "cost_usd": self.cost_usd,
            "started": self.beginning.created,
            "error": self.error,
            "approval": self.approval,
        }


def standing(stack: Stack, run: str) -> Standing:
    """Find out how a run stands.

    Raises:
        BadRequest: there is no such run.

    """
    return _standing(stack, run, beginning(stack, run))


def beginning(stack: Stack, run: str) -> Beginning:
    """Read how a run began.

    Raises:
        BadRequest: there is no such run, or a folder is named.

    """
    if "/" in run or (run and Path(run).is_dir() and not STAMP.search(run)):
        folder = "of a folder: `sluice results DIR`, `sluice report DIR`"
        raise BadRequest(f"{run} is no run of the stack: RUN is a run's id, as `sluice runs` lists it; {folder}")
    data = stack.work.find(Keys(run).start) if re.fullmatch(r"[\w-]+", run) else None
    if data is None:
        raise BadRequest(f"the stack {stack.name} has no run {run}; `sluice runs` lists those that it has")
    return read(Beginning, data, Keys(run).start)


def latest(stack: Stack, limit: int, task: str | None) -> list[Standing]:
    """List the runs that began last, newest first."""
    found = sorted(run_ids(stack), key=_stamp, reverse=True)[:READ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = list(zip(found, pool.map(lambda run: _begun(stack, run), found), strict=True))
        known = [(run, start) for run, start in begun if start is not None and task in (None, start.name)]
        known.sort(key=lambda item: item[1].at, reverse=True)
        return list(pool.map(lambda item: _standing(stack, *item), known[:limit]))


def run_ids(stack: Stack) -> Iterator[str]:
    """List all runs that the work bucket holds, without what lies in them."""
    pages = stack.work.client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=stack.work.bucket, Prefix=RUNS, Delimiter="/"):
        for item in page.get("CommonPrefixes", []):
            yield item["Prefix"].removeprefix(RUNS).rstrip("/")


def _stamp(run: str) -> str:
    match = STAMP.search(run)
    return match[1] if match else ""


def _begun(stack: Stack, run: str) -> Beginning | None:
    """How a run began; None for one whose beginning is not written yet."""
    data = stack.work.find(Keys(run).start)
    return None if data is None else read(Beginning, data, run)


def _standing(stack: Stack, run: str, start: Beginning) -> Standing:
    further = sum(1 for _ in stack.work.keys(Keys(run).resumptions))
    keys = Keys(run, further)
    document, approval = _json(stack, keys.published), None
    if document is None:
        status, error = _from_execution(stack, keys, further)
        if status == FAILED:
            document = _summary_of_failed(stack, keys, further)
        if status == WAITING:
            approval = read(Approval, stack.work.get(keys.approval), keys.approval)
    else:
        status, error = str(document.get("status")), document.get("error")
    rows = document["rows"]["in"] if document else _planned_rows(stack, start, run)
    return Standing(run, start, status, error or (document or {}).get("error"), rows, document, approval)


def _json(stack: Stack, key: str) -> dict[str, Any] | None:
    data = stack.work.find(key)
    return None if data is None else msgspec.json.decode(data)


def _planned_rows(stack: Stack, start: Beginning, run: str) -> int | None:
    key = Keys(start.judges or run).plan
    data = stack.work.find(key)
    return None if data is None else read(_Plan, data, key).rows


def _from_execution(stack: Stack, keys: Keys, further: int) -> tuple[str, str | None]:
    """Tell the status of a run that has not been published by its latest execution, and why it failed."""
    found = stack.execution(f"{keys.run}-{further}" if further else keys.run)
    if found is None:
        noted = stack.work.head(keys.resumption(further) if further else keys.start)
        if noted and dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(noted.modified) < BEGINNING:
            return RUNNING, None
        return FAILED, NO_EXECUTION
    cancelled = found.status == "ABORTED" or stack.work.exists(keys.cancel)
    if found.status in ENDED_BADLY and cancelled and _recent(found):
        return CANCELLING, None
    if found.status in ENDED_BADLY:
        return FAILED, found.cause or found.status.lower().replace("_", " ")
    if cancelled:
        return CANCELLING, None
    waits = found.status == "SUCCEEDED" and stack.work.exists(keys.approval)
    return (WAITING if waits else RUNNING), None


def _recent(execution: Execution) -> bool:
    return execution.ended is None or dt.datetime.now(dt.UTC) - execution.ended < CLOSING


def _summary_of_failed(stack: Stack, keys: Keys, further: int) -> dict[str, Any] | None:
    """run.json of a run that broke off, which sweep writes; not the one of an execution before."""
    document = _json(stack, keys.summary)
    if document is None or document.get("status") != FAILED:
        return None
    if not further:
        return document
    head = stack.work.head(keys.resumption(further))
    began = dt.datetime.fromisoformat(head.modified) if head else None
    finished = document.get("finished")
    fresh = began and finished and dt.datetime.fromisoformat(finished) >= began
    return document if fresh else None
