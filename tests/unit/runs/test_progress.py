from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sluice.errors import Stop
from sluice.runs import state
from sluice.runs.job import Ended, Failed, Looked
from sluice.runs.keys import Keys
from sluice.runs.progress import Gauge, JobState, Snapshot, Stage, Watch, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "r1"
KEYS = Keys(RUN)


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
        tiers = [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}]
        self.put(KEYS.start, {"format": 1, "task": {"name": "tickets"}, "tiers": tiers, "spans": spans})
        self.put(KEYS.inputs, {"format": 1, "inputs": [{"uri": "s3://in/a.jsonl"}]})

    def plan(self) -> None:
        self.put(KEYS.plan, {"format": 1, "rows": 1200, "rejected": {"text_missing": 3}, "distinct": 1000})

    def plan_round(self, round_: int, tier: int, records: list[int]) -> None:
        jobs = [{"job": job, "tier": tier, "records": count} for job, count in enumerate(records)]
        self.put(KEYS.round_plan(round_), {"format": 1, "round": round_, "jobs": jobs})

    def settle(self, round_: int, job: int, **changes: Any) -> None:
        counts = {"status": "Completed", "message": None, "records": 500, "accepted": 450, "cost_usd": 0.5}
        self.put(KEYS.job(round_, job).counts, {"format": 1, **counts, **changes})


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


def test_the_plan_tells_what_the_run_can_cost(bucket: Bucket) -> None:
    """The ceiling, what is expected, and the budget; a run that judges stored answers buys nothing."""
    bucket.start()
    plan = {"format": 1, "rows": 12, "rejected": {}, "distinct": 10, "ceiling_usd": 9.5, "expected_usd": 0.5}
    bucket.put(KEYS.plan, plan)
    seen = snapshot(bucket, RUN)
    assert (seen.ceiling_usd, seen.expected_usd, seen.budget_usd) == (9.5, 0.5, None)
    start = {"format": 1, "task": {"name": "t", "budget": {"max_usd": 3.0}}, "tiers": [], "spans": 1}
    bucket.put(KEYS.start, start)
    assert snapshot(bucket, RUN).budget_usd == 3.0
    more = state.Resumption(number=1, cancelled=False, forgiven=[], max_usd=7.0)
    bucket.put(KEYS.resumption(1), more)
    assert snapshot(bucket, RUN).budget_usd == 7.0
    bucket.put(KEYS.start, {**start, "judges": RUN})
    assert snapshot(bucket, RUN).ceiling_usd is None


def test_each_tier_shows_what_it_was_given(bucket: Bucket) -> None:
    """Over all rounds: records, those accepted, those still open, and the cost of the settled jobs."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 400])
    bucket.settle(0, 0)
    bucket.plan_round(1, 1, [50])
    first, second = snapshot(bucket, RUN).tiers
    assert (first.records, first.accepted, first.open, first.cost_usd) == (900, 450, 400, 0.5)
    assert (second.tier, second.records, second.accepted, second.open) == (1, 50, 0, 50)


def test_each_job_shows_its_own_state(bucket: Bucket) -> None:
    """A job's state is read from the last document that it has."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [100] * 7)
    job = [KEYS.job(0, number) for number in range(7)]
    for number in range(1, 7):
        bucket.put(job[number].prepared, {"format": 1})
    bucket.put(job[2].failed, Failed(error="Sandbox.Timedout", cause="the step took too long"))
    bucket.put(job[3].submitted, {"format": 1, "job_arn": "arn:job/3", "at": "2026-11-20T10:15:00+00:00"})
    bucket.objects[f"{job[4].begun_prefix}0.begun"] = b""
    bucket.put(job[5].ended, Ended(status="Expired", message="no capacity", submitted=None, ended=None))
    bucket.settle(0, 6)
    seen = snapshot(bucket, RUN)
    assert seen.stage is Stage.CLASSIFY
    assert [entry.state for entry in seen.rounds[0].jobs] == [
        JobState.QUEUED,
        JobState.PREPARED,
        JobState.FAILED,
        JobState.RUNNING,
        JobState.RUNNING,
        JobState.ENDED,
        JobState.SETTLED,
    ]
    assert seen.rounds[0].since == seen.rounds[0].jobs[3].since == "2026-11-20T10:15:00+00:00"
    assert seen.rounds[0].states[JobState.RUNNING] == 2
    assert JobState.SETTLED not in seen.rounds[0].states
    assert seen.rounds[0].jobs[2].message == "the step took too long"
    assert seen.rounds[0].jobs[5].message == "no capacity"
    assert (seen.rounds[0].settled, seen.rounds[0].running, seen.rounds[0].waiting) == (Gauge(1, 7), 2, 1)


def test_a_running_job_shows_what_the_latest_look_found(bucket: Bucket) -> None:
    """Read anew each time; a round counts its ended jobs as processed, and knows nothing while no job tells."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 400, 300])
    job = [KEYS.job(0, number) for number in range(3)]
    for keys in job:
        bucket.put(keys.submitted, {"format": 1, "job_arn": "arn:job", "at": "2026-11-20T10:15:00+00:00"})
    bucket.settle(0, 0)
    watch = Watch(bucket, RUN)
    assert watch.look().rounds[0].processed is None
    for processed in (120, 350):
        bucket.put(job[1].looked, Looked(processed=processed, records=400))
        assert watch.look().rounds[0].processed == 500 + processed


def test_settled_rounds_add_up(bucket: Bucket) -> None:
    """Accepted records and dollars are summed over all rounds, and the next round is being planned."""
    bucket.start()
    bucket.plan()
    bucket.plan_round(0, 0, [500, 500])
    bucket.plan_round(1, 1, [100])
    bucket.settle(0, 0)
    bucket.settle(0, 1)
    bucket.settle(1, 0, records=100, accepted=90, cost_usd=0.25)
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
    bucket.put(KEYS.parts, [{"part": 0}, {"part": 1}])
    bucket.put(KEYS.end, {"format": 1, "rounds": 1, "reason": None})
    for part in range(merged):
        bucket.objects[KEYS.merged(part)] = b""
        bucket.objects[KEYS.merged_books(part)] = b"{}"
        bucket.objects[KEYS.merged_ids(part)] = b""
    seen = snapshot(bucket, RUN)
    assert (seen.stage, seen.parts) == (stage, Gauge(merged, 2))


def test_parts_that_are_planned_are_not_merged_yet(bucket: Bucket) -> None:
    """The list of parts is written with the first plan; merging begins when the last round has ended."""
    bucket.start()
    bucket.plan()
    bucket.put(KEYS.parts, [{"part": 0}])
    bucket.plan_round(0, 0, [500])
    assert (snapshot(bucket, RUN).stage, snapshot(bucket, RUN).parts) == (Stage.CLASSIFY, Gauge())


def test_a_document_of_an_unknown_format_is_not_guessed_at(bucket: Bucket) -> None:
    """A run of a later version is refused with the key of the document."""
    bucket.start()
    bucket.put(KEYS.start, {"format": 99, "task": {}, "tiers": [], "spans": 1})
    with pytest.raises(Stop, match="has format 99"):
        snapshot(bucket, RUN)


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
    assert set(bucket.reads) == {KEYS.round_plan(1), KEYS.end, KEYS.summary}


def test_a_further_execution_is_looked_at_by_its_own_end(bucket: Bucket) -> None:
    """What an earlier execution left behind, its failure or its merged parts, does not end a run that goes on."""
    bucket.start()
    bucket.put(KEYS.summary, {"status": "failed"})
    assert snapshot(bucket, RUN).stage is Stage.DONE
    bucket.put(KEYS.resumption(1), {"format": 1})
    assert snapshot(bucket, RUN).stage is Stage.PARTITION
    bucket.put(Keys(RUN, 1).published, {"status": "cancelled"})
    assert snapshot(bucket, RUN).status == "cancelled"


def test_a_run_that_judges_again_shows_the_rows_of_its_source(bucket: Bucket) -> None:
    """It has neither inputs nor a plan of its own."""
    bucket.start()
    bucket.plan()
    start = {"task": {"name": "tickets"}, "tiers": [], "spans": 2, "judges": RUN}
    bucket.put(Keys("r2").start, {"format": 1, **start})
    seen = snapshot(bucket, "r2")
    assert (seen.rows, seen.inputs, seen.stage) == (1200, 1, Stage.PLAN)
