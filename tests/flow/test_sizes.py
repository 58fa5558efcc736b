"""Runs of every size: nothing, one row, less than a batch job takes, and escalations on either side of that line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from tests.flow.local import FIRST, SECOND, numbered, reply

if TYPE_CHECKING:
    from tests.flow.local import Flow


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \n\n"], ids=["empty", "blank"])
def test_a_file_without_rows_is_a_run_without_rows(flow: Flow, data: bytes) -> None:
    """Nothing is sent, nothing costs, the run succeeds, and its results are a table without rows."""
    outcome = flow.classify(data)
    assert outcome.run["status"] == "succeeded"
    assert outcome.run["rows"]["in"] == 0
    assert outcome.run["records"]["sent"] == 0
    assert outcome.run["cost_usd"] == 0
    (file,) = outcome.out.glob("results/**/*.parquet")
    assert pq.read_schema(file).names[:3] == ["source", "line", "id"]


@pytest.mark.parametrize("count", [1, 99])
def test_few_rows_are_asked_on_demand(flow: Flow, count: int) -> None:
    """Below Bedrock's minimum no job is made, at the price on demand."""
    answers = {f"n{number}": {FIRST: reply("billing")} for number in range(count)}
    outcome = flow.classify(numbered(count), answers=answers)
    assert [row["label"] for row in outcome.rows] == ["billing"] * count
    assert outcome.run["tiers"][0]["transport"] == "on_demand"
    assert outcome.run["rows"]["accepted"] == count


def test_escalations_below_the_minimum_go_on_demand(flow: Flow) -> None:
    """150 rows are a batch job; the 60 of them that escalate are asked one by one."""
    answers = {
        f"n{number}": {FIRST: reply("other", "unsure" if number < 60 else "likely"), SECOND: reply("technical")}
        for number in range(150)
    }
    outcome = flow.classify(numbered(150), answers=answers)
    assert [row["label"] for row in outcome.rows] == ["technical"] * 60 + ["other"] * 90
    assert [row["tier"] for row in outcome.rows] == [1] * 60 + [0] * 90
    assert [tier["transport"] for tier in outcome.run["tiers"]] == ["batch", "on_demand"]
    assert [tier["sent"] for tier in outcome.run["tiers"]] == [150, 60]


def test_many_rows_are_cut_into_jobs_of_about_one_size(flow: Flow) -> None:
    """One record above two full jobs is three jobs, none of them a tail below the minimum."""
    answers = {f"n{number}": {FIRST: reply("billing")} for number in range(401)}
    outcome = flow.classify(
        numbered(401), answers=answers, settings={"max_records_per_job": 200, "span_bytes": 4_000, "part_bytes": 9_000}
    )
    sizes = [job["records"] for job in outcome.run["jobs"]]
    assert len(sizes) == 3
    assert min(sizes) >= 100
    assert outcome.run["rows"]["accepted"] == 401
    assert len(list(outcome.out.glob("results/**/*.parquet"))) > 1
