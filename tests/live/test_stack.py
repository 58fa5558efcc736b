"""A deployed stack, end to end: drop a file, wait for its run, read the results with Athena.

    pytest tests/live --live [--env NAME]      with AWS credentials and a Region; some cents, up to three hours

120 rows are one batch job of the first tier; what escalates goes on demand.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.queries import QUERIES, Query
from sluice.api.deployment import Deployment
from sluice.deployment.standing import GOING_ON, latest, standing
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from sluice.task.file import load_task
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.stack import Stack

pytestmark = pytest.mark.live

TICKETS = Path(__file__).parents[2] / "sample_data" / "tickets.jsonl"
ROWS = 120
START_SECONDS = 600  # a drop is quiet for a minute before a run begins
RUN_SECONDS = 3 * 3600
QUERY_SECONDS = 120


def until(seconds: float, pause: float) -> Iterator[None]:
    """Take turns with a pause between them, and fail when the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause)
    pytest.fail(f"nothing after {seconds:.0f} s")


@pytest.fixture(scope="module")
def stack(pytestconfig: pytest.Config) -> Stack:
    return Deployment(str(pytestconfig.getoption("--env"))).stack


@pytest.fixture(scope="module")
def run(stack: Stack) -> str:
    """The run that a dropped file started: the first 120 tickets, under a name of their own."""
    rows = b"\n".join(line for line in TICKETS.read_bytes().split(b"\n") if line.strip())
    key = f"tickets/live-{uuid.uuid4().hex}.jsonl"
    stack.incoming.put(key, b"\n".join(rows.split(b"\n")[:ROWS]) + b"\n")
    for _ in until(START_SECONDS, 3):
        for begun in latest(stack, 20, "tickets"):
            kept = Keys(begun.run).inputs
            inputs = read(Inputs, stack.work.get(kept), kept).inputs
            if any(frozen.uri.endswith(key) for frozen in inputs):
                return begun.run
    raise AssertionError


@pytest.fixture(scope="module")
def document(stack: Stack, run: str) -> dict[str, Any]:
    """run.json, once the run has ended."""
    for _ in until(RUN_SECONDS, 30):
        now = standing(stack, run)
        if now.status not in GOING_ON:
            assert now.document is not None, now.error
            return now.document
    raise AssertionError


def query(stack: Stack, sql: str) -> list[list[str | None]]:
    """The rows of a query in the stack's workgroup and database, which have one name."""
    athena, workgroup = stack.session.client("athena"), stack.outputs["Workgroup"]
    begun = athena.start_query_execution(QueryString=sql.format(database=f'"{workgroup}"'), WorkGroup=workgroup)
    for _ in until(QUERY_SECONDS, 1):
        status = athena.get_query_execution(QueryExecutionId=begun["QueryExecutionId"])["QueryExecution"]["Status"]
        if status["State"] not in {"QUEUED", "RUNNING"}:
            break
    assert status["State"] == "SUCCEEDED", status.get("StateChangeReason")
    found = athena.get_query_results(QueryExecutionId=begun["QueryExecutionId"])["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in found[1:]]


def test_the_run_succeeds_with_every_row_accounted_for(document: dict[str, Any]) -> None:
    """120 rows in; the first tier answered in a batch job; the prices are known."""
    rows = document["rows"]
    assert document["status"] == "succeeded", document["error"]
    assert rows["in"] == ROWS == rows["accepted"] + rows["unresolved"] + rows["rejected"]
    assert rows["accepted"] > 0.9 * ROWS
    assert document["tiers"][0]["transport"] == "batch"
    assert 0 < document["cost_usd"] < 0.5


@pytest.mark.parametrize("table", ["tickets", "tickets_current", "results"])
def test_athena_reads_the_rows(stack: Stack, run: str, document: dict[str, Any], table: str) -> None:
    """The task's table, its view of the latest runs and the view of all tasks hold the run, status by status."""
    found = query(stack, f"select status, count(*) from {{database}}.{table} where run_id = '{run}' group by 1")
    counted = Counter({str(status): int(str(count)) for status, count in found})
    assert counted == Counter({name: count for name, count in document["rows"].items() if name != "in"})


def test_athena_reads_the_table_of_runs(stack: Stack, run: str, document: dict[str, Any]) -> None:
    """One row for the run, with what its tiers were sent."""
    sql = "select status, rows_in, cardinality(tiers), tiers[1].sent from {database}.runs where run_id = "
    [found] = query(stack, f"{sql}'{run}'")
    assert found == ["succeeded", str(ROWS), str(len(document["tiers"])), str(document["tiers"][0]["sent"])]


@pytest.mark.parametrize("saved", QUERIES, ids=[saved.name for saved in QUERIES])
def test_athena_runs_the_saved_queries(stack: Stack, document: dict[str, Any], saved: Query) -> None:
    """Each is valid in Athena's own SQL; the run gives all but those about rows without a label something to show."""
    assert query(stack, saved.sql) or "without a label" in saved.name, document["run_id"]


def test_a_job_that_is_filled_up_is_taken(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """20 rows in batch, with 80 requests of Sluice's own beside them: nobody knows yet whether Bedrock takes them."""
    rows = tmp_path / "few.jsonl"
    rows.write_bytes(b"\n".join(TICKETS.read_bytes().splitlines()[:20]) + b"\n")
    task = load_task("tickets", Path("tasks"))
    tiers = [task.tiers[0].model_copy(update={"transport": Transport.BATCH})]
    few = task.model_copy(update={"tiers": tiers})
    run = Deployment(str(pytestconfig.getoption("--env"))).submit(rows, few, again=True)
    for _ in until(RUN_SECONDS, 30):
        now = run.standing
        if now.status not in GOING_ON:
            break
    document = now.document
    assert document is not None, now.error
    assert (document["rows"]["in"], document["fillers"]["requests"]) == (20, 80)
    assert {job["status"] for job in document["jobs"]} == {"Completed"}
