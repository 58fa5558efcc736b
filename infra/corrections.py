"""What people say of rows, in SQL: the log as a table, what stands of each row as a view, and both beside the results.

The statements say what `sluice/results/corrections.py` and `layer.py` do in Python, in words that Athena and DuckDB
share, where tests hold the one to the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.results.layer import CONFIRMED, CONFLICT, CORRECTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOG, STANDING = "corrections", "corrected"
# The lines of the log: a column's name, and its types in Glue and in Athena's views.
LINES = (
    ("source", "string", "varchar"),
    ("line", "bigint", "bigint"),
    ("record", "string", "varchar"),
    ("id", "string", "varchar"),
    ("by", "string", "varchar"),
    ("at", "string", "varchar"),
    ("run", "string", "varchar"),
    ("version", "string", "varchar"),
    ("labels", "array<string>", "array(varchar)"),
    ("given", "array<string>", "array(varchar)"),
    ("fields", "string", "varchar"),
    ("note", "string", "varchar"),
    ("drawn", "boolean", "boolean"),
    ("seen", "array<bigint>", "array(bigint)"),
    ("withdraws", "array<bigint>", "array(bigint)"),
)
STOOD = (
    ("task", "string", "varchar"),
    ("source", "string", "varchar"),
    ("line", "bigint", "bigint"),
    ("record", "string", "varchar"),
    ("labels", "array<string>", "array(varchar)"),
    ("fields", "string", "varchar"),
    ("by", "string", "varchar"),
    ("at", "timestamp", "timestamp"),
    ("note", "string", "varchar"),
    ("conflict", "boolean", "boolean"),
)
LAYER = (
    ("correction", "string", "varchar"),
    ("corrected_label", "string", "varchar"),
    ("corrected_labels", "array<string>", "array(varchar)"),
    ("corrected_fields", "string", "varchar"),
    ("corrected_by", "string", "varchar"),
    ("corrected_at", "timestamp", "timestamp"),
    ("corrected_note", "string", "varchar"),
)
SAME_ROW = " AND ".join(f'"one"."{name}" = "other"."{name}"' for name in ("task", "source", "line", "record"))


def standing(log: str) -> str:
    """Return the statement for what stands of each row, and of each text (`source` is null) about which people agree.

    Of a row stands what nobody withdrew, and what is followed by nothing of the same person, or of one who had seen it.
    A log's object holds a row once, so that its number orders what was said of the row.
    """
    answer = """concat(coalesce(array_join(array_sort("labels"), chr(31)), chr(30)), chr(30), coalesce("fields", ''))"""
    words = """coalesce(nullif(array_join("labels", ', '), ''), 'none of the labels')"""
    order = 'ORDER BY "number"'
    return f"""\
WITH "log" AS (
  SELECT *, CAST(regexp_extract("$path", '([0-9]+)[.]jsonl$', 1) AS bigint) AS "number" FROM {log}
), "said" AS (
  SELECT "one".* FROM "log" AS "one" LEFT JOIN "log" AS "other"
    ON {SAME_ROW} AND "other"."withdraws"[1] = "one"."number"
  WHERE "one"."withdraws" IS NULL AND "other"."task" IS NULL
), "heads" AS (
  SELECT "one".* FROM "said" AS "one" LEFT JOIN "said" AS "other"
    ON {SAME_ROW} AND "other"."number" > "one"."number"
    AND ("other"."by" = "one"."by" OR "other"."seen"[1] >= "one"."number")
  WHERE "other"."task" IS NULL
), "answers" AS (
  SELECT *, {answer} AS "answer", concat("by", ': ', {words}) AS "told" FROM "heads"
), "rows" AS (
  SELECT "task", "source", "line", "record", max_by("labels", "number") AS "labels",
    max_by("fields", "number") AS "fields", array_join(array_agg("by" {order}), ', ') AS "by", max("at") AS "at",
    nullif(array_join(array_agg("note" {order}), '; '), '') AS "note",
    array_join(array_agg("told" {order}), '; ') AS "told", count(DISTINCT "answer") > 1 AS "conflict"
  FROM "answers" GROUP BY "task", "source", "line", "record"
), "texts" AS (
  SELECT "task", CAST(NULL AS varchar) AS "source", CAST(NULL AS bigint) AS "line", "record",
    max_by("labels", "number") AS "labels", max_by("fields", "number") AS "fields",
    array_join(array_distinct(array_agg("by" {order})), ', ') AS "by", max("at") AS "at",
    nullif(array_join(array_agg("note" {order}), '; '), '') AS "note", CAST(NULL AS varchar) AS "told",
    false AS "conflict"
  FROM "answers" GROUP BY "task", "record" HAVING count(DISTINCT "answer") = 1
)
SELECT "task", "source", "line", "record", CASE WHEN "conflict" THEN NULL ELSE "labels" END AS "labels",
  CASE WHEN "conflict" THEN NULL ELSE "fields" END AS "fields", "by",
  CAST(from_iso8601_timestamp("at") AS timestamp) AS "at",
  CASE WHEN "conflict" THEN "told" ELSE "note" END AS "note", "conflict"
FROM (SELECT * FROM "rows" UNION ALL SELECT * FROM "texts")"""  # noqa: S608


def beside(rows: str, columns: Sequence[str], standing_view: str, task: str, fields: Mapping[str, str]) -> str:
    """Return the statement for some rows with what stands of each: of itself, else of its text.

    `fields` are the task's extracted fields with their types in Athena, which say whether a correction is one.
    """
    names = ", ".join(f'"now"."{name}"' for name in columns)
    picked = ", ".join(
        f'CASE WHEN "own"."by" IS NOT NULL THEN "own"."{name}" ELSE "text"."{name}" END AS "said_{name}"'
        for name in ("labels", "fields", "by", "at", "note", "conflict")
    )
    plain = ", ".join(f'"{name}"' for name in columns)
    same = " AND ".join(
        ['("said_labels" IS NULL OR array_sort("said_labels") IS NOT DISTINCT FROM array_sort("labels"))']
        + [_same_field(*each) for each in fields.items()]
    )
    of_task = f"(SELECT * FROM {standing_view} WHERE \"task\" = '{task}')"  # noqa: S608 - a name, checked
    return f"""\
SELECT {plain},
  CASE WHEN "said_by" IS NULL THEN NULL WHEN "said_conflict" THEN '{CONFLICT}'
    WHEN {same} THEN '{CONFIRMED}' ELSE '{CORRECTED}' END AS "correction",
  CASE WHEN cardinality("said_labels") = 1 THEN "said_labels"[1] END AS "corrected_label",
  "said_labels" AS "corrected_labels", "said_fields" AS "corrected_fields", "said_by" AS "corrected_by",
  "said_at" AS "corrected_at", "said_note" AS "corrected_note"
FROM (
  SELECT {names}, {picked}
  FROM ({rows}) AS "now"
  LEFT JOIN {of_task} AS "own"
    ON "own"."source" = "now"."source" AND "own"."line" = "now"."line" AND "own"."record" = "now"."record"
  LEFT JOIN {of_task} AS "text" ON "text"."source" IS NULL AND "text"."record" = "now"."record"
)"""  # noqa: S608


def _same_field(name: str, kind: str) -> str:
    """Tell that a field is what was given, or that nothing was said of it: lists by their JSON, all else by value."""
    path, column = f"'$.{name}'", name.lower()
    said = f'json_extract("said_fields", {path})'
    if kind.startswith("array"):
        return f"""({said} IS NULL OR json_format({said}) = coalesce(json_format(CAST("{column}" AS json)), 'null'))"""
    value = f'TRY_CAST(json_extract_scalar("said_fields", {path}) AS {kind})'
    return f'({said} IS NULL OR {value} IS NOT DISTINCT FROM "{column}")'
