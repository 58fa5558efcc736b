"""From an object in a bucket, or a tick of the clock, to a published run, by the synthesized rules and schedules."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from sluice.local.cloud import LocalCloud
from sluice.local.runner import Request, collect, prepare
from sluice.local.synthesis import synthesized
from sluice.runs.inbox import INTAKE_FILE, Intake
from sluice.task.file import load_task
from tests.flow.local import ROOT, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Quiet at once, since nobody wants to wait; the reviews by the clock, and some from a bucket of somebody else's.
OPTIONS: dict[str, Any] = {
    "sluice": {"settle_seconds": 0, "max_runs": 2},
    "schedules": {"reviews": {"schedule": "cron(0 6 * * ? *)", "timezone": "Europe/Berlin", "window_minutes": 15}},
    "source_buckets": [{"bucket": "elsewhere", "prefix": "reviews/", "task": "reviews"}],
}
MORNING = dt.datetime(2026, 11, 20, 5, tzinfo=dt.UTC)
ODD = "tickets/a b+c%25é.jsonl"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    # The intake's list lies beside the code of start, as the bundle has it; a local run without options has none.
    code = folder / "code"
    shutil.copytree(ROOT / "lambdas", code / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("sluice", "tasks"):
        (code / name).symlink_to(ROOT / name)
    intake = Intake.model_validate({"schedules": OPTIONS["schedules"], "sources": OPTIONS["source_buckets"]})
    (code / INTAKE_FILE).write_text(intake.model_dump_json(), encoding="utf-8")
    with LocalCloud(folder / "logs", template=synthesized(options=OPTIONS), path=code) as cloud:
        cloud.s3.create_bucket(Bucket="elsewhere")
        yield cloud


def lines(name: str, begin: int, end: int) -> bytes:
    """Some rows of a sample."""
    return b"\n".join((SAMPLES / name).read_bytes().split(b"\n")[begin:end]) + b"\n"


def notices(cloud: LocalCloud) -> list[str]:
    """Why objects are in no run."""
    work = cloud.bucket("SLUICE_WORK_BUCKET")
    found = [cloud.read(work, key) for key in cloud.keys(work, "notices/")]
    return [json.loads(data)["reason"] for data in found if data]


def test_dropped_objects_are_one_run_with_its_results(cloud: LocalCloud, tmp_path: Path) -> None:
    """Events, a minute's tick, the run, Parquet; keys as they come; one that cannot be read keeps nobody."""
    incoming, work = (cloud.bucket(f"SLUICE_{name}_BUCKET") for name in ("INCOMING", "WORK"))
    prepare(cloud, Request([], load_task("tickets"), tmp_path))
    for key, begin in ((ODD, 1), ("tickets/b.jsonl", 31), ("tickets/2026/c.jsonl", 61)):
        assert cloud.put(incoming, key, lines("tickets.jsonl", begin, begin + 30)) == [{"refused": []}]
    assert cloud.put(incoming, "_submitted/1/d.jsonl", b"{}\n") == []
    assert (
        "no task tikets; did you mean tickets/?"
        in cloud.put(incoming, "tikets/e.jsonl", b"{}\n")[0]["refused"][0]["reason"]
    )
    assert "it ends in .xlsx" in cloud.put(incoming, "tickets/f.xlsx", b"PK")[0]["refused"][0]["reason"]
    swept = cloud.tick("TriggersMinute", MORNING)
    assert (swept["problems"], swept["waiting"], len(swept["runs"])) == ([], 0, 1)
    (run,) = swept["runs"]
    assert cloud.wait(run).status == "SUCCEEDED"
    document = collect(cloud, run, tmp_path)
    assert document["rows"]["in"] == 90
    rows = pq.read_table(tmp_path / "results" / "tickets").to_pylist()
    assert {row["source"] for row in rows} == {
        f"s3://{incoming}/{key}" for key in (ODD, "tickets/b.jsonl", "tickets/2026/c.jsonl")
    }
    assert list(cloud.keys(work, "inbox/")) == []
    assert len(notices(cloud)) == 2
    assert cloud.deliver(cloud.created(incoming, ODD)) == [{"refused": []}]
    assert cloud.tick("TriggersMinute", MORNING)["runs"] == []


def test_a_tick_runs_what_waits_for_its_task(cloud: LocalCloud, tmp_path: Path) -> None:
    """Nothing happens before it, also not for another bucket's objects; the run's id has the tick's own time."""
    incoming = cloud.bucket("SLUICE_INCOMING_BUCKET")
    prepare(cloud, Request([], load_task("reviews"), tmp_path))
    cloud.put(incoming, "reviews/a.jsonl", lines("reviews.jsonl", 0, 20))
    cloud.put("elsewhere", "reviews/b.jsonl", lines("reviews.jsonl", 20, 40))
    assert cloud.put("elsewhere", "mails/c.jsonl", b"{}\n") == []
    waiting = cloud.tick("TriggersMinute", MORNING)
    assert (waiting["runs"], waiting["waiting"], waiting["overdue_seconds"]) == ([], 2, 0)
    (run,) = cloud.tick("TriggersTaskreviews", MORNING)["runs"]
    assert run.startswith("reviews-20261120t050000-")
    assert cloud.tick("TriggersTaskreviews", MORNING)["runs"] == []
    assert cloud.wait(run).status == "SUCCEEDED"
    document = collect(cloud, run, tmp_path)
    assert document["rows"]["in"] == 40
    assert sorted(source["uri"].split("/")[2] for source in document["inputs"]) == sorted([incoming, "elsewhere"])
