"""Whole runs: started twice, side by side, over objects that change, under a budget, and judged again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sluice.local.answers import Answers
from sluice.local.runner import collect, prepare, start
from sluice.task.file import load_task
from tests.flow.local import Outcome, jsonl, numbered, read_rows, write
from tests.flow.trial import Trial, exit_code

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flow.local import Flow


def tickets(count: int, kind: str) -> bytes:
    """Rows of the task `tickets`, in which the kind can be told."""
    return jsonl({"ticket_id": f"{kind}-{n}", "body": f"{kind} {n}: I was charged twice"} for n in range(count))


def spent(trial: Trial) -> list[int]:
    """How many calls cost something so far."""
    return [len(trial.calls(operation)) for operation in ("CreateModelInvocationJob", "Converse")]


class Drop(Trial):
    """Objects dropped into the incoming bucket of a stack as it is deployed: its tasks, its settings."""

    alone = False

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow, 0)
        self.folder: Path = flow.folder()
        self.task = load_task("tickets")
        self.request = replace(self.request, task=self.task, answers=Answers.everywhere(), settings={})
        prepare(self.cloud, self.request)

    def drop(self, data: bytes, name: str = "in.jsonl") -> dict[str, Any]:
        """Upload an object; the event that EventBridge sends of it."""
        bucket = self.cloud.bucket("SLUICE_INCOMING_BUCKET")
        return self.cloud.drop(write(self.folder / name, data), bucket, f"tickets/{self.folder.name}/{name}")

    def sweep(self, _: object = None) -> list[str]:
        """Have what waits run at once; the runs that this sweep has begun."""
        swept = self.cloud.invoke("start", {"sweep": {"task": "tickets", "now": True}})
        assert swept["problems"] == []
        return list(swept["runs"])

    def hold_labels(self, outcome: Outcome) -> None:
        """The stand-in's own labels are not known beforehand."""

    def of(self, run: str) -> Outcome:
        """The outcome of one of the runs."""
        self.run = run
        return self.finish()


def test_an_event_that_is_delivered_three_times_starts_one_run(flow: Flow) -> None:
    """Twice at once, with two sweeps at once, and once behind the end: one run, each job bought once."""
    trial = Drop(flow)
    event = trial.drop(tickets(120, "red"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(trial.cloud.deliver, [event, event]))
        begun = {run for runs in pool.map(trial.sweep, range(2)) for run in runs}
    assert len(begun) == 1
    first = trial.of(begun.pop())
    bought = spent(trial)
    trial.cloud.deliver(event)
    assert trial.sweep() == []
    assert spent(trial) == bought
    assert len(trial.calls("CreateModelInvocationJob")) == len(trial.jobs())
    assert len(first.rows) == 120


def test_each_version_of_an_overwritten_object_is_a_run_of_its_own(flow: Flow) -> None:
    """The event of the first version comes last: both are classified, each once, the first one first."""
    trial = Drop(flow)
    late, event = trial.drop(tickets(110, "red")), trial.drop(tickets(120, "blue"))
    for one in (event, late):
        trial.cloud.deliver(one)
    kinds = [Counter(row["id"].partition("-")[0] for row in trial.of(run).rows) for run in trial.sweep()]
    assert kinds == [{"red": 110}, {"blue": 120}]


UNREAD = {"functions": [{"step": "partition", "invocation": n, "error": "Lambda.Unknown"} for n in (1, 2)]}


def test_an_object_that_is_overwritten_before_it_is_read_counts_as_it_was(flow: Flow) -> None:
    """The run broke off before partition; resumed over a new version, it reads the one that it has frozen."""
    trial = Trial(flow, 110, faults=UNREAD)
    stopped = trial.go()
    assert (stopped.run["status"], stopped.run["rows"]["in"], trial.jobs()) == ("failed", 0, [])
    bucket, _, key = stopped.run["inputs"][0]["uri"].removeprefix("s3://").partition("/")
    trial.cloud.s3.put_object(Bucket=bucket, Key=key, Body=numbered(7))
    assert len(trial.resume().rows) == 110


def test_an_object_that_is_deleted_before_it_is_read_stops_the_run(flow: Flow) -> None:
    """Where the frozen version is gone for good, the run says so, and buys nothing."""
    trial = Trial(flow, 110, faults=UNREAD)
    found = trial.go().run["inputs"][0]
    bucket, _, key = found["uri"].removeprefix("s3://").partition("/")
    trial.cloud.s3.delete_object(Bucket=bucket, Key=key, VersionId=found["version"])
    stopped = trial.resume()
    assert stopped.run["status"] == "failed"
    assert "BadInput" in stopped.run["error"]
    assert found["uri"] in stopped.run["error"]
    assert trial.jobs() == []


def test_two_runs_over_one_file_share_the_quota(flow: Flow) -> None:
    """Side by side under a quota of two jobs both get every row, and neither touches the other's jobs."""
    trial = Trial(flow, 250, faults={"quota": 2}, settings={"max_records_per_job": 55})
    other = trial.begin()
    trial.run = start(trial.cloud, trial.request)
    assert trial.run != other
    for run in (trial.run, other):
        trial.run = run
        outcome = trial.finish()
        assert (outcome.run["status"], outcome.run["rows"]["accepted"], len(outcome.rows)) == ("succeeded", 250, 250)
        assert len(trial.jobs()) == 5
    asked = Counter(call["error"] for call in trial.calls("CreateModelInvocationJob"))
    assert asked[None] == 10


def test_a_budget_stops_the_next_round_and_a_higher_one_goes_on(flow: Flow) -> None:
    """What it keeps out is unresolved for that reason; resumed with more money, only that is bought."""
    trial = Trial(flow, unsure=80, task={"budget": {"max_usd": 0.005}})
    short = trial.go()
    assert (short.run["status"], exit_code(short)) == ("over_limit", 4)
    assert short.run["rows"] == {"in": 200, "accepted": 120, "unresolved": 80, "rejected": 0}
    assert short.run["reasons"] == {"budget": 80}
    assert short.run["cost_usd"] <= 0.005
    assert "the budget ended the run" in short.run["warnings"][0]
    whole = trial.resume(max_usd=1)
    assert (whole.run["status"], whole.run["rows"]["accepted"]) == ("succeeded", 200)
    assert [len(records) for records in trial.sent().values()] == [200, 80]


def test_a_budget_that_is_short_for_round_0_sends_what_it_can(flow: Flow) -> None:
    """Some of the first jobs are sent; the rows of the others are unresolved until there is more money."""
    trial = Trial(flow, 250, task={"budget": {"max_usd": 0.0007}}, settings={"max_records_per_job": 55})
    short = trial.go()
    sent = sum(map(len, trial.sent().values()))
    assert 0 < sent < 250
    assert short.run["rows"] == {"in": 250, "accepted": sent, "unresolved": 250 - sent, "rejected": 0}
    assert short.run["reasons"] == {"budget": 250 - sent}
    assert short.run["cost_usd"] <= 0.0007
    whole = trial.resume(max_usd=1)
    assert (whole.run["status"], whole.run["rows"]["accepted"]) == ("succeeded", 250)
    assert sum(map(len, trial.sent().values())) == 250


@pytest.fixture(scope="module")
def judged(flow: Flow) -> tuple[Trial, Outcome]:
    """A run in which the first tier was unsure of 60 rows, and nearly sure of the others."""
    trial = Trial(flow, unsure=60, sure="likely", task={"gates": {"min_confidence": "likely"}})
    return trial, trial.go()


# By gate: how many rows are accepted on the first tier, on the second, and by none.
GATES = {"unsure": (200, 0, 0), "likely": (140, 60, 0), "certain": (0, 60, 140)}


@pytest.mark.parametrize("gate", GATES)
def test_stored_answers_are_judged_again_for_nothing(judged: tuple[Trial, Outcome], gate: str) -> None:
    """Under a looser or a stricter gate a record's first accepted answer counts; nothing is sent, nothing paid."""
    trial, first = judged
    before = spent(trial)
    task = trial.task.model_dump(mode="json") | {"gates": {"min_confidence": gate}}
    if gate == "likely":
        task["description"] = "The same gates under another version of the task."
    run = trial.cloud.invoke("start", {"rejudge": {"run": first.run["run_id"], "task": task}})["run"]
    trial.cloud.wait(run)
    summary = collect(trial.cloud, run, trial.request.out)
    rows = read_rows(trial.request.out, summary)
    assert run != first.run["run_id"]
    assert len(rows) == 200
    accepted = Counter(row["tier"] for row in rows if row["status"] == "accepted")
    assert (accepted[0], accepted[1], summary["rows"]["unresolved"]) == GATES[gate]
    assert (summary["cost_usd"], summary["status"]) == (0, "succeeded")
    assert spent(trial) == before
