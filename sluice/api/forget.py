"""Forgetting a person's rows, with the caller's own rights: first found and counted, then taken out."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.aws.folder import Folder
from sluice.files import plain
from sluice.forget import doing, work
from sluice.forget.finding import Documents, RunFiles
from sluice.forget.planning import Planner, Site, in_inputs
from sluice.local.sources.kept import NAME
from sluice.results.folder import ARRIVING, CERTIFICATE, RunIn, held, runs_in_folder

if TYPE_CHECKING:
    from collections.abc import Callable

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
    names = [name for name in ("run.json", "report.html", CERTIFICATE) if root.exists(f"{found.place}{name}")]
    at = {name: (HERE, f"{found.place}{name}") for name in names}
    documents = Documents(
        runs=[at["run.json"]],
        report=at.get("report.html"),
        certificates=[at[CERTIFICATE]] if CERTIFICATE in at else [],
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
