"""What the functions write to their logs: where they are, what they count, and never what a row says."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from sluice.aws.metrics import OF_TIER, Measure
from tests.flow.local import FIRST, PLAIN, SECOND, jsonl, reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.flow.local import Flow, Outcome

# Stands in every place of a row from which it could reach a log, and in the replies.
SECRET = "marzipan"
TASK: dict[str, Any] = {
    **PLAIN,
    "input": {
        "id": "id",
        "text": ["text", "more"],
        "max_tokens": 60,
        "keep": {"when": "timestamp", "note.who": "string"},
        "keep_input": True,
    },
    "answer": {"evidence": True},
    "gates": {"rules": [{"name": "priced", "schema": {"properties": {"row": {"required": ["when"]}}}}]},
    "examples": [{"text": f"an example with {SECRET}", "label": "other"}],
}
BROKEN = [
    f'{{"id": "cut {SECRET}", "text": "cut {SECRET}',
    f'["an array with {SECRET}"]',
    f'{{"id": "{SECRET}", "text": 5, "{SECRET}": "{SECRET}"}}',
    f'{{"id": "{SECRET}", "text": "{SECRET * 200}"}}',
]


def row(number: int) -> dict[str, Any]:
    text = f"{SECRET} {number}"
    return {"id": f"n{number}", "text": text, "more": text, "when": SECRET, "note": {"who": SECRET}, SECRET: text}


def said(number: int) -> dict[str, str]:
    """Good replies, prose, a label that is none, a quote that is nowhere, half an object, nothing."""
    good = json.dumps({"label": "billing", "confidence": "certain", "evidence": SECRET})
    bad = [
        f"{SECRET} is not what I talk about",
        reply(SECRET),
        json.dumps({"label": "billing", "confidence": "certain", "evidence": f"{SECRET} is nowhere"}),
        f'{{"label": "{SECRET}',
        "",
    ]
    return {FIRST: bad[number % 5] if number % 2 else good, SECOND: bad[number % 5] if number % 10 == 3 else good}


@pytest.fixture(scope="module")
def outcome(flow: Flow) -> Outcome:
    """A run in which all goes wrong that can without ending it, in batch jobs and on demand."""
    rows = jsonl(row(number) for number in range(150)) + "\n".join(BROKEN).encode()
    return flow.classify(rows, TASK, answers={f"n{number}": said(number) for number in range(150)})


def lines(out: Path) -> Iterator[dict[str, Any]]:
    """All that the functions have logged, each line of which is an object."""
    for path in sorted((out / "logs").glob("*.log")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def metrics(out: Path) -> Iterator[tuple[Measure, float, dict[str, str]]]:
    """Each value that was measured, with its dimensions."""
    for line in lines(out):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                dimensions = {name: line[name] for name in directive["Dimensions"][0]}
                yield from ((Measure(metric["Name"]), value, dimensions) for value in line[metric["Name"]])


def test_the_run_was_a_bad_one(outcome: Outcome) -> None:
    """Else the tests below would prove little."""
    assert {"row_not_json", "row_not_object", "text_not_string", "text_too_long"} <= set(outcome.run["reasons"])
    assert outcome.run["rows"]["unresolved"] > 0
    assert len({tier["transport"] for tier in outcome.run["tiers"]}) == 2
    assert any(attempt["reason"] == "evidence_not_found" for row in outcome.rows for attempt in row["trail"] or ())


def test_no_log_holds_the_text_of_a_row(outcome: Outcome) -> None:
    """Neither of a good row nor of a broken one, nor a model's reply, nor an example of the task."""
    assert any(SECRET in str(row["input"]) for row in outcome.rows)
    logs = list((outcome.out / "logs").glob("*.log"))
    assert len(logs) >= 8
    assert [path.name for path in logs if SECRET.encode() in path.read_bytes().lower()] == []


def test_every_line_says_to_which_run_and_job_it_belongs(outcome: Outcome) -> None:
    """So that somebody can find the lines of one job among those of a hundred runs."""
    told = defaultdict(set)
    for line in lines(outcome.out):
        if "message" in line:
            told[line["function_name"]].add((line.get("run"), line.get("round"), line.get("job")))
    jobs = {(outcome.run["run_id"], job["round"], job["job"]) for job in outcome.run["jobs"]}
    of_jobs = [name for name in told if any(step in name for step in ("Prepare", "Check"))]
    assert len(of_jobs) == 2
    for name in of_jobs:
        assert told[name] == jobs
    for name in set(told) - {name for name in told if "Start" in name}:
        assert {run for run, _, _ in told[name]} == {outcome.run["run_id"]}, name


def test_the_metrics_of_a_run_add_up_to_its_books(outcome: Outcome) -> None:
    """By environment, task and tier, and by nothing else."""
    totals: Counter[Measure] = Counter()
    for measure, value, dimensions in metrics(outcome.out):
        assert set(dimensions) <= set(OF_TIER)
        assert dimensions["environment"] == "prod"
        assert dimensions.get("task", "plain") == "plain"
        totals[measure] += value  # type: ignore[assignment]  # of floats
    run = outcome.run
    assert totals[Measure.ROWS_IN] == run["rows"]["in"]
    assert totals[Measure.ROWS_REJECTED] == run["rows"]["rejected"]
    assert totals[Measure.RECORDS_SENT] == run["records"]["sent"]
    assert totals[Measure.RECORDS_ESCALATED] == sum(tier["escalated"] for tier in run["tiers"])
    assert math.isclose(totals[Measure.COST_USD], run["cost_usd"])
