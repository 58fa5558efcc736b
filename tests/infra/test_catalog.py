from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from infra.permissions import plain
from sluice.table import schema
from sluice.task import BASE_COLUMNS, load_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Deployed

HIVE = {"product": "string", "codes": "array<bigint>", "created": "timestamp", "amount": "double", "day": "date"}
HIVE |= {"n": "bigint", "urgent": "boolean", "input": "string", "labels": "array<string>", "tier": "tinyint"}


def _tables(deployed: Deployed) -> dict[str, dict[str, Any]]:
    tables = [table["TableInput"] for table in deployed.of_type("AWS::Glue::Table").values()]
    return {table["Name"]: table for table in tables}


def _columns(table: dict[str, Any]) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}


def _view(table: dict[str, Any]) -> dict[str, Any]:
    text = table["ViewOriginalText"]
    assert text.startswith("/* Presto View: ")
    assert text.endswith(" */")
    decoded: dict[str, Any] = json.loads(base64.b64decode(text.removeprefix("/* Presto View: ").removesuffix(" */")))
    return decoded


def test_every_task_has_its_runs_its_view_and_a_share_in_results(deployed: Deployed) -> None:
    """A hyphen would need quotes in SQL, so names have none."""
    assert set(_tables(deployed)) == {
        "support_tickets_runs",
        "support_tickets",
        "mails_runs",
        "mails",
        "results",
    }


def test_a_table_has_all_columns_of_the_tasks_schema(deployed: Deployed, tasks: Path) -> None:
    """Without a crawler, what the template leaves out nobody can select."""
    for name in ("support-tickets", "mails"):
        wanted = [field.name.lower() for field in schema(load_task(name, tasks))]
        assert list(_columns(_tables(deployed)[f"{name.replace('-', '_')}_runs"])) == wanted


def test_arrow_types_become_glues(deployed: Deployed) -> None:
    """Each kind of column that a task can have is readable."""
    columns = _columns(_tables(deployed)["support_tickets_runs"])
    assert {name: columns[name] for name in HIVE} == HIVE
    assert columns["trail"].startswith("array<struct<round:smallint,")


def test_an_unknown_type_is_refused_before_the_deployment() -> None:
    """Better than a column that no query can read."""
    from infra.catalog import sql_types

    with pytest.raises(ValueError, match="duration"):
        sql_types(pa.duration("s"))


def test_only_the_date_is_a_partition_and_it_is_projected(deployed: Deployed) -> None:
    """No crawler and no repair: Athena computes the folders from the date."""
    table = _tables(deployed)["support_tickets_runs"]
    results, _ = deployed.the("AWS::S3::Bucket", "StorageResults")
    parameters = table["Parameters"]
    assert table["PartitionKeys"] == [{"Name": "run_date", "Type": "date"}]
    assert parameters["projection.enabled"] == "true"
    assert [name for name in parameters if name.endswith(".type")] == ["projection.run_date.type"]
    assert parameters["projection.run_date.type"] == "date"
    location = f"s3://<{results}>/results/support-tickets/"
    assert plain(table["StorageDescriptor"]["Location"]) == location
    assert plain(parameters["storage.location.template"]) == f"{location}run_date=${{run_date}}"


def test_no_column_is_called_like_the_partition(deployed: Deployed) -> None:
    """pyarrow and pandas fail on a folder whose files hold the column that its path names."""
    for name, table in _tables(deployed).items():
        if name.endswith("_runs"):
            assert "run_date" not in _columns(table)


@pytest.mark.parametrize("name", ["support_tickets", "mails", "results"])
def test_a_view_is_stored_as_athena_stores_it(deployed: Deployed, name: str) -> None:
    """Both lists of its columns agree, and it has the serializer without which Athena refuses it."""
    table = _tables(deployed)[name]
    view = _view(table)
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert table["Parameters"]["presto_view"] == "true"
    assert table["StorageDescriptor"]["SerdeInfo"]
    assert (view["catalog"], view["schema"]) == ("awsdatacatalog", "sluice")
    assert [column["name"] for column in view["columns"]] == list(_columns(table))


def test_views_show_the_latest_run_of_each_source(deployed: Deployed, tasks: Path) -> None:
    """A source classified again shows its new rows alone; one that was not read again keeps its old ones."""
    tables = _tables(deployed)
    rows = [
        ("a.jsonl", "mails-20260301-1", "2026-03-01", "spam"),
        ("a.jsonl", "mails-20260302-2", "2026-03-02", "other"),
        ("a.jsonl", "mails-20260302-2", "2026-03-02", "spam"),
        ("b.jsonl", "mails-20260301-1", "2026-03-01", "other"),
    ]
    with duckdb.connect() as database:
        database.sql("create schema sluice")
        for name in ("support-tickets", "mails"):
            empty = schema(load_task(name, tasks)).empty_table()
            database.register("empty", empty)
            table = f"sluice.{name.replace('-', '_')}_runs"
            database.sql(f"create table {table} as select *, date '2026-01-01' as run_date from empty")
            database.sql(f"create view sluice.{name.replace('-', '_')} as {_sql(tables, name)}")
        database.sql(f"create view sluice.results as {_sql(tables, 'results')}")
        for source, run, date, label in rows:
            values = f"('mails', '{source}', '{run}', date '{date}', '{label}')"
            database.sql(f"insert into sluice.mails_runs (task, source, run_id, run_date, label) values {values}")
        found = database.sql("select source, label from sluice.results where task = 'mails' order by all").fetchall()
        columns = database.sql("select * from sluice.results").columns
    assert found == [("a.jsonl", "other"), ("a.jsonl", "spam"), ("b.jsonl", "other")]
    assert columns == [*BASE_COLUMNS, "run_date"]


def _sql(tables: dict[str, dict[str, Any]], task: str) -> str:
    return str(_view(tables[task.replace("-", "_")])["originalSql"])


@pytest.mark.parametrize("stack", ["deployed", "encrypted"])
def test_the_workgroup_encrypts_its_answers_and_stops_a_runaway_query(
    stack: str, request: pytest.FixtureRequest
) -> None:
    """Queries cannot choose another place, and one that reads too much is stopped."""
    deployed: Deployed = request.getfixturevalue(stack)
    _, workgroup = deployed.the("AWS::Athena::WorkGroup")
    configuration = workgroup["WorkGroupConfiguration"]
    encryption = configuration["ResultConfiguration"]["EncryptionConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 100 * 1024**3
    assert encryption["EncryptionOption"] == ("SSE_KMS" if stack == "encrypted" else "SSE_S3")
