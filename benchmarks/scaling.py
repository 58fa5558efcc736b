"""What a run of any size takes apart from tokens: `python -m benchmarks.scaling` writes docs/internals/scaling.md.

Spans, jobs and parts come from the code that cuts real runs. Requests and transitions are counted per worker, as
the steps and the state machine make them; seconds follow from the measured rates.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from benchmarks import corpus, report
from sluice.answers.requests import system_prompt
from sluice.answers.reuse import range_depth
from sluice.aws.s3 import PART_BYTES
from sluice.rows.record import KEY
from sluice.runs.planning import MARK_EVERY, Limits, bucket_depth, cut_shards, cut_spans, pack_pending, span_size
from sluice.runs.settings import Settings
from sluice.runs.state import Pending
from sluice.steps.selection import AHEAD, PIECE_BYTES
from sluice.steps.waiting import Looks

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).resolve().parent.parent / "docs" / "internals" / "scaling.md"
SIZES = [10**n for n in range(3, 10)]
ROW_BYTES = 300
STORED_BYTES = 354
KEPT_BYTES = 131  # of the copy that lasts, for rows of prose; those of the bench, of which words repeat, take 108
OBJECT_ROWS = 100_000
KEEP_RUNS_DAYS = 90  # the option `keep_runs_days`, as an untouched cdk.json has it
COLD_DAYS = 30  # from when on what lasts lies in the colder class (infra/storage.py)
ESCALATED = 0.05
JOB_SECONDS = 3600  # of a batch job: real ones of 2,400 records took 20 minutes to hours
ANSWER_BYTES = 500  # of an output line beside the request that it echoes
RESULT_BYTES = 150  # of a row in Parquet, beside what repeats
# What lasts of a record beside its row: its key in a list, an attempt, a reply (`tests/unit/benchmarks` measures them).
RECORD_BYTES = 33 + 34 + 12

# Rows a second on one measured core (docs/internals/performance.md, rounded down); what a Lambda is taken to be beside
# it.
RATES = {"partition": 400_000, "keep": 300_000, "prepare": 350_000, "check": 150_000, "merge": 140_000}
# Of kept replies, a second on one core: keys that are only compared, and replies that are found, copied and judged.
KEYS_RATE, FOUND_RATE = 5_000_000, 500_000
REPLY_BYTES = 24  # of a kept reply with its key
SLOWER = 2  # a Graviton2 core at 1,769 MB against the measured one
NETWORK = 75e6  # bytes a second of one Lambda
LATENCY = 0.03  # seconds of an S3 request
BEGIN = 1.0  # seconds of a worker before it works: a cold start now and then, opening the run


class Work(NamedTuple):
    """What the workers of one step do, together."""

    step: str
    workers: int
    seconds: float
    gets: int
    puts: int


class Run(NamedTuple):
    """A run of so many rows, cut."""

    rows: int
    objects: int
    spans: int
    jobs: int
    later: int
    parts: int
    looks: int
    request_bytes: int


def cut(rows: int, settings: Settings, labels: int = 6) -> Run:
    """The spans, jobs of the first and the second round, and parts of a run of distinct rows."""
    size, objects = rows * ROW_BYTES, max(1, rows // OBJECT_ROWS)
    spans = cut_spans([(size // objects, False)] * objects, span_size(size, settings.span_bytes))
    request = len(system_prompt(corpus.bench_task(labels)).encode()) + ROW_BYTES
    buckets = 16 ** bucket_depth(size)
    records = [rows * (n + 1) // buckets - rows * n // buckets for n in range(buckets)]
    limits = Limits(settings.max_records_per_job, settings.max_file_bytes)
    bounds = cut_shards(records, [count * request for count in records], limits)
    jobs = len(bounds) - 1
    each = math.ceil(rows * ESCALATED / jobs)
    left = Pending(
        key="", tier=1, attempt=1, records=each, bytes=each * ROW_BYTES, marks=[0] * (each // MARK_EVERY + 1)
    )
    later = len(pack_pending([left] * jobs, limits, request))
    parts = jobs * math.ceil(rows / jobs * STORED_BYTES / settings.part_bytes)
    looks = Looks.of(settings).until(JOB_SECONDS)
    return Run(rows, objects, len(spans), jobs, later, parts, looks, request)


def seconds(step: str, rows: float, bytes_: float, workers: int, gets: int = 0) -> float:
    """Lambda seconds: beginning, computing, and the network, as if nothing of it went on at once."""
    computing = rows / RATES[step] * SLOWER if step in RATES else 0.0
    return workers * BEGIN + computing + bytes_ / NETWORK + gets * LATENCY / AHEAD


def works(run: Run) -> list[Work]:
    """What each step of a run does; counts per worker are those of the step's code."""
    rows, sent = run.rows, run.rows * (1 + ESCALATED)
    stored, requests = rows * STORED_BYTES, sent * run.request_bytes
    jobs, looked = run.jobs + run.later, (run.jobs + run.later) * (run.looks + 1)
    reads = run.jobs * max(run.spans, math.ceil(stored / run.jobs / PIECE_BYTES))
    read = rows * ROW_BYTES + stored
    cuts = math.ceil((run.jobs + 1) * run.spans * 4 / PART_BYTES)
    index = run.spans * 12 * 16 ** bucket_depth(rows * ROW_BYTES)
    outputs, results = requests + sent * ANSWER_BYTES, rows * (ROW_BYTES + RESULT_BYTES) / 2
    return [
        _work("start", rows, 0, 1, run.objects, 4, run.objects),
        _work("partition", rows, read, run.spans, run.spans * 6 + run.objects, _parts(stored, run.spans)),
        Work(
            "partition, keep",
            0,
            seconds("keep", rows, stored + rows * KEPT_BYTES, 0),
            3 * run.spans,
            _parts(rows * KEPT_BYTES, run.spans) + run.spans,
        ),
        _work("plan", rows, index * 4 / 3, 3, 2 * run.spans + 2 * jobs + 30, cuts + 12, 2 * run.spans + 2 * jobs),
        _work("prepare", sent, stored + requests, jobs, jobs * 9 + reads, _parts(requests, jobs) + 2 * jobs, reads),
        _work("submit, poll", 0, 0, looked, looked * 5, jobs * 4 + looked),
        _work("check", sent, outputs + requests, jobs, jobs * 10, jobs * 5),
        _work(
            "merge",
            rows,
            stored + results,
            run.parts,
            run.parts * 9 + reads,
            _parts(results, run.parts) + 4 * run.parts,
            reads,
        ),
        _work("publish", rows, 0, 1, 2 * run.parts + jobs, run.parts + 5, 3 * run.parts + jobs),
    ]


def _work(step: str, rows: float, bytes_: float, workers: int, gets: int, puts: int, waited: int = 0) -> Work:
    return Work(step, workers, seconds(step, rows, bytes_, workers, waited), gets, puts)


def _parts(bytes_: float, workers: int) -> int:
    """Requests that write objects of so many bytes together: multipart where one is above a part."""
    each = bytes_ / workers
    return workers * (2 + (2 + math.ceil(each / PART_BYTES) if each > PART_BYTES else 1))


def transitions(run: Run) -> int:
    """States entered, and children started by maps."""
    batch = 1 + 6 + run.looks  # started; Prepare, Next?, Submit, Wait, Next?, Check; each look is a try of Poll
    return 2 * run.spans + 1 + (run.jobs + run.later) * batch + 3 * 3 + 2 * run.parts + 1 + 1


def prices() -> dict[str, float]:
    """USD, by name."""
    data: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "aws_prices.yaml").read_text(encoding="utf-8"))
    return {name: item["usd"] for name, item in data.items() if isinstance(item, dict)}


def stored(run: Run) -> tuple[float, float]:
    """Bytes in the work bucket: what lasts as long as the run, and what expires within days."""
    sent = run.rows * (1 + ESCALATED)
    lasts = run.rows * KEPT_BYTES + sent * RECORD_BYTES + run.rows * ESCALATED * ROW_BYTES
    tables = run.rows * (ROW_BYTES + RESULT_BYTES) / 2
    return lasts, sent * (2 * run.request_bytes + ANSWER_BYTES) + run.rows * STORED_BYTES + tables


def storage_dollars(run: Run, settings: Settings) -> float:
    """What is stored, for as long as it is; S3 deletes and moves at the end of a day, so that each day counts one more.

    What lasts is moved into the colder class after `COLD_DAYS`, object by object: rows by span, and by job keys,
    attempts and replies.
    """
    price, (lasts, expires) = prices(), stored(run)
    warm = lasts * (COLD_DAYS + 1) + expires * (settings.keep_requests_days + 1)
    cold = lasts * (KEEP_RUNS_DAYS - COLD_DAYS)
    moved = run.spans + 3 * (run.jobs + run.later)
    held = (warm * price["s3_gb_month"] + cold * price["s3_cold_gb_month"]) / 30 / 1e9
    return held + moved * price["s3_cold_transition"]


def dollars(run: Run, found: list[Work], memory: dict[str, int]) -> float:
    """All but tokens and storage."""
    price = prices()
    lambdas = sum(
        work.seconds * memory[work.step.partition(",")[0]] / 1024 * price["lambda_gb_second"]
        + work.workers * price["lambda_request"]
        for work in found
    )
    requests = sum(work.gets * price["s3_get"] + work.puts * price["s3_put"] for work in found)
    return lambdas + requests + transitions(run) * price["state_transition"]


HEAD = (
    "| rows | objects | spans | jobs (first round + second) | waves | Lambda seconds | state transitions | S3 reads "
    "| S3 writes | USD of work | USD of storage | together, a million rows |\n" + "|--:" * 12 + "|"
)
SIZES_OF_MANY = [10**6, 10**7, 10**8]
MANY_LABELS = 77


def reuse_dollars(run: Run, days: int, memory: dict[str, int]) -> float:
    """What looking for all records takes, where on so many days a run of the same size kept as many other replies.

    A job lists a prefix for each digit of its range, reads each range that it touches once for each day, copies what
    it finds into an object of its own, and check reads that. What is kept is one object for each job and range.
    """
    price, depth = prices(), range_depth("0" * KEY, "f" * KEY, run.rows)
    touched = min(16**depth, 16**depth / run.jobs + 1)
    reads, copies = run.jobs * touched * days, run.rows * REPLY_BYTES
    puts = run.jobs * (depth + 1 + touched) + _parts(copies, run.jobs)
    keys = run.jobs * touched * days * run.rows / 16**depth
    computing = (keys / KEYS_RATE + run.rows / FOUND_RATE) * SLOWER
    waiting = (reads + puts + 2 * run.jobs) * LATENCY + keys * REPLY_BYTES / NETWORK
    lambdas = (computing + waiting) * memory["prepare"] / 1024 * price["lambda_gb_second"]
    usd: float = (reads + 2 * run.jobs) * price["s3_get"] + puts * price["s3_put"] + lambdas
    return usd


def table(settings: Settings, memory: dict[str, int], sizes: Sequence[int] = SIZES, labels: int = 6) -> str:
    """A line for each size."""
    lines = [HEAD]
    for rows in sizes:
        run = cut(rows, settings, labels)
        found = works(run)
        waves = sum(math.ceil(jobs / settings.max_jobs_in_flight) for jobs in (run.jobs, run.later))
        work, kept = dollars(run, found, memory), storage_dollars(run, settings)
        lines.append(
            f"| {rows:,} | {run.objects:,} | {run.spans:,} | {run.jobs:,} + {run.later:,} | {waves:,} "
            f"| {sum(work.seconds for work in found):,.0f} | {transitions(run):,} "
            f"| {sum(work.gets for work in found):,} | {sum(work.puts for work in found):,} "
            f"| {work:,.3f} | {kept:,.3f} | {(work + kept) / rows * 1e6:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables and write them into docs/internals/scaling.md."""
    from infra.functions import ROOMS  # noqa: PLC0415 - loads the CDK, which the tests of the arithmetic do not need

    memory = {step: room.memory for step, room in ROOMS.items()}
    for name, sizes, labels in (("scaling", SIZES, 6), ("scaling-labels", SIZES_OF_MANY, MANY_LABELS)):
        text = table(Settings(), memory, sizes, labels)
        print(text)
        report.replace(PAGE, name, text)


if __name__ == "__main__":
    main()
