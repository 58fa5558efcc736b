"""What packs do to prepare and check, and how many bytes a row takes in a run: `python -m benchmarks.packing`.

The same rows go through partition, prepare and check with one record, five and ten to a request. Processes share one
core and take turns, as in `make bench`; the fastest turn of each counts.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.workers import Took, items, room_for, work, workers

PACKS = (1, 5, 10)
ROWS = 100_000
TURNS = 3
EXPIRING = "requests/"  # what lies there is deleted after keep_requests_days
KEPT = {
    "stored rows": ("rows/",),
    "records and packs": ("records.txt", "packs.bin"),
    "replies": ("replies.arrow",),
    "attempts": ("answers/",),
    "waiting for the second tier": ("pending/",),
}
INPUT, OUTPUT = "a job's input", "a job's output"


class Packed(NamedTuple):
    """A run with so many records to a request: what prepare and check took, and bytes of a row by where they lie."""

    pack: int
    prepare: Took
    check: Took
    bytes: dict[str, float]


def measure(rows: int, turns: int, packs: tuple[int, ...] = PACKS, within: Path | None = None) -> list[Packed]:
    """The runs, side by side in turns."""
    found: dict[int, list[Packed]] = {pack: [] for pack in packs}
    for _ in range(turns):
        for pack in packs:
            found[pack].append(_once(rows, pack, within))
    return [
        runs[0]._replace(
            prepare=min((run.prepare for run in runs), key=lambda took: took.cpu),
            check=min((run.check for run in runs), key=lambda took: took.cpu),
        )
        for runs in found.values()
    ]


def _once(rows: int, pack: int, within: Path | None) -> Packed:
    directory = Path(tempfile.mkdtemp(prefix="sluice-packing-", dir=within))
    try:
        work(directory, "begin", rows, pack)
        workers(directory, "partition", [(item["span"],) for item in items(directory, "spans.json")])
        work(directory, "plan", 0)
        jobs: list[tuple[int, ...]] = [(0, item["job"]) for item in items(directory, "round-0/jobs.json")]
        prepare = workers(directory, "prepare", jobs)
        workers(directory, "answer", jobs)
        check = workers(directory, "check", jobs)
        assert prepare.rows == check.rows == rows, (pack, prepare.rows, check.rows)
        return Packed(pack, prepare, check, bytes_of_a_row(directory / "work", rows))
    finally:
        shutil.rmtree(directory)


def bytes_of_a_row(work: Path, rows: int) -> dict[str, float]:
    """Bytes on the way and kept, for each row."""
    sums = dict.fromkeys((INPUT, OUTPUT, *KEPT), 0)
    for path in work.rglob("*"):
        if not path.is_file():
            continue
        name = str(path.relative_to(work))
        if name.startswith(EXPIRING) and "/in/" in name:
            sums[INPUT] += path.stat().st_size
        elif name.startswith(EXPIRING) and "/out/" in name:
            sums[OUTPUT] += path.stat().st_size
        else:
            kind = next((kind for kind, parts in KEPT.items() if any(part in name for part in parts)), None)
            if kind is not None:
                sums[kind] += path.stat().st_size
    return {kind: size / rows for kind, size in sums.items()}


def tables(found: list[Packed]) -> str:
    """A line for each pack, with its ratio to single requests; and a line for each place."""
    alone = found[0]
    lines = ["| records to a request | prepare, rows/s | ratio | check, rows/s | ratio |", "|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {run.pack} | {run.prepare.rows / run.prepare.cpu:,.0f} | {alone.prepare.cpu / run.prepare.cpu:.2f} "
        f"| {run.check.rows / run.check.cpu:,.0f} | {alone.check.cpu / run.check.cpu:.2f} |"
        for run in found
    ]
    heads = " | ".join("alone" if run.pack == 1 else f"in packs of {run.pack}" for run in found)
    places = [f"| bytes of a row | {heads} |", "|---|" + "--:|" * len(found)]
    places += [f"| {kind} | " + " | ".join(f"{run.bytes[kind]:,.0f}" for run in found) + " |" for kind in alone.bytes]
    return "\n".join(lines) + "\n\n" + "\n".join(places)


def write(rows: int, turns: int, *, dry: bool) -> None:
    """Measure, print, and put the tables into docs/internals/performance.md."""
    found = measure(rows, turns, within=room_for(rows))
    print(tables(found), flush=True)
    if not dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        machine = f"{report.machine()}, other work beside it"
        said = f"Measured on {today}: {machine}, {rows:,} rows, the fastest of {turns} turns."
        report.replace(report.PAGE, "packing", f"{said}\n\n{tables(found)}")


def main() -> None:
    """Measure on one core."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--dry", action="store_true", help="leave docs/internals/performance.md as it is")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    write(given.rows, given.turns, dry=given.dry)


if __name__ == "__main__":
    main()
