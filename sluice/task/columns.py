"""The columns of the results: those of every table, and those that a task adds."""

from __future__ import annotations

import re
from collections import Counter
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


# Numbers that stand for a moment: seconds or milliseconds since 1970, days as spreadsheets count them.
NAMED_FORMATS = ("unix_seconds", "unix_milliseconds", "excel_days")
# What a format may hold, as Python's strptime knows it, and what makes a date of it.
DIRECTIVES = "YymdbBjHIpMSfzaA%"
DATES = (("Y", "y"), ("m", "b", "B", "j"), ("d", "j"))


def format_problem(form: str, kind: KeepType) -> str | None:
    """Why a format cannot be used, None when it can."""
    advice = f"should be a date as it is written, like %m/%d/%Y or %d.%m.%Y %H:%M, or {', '.join(NAMED_FORMATS)}"
    if kind not in (KeepType.DATE, KeepType.TIMESTAMP):
        return f"belongs to a date or a timestamp, not to {kind.value}"
    if form in NAMED_FORMATS:
        return None
    used = re.findall(r"%(.?)", form, re.DOTALL)
    strange = [f"%{name}" for name in used if not name or name not in DIRECTIVES]
    if strange:
        known = " ".join(f"%{name}" for name in DIRECTIVES)
        return f"{strange[0]} is no part of a date; there are: {known} (%d and %m take 1 and 01 alike)"
    twice = [name for name, count in Counter(used).items() if count > 1 and name != "%"]
    if twice:
        return f"names %{twice[0]} twice"
    if not all(any(name in used for name in names) for names in DATES):
        return advice
    return None


@dataclass(frozen=True, slots=True)
class Kept:
    """A field of the row that is copied to a typed column."""

    column: str
    path: str
    type: KeepType
    format: str | None = None


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
