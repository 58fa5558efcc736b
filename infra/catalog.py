"""The results as SQL: a Glue table per task, views of what is current, and a workgroup for Athena.

A task called `tickets` has the table `tickets` (every published run) and the view `tickets_current` (of each source the
latest run). The view `results` holds the shared columns of all tasks' current rows; the table `runs` has a row for each
published run. Athena finds Parquet columns by their names, so that files of an earlier version of a task, with columns
fewer or more, stay readable; what it cannot read is a column whose type has changed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from aws_cdk import Aws
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from constructs import Construct

from infra.queries import QUERIES
from sluice.results.run_table import RUNS
from sluice.task.columns import BASE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.storage import Storage

PARTITION = "run_date"
# Before the first release nothing can have been published.
FIRST_DATE = "2026-01-01"
ATHENA_RESULTS = "athena"

PARQUET = {
    "input": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "output": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "serde": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
}
# What Arrow's plain types are called in Glue (Hive) and in Athena's views (Presto).
PLAIN_TYPES = {
    pa.string(): ("string", "varchar"),
    pa.bool_(): ("boolean", "boolean"),
    pa.int8(): ("tinyint", "tinyint"),
    pa.int16(): ("smallint", "smallint"),
    pa.int32(): ("int", "integer"),
    pa.int64(): ("bigint", "bigint"),
    pa.float64(): ("double", "double"),
    pa.date32(): ("date", "date"),
    pa.timestamp("us", tz="UTC"): ("timestamp", "timestamp"),
}


@dataclass(frozen=True)
class Column:
    """A column by its name in SQL, with its type in both dialects."""

    name: str
    hive: str
    presto: str

    @classmethod
    def of(cls, field: pa.Field) -> Column:
        """Take over a column of an Arrow schema; SQL knows no capitals."""
        return cls(field.name.lower(), *sql_types(field.type))


RUN_DATE = Column(PARTITION, "date", "date")


def sql_types(kind: pa.DataType) -> tuple[str, str]:
    """Return what Glue and Athena's views call an Arrow type.

    Raises:
        ValueError: nothing here; better now than in somebody's query.
    """
    if pa.types.is_list(kind):
        hive, presto = sql_types(kind.value_type)
        return f"array<{hive}>", f"array({presto})"
    if pa.types.is_struct(kind):
        members = [Column.of(member) for member in kind.fields]
        hive = ",".join(f"{member.name}:{member.hive}" for member in members)
        presto = ",".join(f'"{member.name}" {member.presto}' for member in members)
        return f"struct<{hive}>", f"row({presto})"
    if kind not in PLAIN_TYPES:
        raise ValueError(f"the catalog has no type for Arrow's {kind}")
    return PLAIN_TYPES[kind]


class Catalog(Construct):
    """The database, its tables and views, and the workgroup with its limit.

    Views are stored as text that names their `database`, so it cannot be left to CloudFormation to name.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        database: str,
        storage: Storage,
        schemas: Mapping[str, pa.Schema],
        scan_limit_gb: int,
    ) -> None:
        super().__init__(scope, id_)
        self.name = database
        self._storage = storage
        self.database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=database),
        )
        self.workgroup = self._workgroup(scan_limit_gb)
        self._files("runs", "runs/", [Column.of(field) for field in RUNS])
        views = {task: self._task(task, schema) for task, schema in schemas.items()}
        if views:
            self._results(views)
            self._save_queries()

    def _task(self, task: str, schema: pa.Schema) -> list[Column]:
        """Make the table and the view of `task`; return the view's columns."""
        name = sql_name(task)
        columns = [Column.of(field) for field in schema]
        self._files(name, f"results/{task}/", columns)
        visible = [*columns, RUN_DATE]
        self._view(_current(task), latest_runs(self._place(name), self._place("runs"), visible), visible)
        return visible

    def _files(self, name: str, folder: str, columns: list[Column]) -> None:
        """Make a table over the Parquet files under a folder of the results bucket, one folder in it for each date."""
        location = f"s3://{self._storage.results.bucket_name}/{folder}"
        self._table(
            name,
            table_type="EXTERNAL_TABLE",
            parameters={
                "EXTERNAL": "TRUE",
                "classification": "parquet",
                "projection.enabled": "true",
                f"projection.{PARTITION}.type": "date",
                f"projection.{PARTITION}.format": "yyyy-MM-dd",
                f"projection.{PARTITION}.range": f"{FIRST_DATE},NOW+1DAYS",
                "storage.location.template": f"{location}{PARTITION}=${{{PARTITION}}}",
            },
            partition_keys=[_glue_column(RUN_DATE)],
            storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                columns=[_glue_column(column) for column in columns],
                location=location,
                input_format=PARQUET["input"],
                output_format=PARQUET["output"],
                serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=PARQUET["serde"]),
            ),
        )

    def _results(self, views: Mapping[str, list[Column]]) -> None:
        """Make the view over all tasks, of the columns that every task has."""
        first = {column.name: column for column in next(iter(views.values()))}
        columns = [first[name] for name in (*BASE_COLUMNS, PARTITION)]
        selects = [f"SELECT {_names(columns)} FROM {self._place(_current(task))}" for task in views]  # noqa: S608
        self._view("results", "\nUNION ALL\n".join(selects), columns)

    def _view(self, name: str, sql: str, columns: list[Column]) -> None:
        """Make a view as Athena itself stores one: a table without files whose text is the encoded statement."""
        definition = {
            "originalSql": sql,
            "catalog": "awsdatacatalog",
            "schema": self.name,
            "columns": [{"name": column.name, "type": column.presto} for column in columns],
        }
        encoded = base64.b64encode(json.dumps(definition).encode()).decode()
        self._table(
            name,
            table_type="VIRTUAL_VIEW",
            parameters={"presto_view": "true", "comment": "Presto View"},
            view_original_text=f"/* Presto View: {encoded} */",
            view_expanded_text="/* Presto View */",
            partition_keys=[],
            # Athena reads no file of a view, but refuses one without a serializer.
            storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                columns=[_glue_column(column) for column in columns],
                serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=PARQUET["serde"]),
            ),
        )

    def _save_queries(self) -> None:
        """Save what people ask first, where Athena's console lists it."""
        for number, query in enumerate(QUERIES):
            athena.CfnNamedQuery(
                self,
                f"Query{number}",
                name=f"{self.name}: {query.name}",
                description=query.description,
                database=self.name,
                work_group=self.workgroup.ref,
                query_string=query.of(self.name),
            )

    def _table(self, name: str, **properties: Any) -> None:
        if self.node.try_find_child(name):
            raise ValueError(f"the table {name!r} is taken; rename the task that needs it")
        table = glue.CfnTable(
            self,
            name,
            catalog_id=Aws.ACCOUNT_ID,
            database_name=self.name,
            table_input=glue.CfnTable.TableInputProperty(name=name, **properties),
        )
        table.add_resource_dependency(self.database)

    def _place(self, table: str) -> str:
        return f'"{self.name}"."{table}"'

    def _workgroup(self, scan_limit_gb: int) -> athena.CfnWorkGroup:
        key = self._storage.key
        encryption = athena.CfnWorkGroup.EncryptionConfigurationProperty(
            encryption_option="SSE_KMS" if key else "SSE_S3", kms_key=key.key_arn if key else None
        )
        return athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=self.name,
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=scan_limit_gb * 1024**3,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    encryption_configuration=encryption,
                    output_location=f"s3://{self._storage.work.bucket_name}/{ATHENA_RESULTS}/",
                ),
            ),
        )


def sql_name(task: str) -> str:
    """Return the name of a task in SQL, where a hyphen would need quotes."""
    return task.replace("-", "_")


def _current(task: str) -> str:
    return f"{sql_name(task)}_current"


def latest_runs(table: str, runs: str, columns: list[Column]) -> str:
    """Return the statement for the rows of each source's latest run; the tables as SQL calls them.

    A source that was classified again replaces its earlier rows; a source that no later run read keeps them. The
    latest run is the one that was published last, not the one whose id sounds so: a run that judges stored answers
    again bears the time of the run that bought them. Rows of a run that is still being published are not shown, since
    its row in the table of runs comes last.
    """
    return f"""\
SELECT {_names(columns)}
FROM (
  SELECT "classified".*, rank() OVER (
    PARTITION BY "classified"."source" ORDER BY "published"."finished" DESC, "published"."run_id" DESC
  ) AS "age"
  FROM {table} AS "classified" JOIN {runs} AS "published"
    ON "classified"."run_id" = "published"."run_id" AND "classified"."{PARTITION}" = "published"."{PARTITION}"
)
WHERE "age" = 1"""  # noqa: S608


def _names(columns: list[Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _glue_column(column: Column) -> glue.CfnTable.ColumnProperty:
    return glue.CfnTable.ColumnProperty(name=column.name, type=column.hive)
