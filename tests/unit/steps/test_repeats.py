"""Sampled texts that the oracle is asked about twice: it is held against itself, and nothing else changes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from sluice.budget.costs import Load
from sluice.budget.whole import run_ceiling_usd, run_expected_usd
from sluice.results.run_document import read_run
from sluice.runs.keys import Keys
from sluice.steps.services import Run
from tests.faults.certified import FIRST, ORACLE, reply
from tests.harness.bedrock import texts_of
from tests.harness.drive import Cloud
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.unit.steps.test_certified_runs import (
    FILES,
    SAMPLE,
    SETTINGS,
    TRAIN,
    judged_again,
    stored,
    task_of,
    verified,
)

REPEATS = 40


class Wavering:
    """An oracle that says something else the second time, of every fourth text, and nothing of every fifth."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, model: str, text: str) -> str:
        said = reply(model, text)
        if ORACLE not in model:
            return said
        self.asked[text] += 1
        number = int(text.split()[4].rstrip(","))
        if self.asked[text] == 1:
            return said
        if number % 5 == 0:
            return "no answer"
        colour = json.loads(said)["label"]
        other = {"label": "red" if colour != "red" else "blue", "confidence": "likely"}
        return json.dumps(other) if number % 4 == 0 else said


def promised(repeats: int = REPEATS) -> dict[str, Any]:
    return {"agree": 0.9, "sample": SAMPLE, "train": TRAIN, "repeats": repeats}


@pytest.fixture(scope="module")
def wavering() -> tuple[Cloud, dict[str, Any], Wavering]:
    oracle = Wavering()
    cloud = Cloud(oracle, SETTINGS)
    return cloud, cloud.run(task_of(quality=promised(), gates={}), FILES), oracle


def test_the_oracle_is_held_against_itself(wavering: tuple[Cloud, dict[str, Any], Wavering]) -> None:
    """On the first records of the sample, with what it said both times; a missing answer compares nothing."""
    cloud, summary, oracle = wavering
    certificate, draws = stored(cloud, summary["run_id"])
    first = list(dict.fromkeys(row.key for row in draws.sample))[:REPEATS]
    repeated = [row for row in certificate.sampled if row.repeated]
    assert [row.key for row in repeated] == first
    twice = sorted(text for text, count in oracle.asked.items() if count > 1)
    numbers = [int(text.split()[4].rstrip(",")) for text in twice]
    answered = [number for number in numbers if number % 5]
    same = [number for number in answered if number % 4]
    found = certificate.repeats
    assert found is not None
    assert (found.asked, found.answered, found.agreeing) == (REPEATS, len(answered), len(same))
    assert 0 < len(same) < len(answered) < len(twice) == REPEATS
    assert max(oracle.asked.values()) == 2
    assert found.low < found.agreeing / found.answered < found.high


def test_what_it_says_the_second_time_changes_no_row() -> None:
    """Labels, scores and certificate are those of a run in which nobody is asked twice; rows show what it took."""
    clouds = [Cloud(reply, SETTINGS), Cloud(Wavering(), SETTINGS)]
    summaries = [
        cloud.run(task_of(quality=promised(repeats)), FILES)
        for cloud, repeats in zip(clouds, (0, REPEATS), strict=True)
    ]
    names = ("source", "line", "label", "tier", "score", "status", "reason")
    shown = [sorted(tuple(map(str, (row[name] for name in names))) for row in cloud.rows()) for cloud in clouds]
    assert shown[0] == shown[1]
    took = [sum(row["cost_usd"] for row in cloud.rows()) for cloud in clouds]
    assert took[1] - took[0] == pytest.approx(summaries[1]["repeats"]["cost_usd"])
    told = [summary["certificate"] for summary in summaries]
    same = told[0].keys() - {"repeats", "at"}
    assert [told[0][name] for name in same] == [told[1][name] for name in same]
    assert summaries[1]["tiers"][1]["sent"] == summaries[1]["tiers"][0]["escalated"]


def test_the_books_tell_it_apart(wavering: tuple[Cloud, dict[str, Any], Wavering]) -> None:
    """Its records, tokens and cost are a term of their own; rows and run hold them among all others."""
    cloud, summary, _ = wavering
    told = summary["repeats"]
    assert told["records"] == REPEATS
    assert min(told["input_tokens"], told["output_tokens"], told["cost_usd"]) > 0
    rows = sum(row["cost_usd"] for row in cloud.rows() if row["cost_usd"] is not None)
    assert summary["cost_usd"] == pytest.approx(rows)
    assert sum(tier["input_tokens"] for tier in summary["tiers"]) == sum(row["input_tokens"] for row in cloud.rows())
    assert read_run(summary).repeats.records == REPEATS


def test_it_is_told_and_found_again(wavering: tuple[Cloud, dict[str, Any], Wavering]) -> None:
    """On the report's first page, and by whoever verifies the certificate; a changed figure is found out."""
    cloud, summary, _ = wavering
    found = read_run(summary).certificate
    assert found is not None
    assert found.repeats is not None
    told = dict(found.facts())[f"{ORACLE}, asked twice, agrees with itself on"]
    assert told.startswith(f"{found.repeats.agreeing} of {found.repeats.answered} sampled texts (")
    assert told.endswith(f"; {REPEATS - found.repeats.answered} more lack a valid answer")
    assert verified(cloud, summary) == []
    kept = json.loads(cloud.results.get(f"reports/{summary['run_id']}/certificate.json"))
    changed = kept | {"repeats": kept["repeats"] | {"agreeing": found.repeats.answered}}
    assert any("asked twice" in problem for problem in verified(cloud, summary, json.dumps(changed).encode()))


def test_no_two_texts_share_a_request_again() -> None:
    """In packs, the second request of a text has other neighbours, since what they say may depend on these."""
    machine = Machine(FaultPlan(), reply, SETTINGS)
    tiers = [{"model": FIRST}, {"model": ORACLE, "pack": 5}]
    summary = machine.finish(machine.begin(task_of(tiers=tiers, quality=promised(25)), FILES))
    assert summary["certificate"]["repeats"]["agreeing"] == 25
    plan = Run(machine.work, summary["run_id"]).round_plan(0)
    together: dict[str, list[set[str]]] = {"draw": [], "repeat": []}
    for job in plan.jobs:
        if job.purpose in together:
            keys = Keys(summary["run_id"]).job(0, job.job)
            for line in machine.work.get(keys.input).splitlines():
                together[job.purpose].append({text for _, text in texts_of(json.loads(line)["modelInput"])})
    before = {frozenset(pair) for pack in together["draw"] for pair in combinations(pack, 2)}
    again = {frozenset(pair) for pack in together["repeat"] for pair in combinations(pack, 2)}
    assert len(again) == 5 * 10
    assert not before & again


def test_replies_that_are_kept_answer_no_second_request() -> None:
    """Neither is a kept reply taken for it, nor is its reply kept: the oracle is asked anew in each run."""
    oracle = Wavering()
    cloud = Cloud(oracle, SETTINGS)
    task = task_of(quality=promised(), reuse={"days": 30})
    summaries = [cloud.run(task, {f"{day}-{name}": data for name, data in FILES.items()}) for day in range(2)]
    assert [summary["repeats"]["records"] for summary in summaries] == [REPEATS, REPEATS]
    shown = [
        {row["record"]: row["label"] for row in cloud.rows() if row["run_id"] == summary["run_id"] and row["tier"] == 1}
        for summary in summaries
    ]
    assert all(shown[1][key] == label for key, label in shown[0].items() if key in shown[1])


def test_a_budget_that_has_no_room_for_it_does_without() -> None:
    """The certificate stands, and says nothing of the oracle itself."""
    spent = Cloud(reply, SETTINGS).run(task_of(quality=promised(0)), FILES)["cost_usd"]
    found = []
    for share in (1.4, 4.0):
        task = task_of(quality=promised(), budget={"max_usd": round(spent * share, 6)})
        summary = Cloud(reply, SETTINGS).run(task, FILES)
        assert summary["cost_usd"] <= spent * share
        assert summary["reasons"].get("budget", 0) == 0
        found.append(summary["certificate"]["repeats"])
    assert found[0] is None
    assert found[1]["asked"] == REPEATS


def test_answers_that_are_judged_again_are_compared_again(wavering: tuple[Cloud, dict[str, Any], Wavering]) -> None:
    """Nothing is bought for it, and the figures are those of the answers that are kept."""
    cloud, first, _ = wavering
    summary = judged_again(cloud, first["run_id"], task_of(quality=promised(), gates={}, description="other words"))
    assert summary["certificate"]["repeats"] == first["certificate"]["repeats"]
    assert (summary["cost_usd"], summary["repeats"]["input_tokens"]) == (0, 0)


def test_the_plan_knows_what_it_costs(wavering: tuple[Cloud, dict[str, Any], Wavering]) -> None:
    """Expected and at most: the same with as many records more for the oracle."""
    cloud, summary, _ = wavering
    run = Run(cloud.work, summary["run_id"])
    load = Load.of_plan(run.task, run.plan)
    assert load.repeated[0] == REPEATS
    tiers, bare = run.start.tiers, replace(load, repeated=(0, 0))
    expected = [run_expected_usd(tiers, each, 1, 0.2, run.task.drawn) or 0 for each in (bare, load)]
    ceiling = [run_ceiling_usd(run.task, tiers, each, 1) or 0 for each in (bare, load)]
    assert load.sent([0.2], 100)[1] == bare.sent([0.2], 100)[1] + REPEATS
    assert expected[1] > expected[0]
    assert ceiling[1] > ceiling[0]
    assert summary["cost_usd"] <= ceiling[1]
