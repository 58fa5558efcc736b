"""The columns of the results: those of every table, and those that a task adds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The columns that every results table has, in this order. Kept columns and answer fields may not be called like them,
# nor like `input` (the whole row) or `run_date` (the partition key).
BASE_COLUMNS = (
    "source",
    "line",
    "id",
    "record",
    "status",
    "reason",
    "label",
    "labels",
    "confidence",
    "score",
    "tier",
    "model",
    "attempts",
    "trail",
    "shared",
    "truncated",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "run_id",
    "task",
    "task_version",
)
RESERVED_COLUMNS = (*BASE_COLUMNS, "input", "run_date")


class KeepType(StrEnum):
    """The type of a kept column."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Kept:
    """A field of the row that is copied to a typed column."""

    column: str
    path: str
    type: KeepType


def column_problems(kept: Iterable[Kept], fields: Iterable[str]) -> list[str]:
    """Names of columns that collide; Athena does not tell capitals from small letters."""
    wanted = [(f"answer.fields.{name}", name) for name in fields]
    wanted += [(f"input.keep.{each.path}", each.column) for each in kept]
    taken = dict.fromkeys(RESERVED_COLUMNS, "a column that every table has")
    found = []
    for place, column in wanted:
        holder = taken.setdefault(column.casefold(), place)
        if holder != place:
            found.append(f"{place}: the column {column!r} is taken by {holder}; choose another name")
    return found
