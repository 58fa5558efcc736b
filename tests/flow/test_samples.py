"""The sample data through the whole workflow, and what its results are to those who read them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow.dataset as ds
import pytest

from sluice.budget.costs import ESCALATED
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import forecast
from sluice.models.catalog import Catalog
from sluice.reasons import REJECTIONS
from sluice.runs.settings import Settings
from tests.flow.local import SAMPLES, TICKETS, Outcome, write

if TYPE_CHECKING:
    from tests.flow.local import Flow

REVIEWS = SAMPLES / "reviews.jsonl"


@pytest.fixture(scope="module")
def again(flow: Flow, tickets: Outcome) -> Outcome:
    """A copy of the same, into the folder of the first run; cut into other spans, jobs and parts."""
    settings = {"span_bytes": 100_000, "max_records_per_job": 900, "part_bytes": 300_000}
    copy = write(flow.folder() / TICKETS.name, TICKETS.read_bytes())
    return flow.classify([copy], "tickets", out=tickets.out, settings=settings)


def test_every_line_of_the_tickets_is_in_the_results(tickets: Outcome) -> None:
    """Each under its number, none twice, blank lines left out, and each `input` is its line."""
    lines = TICKETS.read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    assert [row["line"] for row in tickets.rows] == [n for n, line in enumerate(lines, 1) if line.strip()]
    for row in tickets.rows:
        assert row["input"] == lines[row["line"] - 1].decode(errors="replace")


def test_the_tickets_show_what_a_run_shows(tickets: Outcome) -> None:
    """Most rows stay with the first tier, some escalate, a few are rejected or unresolved, and it is cheaper."""
    run, (first, second) = tickets.run, tickets.run["tiers"]
    assert run["status"] == "succeeded"
    assert first["accepted"] > 0.8 * first["sent"]
    assert second["sent"] == first["escalated"] > 100
    assert run["rows"]["rejected"] >= 5
    assert set(run["reasons"]) & set(REJECTIONS)
    assert run["records"]["distinct"] < run["rows"]["in"] - run["rows"]["rejected"]
    assert run["cost_usd"] < 0.25 * run["baseline_usd"]


def test_the_labels_of_the_tickets_are_mostly_right(tickets: Outcome) -> None:
    """The stand-in agrees with the gold column far more often than chance, which no crossed join would."""
    pairs = [(row["label"], json.loads(row["input"])["team"]) for row in tickets.rows if row["status"] == "accepted"]
    assert sum(label == team for label, team in pairs) > 0.8 * len(pairs)


def test_kept_columns_are_typed(tickets: Outcome) -> None:
    """A timestamp is a timestamp in UTC, and one that is none is null and told."""
    made = Counter(type(row["created_at"]).__name__ for row in tickets.rows if row["status"] == "accepted")
    assert set(made) == {"datetime", "NoneType"}
    assert any("created_at" in warning for warning in tickets.run["warnings"])


def test_two_runs_decide_the_same(tickets: Outcome, again: Outcome) -> None:
    """However the input is cut into spans, jobs and parts: labels, reasons, trails and costs are equal."""
    assert again.run["run_id"] != tickets.run["run_id"]
    assert len(again.run["jobs"]) > len(tickets.run["jobs"])
    assert again.decisions == tickets.decisions


@pytest.mark.usefixtures("again")
def test_pyarrow_pandas_and_duckdb_read_the_runs_of_a_folder_as_one_table(tickets: Outcome, again: Outcome) -> None:
    """Results of several runs lie in one folder, and each reader takes it as it lies."""
    folder = tickets.out / "results" / "tickets"
    table = ds.dataset(folder, partitioning="hive").to_table()
    frame = pd.read_parquet(folder)
    files = f"{folder}/**/*.parquet"
    assert table.num_rows == len(frame) == len(tickets.rows) + len(again.rows)
    counted = duckdb.execute(
        "select run_id, label, count(*) from read_parquet(?, hive_partitioning = true) group by all", [files]
    ).fetchall()
    expected = Counter((tickets.run["run_id"], row["label"]) for row in tickets.rows)
    assert {(run, label): count for run, label, count in counted if run == tickets.run["run_id"]} == dict(expected)
    assert frame.groupby("run_id").size().to_dict() == dict(Counter(table["run_id"].to_pylist()))
    assert "run_date" in frame.columns
    assert "run_date" in table.column_names


@pytest.fixture(scope="module")
def reviews(flow: Flow) -> Outcome:
    """A run of the sample reviews with the stand-in's answers."""
    return flow.classify([REVIEWS], "reviews")


@pytest.mark.parametrize("name", ["tickets", "reviews"])
def test_a_run_costs_about_what_its_plan_expected(name: str, tickets: Outcome, reviews: Outcome) -> None:
    """Within 30%, with the share that a plan assumes by itself, against the stand-in's tokens; never above the most."""
    outcome, file = (tickets, TICKETS) if name == "tickets" else (reviews, REVIEWS)
    asked = Asked([str(file)], outcome.task, Settings(), Catalog.load(), "us-east-1", ESCALATED)
    said = forecast(asked, pytest.fail, lambda _what, _number, _total: None)
    assert said.records == outcome.run["records"]["distinct"]
    assert said.expected_usd == pytest.approx(outcome.run["cost_usd"], rel=0.3)
    assert said.ceiling_usd is not None
    assert outcome.run["cost_usd"] < said.ceiling_usd


def test_a_task_of_several_labels_and_fields(reviews: Outcome) -> None:
    """Reviews get one to three labels and two typed fields; results and report lie in the folder."""
    outcome = reviews
    accepted = [row for row in outcome.rows if row["status"] == "accepted"]
    assert len(outcome.rows) == 400
    assert {len(row["labels"]) for row in accepted} <= {1, 2, 3}
    assert len({len(row["labels"]) for row in accepted}) > 1
    assert {row["season"] for row in accepted} - {None} == {"spring", "summer", "autumn", "winter"}
    assert {type(row["recommends"]) for row in accepted} >= {bool}
    assert {type(row["trail_km"]) for row in accepted} == {float}
    report = (outcome.out / "report.html").read_text(encoding="utf-8")
    assert outcome.run["run_id"] in report


def test_a_task_without_labels_extracts(flow: Flow) -> None:
    """Extraction alone works like classification, with no label column filled."""
    task: dict[str, Any] = {
        "name": "amounts",
        "input": {"text": "text"},
        "answer": {"fields": {"amount": {"type": ["number", "null"], "description": "The amount of money"}}},
    }
    outcome = flow.classify(b'{"text": "I paid 12.50 twice"}\n{"text": "Hello"}\n', task)
    assert [(row["label"], row["labels"], row["amount"]) for row in outcome.rows] == [
        (None, [], 12.5),
        (None, [], None),
    ]
