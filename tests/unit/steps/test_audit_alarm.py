"""The alarm of a task's audits, as runs are published."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rich.console import Console

from sluice.aws.events import Event
from sluice.aws.metrics import Measure
from sluice.aws.s3 import Store
from sluice.cli.summary import summary as shown
from sluice.errors import BadTask
from sluice.local.reuse import KeptRuns
from sluice.quality.alarm import LIMIT, evidence
from sluice.report.report import render
from sluice.results.audited import RunAudit
from sluice.results.run_document import read_run
from sluice.runs.keys import AuditKeys, Keys
from sluice.steps import publish, rejudge
from sluice.steps.audit_alarm import enter
from sluice.steps.services import Run, Services
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.unit.local.test_reuse import Bucket

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.task.task import Task

ROWS = 20
FINE, BAD = 1, 18  # of ROWS compared ones that differ


def task_of(at_most: object = 0.08, **changes: Any) -> Task:
    body = {"name": "t", "input": {"text": "text"}, "labels": ["red", "blue"], "audit": {"rows": 4, "at_most": at_most}}
    return parse_task({**body, "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}], **changes}, "t")


def reply(model: str, _text: str) -> str:
    return json.dumps({"label": "red" if "nova" in model else "blue", "confidence": "certain"})


class Told(Cloud):
    """A deployment whose events are kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.services = replace(self.services, publish_event=lambda *event: self.events.append(event))


@pytest.fixture
def cloud() -> Told:
    return Told(reply, {"min_records_per_job": 1})


def publish_one(
    cloud: Told, name: str, differ: int, task: Task | None = None, services: Services | None = None, **changes: Any
) -> dict[str, Any]:
    """Begin a run over a file of its own, and enter it with what its audit is made to say; its `audit`."""
    run = Run(cloud.work, cloud.begin(task or task_of(), {name: b'{"text": "red"}\n'}))
    return entered(cloud, run, differ, services, **changes)


def entered(cloud: Told, run: Run, differ: int, services: Services | None = None, **changes: Any) -> dict[str, Any]:
    told = RunAudit(
        drawn=ROWS, population=900, records=ROWS, compared=ROWS, agreeing=ROWS - differ, low=0, high=1, unanswered=0,
        oracle="claude-haiku-4-5", seed=run.start.seed or "",
    )  # fmt: skip
    summary = {"audit": msgspec.to_builtins(told) | changes, "status": "succeeded", "warnings": []}
    enter(services or cloud.services, run, summary)
    found: dict[str, Any] = summary["audit"]
    return found


def test_each_run_moves_the_alarm_on_until_it_goes_off(cloud: Told) -> None:
    """R <- (R + 1) * e in the order of publishing; behind an alarm anew, so that one bad night is told once."""
    found = [publish_one(cloud, str(n), differ)["alarm"] for n, differ in enumerate((FINE, FINE, BAD, FINE))]
    first = evidence(FINE, ROWS, 0.08)
    second = (first + 1) * first
    expected = [first, second, (second + 1) * evidence(BAD, ROWS, 0.08), first]
    assert [each["value"] for each in found] == pytest.approx(expected)
    assert [(each["alarm"], each["runs"]) for each in found] == [(False, 1), (False, 2), (True, 3), (False, 1)]
    assert expected[2] >= LIMIT
    assert found[3]["last_alarm"] == found[2]["counted"]
    assert cloud.readings.total(Measure.AUDIT_ALARM) == 1
    assert [(kind, detail["differing"], detail["at_most"]) for kind, detail in cloud.events] == [
        (Event.AUDIT_ALARM, BAD, "0.08")
    ]


def test_a_run_counts_once_wherever_its_step_was_broken_off(cloud: Told) -> None:
    """Published again, or again before its draws were marked, it says what it said, and tells of it again."""
    publish_one(cloud, "0", FINE)
    run = Run(cloud.work, cloud.begin(task_of(), {"1": b'{"text": "red"}\n'}))
    before = entered(cloud, run, BAD)
    publish_one(cloud, "2", FINE)
    assert entered(cloud, run, FINE)["alarm"] == before["alarm"]
    cloud.work.delete([AuditKeys("t").draw(run.start.seed or "")])
    assert entered(cloud, run, FINE)["alarm"] == before["alarm"]
    assert len(list(cloud.work.keys(AuditKeys("t").runs))) == 3
    assert cloud.readings.total(Measure.AUDIT_ALARM) == 1
    assert len(cloud.events) == 3


def test_a_run_over_the_same_files_says_nothing_new(cloud: Told) -> None:
    """It draws the same rows: what they say has been counted for the run before."""
    first = publish_one(cloud, "0", BAD)
    again = publish_one(cloud, "0", BAD, task_of(budget={"max_usd": 5}))
    assert again["alarm"] == first["alarm"]
    assert len(list(cloud.work.keys(AuditKeys("t").runs))) == 1
    assert [kind for kind, _ in cloud.events] == [Event.AUDIT_ALARM]


def test_of_two_that_are_published_together_one_stands_behind_the_other(cloud: Told) -> None:
    """The condition on the number decides, and who comes second goes on from the first."""

    class Raced(Store):
        def put_new(self, key: str, data: bytes) -> bool:
            if "other" not in done:
                done["other"] = publish_one(cloud, "other", FINE)
            return super().put_new(key, data)

    done: dict[str, Any] = {}
    raced = replace(cloud.services, work=Raced(cloud.work.client, cloud.work.bucket))
    mine = publish_one(cloud, "mine", FINE, services=raced)
    assert (done["other"]["alarm"]["runs"], mine["alarm"]["runs"]) == (1, 2)
    assert mine["alarm"]["value"] == pytest.approx((done["other"]["alarm"]["value"] + 1) * evidence(FINE, ROWS, 0.08))


def test_another_share_begins_anew(cloud: Told) -> None:
    """What was counted against one share says nothing of another; other changes of the task go on."""
    publish_one(cloud, "0", FINE)
    assert publish_one(cloud, "1", FINE, task_of(instructions="Be brief."))["alarm"]["runs"] == 2
    assert publish_one(cloud, "2", FINE, task_of(0.1))["alarm"]["runs"] == 1


@pytest.mark.parametrize(
    ("changes", "task"), [({"compared": 0, "agreeing": 0}, task_of()), ({}, task_of(None))], ids=["none", "unasked"]
)
def test_what_says_nothing_does_not_enter(cloud: Told, changes: dict[str, Any], task: Task) -> None:
    """A run of which nothing compares, and one whose task wants no alarm."""
    assert publish_one(cloud, "0", FINE, task, **changes)["alarm"] is None
    assert not list(cloud.work.keys("audits/"))


def test_a_published_run_tells_its_alarm_everywhere(cloud: Told, tmp_path: Path) -> None:
    """In run.json, on the page, on the terminal, and in the folder of a local run; judged again it does not enter."""
    found = cloud.run(task_of(audit={"rows": 40, "at_most": 0.08}), {"a": jsonl([{"text": f"{n}"} for n in range(80)])})
    assert found["audit"]["alarm"]["alarm"]
    assert [kind for kind, _ in cloud.events] == [Event.AUDIT_ALARM, Event.FINISHED]
    said = "more than 8% of the labels that cheaper tiers accept differ"
    console = Console(width=400)
    with console.capture() as page:
        console.print(*shown(read_run(found), {}))
    kept = json.loads(cloud.work.get(Keys(found["run_id"]).summary))
    assert all(said in text for text in (found["warnings"][-1], kept["warnings"][-1], render(found), page.get()))

    again = rejudge.run(cloud.services, found["run_id"], task_of(audit={"rows": 40, "at_most": 0.3}))
    cloud.drive(again)
    assert publish.run(cloud.services, again)["audit"]["alarm"] is None

    bucket = Bucket()
    bucket.objects = {key: cloud.work.get(key) for key, _ in cloud.work.keys("audits/")}
    KeptRuns(bucket, task_of(), tmp_path).take()  # type: ignore[arg-type]
    later = Bucket()
    KeptRuns(later, task_of(), tmp_path).bring()  # type: ignore[arg-type]
    assert later.objects == bucket.objects
    assert len(later.objects) == 2


@pytest.mark.parametrize("at_most", [0, 0.51, "much"])
def test_a_share_that_no_alarm_can_hold_is_refused(at_most: object) -> None:
    """Half as many again have to be a share, too."""
    with pytest.raises(BadTask, match=r"audit\.at_most"):
        task_of(at_most)


def test_an_audit_without_an_alarm_keeps_its_version() -> None:
    """As before there was one."""
    assert task_of(None).version == task_of(audit={"rows": 4}).version != task_of().version
