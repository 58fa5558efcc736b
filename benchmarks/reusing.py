"""What a run costs whose rows were all answered before, beside judging again: `python -m benchmarks.reusing`.

Each goes through all its steps, from partition to merge, in a process on one core, in turns; the fastest turn of each
counts. Judging again begins behind partition and prepare, and reads the replies that the first run left.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks import corpus, report
from benchmarks.services import INPUT, services_of
from benchmarks.setting import answer_job, start_run
from benchmarks.workers import room_for, work
from sluice.runs.keys import Keys
from sluice.runs.state import JobItem, Part, Span
from sluice.steps import check, merge, partition, plan, prepare, rejudge

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.steps.services import Services
    from sluice.task.task import Task

ROWS = 100_000
TURNS = 3
GOAL = 1.5


class Compared(NamedTuple):
    """Processor seconds of a run of known rows, and of judging the same rows again."""

    rows: int
    known: float
    judged: float


def reuse_task(**changed: Any) -> Task:
    """The bench's task, whose replies are used for a month."""
    return corpus.bench_task(reuse={"days": 30}, **changed)


def ready(directory: Path, what: str, number: int) -> Callable[[], int]:
    """The input of so many rows, a run of it, or its first run judged again, which has begun; what is called goes on.

    Nobody has to be asked, but for the first run.
    """
    if what == "rows":
        path = directory / "incoming" / "bench" / INPUT
        path.parent.mkdir(parents=True)
        return lambda: corpus.write_rows(path, number)
    services, runs = services_of(directory), directory / "work" / "runs"
    if what == "run":
        run = start_run(directory, reuse_task(), number)
    else:
        first = min(path.name for path in runs.iterdir())
        run = rejudge.run(services, first, reuse_task(description=f"turn {number}", gates={"min_confidence": "unsure"}))
    return lambda: _through(services, run)


def _through(services: Services, run: str) -> int:
    """The steps of a run in their order; returns the rows of its parts."""
    keys, round_ = Keys(run), 0
    for span in msgspec.json.decode(services.work.get(keys.spans), type=list[Span]):
        partition.run(services, span)
    while plan.run(services, run, round_).more:
        for item in msgspec.json.decode(services.work.get(keys.jobs(round_)), type=list[JobItem]):
            if prepare.run(services, item).next == "submit":
                answer_job(services.work, keys.job(round_, item.job))
            check.run(services, item)
        round_ += 1
    parts = msgspec.json.decode(services.work.get(keys.parts), type=list[Part])
    return sum(merge.run(services, part).rows for part in parts)


def measure(rows: int, turns: int, within: Path | None = None) -> Compared:
    """Both in turns, behind a first run that asks for all."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-reusing-", dir=within))
    try:
        work(directory, "rows", rows)
        work(directory, "run", 0)
        found = [[work(directory, what, turn) for what in ("run", "judge again")] for turn in range(1, turns + 1)]
        assert all(took["result"] == rows for both in found for took in both), found
        return Compared(rows, *(min(took["cpu"] for took in turned) for turned in zip(*found, strict=True)))
    finally:
        shutil.rmtree(directory)


def table(found: Compared) -> str:
    """The two, and their ratio beside the goal."""
    return (
        "| rows, all known | a run of them, s | judging again, s | ratio | goal |\n|--:|--:|--:|--:|---|\n"
        f"| {found.rows:,} | {found.known:.2f} | {found.judged:.2f} | {found.known / found.judged:.2f} "
        f"| under {GOAL} |"
    )


def tell(rows: int, turns: int, *, dry: bool) -> None:
    """Measure, print, and put the table into docs/internals/performance.md."""
    shown = table(measure(rows, turns, within=room_for(rows)))
    print(shown, flush=True)
    if not dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        said = f"Measured on {today}: {report.machine()}, other work beside it, the fastest of {turns} turns."
        report.replace(report.PAGE, "reusing", f"{said}\n\n{shown}")


def main() -> None:
    """Measure on one core."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reusing")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--dry", action="store_true", help="leave docs/internals/performance.md as it is")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tell(given.rows, given.turns, dry=given.dry)


if __name__ == "__main__":
    main()
