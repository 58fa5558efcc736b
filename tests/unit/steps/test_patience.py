"""Calls that are throttled without end: a batch job takes what is left, filled up, or the records end as throttled."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from sluice.answers.requests import FILLER, FILLER_TOKENS, filler
from sluice.aws.metrics import Measure
from sluice.runs.keys import Keys
from sluice.runs.state import JobItem
from sluice.steps import check, infer, plan, prepare
from tests.harness.s3 import client_error
from tests.harness.stage import BATCH, ON_DEMAND, STRONGER, Stage, finish, stage

FEW = 6
SETTINGS = {"min_records_per_job": 100, "quota_seconds": 60, "poll_seconds_max": 600}
AUTO = {"model": "nova-micro", "attempts": 2}


def throttled(*tiers: dict[str, Any], rows: int = FEW, let_through: int = 0, **settings: Any) -> Stage:
    """A run whose calls on demand are throttled, but for the first so many; batch jobs are answered."""
    staged = stage(*tiers, rows=rows, settings={**SETTINGS, **settings})
    whole, made = staged.machine.faulty.converse, list[int]()

    def converse(**request: Any) -> Any:
        made.append(1)
        if len(made) > let_through:
            raise client_error("ThrottlingException", "Converse", 429)
        return whole(**request)

    staged.machine.faulty.converse = converse  # type: ignore[method-assign]
    return staged


class Clock:
    """Passes while a job waits."""

    def __init__(self, staged: Stage) -> None:
        self.staged = staged
        self.now = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
        staged.use(now=lambda: self.now)

    def until_check(self, item: Any) -> float:
        """Let a job on demand wait as long as it wants; hours until it is settled."""
        began = self.now
        while (item := infer.run(self.staged.services, item)).next == "infer":
            self.now += dt.timedelta(seconds=item.wait_seconds)
        assert item.next == "check"
        return (self.now - began).total_seconds() / 3600


def lines_of(staged: Stage, round_: int, job: int = 0) -> list[dict[str, Any]]:
    data = staged.machine.work.get(staged.keys(round_, job).input)
    return [json.loads(line) for line in data.splitlines()]


def test_what_a_batch_job_can_take_becomes_one_filled_up_to_the_least_number() -> None:
    """After fifteen minutes without an answer; each record once, and the fillers in the books alone."""
    staged = throttled(AUTO, STRONGER)
    hours = Clock(staged).until_check(staged.prepared())
    assert 0.25 <= hours < 0.5
    books = check.run(staged.services, prepare_item(staged))
    assert books is not None
    assert (books.status, books.retried, books.answered, books.input_tokens) == ("Throttled", FEW, 0, 0)
    assert [(item.tier, item.attempt, item.records, item.fill) for item in books.pending] == [(0, 1, FEW, True)]
    (filled,) = staged.round(1)
    assert (filled.transport, filled.attempt, filled.purpose) == ("batch", 1, "retry")
    assert (filled.sent, filled.accepted, filled.fillers, filled.unknown) == (FEW, FEW, 100 - FEW, 0)
    assert filled.filler_tokens[0] > 0
    assert filled.warnings == []
    assert filled.filler_usd is not None
    assert filled.cost_usd is not None
    assert 0 < filled.filler_usd < filled.cost_usd
    sent = [line["recordId"] for line in lines_of(staged, 1)]
    assert len(set(sent)) == 100
    assert sum(name.startswith(FILLER) for name in sent) == 100 - FEW
    summary = finish(staged, 2)
    assert (summary["status"], summary["rows"]["accepted"], summary["warnings"]) == ("succeeded", FEW, [])
    assert summary["records"] == {"distinct": FEW, "sent": 2 * FEW, "shared_rows": 0}
    assert {row["attempts"] for row in staged.machine.rows()} == {2}
    assert sum(row["cost_usd"] for row in staged.machine.rows()) == pytest.approx(filled.cost_usd - filled.filler_usd)
    assert summary["cost_usd"] == pytest.approx(filled.cost_usd)


def prepare_item(staged: Stage) -> Any:
    return prepare.run(staged.services, JobItem(run=staged.run, round=0, job=0))


def test_what_was_let_through_before_stays_as_it_came() -> None:
    """On demand, and paid as such; the rest alone goes on."""
    staged = throttled(AUTO, rows=20, let_through=12, on_demand_concurrency=1)
    Clock(staged).until_check(staged.prepared())
    books = check.run(staged.services, prepare_item(staged))
    assert books is not None
    assert (books.transport, books.accepted, books.retried) == ("on_demand", 12, 8)
    (filled,) = staged.round(1)
    assert (filled.transport, filled.sent, filled.accepted) == ("batch", 8, 8)
    assert finish(staged, 2)["rows"]["accepted"] == 20
    assert {count for name, count in staged.machine.faulty.bought.items() if "text " in str(name)} == {1}


@pytest.mark.parametrize(("tiers", "outcome"), [((ON_DEMAND,), "unresolved"), ((ON_DEMAND, BATCH), "escalated")])
def test_where_no_batch_job_is_possible_the_calls_go_on_for_a_day(tiers: tuple[Any, ...], outcome: str) -> None:
    """Then the records end as throttled, and are not tried at that tier once more; the alarm has long been told."""
    staged = throttled(*tiers)
    hours = Clock(staged).until_check(staged.prepared())
    assert 24 <= hours < 24.5
    told = [reading.value for reading in staged.machine.readings.taken if reading.measure is Measure.THROTTLED_SECONDS]
    assert min(told) < 900
    assert told == sorted(told)
    assert told[-1] >= 24 * 3600
    books = check.run(staged.services, prepare_item(staged))
    assert books is not None
    assert (getattr(books, outcome), books.reasons) == (FEW, {"throttled": FEW})


def test_an_answer_now_and_then_is_reason_enough_to_wait() -> None:
    """The patience begins anew with each."""
    staged = throttled(AUTO, let_through=1)
    clock = Clock(staged)
    item = staged.prepared()
    item = infer.run(staged.services, item)
    clock.now += dt.timedelta(minutes=14)
    staged.machine.faulty.converse = _letting(staged, 1)  # type: ignore[method-assign]
    assert infer.run(staged.services, item).next == "infer"
    clock.now += dt.timedelta(minutes=14)
    assert infer.run(staged.services, item).next == "infer"
    clock.now += dt.timedelta(minutes=2)
    assert infer.run(staged.services, item).next == "check"


def _letting(staged: Stage, through: int) -> Any:
    whole, made = type(staged.machine.faulty).converse, list[int]()

    def converse(**request: Any) -> Any:
        made.append(1)
        if len(made) > through:
            raise client_error("ThrottlingException", "Converse", 429)
        return whole(staged.machine.faulty, **request)

    return converse


def test_a_tier_that_is_to_be_sent_in_batch_is_filled_up_at_once() -> None:
    """By the task's word, with no call on demand; so many jobs of a run, since the ceiling counts them."""
    staged = stage({**BATCH, "transport": "batch"}, rows=FEW, settings=SETTINGS)
    (first,) = [staged.settle(staged.prepared())]
    assert first is not None
    assert (first.transport, first.fillers, first.accepted) == ("batch", 94, FEW)
    assert not plan.run(staged.services, staged.run, 1).more


def test_a_filler_is_no_record_and_bounded() -> None:
    """Its id is none that a text can have, and it cannot take more than the ceiling says."""
    line = json.loads(filler(7))
    assert line["recordId"] == f"{FILLER}000007"
    assert not set(FILLER) <= set("0123456789abcdef")
    assert len(json.dumps({"messages": line["modelInput"]["messages"]}, separators=(",", ":"))) <= FILLER_TOKENS[0]
    assert line["modelInput"]["inferenceConfig"] == {"maxTokens": FILLER_TOKENS[1]}
    assert Keys("r").job(0, 0).throttled.startswith("runs/r/")
