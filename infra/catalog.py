"""The results as SQL: a Glue table per task, views of what is current, and a workgroup for Athena.

A task called `tickets` has the table `tickets` (every published run) and the view `tickets_current` (of each source the
latest run, with what people say of a row beside the model's answer). The view `results` holds the shared columns of all
tasks' current rows, the table `runs` a row for each published run, the table `corrections` what people said, and the
view `corrected` what stands of it. Athena finds Parquet columns by their names, so that files of an earlier version of
a task, with columns fewer or more, stay readable; what it cannot read is a column whose type has changed.

The tasks' tables and views lie in the stack itself where its template has room for them, else in nested stacks, each
task in the one that its name says, so that another task more or less moves none of them: CloudFormation cannot move a
table from one stack to another, since it makes the new one, of the same name, before it deletes the old one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from aws_cdk import Aws, NestedStack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from constructs import Construct

from infra import corrections
from infra.options import TablesIn
from infra.queries import QUERIES
from sluice.errors import BadSetting
from sluice.results.run_table import RUNS
from sluice.task.columns import BASE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.storage import Storage

PARTITION = "run_date"
# Before the first release nothing can have been published.
FIRST_DATE = "2026-01-01"
ATHENA_RESULTS = "athena"
# Of the 1,000,000 bytes and 500 resources of a template, what the tables and views of tasks may take up of the stack's
# own; the rest takes up to 250,000 and 130, and schedules and source buckets come on top.
OWN_BYTES, OWN_TABLES = 500_000, 100
# In how many nested stacks they lie otherwise: of 300 tasks with 60 columns, 20 KB each, the fullest gets some 50.
# Never another number: every task's stack would be another.
NESTED_STACKS = 8

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


COLUMN_BYTES = len('{"Name":"","Type":""},')
TABLE_BYTES = 2_600  # of a table and a view beside their columns and the view's text


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


@dataclass(frozen=True)
class TaskTable:
    """A task's table and the view over it: its columns, those of the view, and the view as Athena stores it."""

    task: str
    columns: list[Column]
    visible: list[Column]
    view: str

    @property
    def bytes(self) -> int:
        """About what both take up in a template."""
        listed = sum(len(column.name) + len(column.hive) + COLUMN_BYTES for column in self.columns)
        return 2 * listed + len(self.view) + TABLE_BYTES


def has_room(tables: list[TaskTable]) -> bool:
    """Whether a stack has room for all tables and views of its tasks itself."""
    return len(tables) <= OWN_TABLES and sum(table.bytes for table in tables) <= OWN_BYTES


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
        fields: Mapping[str, Sequence[str]],
        scan_limit_gb: int,
        tables_in: TablesIn = TablesIn.AUTO,
    ) -> None:
        super().__init__(scope, id_)
        self.name = database
        self._storage = storage
        self._taken: set[str] = set()
        self.database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=database),
        )
        self.workgroup = self._workgroup(scan_limit_gb)
        self._files("runs", "runs/", [Column.of(field) for field in RUNS])
        if schemas and tables_in is not TablesIn.NOWHERE:
            self._corrections(list(schemas))
        tables = [] if tables_in is TablesIn.NOWHERE else [self._of_task(*item, fields) for item in schemas.items()]
        nested = tables_in is TablesIn.NESTED or (tables_in is TablesIn.AUTO and not has_room(tables))
        for table in tables:
            self._task(table, self._nested_stack(table.task) if nested else self)
        if tables:
            self._results(tables)
            self._save_queries()

    def _of_task(self, task: str, schema: pa.Schema, fields: Mapping[str, Sequence[str]]) -> TaskTable:
        columns = [Column.of(field) for field in schema]
        dated = [*columns, RUN_DATE]
        rows = latest_runs(self._place(sql_name(task)), self._place("runs"), dated)
        kinds = {name: Column.of(schema.field(name)).presto for name in fields.get(task, ())}
        names = [column.name for column in dated]
        sql = corrections.beside(rows, names, self._place(corrections.STANDING), task, kinds)
        visible = [*dated, *(Column(*each) for each in corrections.LAYER)]
        return TaskTable(task, columns, visible, self._encoded(sql, visible))

    def _corrections(self, tasks: Sequence[str]) -> None:
        """Make the table over the logs of corrections, a folder for each task, and the view of what stands."""
        location = f"s3://{self._storage.results.bucket_name}/corrections/"
        self._table(
            self,
            corrections.LOG,
            table_type="EXTERNAL_TABLE",
            parameters={
                "EXTERNAL": "TRUE",
                "classification": "json",
                "projection.enabled": "true",
                "projection.task.type": "enum",
                "projection.task.values": ",".join(tasks),
                "storage.location.template": f"{location}${{task}}",
            },
            partition_keys=[glue.CfnTable.ColumnProperty(name="task", type="string")],
            storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                columns=[_glue_column(Column(*each)) for each in corrections.LINES],
                location=location,
                input_format="org.apache.hadoop.mapred.TextInputFormat",
                output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                serde_info=glue.CfnTable.SerdeInfoProperty(
                    serialization_library="org.openx.data.jsonserde.JsonSerDe",
                ),
            ),
        )
        stood = [Column(*each) for each in corrections.STOOD]
        encoded = self._encoded(corrections.standing(self._place(corrections.LOG)), stood)
        self._view(corrections.STANDING, encoded, stood, self)

    def _task(self, table: TaskTable, scope: Construct) -> None:
        """Make the table and the view of a task."""
        self._files(sql_name(table.task), f"results/{table.task}/", table.columns, scope)
        self._view(_current(table.task), table.view, table.visible, scope)

    def _nested_stack(self, task: str) -> Construct:
        """The nested stack that a task's name says."""
        number = int.from_bytes(hashlib.blake2b(task.encode(), digest_size=8).digest()) % NESTED_STACKS
        found = self.node.try_find_child(f"Tables{number}")
        if isinstance(found, NestedStack):
            return found
        said = "Tables and views of Sluice's tasks"
        return NestedStack(self, f"Tables{number}", description=said, suppress_template_indentation=True)

    def _files(self, name: str, folder: str, columns: list[Column], scope: Construct | None = None) -> None:
        """Make a table over the Parquet files under a folder of the results bucket, one folder in it for each date."""
        location = f"s3://{self._storage.results.bucket_name}/{folder}"
        self._table(
            scope or self,
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

    def _results(self, tables: list[TaskTable]) -> None:
        """Make the view over all tasks, of the columns that every task has."""
        first = {column.name: column for column in tables[0].visible}
        columns = [first[name] for name in (*BASE_COLUMNS, PARTITION)]
        views = [self._place(_current(table.task)) for table in tables]
        selects = [f"SELECT {_names(columns)} FROM {view}" for view in views]  # noqa: S608
        self._view("results", self._encoded("\nUNION ALL\n".join(selects), columns), columns, self)

    def _encoded(self, sql: str, columns: list[Column]) -> str:
        """A view's statement as Athena itself stores one."""
        definition = {
            "originalSql": sql,
            "catalog": "awsdatacatalog",
            "schema": self.name,
            "columns": [{"name": column.name, "type": column.presto} for column in columns],
        }
        return base64.b64encode(json.dumps(definition).encode()).decode()

    def _view(self, name: str, encoded: str, columns: list[Column], scope: Construct) -> None:
        """Make a view as Athena itself stores one: a table without files whose text is the encoded statement."""
        self._table(
            scope,
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

    def _table(self, scope: Construct, name: str, **properties: Any) -> None:
        if name in self._taken:
            raise BadSetting(f"tasks: the table {name!r} is taken; rename the task that needs it")
        self._taken.add(name)
        table = glue.CfnTable(
            scope,
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
