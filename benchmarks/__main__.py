"""`make bench`: the steps, whole, side by side with the least that a program has to do for the same rows.

Every worker is a process of its own; a step's time is the sum of its workers', its memory the largest worker's beyond
its imports. Processes share one core, and a step and its baseline take turns; of the turns, the fastest counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import asking, packing, report, reusing
from benchmarks.report import Figure
from benchmarks.workers import Took, items, room_for, work, workers

SIZES = (10_000, 100_000, 1_000_000)
TURNS = {10_000: 5, 100_000: 3, 1_000_000: 2}
MB = 1e6
SOME = 3  # workers of a step that are enough to see its memory
PEAKS = (100_000, 5_000_000)


def beside(
    directory: Path, turns: int, step: str, baseline: str, places: list[tuple[int, ...]], once: bool = False
) -> tuple[Took, Took]:
    """A step and its baseline in turns; the fastest turn of each, and the largest memory."""
    taken: list[tuple[Took, Took]] = []
    for _ in range(turns):
        of_step = workers(directory, step, places)
        taken.append((of_step, workers(directory, baseline, [()] if once else places)))
        for written in directory.glob("spliced-*"):
            written.unlink()
    return _best([first for first, _ in taken]), _best([second for _, second in taken])


def _best(taken: list[Took]) -> Took:
    fastest = min(taken, key=lambda took: took.cpu)
    largest = max(taken, key=lambda took: took.peak - took.imports)
    return fastest._replace(peak=largest.peak, imports=largest.imports)


def measure(rows: int, turns: int, within: Path | None = None) -> list[Figure]:
    """A run of so many rows, its files in a folder or on disk, and its figures."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-bench-", dir=within))
    try:
        size = work(directory, "begin", rows)["result"]
        return [_figure(rows, size, *found) for found in _steps(directory, turns)]
    finally:
        shutil.rmtree(directory)


def _steps(directory: Path, turns: int) -> list[tuple[str, Took, Took]]:
    spans = [(item["span"],) for item in items(directory, "spans.json")]
    partition = beside(directory, turns, "partition", "splice", [*spans], once=True)
    work(directory, "plan", 0)
    jobs = _jobs(directory, 0)
    prepare = beside(directory, turns, "prepare", "splice", jobs, once=True)
    workers(directory, "answer", jobs)
    check = beside(directory, turns, "check", "decode", jobs)
    _escalate(directory)
    parts = [(item["part"],) for item in items(directory, "parts.json")]
    merge = beside(directory, turns, "merge", "join", [*parts])
    return [("partition", *partition), ("prepare", *prepare), ("check", *check), ("merge", *merge)]


def peaks(rows: int) -> dict[str, float]:
    """The peak memory beyond imports of the first workers of each step, in a run that is too large to be finished."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    try:
        work(directory, "begin", rows)
        found = {
            "partition": workers(directory, "partition", [(item["span"],) for item in items(directory, "spans.json")])
        }
        found["plan"] = workers(directory, "plan", [(0,)])
        jobs = _jobs(directory, 0)[:SOME]
        found["prepare"] = workers(directory, "prepare", jobs)
        workers(directory, "answer", jobs)
        found["check"] = workers(directory, "check", jobs)
        work(directory, "end")
        found["merge"] = workers(
            directory, "merge", [(item["part"],) for item in items(directory, "parts.json")[:SOME]]
        )
        return {step: took.peak - took.imports for step, took in found.items()}
    finally:
        shutil.rmtree(directory)


def _jobs(directory: Path, round_: int) -> list[tuple[int, ...]]:
    return [(round_, item["job"]) for item in items(directory, f"round-{round_}/jobs.json")]


def _escalate(directory: Path) -> None:
    """The rounds behind the first, which are not measured."""
    round_ = 1
    while work(directory, "plan", round_)["result"]:
        for step in ("prepare", "answer", "check"):
            workers(directory, step, _jobs(directory, round_))
        round_ += 1


def _figure(rows: int, size: int, step: str, took: Took, baseline: Took) -> Figure:
    assert took.rows == baseline.rows == rows, (step, took.rows, baseline.rows)
    return Figure(
        step=step,
        rows=rows,
        rate=rows / took.cpu,
        megabytes=size / MB / took.cpu,
        wall=took.wall,
        beyond=took.peak - took.imports,
        imports=took.imports,
        baseline=rows / baseline.cpu,
        baseline_peak=baseline.peak,
    )


def main() -> None:
    """Measure, print, and write the table into docs/internals/performance.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--turns", type=int, help="how often each step is measured")
    parser.add_argument(
        "--peaks", type=int, nargs="*", default=list(PEAKS), help="sizes at which only memory is looked at"
    )
    parser.add_argument("--dry", action="store_true", help="leave docs/internals/performance.md as it is")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures, within = [], room_for(max(given.rows))
    for rows in given.rows:
        figures += measure(rows, given.turns or TURNS.get(rows, 2), within)
        print(report.table(figures), flush=True)
    found = {rows: peaks(rows) for rows in given.peaks}
    print(report.peaks(found), flush=True)
    planned = work(Path(), "billion")["result"]
    print(planned)
    if not given.dry:
        report.write(figures, found, planned, "in memory" if within else "on disk")
    packing.write(packing.ROWS, packing.TURNS, dry=given.dry)
    reusing.tell(reusing.ROWS, reusing.TURNS, dry=given.dry)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    asking.write(2, dry=given.dry)


if __name__ == "__main__":
    main()
