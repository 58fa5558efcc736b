"""Kept columns: what a value of a row becomes in a typed column, and which values do not parse.

A value is read by what is written there, not by its JSON type, so that a row gives the same columns whether it came
from CSV, where all is text, from JSON or from Parquet. What could mean two things is null and counted.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.answers.judge import INT64
from sluice.decoding import decode
from sluice.rows.record import printable
from sluice.task.columns import NAMED_FORMATS, KeepType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.task.columns import Kept

    Value = bytes | msgspec.Raw | None  # a JSON value as it stands in the row

ARROW_TYPES = {
    KeepType.STRING: pa.string(),
    KeepType.INT: pa.int64(),
    KeepType.DOUBLE: pa.float64(),
    KeepType.BOOL: pa.bool_(),
    KeepType.DATE: pa.date32(),
    KeepType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
BLANK = " \t\r\n"
QUOTE, BACKSLASH = b'"', b"\\"

# Of what is written as a number anywhere; the digits are ASCII's, and so are all that the patterns below know.
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
# As exports write it: with or without a time, T or a blank between, Z, UTC or an offset behind, with or without blank.
ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d(?::\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?) ?(?:([Zz]|UTC|GMT)|([+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
# What programs write for a boolean; PostgreSQL reads the same words.
BOOLS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0", "0.0"), False),
}
EXCEL_ZERO = dt.datetime(1899, 12, 30, tzinfo=dt.UTC)
EXCEL_DAYS = range(61, 2_958_466)  # 1900-03-01, behind the 29 February that Excel takes 1900 to have, to 9999-12-31
UNIX_ZERO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Unparsed(NamedTuple):
    """A value that is null because it did not parse: the number of its row, and what it is instead."""

    row: int
    kind: str


def kept_column(kept: Kept, values: Sequence[Value]) -> tuple[pa.Array, list[Unparsed]]:
    """A kept column, and the values that are null because they did not parse."""
    column = None if kept.format else _at_once(kept.type, values)
    return (column, []) if column is not None else _one_by_one(kept, values)


def _at_once(kind: KeepType, values: Sequence[Value]) -> pa.Array | None:
    """The column when every value is of the plainest JSON type and form for it, as nearly always; else None."""
    plain = decoded_at_once(values, _PLAIN[kind])
    if plain is None:
        return None
    try:
        column = pa.array(plain, _ARROW[_PLAIN[kind]])
    except OverflowError:
        return None
    found = _moments_at_once(column) if kind is KeepType.TIMESTAMP else _cast(column, ARROW_TYPES[kind])
    return found if found is None or kind not in (KeepType.DATE, KeepType.TIMESTAMP) or _has_years(found) else None


def _moments_at_once(text: pa.Array) -> pa.Array | None:
    """Moments that all have an offset, that have none, or that end in UTC, as one export writes them."""
    zoned = ARROW_TYPES[KeepType.TIMESTAMP]
    found = _cast(text, zoned)
    if found is None and (naive := _cast(text, pa.timestamp("us"))) is not None:
        found = naive.cast(zoned)
    if found is None:
        found = _cast(pc.replace_substring_regex(text, " UTC$", "Z"), zoned)
    return found


def _has_years(column: pa.Array) -> bool:
    """Whether all lie in the years that readers know: Arrow counts on beyond 9999 and back before 1."""
    years = pc.min_max(pc.year(column)).as_py()
    return years["min"] is None or (years["min"] >= dt.MINYEAR and years["max"] <= dt.MAXYEAR)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _one_by_one(kept: Kept, values: Sequence[Value]) -> tuple[pa.Array, list[Unparsed]]:
    read = reader_of(kept)
    known: dict[bytes, Any] = {}  # days and flags repeat
    parsed: list[Any] = []
    wrong: list[Unparsed] = []
    for row, value in enumerate(values):
        data = b"null" if value is None else bytes(value)
        if data not in known:
            known[data] = _read(read, data)
        found = known[data]
        if found is _UNPARSED:
            wrong.append(Unparsed(row, kind_of(data)))
            found = None
        parsed.append(found)
    return pa.array(parsed, ARROW_TYPES[kept.type]), wrong


_UNPARSED = object()


def _read(read: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return read(data)
    except (ValueError, ArithmeticError, TypeError, RecursionError):
        return _UNPARSED


def decoded_at_once(values: Sequence[Value], kind: Any) -> list[Any] | None:
    """JSON values decoded as one list of `kind` and null, None when one of them is something else."""
    data = b"[" + b",".join([b"null" if value is None else value for value in values]) + b"]"
    try:
        return decode(data, list[kind | None])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def kind_of(data: bytes) -> str:
    """What a JSON value is, in the words of a message that must not hold it."""
    match data[:1]:
        case b'"':
            return "number" if _is_number(data) else "text"
        case b"t" | b"f":
            return "boolean"
        case b"{":
            return "object"
        case b"[":
            return "list"
        case _:
            return "number"


def _is_number(data: bytes) -> bool:
    """Whether a JSON string holds a number; one that is no UTF-8 does not."""
    try:
        return NUMBER.fullmatch(_text(data).strip(BLANK)) is not None
    except ValueError:
        return False


def reader_of(kept: Kept) -> Callable[[bytes], Any]:
    """The reader of a column's values, each given as JSON; it raises ValueError or the like for what does not parse."""
    if kept.type is KeepType.STRING:
        return _string
    parse = _PARSERS[kept.type] if kept.format is None else _dated(kept.type, kept.format)

    def read(data: bytes) -> Any:
        written = _written(data)
        return parse(written) if written else None  # an empty cell is no value

    return read


def _written(data: bytes) -> str | None:
    """What is written at a place, as a CSV file would hold it; None for null."""
    if data == b"null":
        return None
    if data[:1] == QUOTE:
        return _text(data).strip(BLANK)
    text = data.decode()
    if text not in ("true", "false") and NUMBER.fullmatch(text) is None:
        raise ValueError
    return text


def _text(data: bytes) -> str:
    """A JSON string decoded as rows are: lone surrogates pass."""
    return str(json.loads(data)) if BACKSLASH in data else data[1:-1].decode()


def _string(data: bytes) -> str | None:
    """Text as it is, a number as it is written, anything else as its JSON."""
    if data == b"null":
        return None
    if data[:1] == QUOTE:
        return printable(_text(data))
    text = data.decode()
    if NUMBER.fullmatch(text):
        return text
    return printable(json.dumps(json.loads(text, parse_constant=_no_number), ensure_ascii=False))


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _number(text: str) -> str:
    """A number without marks between its thousands."""
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if NUMBER.fullmatch(text) is None:
        raise ValueError
    return text


def _int(text: str) -> int:
    number = Decimal(_number(text))
    if number and number.adjusted() >= len(str(INT64.stop)):  # before it is written out: 1e9999 has many digits
        raise OverflowError
    whole = int(number)
    if whole != number:
        raise ValueError
    if whole not in INT64:
        raise OverflowError
    return whole


def _double(text: str) -> float:
    if text.count(",") == 1 and "." not in text:
        raise ValueError  # 1,200 is a thousand and more to some, and 1.2 to others
    number = float(_number(text))
    if not math.isfinite(number):
        raise OverflowError
    return number


def _bool(text: str) -> bool:
    return BOOLS[text.lower()] if text.lower() in BOOLS else _refused()


def _refused() -> Any:
    raise ValueError


def _date(text: str) -> dt.date:
    """ISO 8601; of a moment, the date that is written there."""
    return _moment(text).date()


def _timestamp(text: str) -> dt.datetime:
    """ISO 8601; without an offset it counts as UTC. A number alone is no date: it could be seconds, or Excel's days."""
    return _in_utc(_moment(text))


def _moment(text: str) -> dt.datetime:
    match = ISO.fullmatch(text)
    if match is None:
        raise ValueError
    date, time, zone, offset = match.groups()
    return dt.datetime.fromisoformat(f"{date}T{time or '00'}{'+00:00' if zone else offset or ''}")


def _in_utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _dated(kind: KeepType, form: str) -> Callable[[str], Any]:
    """Dates in the form that the task names, and in ISO 8601 too, as Parquet's own dates come."""
    parse = _FORMATS.get(form) or _formatted(form)
    ambiguous = form.startswith("%Y-%d")

    def read(text: str) -> Any:
        try:
            moment = parse(text)
        except (ValueError, ArithmeticError):
            if ambiguous:
                raise
            moment = _moment(text)
        return moment.date() if kind is KeepType.DATE else _in_utc(moment)

    return read


def _formatted(form: str) -> Callable[[str], dt.datetime]:
    def parse(text: str) -> dt.datetime:
        if not text.isascii() and any(mark.isdecimal() and not mark.isascii() for mark in text):
            raise ValueError  # Python would read the digits of any script
        return dt.datetime.strptime(text, form)  # noqa: DTZ007 - a moment without an offset counts as UTC

    return parse


def _since_1970(unit: int) -> Callable[[str], dt.datetime]:
    return lambda text: UNIX_ZERO + dt.timedelta(microseconds=round(Decimal(_number(text)) * unit))


def _excel(text: str) -> dt.datetime:
    days = Decimal(_number(text))
    if math.floor(days) not in EXCEL_DAYS:
        raise ValueError
    return EXCEL_ZERO + dt.timedelta(milliseconds=round(days * 86_400_000))


# What nearly every value of a kept column is in JSON; anything else is looked at one by one.
_PLAIN: dict[KeepType, Any] = {
    KeepType.STRING: str,
    KeepType.INT: int,
    KeepType.DOUBLE: float,
    KeepType.BOOL: bool,
    KeepType.DATE: str,
    KeepType.TIMESTAMP: str,
}
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_PARSERS: dict[KeepType, Callable[[str], Any]] = {
    KeepType.INT: _int,
    KeepType.DOUBLE: _double,
    KeepType.BOOL: _bool,
    KeepType.DATE: _date,
    KeepType.TIMESTAMP: _timestamp,
}
_FORMATS = dict(zip(NAMED_FORMATS, (_since_1970(1_000_000), _since_1970(1_000), _excel), strict=True))
