"""The catalog over real results: DuckDB stands in for Athena, over files that real steps have published."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from infra.permissions import plain
from infra.queries import QUERIES
from sluice.results.corrections import Correction, Corrections
from sluice.results.layer import LAYER, layer_of
from sluice.results.table import schema
from sluice.steps import publish, rejudge
from sluice.task.columns import BASE_COLUMNS
from sluice.task.file import load_task, parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.aws.s3 import Store
    from tests.infra.conftest import Deployed

PLAIN = {"string": "VARCHAR", "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "bigint": "BIGINT"}
PLAIN |= {"double": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMP WITH TIME ZONE"}
FULL = {"created": "2026-03-01T10:00:00Z", "amount": 1.5, "day": "2026-03-01", "n": 3, "urgent": True}


def said(label: str, confidence: str = "certain", **fields: Any) -> str:
    return json.dumps({"label": label, "confidence": confidence, **fields})


def answer(model: str, text: str) -> str:
    """Models do as the text says: `hard` is for the second tier, `lost` for none, `bare` has no fields."""
    if "lost" in text or ("hard" in text and ("micro" in model or "lite" in model)):
        return "no idea"
    if "mail" in text:
        return said("spam")
    return said("other", Product=None, codes=[]) if "bare" in text else said("billing", Product="box", codes=[1, 2])


class Published:
    """One deployment in memory whose clock goes on by an hour at each run."""

    def __init__(self) -> None:
        self.hour = 0
        self.cloud = Cloud(answer, {"min_records_per_job": 1, "max_records_per_job": 3})
        self.cloud.services = dataclasses.replace(self.cloud.services, now=self.now)

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC) + dt.timedelta(hours=self.hour)

    def run(self, task: Task, file: str, rows: bytes) -> str:
        self.hour += 1
        return str(self.cloud.run(task, {file: rows})["run_id"])

    def judge_again(self, run: str, task: Task) -> str:
        self.hour += 1
        again = rejudge.run(self.cloud.services, run, task)
        self.cloud.drive(again)
        publish.run(self.cloud.services, again)
        return again

    def write(self, root: Path) -> None:
        for key, _ in self.cloud.results.keys(""):
            if key.endswith((".parquet", ".jsonl")):
                path = root / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.cloud.results.get(key))


@dataclasses.dataclass(frozen=True)
class Warehouse:
    """The results bucket as a folder, the ids of its runs, and a database whose tables and views are the template's."""

    root: Path
    runs: dict[str, str]
    database: duckdb.DuckDBPyConnection
    tables: dict[str, dict[str, Any]]
    results: Store

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.sql(sql).fetchall()

    def types(self, table: str) -> dict[str, str]:
        return dict(self.ask(f"select column_name, column_type from (describe sluice.{table})"))

    def saved(self, name: str) -> list[dict[str, Any]]:
        """The rows of a saved query."""
        [query] = [query for query in QUERIES if query.name == name]
        found = self.database.sql(query.of("sluice"))
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def earlier(task: Task) -> Task:
    """The task as it was before: fewer fields, and a kept column that is gone now."""
    document = task.model_dump(mode="json")
    document["input"]["keep"] = {"created": "timestamp", "channel": "string"}
    document["answer"] = {"fields": {"Product": {"type": "string"}}}
    return parse_task(document, "the task before")


def unpriced(task: Task) -> Task:
    """The task with a last tier whose price nobody knows."""
    document = task.model_dump(mode="json")
    document["tiers"][-1]["model"] = "apac.anthropic.claude-sonnet-4-5-20250929-v1:0"
    return parse_task(document, "the task without a price")


def publish_runs(tasks: Path) -> tuple[Published, dict[str, str]]:
    """Runs with and without rejected rows, with fields and kept columns absent, of two versions of a task."""
    deployed, runs = Published(), {}
    tickets, mails = load_task("support-tickets", tasks), unpriced(load_task("mails", tasks))
    before = [{"body": f"before {n}", "channel": "web", **FULL} for n in range(4)]
    runs["before"] = deployed.run(earlier(tickets), "a.jsonl", jsonl(before))
    runs["whole"] = deployed.run(tickets, "a.jsonl", jsonl([{"body": f"ticket {n}", **FULL} for n in range(5)]))
    runs["bare"] = deployed.run(tickets, "b.jsonl", jsonl([{"body": f"bare {n}"} for n in range(3)]) + b"no JSON\n")
    runs["broken"] = deployed.run(tickets, "c.jsonl", b"{}\nno JSON\n")
    runs["old"] = deployed.run(earlier(tickets), "d.jsonl", jsonl(before))
    texts = [*(f"mail {n}" for n in range(6)), "hard mail", "lost mail"]
    runs["mails"] = deployed.run(mails, "m.jsonl", jsonl([{"body": text} for text in texts]))
    runs["judged"] = deployed.judge_again(runs["mails"], mails.model_copy(update={"description": "again"}))
    for said in CORRECTIONS:
        made = {**PLACE, "record": record_of(deployed, runs["whole"], said["line"]), "run": runs["whole"], **said}
        Corrections(deployed.cloud.results, "support-tickets").add([Correction(**made)])
    return deployed, runs


PLACE = {"source": "s3://incoming/support-tickets/a.jsonl", "given": ["billing"]}
CORRECTIONS: list[dict[str, Any]] = [  # each in an object of its own, which has the next number
    {"line": 1, "by": "ann", "at": "2026-11-21T10:00:00.000+00:00", "labels": ["other"], "note": "not a bill"},
    {"line": 2, "by": "ann", "at": "2026-11-21T10:00:01.000+00:00", "labels": ["billing"],
     "fields": {"Product": "box", "codes": [1, 2]}},
    {"line": 3, "by": "ann", "at": "2026-11-21T10:00:02.000+00:00", "labels": ["other"]},
    {"line": 3, "by": "ben", "at": "2026-11-21T10:00:03.000+00:00", "labels": []},
    {"line": 4, "by": "ann", "at": "2026-11-21T10:00:04.000+00:00", "labels": ["other"]},
    {"line": 4, "by": "ben", "at": "2026-11-21T10:00:05.000+00:00", "labels": ["billing"], "seen": (5, 1),
     "fields": {"codes": [9], "Product": None}},
    {"line": 5, "by": "ann", "at": "2026-11-21T10:00:06.000+00:00", "labels": ["other"]},
    {"line": 5, "by": "ann", "at": "2026-11-21T10:00:07.000+00:00", "withdraws": (7, 1)},
    {"line": 99, "by": "cy", "at": "2026-11-21T10:00:08.000+00:00", "labels": ["other"], "record": "another"},
]  # fmt: skip


def record_of(deployed: Published, run: str, line: int) -> str:
    """The record of a row of a run that read one file."""
    rows = {row["line"]: str(row["record"]) for row in deployed.cloud.rows() if row["run_id"] == run}
    return rows.get(line, "")


@pytest.fixture(scope="module")
def warehouse(deployed: Deployed, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    root = tmp_path_factory.mktemp("bucket")
    results, runs = publish_runs(tasks)
    results.write(root)
    tables = {t["TableInput"]["Name"]: t["TableInput"] for t in deployed.of_type("AWS::Glue::Table").values()}
    database = duckdb.connect()
    database.sql("create schema sluice")
    for name, table in tables.items():
        if table["TableType"] == "EXTERNAL_TABLE" and name != "corrections":
            database.sql(f"create view sluice.{name} as {over_files(root, table)}")
    database.sql(LIKE_ATHENA)
    database.sql(f"create view sluice.corrections as {over_logs(root, tables['corrections'])}")
    for name in ("corrected", "support_tickets_current", "mails_current", "results"):
        database.sql(f"create view sluice.{name} as {view_sql(tables[name])}")
    return Warehouse(root, runs, database, tables, results.cloud.results)


def over_files(root: Path, table: dict[str, Any]) -> str:
    """The table's columns, found by name in the files of its location, and the date of their folder."""
    folder = re.sub(r"s3://<[^>]+>/", "", plain(table["StorageDescriptor"]["Location"]))
    columns = ", ".join(f'"{name}"' for name in [*glue_types(table), "run_date"])
    files = f"read_parquet('{root}/{folder}**/*.parquet', hive_partitioning = true, union_by_name = true)"
    return f"select {columns} from {files}"


# What Athena has and DuckDB calls otherwise.
LIKE_ATHENA = """
create macro array_join(list, between) as array_to_string(list, between);
create macro cardinality(list) as len(list);
create macro from_iso8601_timestamp(text) as cast(text as timestamptz);
create macro json_format(value) as cast(value as varchar);
create macro json_extract_scalar(value, path) as json_extract_string(value, path);
set timezone = 'UTC';
"""


def over_logs(root: Path, table: dict[str, Any]) -> str:
    """The lines of the logs, each with the path of its object and the task that its folder says."""
    columns = {name: "JSON" if name == "fields" else in_duckdb(kind) for name, kind in glue_types(table).items()}
    struct = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    read = f"format = 'newline_delimited', columns = {{{struct}}}, filename = true"
    files = f"read_json('{root}/corrections/*/*.jsonl', {read})"
    return (
        f'select * exclude (filename, fields), cast(fields as varchar) as fields, filename as "$path", '
        f"regexp_extract(filename, 'corrections/([^/]+)/', 1) as task from {files}"
    )


def view_sql(table: dict[str, Any]) -> str:
    encoded = table["ViewOriginalText"].removeprefix("/* Presto View: ").removesuffix(" */")
    return str(json.loads(base64.b64decode(encoded))["originalSql"])


def glue_types(table: dict[str, Any]) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}


def in_duckdb(hive: str) -> str:
    """Glue's type in DuckDB's words."""
    if hive.startswith("array<"):
        return f"{in_duckdb(hive[6:-1])}[]"
    if hive.startswith("struct<"):
        members = (member.split(":") for member in hive[7:-1].split(","))
        return f"STRUCT({', '.join(f'{name} {in_duckdb(kind)}' for name, kind in members)})"
    return PLAIN[hive]


@pytest.mark.parametrize("name", ["support_tickets", "mails", "runs"])
def test_duckdb_finds_each_column_of_a_table_with_its_type(warehouse: Warehouse, name: str) -> None:
    """What Glue says of a column is what the files hold, of both versions of the task together."""
    table = warehouse.tables[name]
    wanted = {column: in_duckdb(kind) for column, kind in glue_types(table).items()} | {"run_date": "DATE"}
    assert {column.lower(): kind.replace('"', "") for column, kind in warehouse.types(name).items()} == wanted


def test_pyarrow_reads_all_runs_of_a_task_with_the_schema_of_today(warehouse: Warehouse, tasks: Path) -> None:
    """Columns that a file lacks are null, those that are gone are left out, and every row is there."""
    wanted = schema(load_task("support-tickets", tasks))
    partition = ds.partitioning(pa.schema([("run_date", pa.date32())]), flavor="hive")
    folder = warehouse.root / "results" / "support-tickets"
    table = ds.dataset(
        folder, schema=wanted.append(pa.field("run_date", pa.date32())), partitioning=partition
    ).to_table()
    assert table.num_rows == 4 + 5 + 4 + 2 + 4
    assert "channel" not in table.column_names
    assert table.filter(pa.compute.equal(table["run_id"], warehouse.runs["before"]))["codes"].null_count == 4
    assert table.filter(pa.compute.equal(table["run_id"], warehouse.runs["whole"]))["codes"].to_pylist() == [[1, 2]] * 5


def test_a_column_that_came_later_is_null_in_earlier_rows(warehouse: Warehouse) -> None:
    """A changed task adds to the table and breaks nothing in it."""
    found = warehouse.ask(
        "select run_id, count(*), count(Product), count(codes), count(amount), count(input) "
        "from sluice.support_tickets where status = 'accepted' group by all"
    )
    assert {row[0]: row[1:] for row in found} == {
        warehouse.runs["before"]: (4, 4, 0, 0, 4),
        warehouse.runs["old"]: (4, 4, 0, 0, 4),
        warehouse.runs["whole"]: (5, 5, 5, 5, 5),
        warehouse.runs["bare"]: (3, 0, 3, 0, 3),
    }


def test_the_current_rows_are_those_of_each_sources_latest_run(warehouse: Warehouse) -> None:
    """A source classified again shows its new rows alone; one that was not read again keeps its old ones."""
    found = warehouse.ask("select source, run_id, count(*) from sluice.support_tickets_current group by all")
    runs = warehouse.runs
    place = "s3://incoming/support-tickets"
    assert {row[0]: row[1:] for row in found} == {
        f"{place}/a.jsonl": (runs["whole"], 5),
        f"{place}/b.jsonl": (runs["bare"], 4),
        f"{place}/c.jsonl": (runs["broken"], 2),
        f"{place}/d.jsonl": (runs["old"], 4),
    }


def test_the_current_rows_show_what_people_say_as_python_shows_it(warehouse: Warehouse) -> None:
    """Corrections, confirmations and conflicts, what was seen and what was taken back: one truth in both languages."""
    names = [*LAYER.names]
    found = warehouse.database.sql(
        f"select source, line, record, labels, Product, codes, {', '.join(names)} from sluice.support_tickets_current "
        "order by source, line"
    ).to_arrow_table()
    log = Corrections(warehouse.results, "support-tickets")
    log.refresh()
    [batch] = (
        found.rename_columns(["source", "line", "record", "labels", "Product", "codes", *names])
        .combine_chunks()
        .to_batches()
    )
    wanted = layer_of(batch, log)
    for name in names:
        given = found[name].to_pylist()
        assert [plain_json(each) for each in given] == [plain_json(each) for each in wanted[name].to_pylist()], name
    said = [(row["line"], row["correction"], row["corrected_by"]) for row in found.to_pylist() if row["correction"]]
    one, two = (1, "corrected", "ann"), (2, "confirmed", "ann")
    assert said == [one, two, (3, "conflict", "ann, ben"), (4, "corrected", "ben")]


def plain_json(value: object) -> object:
    """Fields as their values, and a moment without its zone."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def test_a_run_that_judges_again_replaces_the_run_that_it_judges(warehouse: Warehouse) -> None:
    """It bears the time of the run that bought the answers, and was published later all the same."""
    assert warehouse.ask("select distinct run_id from sluice.mails_current") == [(warehouse.runs["judged"],)]


def test_rows_of_a_run_that_is_being_published_are_not_shown(warehouse: Warehouse, tmp_path: Path) -> None:
    """Parts come one by one; the run's row comes last, and with it all of them at once."""
    for path in (warehouse.root / "runs").rglob("*.parquet"):
        if path.stem != warehouse.runs["whole"]:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    sql = view_sql(warehouse.tables["support_tickets_current"])
    meanwhile = f"(select *, date '2026-11-20' as run_date from read_parquet('{tmp_path}/*.parquet'))"
    shown = sql.replace('"sluice"."runs"', meanwhile)
    found = warehouse.ask(f"select distinct run_id from ({shown})")
    runs = warehouse.runs
    assert {run for (run,) in found} == {runs["before"], runs["bare"], runs["broken"], runs["old"]}


def test_results_hold_what_all_tasks_share(warehouse: Warehouse) -> None:
    """The current rows of every task, by the columns that every task has."""
    found = warehouse.ask("select task, count(*) from sluice.results group by task order by task")
    assert found == [("mails", 8), ("support-tickets", 5 + 4 + 2 + 4)]
    assert list(warehouse.types("results")) == [*BASE_COLUMNS, "run_date"]


@pytest.mark.parametrize("name", ["support_tickets_current", "mails_current", "results"])
def test_a_views_columns_have_the_types_that_it_declares(warehouse: Warehouse, name: str) -> None:
    """Athena refuses a view whose statement gives other columns than it was stored with."""
    wanted = {column: in_duckdb(kind) for column, kind in glue_types(warehouse.tables[name]).items()}
    wanted |= {"corrected_at": "TIMESTAMP"} if "corrected_at" in wanted else {}  # Athena's, which has no zone
    assert {column.lower(): kind.replace('"', "") for column, kind in warehouse.types(name).items()} == wanted


def test_the_table_of_runs_has_a_row_for_each_published_run(warehouse: Warehouse) -> None:
    """Its figures are those of run.json."""
    found = warehouse.ask(
        "select run_id, task, status, answers, rows_in, accepted, unresolved, rejected, records, sent, escalated, "
        "len(tiers), cost_usd = list_sum(list_transform(tiers, lambda t: t.cost_usd)) "
        "from sluice.runs order by finished"
    )
    tickets, runs = "support-tickets", warehouse.runs
    assert found == [
        (runs["before"], tickets, "succeeded", "memory", 4, 4, 0, 0, 4, 4, 0, 2, True),
        (runs["whole"], tickets, "succeeded", "memory", 5, 5, 0, 0, 5, 5, 0, 2, True),
        (runs["bare"], tickets, "succeeded", "memory", 4, 3, 0, 1, 3, 3, 0, 2, True),
        (runs["broken"], tickets, "nothing_accepted", "memory", 2, 0, 0, 2, 0, 0, 0, 2, True),
        (runs["old"], tickets, "succeeded", "memory", 4, 4, 0, 0, 4, 4, 0, 2, True),
        (runs["mails"], "mails", "succeeded", "memory", 8, 7, 1, 0, 8, 10, 2, 2, None),
        (runs["judged"], "mails", "succeeded", f"rejudge:{runs['mails']} of memory", 8, 7, 1, 0, 8, 10, 0, 2, None),
    ]


def test_every_saved_query_is_asked_here() -> None:
    """None is saved that the tests below do not run."""
    assert {query.name for query in QUERIES} == {
        "rows by label",
        "reasons of rows without a label",
        "rows without a label",
        "cost by task and month",
        "escalation by day",
    }


def test_rows_by_label(warehouse: Warehouse) -> None:
    """Only current, accepted rows count, each label within its task."""
    assert [tuple(row.values()) for row in warehouse.saved("rows by label")] == [
        ("mails", "spam", 7, 100.0),
        ("support-tickets", "billing", 9, 75.0),
        ("support-tickets", "other", 3, 25.0),
    ]


def test_reasons_of_rows_without_a_label(warehouse: Warehouse) -> None:
    """Each reason with its rows and the number of sources that they are from."""
    assert [tuple(row.values()) for row in warehouse.saved("reasons of rows without a label")] == [
        ("mails", "unresolved", "reply_not_json", 1, 1),
        ("support-tickets", "rejected", "row_not_json", 2, 2),
        ("support-tickets", "rejected", "text_missing", 1, 1),
    ]


def test_rows_without_a_label(warehouse: Warehouse) -> None:
    """Each with its place in the input, so that somebody can look at it."""
    found = [
        (row["source"].rpartition("/")[2], row["line"], row["reason"])
        for row in warehouse.saved("rows without a label")
    ]
    assert found == [
        ("m.jsonl", 8, "reply_not_json"),
        ("b.jsonl", 4, "row_not_json"),
        ("c.jsonl", 1, "text_missing"),
        ("c.jsonl", 2, "row_not_json"),
    ]


def test_cost_by_task_and_month(warehouse: Warehouse) -> None:
    """The sums over all published runs, beside the last tier alone; without a price they are unknown, and never 0."""
    mails, tickets = warehouse.saved("cost by task and month")
    assert (mails["runs"], mails["row_count"], tickets["runs"], tickets["row_count"]) == (2, 16, 5, 19)
    assert str(tickets["month"]).startswith("2026-11-01")
    assert 0 < tickets["cost_usd"] < tickets["baseline_usd"]
    assert tickets["runs_of_unknown_cost"] == 0
    assert (mails["cost_usd"], mails["runs_of_unknown_cost"]) == (None, 2)


def test_escalation_by_day(warehouse: Warehouse) -> None:
    """Judging stored answers again escalates nothing and is left out."""
    found = [tuple(row.values()) for row in warehouse.saved("escalation by day")]
    day = dt.date(2026, 11, 20)
    assert found == [("mails", day, 1, 8, 25.0, 12.5), ("support-tickets", day, 5, 16, 0.0, 0.0)]
