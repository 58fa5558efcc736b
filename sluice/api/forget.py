"""Forgetting a person's rows, with the caller's own rights: first found and counted, then taken out."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.folder import Folder
from sluice.deployment.standing import GOING_ON, READ, WAITING, Beginning, latest
from sluice.errors import BadRequest
from sluice.files import plain
from sluice.forget import doing, work
from sluice.forget.deployed import INCOMING, RESULTS, WORK, Beyond, WorkOf, documents_in
from sluice.forget.finding import Documents, RunFiles
from sluice.forget.planning import Planner, Site, in_inputs
from sluice.local.sources.kept import NAME
from sluice.results.folder import ARRIVING, CERTIFICATE, DRAWS, RunIn, held, runs_in_folder
from sluice.results.published import Origin, Published, reading_of
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.api.deployment import Deployment
    from sluice.aws.stack import Stack
    from sluice.deployment.standing import Standing
    from sluice.forget.asked import Asked
    from sluice.forget.planning import Found

HERE = "results"  # the name of the one store of a folder


@dataclass
class Forgetting:
    """What would be forgotten, `found`; `unfinished` is what somebody began before, which is ended first."""

    site: Site
    asked: Asked
    found: Found
    unfinished: work.Work | None
    alone: Callable[[], AbstractContextManager[None]] = nullcontext

    def do(self, by: str) -> str:
        """Take the rows out, and what belongs to them; the key of the protocol.

        Raises:
            BadRequest: another process writes into the folder.
            Stop, RetryLater: a store refuses. What was begun is ended by the next call.

        """
        at = _now().isoformat(timespec="milliseconds")
        with self.alone():
            return doing.begin(self.site.stores, self.site.home, self.found.work(self.asked, by=by, at=at))


def forget_in(folder: str | Path, asked: Asked) -> Forgetting:
    """Find a person's rows in a folder of results; nothing is changed but what a forgetting before has left undone.

    Raises:
        BadRequest: it is no folder of results, a column is none of theirs, or another process writes there.

    """
    root = Path(folder)
    store = Folder("", root)

    def alone() -> AbstractContextManager[None]:
        return held(root)

    before = doing.unfinished(store)
    if before is not None:
        with alone():
            doing.finish({HERE: store}, store, before)
    runs = [_run_in(found) for found in runs_in_folder(root)]
    tasks = {run.document["task"] for run in runs}
    journal = NAME if (root / NAME).is_file() else None
    site = Site({HERE: store}, HERE, HERE, runs, journal, tasks, _leftovers(root))
    found = Planner(site, asked, _now().date().isoformat()).plan()
    found.not_reached[:0] = [
        f"{plain(place)} has {count:,} of these rows: take them out of it, or the next run brings them back"
        for place, count in in_inputs(runs).items()
    ]
    return Forgetting(site, asked, found, before, alone)


def _leftovers(root: Path) -> list[str]:
    """What runs that were killed have left half written: nobody reads it, and the next run removes only some."""
    found = [*(root / ARRIVING).rglob("*"), *root.rglob(".*.part")]
    return sorted({path.relative_to(root).as_posix() for path in found if path.is_file()})


def _run_in(found: RunIn) -> RunFiles:
    root = found.rows.store
    names = [name for name in ("run.json", "report.html", CERTIFICATE, DRAWS) if root.exists(f"{found.place}{name}")]
    at = {name: (HERE, f"{found.place}{name}") for name in names}
    documents = Documents(
        runs=[at["run.json"]],
        report=at.get("report.html"),
        certificates=[at[CERTIFICATE]] if CERTIFICATE in at else [],
        draws=[at[DRAWS]] if DRAWS in at else [],
    )
    return RunFiles(
        found.document["run_id"],
        found.document,
        found.rows,
        [] if found.rest is None else [found.rest],
        documents,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def forget_deployed(deployment: Deployment, asked: Asked, task: str | None = None) -> Forgetting:
    """Find a person's rows in a deployment, of one task or of all; nothing is changed but what was left undone before.

    Raises:
        BadRequest: there is no such stack, a run goes on, or a column is none of theirs.
        RetryLater, Stop: AWS could not be reached, or refuses; the caller's own rights have to do.

    """
    stack = deployment.stack
    stores = {INCOMING: stack.incoming, WORK: stack.work, RESULTS: stack.results}
    before = doing.unfinished(stack.results)
    known = _ended_runs(stack, task)
    if before is not None:
        doing.finish(stores, stack.results, before)
    runs = list(_published_runs(stack, task))
    published = {run.run for run in runs}
    tasks = {run.document["task"] for run in runs} | {now.beginning.name for now in known}
    beyond = Beyond([WorkOf(now.run, now.beginning.task, now.run in published) for now in known])
    site = Site(stores, RESULTS, WORK, runs, tasks=tasks)
    found = Planner(site, asked, _now().date().isoformat(), beyond).plan()
    return Forgetting(site, asked, found, before)


def _ended_runs(stack: Stack, task: str | None) -> list[Standing]:
    """The runs that the work bucket knows, all of which have ended."""
    found = latest(stack, READ, task)
    for now in found:
        if now.status in (*GOING_ON, WAITING):
            raise BadRequest(f"run {now.run} is {now.status.replace('_', ' ')}: wait for its end, or cancel it")
    return found


def _published_runs(stack: Stack, task: str | None) -> Iterator[RunFiles]:
    """Every run that has a run.json among the results, which outlast what it worked with."""
    results = stack.results
    folder = f"results/{task}/" if task else "results/"
    prefixes = {}
    for key, _ in results.keys(folder):
        name = key.rpartition("/")[2]
        prefixes[name.partition("-part-")[0]] = key.partition("-part-")[0] + "-part-"
    for run, prefix in prefixes.items():
        summary = results.find(f"reports/{run}/run.json")
        if summary is None:
            continue
        document = msgspec.json.decode(summary)
        rows = Published(results, run, prefix, partial(_origins, stack, run, document), document.get("definition"))
        date = prefix.split("/")[2]
        at = {name: f"reports/{run}/{name}" for name in ("run.json", "report.html", CERTIFICATE, DRAWS)}
        documents = Documents(
            runs=[(RESULTS, at["run.json"]), *documents_in(stack.work, run)],
            report=(RESULTS, at["report.html"]),
            table=(RESULTS, f"runs/{date}/{run}.parquet"),
            certificates=[(RESULTS, at[CERTIFICATE])],
            draws=[(RESULTS, at[DRAWS])],
        )
        yield RunFiles(run, document, rows, [], documents)


def _origins(stack: Stack, run: str, document: dict[str, Any]) -> Iterator[Origin]:
    """The inputs of a run as it had frozen them; none where that is not known any more."""
    start = stack.work.find(Keys(run).start)
    if start is None:
        return
    source = read(Beginning, start, run).judges or run
    data = stack.work.find(Keys(source).inputs)
    reading = reading_of(document.get("definition"))
    for frozen in read(Inputs, data, source).inputs if data is not None else ():
        bucket, _, key = frozen.uri.removeprefix("s3://").partition("/")
        yield Origin(stack.bucket(bucket), key, frozen, reading)
