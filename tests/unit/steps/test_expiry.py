"""Requests and raw output are deleted within days: what needs them later does not, or says what is gone."""

from __future__ import annotations

from typing import Any

from sluice.runs.keys import Keys
from sluice.runs.state import JobItem
from sluice.steps import check, infer, plan, prepare, rejudge, resume, submit
from tests.harness.faults import FaultPlan
from tests.harness.stage import BATCH, HAIKU, ON_DEMAND, STRONGER, SURE, Stage, finish, make_task, stage
from tests.harness.stepping import look

UNSURE = SURE.replace("certain", "likely")


def doubtful(model: str, _text: str) -> str:
    return SURE if model == HAIKU else UNSURE


def expire(staged: Stage) -> int:
    """What the bucket's lifecycle does some days later."""
    work = staged.machine.work
    keys = [key for key, _ in work.keys("requests/")]
    for at in range(0, len(keys), 1000):
        work.delete(keys[at : at + 1000])
    return len(keys)


def wait(staged: Stage, item: JobItem) -> None:
    """Until Bedrock's job has ended."""
    while item.next == "poll":
        staged.machine.faulty.tick()
        item = look(staged.services, item)


def decisions(staged: Stage, run: str) -> list[Any]:
    rows = [row for row in staged.machine.rows() if row["run_id"] == run]
    named = ("line", "status", "reason", "label", "confidence", "tier", "attempts")
    return sorted([row[name] for name in named] + [len(row["trail"])] for row in rows)


def test_answers_are_judged_again_from_what_is_kept_of_them() -> None:
    """The same decisions under the same task, and others under another, when all that expires has expired."""
    faults = FaultPlan()
    staged = stage(BATCH, STRONGER, rows=30, answer=doubtful, faults=faults, gates={"min_confidence": "certain"})
    summary = finish(staged)
    assert summary["rows"]["accepted"] == 30
    assert expire(staged) > 0
    strict = rejudge.run(staged.services, staged.run, make_task(BATCH, STRONGER, gates={"min_confidence": "certain"}))
    staged.machine.execute(strict)
    assert [row[:6] for row in decisions(staged, strict)] == [row[:6] for row in decisions(staged, staged.run)]
    lax = rejudge.run(staged.services, staged.run, make_task(BATCH, STRONGER, gates={"min_confidence": "likely"}))
    staged.machine.execute(lax)
    assert {(row[1], row[5]) for row in decisions(staged, lax)} == {("accepted", 0)}


def test_what_is_kept_is_a_part_of_what_expires() -> None:
    """Most of what a run stores lies where it expires: each request holds the instructions, and is echoed."""
    staged = stage(BATCH, rows=200, labels={f"label{n}": "what it is about, in a sentence" for n in range(20)})
    staged.round(0)
    kept, passing = (
        sum(size for _, size in staged.machine.work.keys(f"{folder}/{staged.run}/round-0/"))
        for folder in ("runs", "requests")
    )
    assert kept < passing / 20


def test_a_job_that_was_never_sent_is_written_again() -> None:
    """Its input expired while the run stood still; the same requests go out, and each once."""
    for tier in (BATCH, ON_DEMAND):
        staged = stage(tier)
        before = staged.machine.work.get(staged.keys().input) if staged.prepared() else b""
        expire(staged)
        item = staged.prepared()
        assert staged.machine.work.get(staged.keys().input) == before
        counts = staged.settle(item)
        assert counts is not None
        assert (counts.accepted, counts.answered) == (10, 10)
        assert set(staged.machine.faulty.bought.values()) == {1}


def test_a_job_that_was_sent_is_not_written_again() -> None:
    """Bedrock has its input."""
    staged = stage()
    item = submit.run(staged.services, staged.prepared())
    expire(staged)
    assert prepare.run(staged.services, JobItem(run=staged.run, round=0, job=0)).next == "submit"
    assert not staged.written(staged.keys().input)
    assert submit.run(staged.services, item).next == "poll"
    assert staged.machine.faulty.created == 1


def test_a_job_that_failed_has_no_replies_that_could_be_gone() -> None:
    """Whatever has expired meanwhile, its records are tried again: nothing was bought."""
    staged = stage(BATCH, faults=FaultPlan(endings=(("0/0", "failed"),)))
    wait(staged, submit.run(staged.services, staged.prepared()))
    expire(staged)
    failed = check.run(staged.services, JobItem(run=staged.run, round=0, job=0))
    assert failed is not None
    assert (failed.retried, failed.reasons) == (10, {"job_failed": 10})


def test_replies_that_nobody_read_in_time_are_gone_and_not_bought_again() -> None:
    """The run says so and settles the rest: their rows are unresolved, with that reason, and no tier is asked."""
    staged = stage(BATCH, STRONGER, settings={"max_records_per_job": 5})
    first = submit.run(staged.services, staged.prepared(0, 0))
    wait(staged, first)
    expire(staged)
    gone = check.run(staged.services, JobItem(run=staged.run, round=0, job=0))
    assert gone is not None
    assert (gone.unresolved, gone.reasons) == (5, {"reply_gone": 5})
    assert not staged.written(staged.keys().replies)
    other = staged.settle(staged.prepared(0, 1))
    assert other is not None
    assert other.accepted == 5
    resume.run(staged.services, staged.run)
    summary = finish(staged, 1)
    assert (summary["rows"]["accepted"], summary["rows"]["unresolved"]) == (5, 5)
    assert {row["reason"] for row in staged.machine.rows()} == {None, "reply_gone"}
    assert any("keep_requests_days" in warning for warning in summary["warnings"])
    assert set(staged.machine.faulty.bought.values()) == {1}


def test_what_a_settled_job_left_is_sent_without_its_input() -> None:
    """Texts that go on are read from the rows, and of a later round from what was left for it."""
    staged = stage(BATCH, {**STRONGER, "attempts": 1}, answer=lambda _model, _text: "hm", rows=6)
    item = submit.run(staged.services, staged.prepared())
    wait(staged, item)
    staged.machine.work.delete([staged.keys().input])
    counts = check.run(staged.services, item)
    assert counts is not None
    assert counts.escalated == 6
    assert [books.sent for books in staged.round(1)] == [6]
    assert not plan.run(staged.services, staged.run, 2).more


def test_calls_whose_answers_have_expired_are_not_made_again_in_their_job() -> None:
    """They were noted, so they may have been billed; what was never called is called."""
    staged = stage({**ON_DEMAND, "attempts": 1}, settings={"on_demand_concurrency": 1})
    item = staged.prepared()
    left = [1000.0, 1000.0, 0.0]
    staged.use(remaining_seconds=lambda: left.pop(0) if left else 0.0)
    assert infer.run(staged.services, item).next == "infer"
    called = staged.machine.faulty.bought.total()
    assert 0 < called < 10
    expire(staged)
    staged.use(remaining_seconds=lambda: 1000.0)
    counts = staged.settle(staged.prepared())
    assert counts is not None
    assert (counts.answered, counts.missing) == (10 - called, called)
    assert staged.machine.faulty.bought.total() == 10


def test_calls_that_were_all_made_are_not_made_again_when_their_answers_have_expired() -> None:
    """What ended on demand was never submitted, and is no job that is still to be written."""
    staged = stage({**ON_DEMAND, "attempts": 1})
    item = staged.prepared()
    while item.next == "infer":
        item = infer.run(staged.services, item)
    expire(staged)
    again = prepare.run(staged.services, JobItem(run=staged.run, round=0, job=0))
    assert not staged.written(staged.keys().input)
    counts = staged.settle(again)
    assert counts is not None
    assert (counts.answered, counts.reasons) == (0, {"reply_gone": 10})
    assert set(staged.machine.faulty.bought.values()) == {1}


def test_runs_of_earlier_versions_have_it_all_in_their_own_folder() -> None:
    """Their start does not say where, and means that."""
    assert Keys("r", requests_in="runs").job(0, 0).input == "runs/r/round-0/00000/in/part-0.jsonl"
    assert Keys("r").job(0, 0).input == "requests/r/round-0/00000/in/part-0.jsonl"
    assert Keys("r").job(0, 0).records == "runs/r/round-0/00000/records.txt"
