"""Drives a run through the real steps, in the order of the state machine, without one."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq

from sluice.aws.s3 import Store
from sluice.models.catalog import Catalog
from sluice.runs.drawn import ShardItem
from sluice.runs.keys import Keys
from sluice.runs.settings import Settings
from sluice.runs.state import JobItem, Part, Span, Then
from sluice.steps import certify, check, learn, merge, plan, prepare, publish, score, start
from sluice.steps.services import Deployment, Services
from tests.harness.bedrock import MemoryBedrock
from tests.harness.readings import Readings
from tests.harness.s3 import MemoryS3
from tests.harness.stepping import STEPS, read_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sluice.task.task import Task

MAX_LOOPS = 10_000
CATALOG = Catalog.load()


@dataclass
class Cloud:
    """One deployment in memory."""

    answer: Callable[[str, str], str]
    settings: dict[str, Any] = field(default_factory=dict)
    s3: MemoryS3 = field(default_factory=MemoryS3)
    readings: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        self.incoming, self.work, self.results = (self.store(name) for name in ("incoming", "work", "results"))
        self.bedrock = MemoryBedrock(self.work, self.answer)
        self.services = self.make_services(self.bedrock)

    def make_services(self, bedrock: Any) -> Services:
        moment = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
        return Services(
            work=self.work,
            results=self.results,
            bucket=self.store,
            bedrock=bedrock,
            measure=self.readings,
            now=lambda: moment,
            sleep=lambda _seconds: None,
        )

    def store(self, name: str) -> Store:
        return Store(self.s3, name)  # type: ignore[arg-type]

    def deployment(self) -> Deployment:
        return Deployment(
            settings=Settings(**self.settings),  # those of a deployment may lie below the floors of a command's
            tasks=Path("tasks"),
            catalog=CATALOG,
            region="us-east-1",
            role_arn="arn:aws:iam::123456789012:role/bedrock",
            incoming_bucket="incoming",
        )

    def begin(self, task: Task, files: dict[str, bytes]) -> str:
        for name, data in files.items():
            self.incoming.put(f"{task.name}/{name}", data)
        return self.command(task, files)

    def command(self, task: Task, files: Iterable[str]) -> str:
        """Start a run over files that have been put."""
        command = {
            "task": task.model_dump(mode="json"),
            "inputs": [self.incoming.uri(f"{task.name}/{name}") for name in files],
            "settings": {},
            "answers": "memory",
        }
        run = start.run(self.services, self.deployment(), {"command": command})
        assert run is not None
        return run

    def run(self, task: Task, files: dict[str, bytes]) -> dict[str, Any]:
        """A whole run; returns run.json."""
        run = self.begin(task, files)
        self.drive(run)
        return publish.run(self.services, run)

    def drive(self, run: str) -> None:
        """From partition to the merged parts."""
        services, keys = self.services, Keys(run)
        for span in msgspec.json.decode(self.work.get(keys.spans), type=list[Span]):
            read_span(services, span)
        number = 0
        while (result := plan.run(services, run, number)).then in (Then.JOBS, Then.LEARN, Then.CERTIFY):
            if result.then is Then.LEARN:
                learn.run(services, run)
            if result.then is Then.CERTIFY:
                self.certify(run, result.shards_key)
            for item in msgspec.json.decode(self.work.get(result.jobs_key), type=list[JobItem]) if result.more else ():
                self.drive_job(item)
            number = result.next
        for part in msgspec.json.decode(self.work.get(result.parts_key), type=list[Part]):
            merge.run(services, part)

    def certify(self, run: str, shards_key: str) -> None:
        """Between the rounds before and behind the certificate."""
        for item in msgspec.json.decode(self.work.get(shards_key), type=list[ShardItem]):
            score.run(self.services, item)
        certify.run(self.services, run)

    def drive_job(self, item: JobItem) -> None:
        item = prepare.run(self.services, item)
        for _ in range(MAX_LOOPS):
            if item.next == "check":
                check.run(self.services, item)
                return
            item = STEPS[item.next](self.services, item)
        raise AssertionError("the job never ended")

    def rows(self) -> list[dict[str, Any]]:
        """All published rows."""
        import io

        keys = [key for key, _ in self.results.keys("results/")]
        return [row for key in keys for row in pq.ParquetFile(io.BytesIO(self.results.get(key))).read().to_pylist()]


def jsonl(rows: Sequence[Any]) -> bytes:
    """Rows as JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
