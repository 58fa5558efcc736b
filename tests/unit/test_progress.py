from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice import state
from sluice.progress import Gauge, JobState, Snapshot, Stage, Watch, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "r1"
KEYS = state.Keys(RUN)


class Bucket:
    """A work bucket in memory that counts what is read from it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []

    def find(self, key: str) -> bytes | None:
        self.reads.append(key)
        return self.objects.get(key)

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        return iter([(key, len(data)) for key, data in sorted(self.objects.items()) if key.startswith(prefix)])

    def put(self, key: str, document: Any) -> None:
        self.objects[key] = msgspec.json.encode(document)

    def start(self, spans: int = 2) -> None:
        tiers = [
            state.FrozenTier(
                model=model,
                model_id=f"us.{model}",
                transport="auto",
                max_tokens=200,
                temperature=0,
                attempts=2,
                timeout_hours=24,
                price=None,
            )
            for model in ("nova-micro", "claude-haiku-4-5")
        ]
        self.put(
            KEYS.start,
            state.Start(
                run=RUN,
                task={"name": "tickets"},
                task_version="v1",
                settings={},
                tiers=tiers,
                created="2026-11-20T10:00:00Z",
                date="2026-11-20",
                answers="standin",
                role_arn="",
                work_bucket="work",
                results_bucket="results",
                depth=4,
                spans=spans,
                prices={},
            ),
        )
        entry = state.Input(uri="s3://in/a.jsonl", version="1", etag="e", bytes=9)
        self.put(KEYS.inputs, state.Inputs(inputs=[entry]))

    def plan(self) -> None:
        self.put(
            KEYS.plan,
            state.RunPlan(
                depth=4,
                rows=1200,
                rejected={"text_missing": 3},
                input_rows={"0": 1200},
                distinct=1000,
                bounds=[0, 8, 16],
                shard_rows=[600, 600],
                segments=[],
            ),
        )

    def plan_round(self, round_: int, tier: int, records: list[int]) -> None:
        jobs = [
            state.PlannedJob(job=job, tier=tier, attempt=1, purpose="classify", records=count)
            for job, count in enumerate(records)
        ]
        self.put(KEYS.round_plan(round_), state.RoundPlan(round=round_, jobs=jobs))

    def settle(self, round_: int, job: int, **changes: Any) -> None:
        values: dict[str, Any] = {
            "round": round_,
            "job": job,
            "tier": 0,
            "attempt": 1,
            "purpose": "classify",
            "transport": "batch",
            "status": "Completed",
            "message": None,
            "submitted": None,
            "ended": None,
            **dict.fromkeys(
                [
                    "sent",
                    "held_back",
                    "answered",
                    "errored",
                    "missing",
                    "retried",
                    "escalated",
                    "unresolved",
                    "duplicates",
                    "unknown",
                    "input_tokens",
                    "output_tokens",
                ],
                0,
            ),
            "records": 500,
            "accepted": 450,
            "reasons": {},
            "cost_usd": 0.5,
            "pending": [],
        }
        self.put(KEYS.job(round_, job).counts, state.Counts(**{**values, **changes}))


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def test_a_run_without_documents_is_starting(bucket: Bucket) -> None:
    """Before start has written anything there is nothing but the name."""
    assert snapshot(bucket, RUN) == Snapshot(RUN)


def test_partition_is_counted_by_its_indexes(bucket: Bucket) -> None:
    """A span is done when its index is there; rows are not known yet."""
    bucket.start(spans=3)
    bucket.objects[KEYS.rows(0)] = b"rows"
    bucket.objects[KEYS.index(0)] = b"index"
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.spans, seen.rows) == (Stage.PARTITION, Gauge(1, 3), None)
    assert (seen.task, seen.models, seen.inputs) == ("tickets", ("nova-micro", "claude-haiku-4-5"), 1)


def test_a_planned_run_knows_rows_and_records(bucket: Bucket) -> None:
    """The plan tells rows, rejected rows and distinct records; without a round, the next is being planned."""
    bucket.start()
    bucket.plan()
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.rows, seen.rejected, seen.records) == (Stage.PLAN, 1200, 3, 1000)
    assert seen.spans == Gauge(2, 2)


def test_each_job_shows_its_own_state(bucket: Bucket) -> None:
    """A job's state is read from the last document that it has."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [100] * 7)
    job = [KEYS.job(0, number) for number in range(7)]
    prepared = state.Prepared(records=100, held_back=0, rows=120, bytes=9, transport="batch")
    for number in range(1, 7):
        bucket.put(job[number].prepared, prepared)
    bucket.put(job[2].submitted, state.Submitted(job_arn=None, at="t", refused="quota of jobs is full"))
    bucket.put(job[3].submitted, state.Submitted(job_arn="arn:job/3", at="t"))
    bucket.objects[f"{job[4].infer_prefix}0.jsonl"] = b""
    bucket.put(job[5].ended, state.Ended(status="Expired", message="no capacity", submitted=None, ended=None))
    bucket.settle(0, 6)
    seen = snapshot(bucket, RUN)
    assert seen.stage is Stage.CLASSIFY
    assert [entry.state for entry in seen.rounds[0].jobs] == [
        JobState.QUEUED,
        JobState.PREPARED,
        JobState.REFUSED,
        JobState.RUNNING,
        JobState.RUNNING,
        JobState.ENDED,
        JobState.SETTLED,
    ]
    assert seen.rounds[0].jobs[2].message == "quota of jobs is full"
    assert seen.rounds[0].jobs[5].message == "no capacity"
    assert (seen.rounds[0].settled, seen.rounds[0].running, seen.rounds[0].refused) == (Gauge(1, 7), 2, 1)


def test_settled_rounds_add_up(bucket: Bucket) -> None:
    """Accepted records and dollars are summed over all rounds, and the next round is being planned."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 500])
    bucket.plan_round(1, 1, [100])
    bucket.settle(0, 0)
    bucket.settle(0, 1)
    bucket.settle(1, 0, tier=1, records=100, accepted=90, cost_usd=0.25)
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.accepted, seen.cost_usd) == (Stage.PLAN, 990, 1.25)
    assert (seen.rounds[1].records, seen.rounds[1].accepted, seen.rounds[1].tiers) == (100, 90, (1,))


def test_an_unknown_price_stays_unknown(bucket: Bucket) -> None:
    """One job without a price makes the sum unknown, never smaller."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 500])
    bucket.settle(0, 0)
    bucket.settle(0, 1, cost_usd=None)
    assert snapshot(bucket, RUN).cost_usd is None


@pytest.mark.parametrize(("merged", "stage"), [(0, Stage.MERGE), (1, Stage.MERGE), (2, Stage.PUBLISH)])
def test_merge_is_counted_by_its_books(bucket: Bucket, merged: int, stage: Stage) -> None:
    """A part is merged when its books are there; with all of them the run is being published."""
    bucket.start()
    bucket.plan()
    bucket.put(KEYS.parts, [state.Part(run=RUN, part=part, shard=0, first=0, last=1) for part in range(2)])
    for part in range(merged):
        bucket.objects[KEYS.merged(part)] = b""
        bucket.objects[KEYS.merged_books(part)] = b"{}"
        bucket.objects[KEYS.merged_ids(part)] = b""
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.parts) == (stage, Gauge(merged, 2))


def test_a_summary_ends_the_run(bucket: Bucket) -> None:
    """Once run.json is there the run is done, with its status, whatever is missing."""
    bucket.start()
    bucket.put(KEYS.summary, {"status": "cancelled"})
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.status) == (Stage.DONE, "cancelled")


def test_looking_again_reads_only_what_can_change(bucket: Bucket) -> None:
    """Documents that are written once are fetched once, so that watching a run of many jobs stays cheap."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 500])
    bucket.settle(0, 0)
    watch = Watch(bucket, RUN)
    first = watch.look()
    bucket.reads.clear()
    assert watch.look() == first
    assert set(bucket.reads) == {KEYS.round_plan(1), KEYS.parts, KEYS.summary}
