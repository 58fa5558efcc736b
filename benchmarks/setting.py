"""What surrounds the measured steps: the input, the start of the run, the jobs' outputs; and the baselines."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import corpus, plain
from benchmarks.services import INPUT, peak_mb, services_of
from benchmarks.steps import run_of
from sluice.runs.job import Ended
from sluice.runs.state import End
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.aws.s3 import Store
    from sluice.runs.keys import JobKeys
    from sluice.task.task import Task

AT = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def begin(directory: Path, rows: int, pack: int = 1) -> int:
    """Write the input and start the run, with so many records in a request; returns the bytes of the input."""
    path = directory / "incoming" / "bench" / INPUT
    path.parent.mkdir(parents=True)
    size = corpus.write_rows(path, rows)
    start_run(directory, corpus.bench_task(pack=pack))
    return size


def start_run(directory: Path, task: Task, hours: int = 0) -> str:
    """Start a run of the input, so many hours later; returns its id."""
    from sluice.models.catalog import Catalog  # noqa: PLC0415 - what other work does not need is not loaded
    from sluice.runs.settings import Settings  # noqa: PLC0415
    from sluice.steps import start  # noqa: PLC0415
    from sluice.steps.services import Deployment  # noqa: PLC0415

    deployment = Deployment(
        settings=Settings(approve_above_expected_usd=None),  # nobody would approve it
        tasks=Path("tasks"),
        catalog=Catalog.load(),
        region="us-east-1",
        role_arn="arn:aws:iam::123456789012:role/bedrock",
        incoming_bucket="incoming",
    )
    at = AT + dt.timedelta(hours=hours)
    command = {
        "task": task.model_dump(mode="json"),
        "inputs": [f"s3://incoming/bench/{INPUT}"],
        "time": at.isoformat(),
    }
    return start.run(services_of(directory), deployment, {"command": command})


def answer(directory: Path, round_: int, number: int) -> int:
    """Write what Bedrock leaves for a job, and that it has ended."""
    return answer_job(services_of(directory).work, run_of(directory).job(round_, number))


def answer_job(store: Store, keys: JobKeys) -> int:
    """The same, for any run's job; returns the requests."""
    lines = store.get(keys.input).split(b"\n")[:-1]
    with store.writer(f"{keys.output_prefix}bench/part-0.jsonl.out") as out:
        for line in corpus.output_lines(lines):
            out.write(line)
    at = AT.isoformat()
    store.put(keys.ended, Ended(status="Completed", message=None, submitted=at, ended=at).write())
    return len(lines)


def splice(directory: Path, *_numbers: int) -> int:
    """The baseline of partition and prepare."""
    run = Run(services_of(directory).work, run_of(directory).run)
    source, target = directory / "incoming" / "bench" / INPUT, directory / f"spliced-{os.getpid()}"
    return plain.splice(source, target, corpus.bench_task(), run.tier(0))


def decode(directory: Path, round_: int, number: int) -> int:
    """The baseline of check."""
    prefix = run_of(directory).job(round_, number).output_prefix
    return plain.decode_twice(next((directory / "work" / prefix).glob("*/part-0.jsonl.out")))


def end(directory: Path) -> None:
    """Say that there are no more rounds, though most jobs were never sent."""
    run = run_of(directory)
    services_of(directory).work.put(run.end, End(rounds=1, reason=None).write())


def billion(_directory: Path) -> str:
    """Plan a thousand million rows in ten thousand objects, whose indexes are made up; what it took, in a sentence."""
    from benchmarks.simulated import RUN, SimulatedRun  # noqa: PLC0415
    from sluice.steps import plan  # noqa: PLC0415

    run = SimulatedRun(1_000_000_000, 10_000)
    before, began = peak_mb(), time.perf_counter()
    result = plan.run(run.services, RUN, 0)
    took, grown = time.perf_counter() - began, peak_mb() - before
    jobs, parts = len(run.items(result.jobs_key)), len(run.items(result.parts_key))
    return (
        f"Planning 1,000,000,000 rows in 10,000 objects ({len(run.spans):,} segments of 65,536 buckets, made up "
        f"as they are read) takes {took:.0f} s and {grown:,.0f} MB beyond imports, {run.client.gets:,} S3 reads and "
        f"{run.client.puts:,} writes, and gives {jobs:,} jobs and {parts:,} parts."
    )


WORK: dict[str, Callable[..., Any]] = {
    "begin": begin,
    "answer": answer,
    "splice": splice,
    "decode": decode,
    "end": end,
    "billion": billion,
}
