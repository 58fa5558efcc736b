from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from infra.permissions import plain
from infra.queries import QUERIES
from sluice.errors import BadSetting
from sluice.results.table import schema
from sluice.task.file import load_task

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


def test_every_task_has_its_table_its_view_and_a_share_in_results(deployed: Deployed) -> None:
    """A hyphen would need quotes in SQL, so names have none."""
    kinds = {name: table["TableType"] for name, table in _tables(deployed).items()}
    assert kinds == {
        "support_tickets": "EXTERNAL_TABLE",
        "support_tickets_current": "VIRTUAL_VIEW",
        "mails": "EXTERNAL_TABLE",
        "mails_current": "VIRTUAL_VIEW",
        "runs": "EXTERNAL_TABLE",
        "corrections": "EXTERNAL_TABLE",
        "corrected": "VIRTUAL_VIEW",
        "results": "VIRTUAL_VIEW",
    }


@pytest.mark.parametrize("name", ["runs", "results", "mails_current"])
def test_a_task_may_not_be_called_like_another_table(name: str, tmp_path: Path) -> None:
    """Better told before the deployment than by Glue in the middle of it."""
    from infra.app import synthesize

    for task in ("mails", name):
        text = f"name: {task}\ninput: {{text: body}}\nlabels: [a, b]\n"
        (tmp_path / f"{task}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadSetting, match=f"the table '{name}' is taken"):
        synthesize(tasks=str(tmp_path))


def test_a_table_has_all_columns_of_the_tasks_schema(deployed: Deployed, tasks: Path) -> None:
    """Without a crawler, what the template leaves out nobody can select."""
    for name in ("support-tickets", "mails"):
        wanted = [field.name.lower() for field in schema(load_task(name, tasks))]
        assert list(_columns(_tables(deployed)[name.replace("-", "_")])) == wanted


def test_arrow_types_become_glues(deployed: Deployed) -> None:
    """Each kind of column that a task can have is readable."""
    columns = _columns(_tables(deployed)["support_tickets"])
    assert {name: columns[name] for name in HIVE} == HIVE
    assert columns["trail"].startswith("array<struct<round:smallint,")


def test_an_unknown_type_is_refused_before_the_deployment() -> None:
    """Better than a column that no query can read."""
    from infra.catalog import sql_types

    with pytest.raises(ValueError, match="duration"):
        sql_types(pa.duration("s"))


@pytest.mark.parametrize(("name", "folder"), [("support_tickets", "results/support-tickets/"), ("runs", "runs/")])
def test_only_the_date_is_a_partition_and_it_is_projected(deployed: Deployed, name: str, folder: str) -> None:
    """No crawler and no repair: Athena computes the folders from the date."""
    table = _tables(deployed)[name]
    results, _ = deployed.the("AWS::S3::Bucket", "StorageResults")
    parameters = table["Parameters"]
    assert table["PartitionKeys"] == [{"Name": "run_date", "Type": "date"}]
    assert parameters["projection.enabled"] == "true"
    assert [name for name in parameters if name.endswith(".type")] == ["projection.run_date.type"]
    assert parameters["projection.run_date.type"] == "date"
    location = f"s3://<{results}>/{folder}"
    assert plain(table["StorageDescriptor"]["Location"]) == location
    assert plain(parameters["storage.location.template"]) == f"{location}run_date=${{run_date}}"


def test_the_queries_are_saved_where_the_tables_are(deployed: Deployed, staging: Deployed) -> None:
    """Each environment's console lists its own, which ask its own database in its own workgroup."""
    for stack, database in ((deployed, "sluice"), (staging, "sluice_staging_1")):
        workgroup, _ = stack.the("AWS::Athena::WorkGroup")
        queries = stack.of_type("AWS::Athena::NamedQuery").values()
        assert len(queries) == len(QUERIES)
        for query in queries:
            assert query["WorkGroup"] == {"Ref": workgroup}
            assert query["Database"] == database
            assert query["Name"].startswith(f"{database}: ")
            assert f'"{database}".' in query["QueryString"]
            assert query["Description"]


def test_no_column_is_called_like_the_partition(deployed: Deployed) -> None:
    """pyarrow and pandas fail on a folder whose files hold the column that its path names."""
    for table in _tables(deployed).values():
        if table["TableType"] == "EXTERNAL_TABLE":
            assert "run_date" not in _columns(table)


@pytest.mark.parametrize("name", ["support_tickets_current", "mails_current", "results"])
def test_a_view_is_stored_as_athena_stores_it(deployed: Deployed, name: str) -> None:
    """Both lists of its columns agree, and it has the serializer without which Athena refuses it."""
    table = _tables(deployed)[name]
    view = _view(table)
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert table["Parameters"]["presto_view"] == "true"
    assert table["StorageDescriptor"]["SerdeInfo"]
    assert (view["catalog"], view["schema"]) == ("awsdatacatalog", "sluice")
    assert [column["name"] for column in view["columns"]] == list(_columns(table))


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
