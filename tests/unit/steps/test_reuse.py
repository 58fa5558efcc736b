from __future__ import annotations

import dataclasses
import datetime as dt
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sluice.steps import rejudge
from sluice.task.file import parse_task
from tests.faults.certified import reply as promised_reply
from tests.faults.scenarios import LABELS, MODELS, reply
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.unit.steps import test_certified_runs as certified

if TYPE_CHECKING:
    from sluice.task.task import Task

FIRST = "us.amazon.nova-micro-v1:0"
ROWS = b"\n".join(json.dumps({"text": f"text {n}", "id": str(n)}).encode() for n in range(60))


def task_of(pack: int = 1, **changes: Any) -> Task:
    """Two tiers, the first of which settles about two thirds of the rows."""
    tiers = [{"model": model, "pack": pack, "attempts": 2} for model in MODELS[:2]]
    read = {"text": "text", "id": "id"}
    body = {"name": "kept_by-day", "input": read, "labels": list(LABELS), "gates": {"min_confidence": "likely"}}
    return parse_task({**body, "tiers": tiers, "reuse": {"days": 30}, **changes}, "task")


def machine_of(plan: FaultPlan | None = None, **settings: int) -> Machine:
    return Machine(plan or FaultPlan(), reply, {"min_records_per_job": 1, **settings})


def later(machine: Machine, days: int) -> Machine:
    """The same deployment some days later: what was sold by then is forgotten."""
    machine.faulty.bought.clear()
    moment = machine.services.now() + dt.timedelta(days=days)
    machine.services = dataclasses.replace(machine.services, now=lambda: moment)
    return machine


def _same(moment: dt.datetime) -> dt.datetime:
    return moment


def run(machine: Machine, task: Task, rows: bytes = ROWS) -> dict[str, Any]:
    machine.executions = 0
    return machine.finish(machine.begin(task, {f"{machine.services.now():%Y-%m-%d-%H}.jsonl": rows}))


def decided(machine: Machine, run_id: str) -> dict[int, tuple[Any, ...]]:
    names = ("status", "label", "model", "reason", "confidence")
    return {row["line"]: tuple(row[name] for name in names) for row in machine.rows() if row["run_id"] == run_id}


def unread(machine: Machine, run_id: str) -> set[str]:
    """The texts to which a model's last reply could not be read."""
    rows = [row for row in machine.rows() if row["run_id"] == run_id]
    last = [(row["line"], step) for row in rows for step in {step["tier"]: step for step in row["trail"]}.values()]
    return {f"text {line - 1}" for line, step in last if step["reason"] == "reply_not_json"}


def asked(machine: Machine) -> set[str]:
    return {text for *_, text in machine.faulty.bought}


@pytest.mark.parametrize("pack", [1, 5])
def test_the_same_rows_again_buy_only_what_had_no_readable_reply(pack: int) -> None:
    """Decisions are the same, whichever tier settled a row; what was accepted or escalated costs nothing."""
    machine = machine_of()
    first = run(machine, task_of(pack))
    second = run(later(machine, 1), task_of(pack))
    assert asked(machine) == unread(machine, first["run_id"]) == unread(machine, second["run_id"])
    assert decided(machine, second["run_id"]) == decided(machine, first["run_id"])
    known = [tier["reused"] for tier in second["tiers"]]
    assert second["reused"]["records"] == sum(known) > 60
    assert 0 < second["cost_usd"] < 0.4 * first["cost_usd"]
    if pack == 1:  # in a pack, what a record takes depends on its neighbours
        assert second["cost_usd"] + second["reused"]["saved_usd"] == pytest.approx(first["cost_usd"])
    for row in machine.rows():
        if row["run_id"] == second["run_id"] and f"text {row['line'] - 1}" not in asked(machine):
            assert (row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (0, 0, 0.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"instructions": "Think."},
        {"description": "d"},
        {"labels": {"red": "", "green": "", "blue": "b"}},
        {"input": {"text": "text", "id": "id", "max_tokens": 900}},
        {"tiers": [{"model": MODELS[0], "pack": 2}, {"model": MODELS[1], "pack": 2}]},
        {"tiers": [{"model": MODELS[0], "max_tokens": 201}, {"model": MODELS[1], "temperature": 0.1}]},
    ],
    ids=str,
)
def test_what_can_change_a_reply_buys_all_again(changed: dict[str, Any]) -> None:
    """A character of what a model is told, how a text is cut, how many share a request: nothing is found."""
    machine = machine_of()
    run(machine, task_of(instructions="Think"))
    again = run(later(machine, 1), task_of(**{"instructions": "Think", **changed}))
    assert again["reused"]["records"] == 0
    assert len(asked(machine)) == 60


def test_a_known_answer_is_judged_whatever_becomes_of_the_records_beside_it() -> None:
    """Where all that is sent is refused, only that waits: what was known is accepted or goes on, and is not asked."""
    machine = machine_of()
    first = run(machine, task_of())
    later(machine, 1).faulty.refuses = lambda model, _text: (
        (400, "`temperature` is deprecated for this model.") if model == FIRST else None
    )
    more = b"\n".join(json.dumps({"text": f"text {n}", "id": str(n)}).encode() for n in range(100))
    second = run(machine, task_of(), more)
    before, after = decided(machine, first["run_id"]), decided(machine, second["run_id"])
    again = {int(text.split()[1]) + 1 for text in unread(machine, first["run_id"])}
    assert {line: after[line] for line in before if line not in again} == {
        line: found for line, found in before.items() if line not in again
    }
    trails = {row["line"]: row["trail"] for row in machine.rows() if row["run_id"] == second["run_id"]}
    assert {line for line, trail in trails.items() if trail[0]["reason"] == "record_refused"} >= set(range(61, 101))
    assert (
        max(len({step["round"] for step in trails[line] if step["tier"] == 0}) for line in before if line not in again)
        == 1
    )


def test_a_known_answer_that_a_rule_looks_at_is_judged_with_its_row() -> None:
    """It waits for the row to stream by, like an answer that has just come."""
    rule = {"name": "even", "schema": {"properties": {"row": {"properties": {"id": {"pattern": "[02468]$"}}}}}}
    machine, task = machine_of(), task_of(gates={"rules": [rule]})
    first = run(machine, task)
    second = run(later(machine, 1), task)
    assert decided(machine, second["run_id"]) == decided(machine, first["run_id"])
    assert second["reused"]["records"] > 60
    reasons = {(int(row["id"]) % 2, row["status"]) for row in machine.rows() if row["run_id"] == second["run_id"]}
    assert {(0, "accepted"), (1, "unresolved")} <= reasons
    assert (1, "accepted") not in reasons


def test_gates_are_those_of_today() -> None:
    """A reply that was accepted is found, judged by a stricter gate, and its row goes on to the next tier."""
    machine = machine_of()
    first = run(machine, task_of(gates={"min_confidence": "unsure"}))
    second = run(later(machine, 1), task_of())
    assert second["reused"]["records"] > 50
    assert second["tiers"][0]["accepted"] < first["tiers"][0]["accepted"]
    assert second["tiers"][1]["sent"] > 0


@pytest.mark.parametrize(("days", "found"), [(3, True), (4, False)])
def test_a_reply_is_used_for_as_many_days_as_the_task_says(days: int, found: bool) -> None:
    """On the last of them it still is, on the next it is bought again."""
    machine = machine_of()
    run(machine, task_of(reuse={"days": 3}))
    again = run(later(machine, days), task_of(reuse={"days": 3}))
    assert bool(again["reused"]["records"]) is found


def test_without_reuse_nothing_is_kept_and_nothing_is_found() -> None:
    """Neither does such a task use what another version of it has kept."""
    machine = machine_of()
    run(machine, task_of(reuse=None))
    assert not list(machine.work.keys("replies/"))
    run(later(machine, 1), task_of())
    assert run(later(machine, 1), task_of(reuse=None))["reused"]["records"] == 0


def test_new_rows_among_known_ones_are_the_only_ones_sent() -> None:
    """In one job and one list of records, whatever stands before what; the books say who was asked."""
    machine = machine_of(max_records_per_job=16)
    run(machine, task_of())
    mixed = b"\n".join(json.dumps({"text": f"text {n}", "id": str(n)}).encode() for n in range(30, 90))
    second = run(later(machine, 1), task_of(), mixed)
    new = {text for text in asked(machine) if int(text.split()[1]) >= 60}
    assert new == {f"text {n}" for n in range(60, 90)}
    assert len(asked(machine)) < 60
    assert second["tiers"][0]["sent"] + second["tiers"][0]["reused"] == 60
    assert second["records"]["distinct"] == 60
    assert second["status"] == "succeeded"


def test_a_run_over_reused_replies_is_judged_again_like_any_other() -> None:
    """Rejudge finds what prepare found, in the run itself; it keeps nothing and saves nothing."""
    machine = machine_of()
    run(machine, task_of())
    second = run(later(machine, 1), task_of())
    for key, _ in list(machine.work.keys("replies/")):
        del machine.faulty_s3.objects["work", key]
    lax = task_of(gates={"min_confidence": "unsure"})
    machine.executions = 0
    judged = machine.finish(rejudge.run(machine.services, second["run_id"], lax))
    assert judged["rows"]["accepted"] > second["rows"]["accepted"]
    assert (judged["cost_usd"], judged["reused"]["saved_usd"]) == (0.0, 0.0)
    assert not list(machine.work.keys("replies/"))


def test_small_objects_of_a_day_become_one() -> None:
    """Many small runs leave few objects, of which every reply is still found, and none is older than it was."""
    machine = machine_of()
    for hour in range(20):
        rows = b"\n".join(json.dumps({"text": f"text {hour} {n}"}).encode() for n in range(5))
        moment = dt.datetime(2026, 11, 20, hour, tzinfo=dt.UTC)
        machine.services = dataclasses.replace(machine.services, now=partial(_same, moment))
        run(machine, task_of(input={"text": "text"}), rows)
    kept = [key for key, _ in machine.work.keys("replies/")]
    assert len(kept) < 2 * 8
    assert all("/2026-11-20_" in key for key in kept)
    every = b"\n".join(json.dumps({"text": f"text {hour} {n}"}).encode() for hour in range(20) for n in range(5))
    again = run(later(machine, 1), task_of(input={"text": "text"}), every)
    assert again["tiers"][0]["sent"] < 20
    assert {row["status"] for row in machine.rows()} == {"accepted", "unresolved"}


def test_an_object_that_is_merged_while_it_is_looked_for_is_found_in_the_other() -> None:
    """Between a list and a read it goes away; what it held stands under another key by then."""
    machine = machine_of()
    run(machine, task_of())
    find, moved = type(machine.work).find, list[str]()

    def gone(store: Any, key: str) -> bytes | None:
        if key.startswith("replies/") and not moved:
            moved.append(key)
            machine.faulty_s3.objects["work", f"{key}x"] = machine.faulty_s3.objects.pop(("work", key))
        found: bytes | None = find(store, key)
        return found

    work = dataclasses.replace(later(machine, 1).services).work
    work.find = gone.__get__(work)  # type: ignore[method-assign]
    again = run(machine, task_of())
    assert moved
    assert again["tiers"][0]["reused"] == 60 - again["tiers"][0]["sent"] > 40


def test_a_certified_run_finds_the_oracles_answers_too() -> None:
    """Only drawn rows that no earlier run had asked the oracle are bought, and the certificate is one of its own."""
    machine = Machine(FaultPlan(), promised_reply, certified.SETTINGS)
    summaries, of_oracle = [], []
    for day in range(2):
        later(machine, day)
        machine.executions = 0
        names = {f"{day}-{name}": data for name, data in certified.FILES.items()}
        quality = {"agree": 0.9, "sample": certified.SAMPLE, "train": certified.TRAIN, "repeats": 0}
        task = certified.task_of(reuse={"days": 30}, quality=quality)
        summaries.append(machine.finish(machine.begin(task, names)))
        of_oracle.append(asked(machine))
    first, second = summaries
    assert second["tiers"][0]["reused"] == first["tiers"][0]["sent"]
    assert second["tiers"][0]["sent"] == 0
    assert 0 < len(of_oracle[1]) == second["tiers"][1]["sent"] < first["tiers"][1]["sent"] / 2
    draws = [certified.stored(machine, summary["run_id"])[1] for summary in summaries]
    assert draws[0].seed != draws[1].seed
    for summary in summaries:
        assert summary["certificate"]["status"] == "certified"
        assert certified.verified(machine, summary) == []
