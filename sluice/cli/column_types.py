"""Which type of column the values of a field look like, for `sluice init` to write down."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from sluice.task.columns import RESERVED_COLUMNS, KeepType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sluice.cli.guesses import Column

WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})")  # a number with zeros in front is a code
BROKEN = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
TRUTHS = frozenset({"true", "false", "True", "False"})
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# Dates as people write them; where day and month could change places, both are tried.
DATES = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y")
TIMES = ("", " %H:%M", " %H:%M:%S")
FORMATS = [(day + time, KeepType.TIMESTAMP if time else KeepType.DATE) for time in TIMES for day in DATES]


def type_of(column: Column) -> tuple[KeepType, str | None]:
    """The type that all values of a field have, and the format of its dates where they are not written as in ISO 8601.

    Dates that can be read in two ways stay texts: nobody should guess which month it was.
    """
    values = [value for value in column.values if value.strip()]
    if not values:
        return KeepType.STRING, None
    if all(value in TRUTHS for value in values):
        return KeepType.BOOL, None
    for kind, written in ((KeepType.INT, WHOLE), (KeepType.DOUBLE, BROKEN), (KeepType.DATE, ISO_DATE)):
        if all(written.fullmatch(value) for value in values) and (kind != KeepType.DATE or all(map(_is_iso, values))):
            return kind, None
    if all(map(_is_iso, values)):
        return KeepType.TIMESTAMP, None
    fits = [(form, kind) for form, kind in FORMATS if all(_is_like(value, form) for value in values)]
    return (fits[0][1], fits[0][0]) if len(fits) == 1 else (KeepType.STRING, None)


def keep_lines(columns: dict[str, Column], quoted: Callable[[str], str]) -> Iterable[str]:
    """Offer columns of the results, as comments: whoever wants one takes its `#` away."""
    offered = {path: column for path, column in columns.items() if path.casefold() not in RESERVED_COLUMNS}
    if not offered:
        return
    yield "  # keep:  # columns of the results, with the types that the values look like"
    for path, column in offered.items():
        kind, form = type_of(column)
        typed = kind.value if form is None else f"{{type: {kind.value}, format: {quoted(form)}}}"
        yield f"  #   {quoted(path)}: {typed}"


def _is_iso(value: str) -> bool:
    try:
        dt.datetime.fromisoformat(value.strip())
    except ValueError:
        return False
    return len(value.strip()) >= len("2026-01-01")


def _is_like(value: str, form: str) -> bool:
    try:
        dt.datetime.strptime(value.strip(), form)  # noqa: DTZ007 - only whether it is one
    except ValueError:
        return False
    return True
