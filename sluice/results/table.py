"""The results table: one explicit Arrow schema for good and bad rows, and the joins that fill it.

Joins are Arrow's own (index_in, take): Python sees a row only where its JSON has to be read for an id or a kept field.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.answers.judge import INT64
from sluice.rows.paths import Picker, look_up, value_in
from sluice.rows.record import UNDECODED, parse_object, printable
from sluice.task.answer import FieldType
from sluice.task.columns import KeepType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.task.answer import AnswerField
    from sluice.task.columns import Kept
    from sluice.task.task import Task

    Value = bytes | msgspec.Raw | None  # a JSON value as it stands in the row

ATTEMPT = pa.struct(
    [
        ("round", pa.int16()),
        ("tier", pa.int8()),
        ("model", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.string()),
    ]
)
BASE = (
    ("source", pa.string()),
    ("line", pa.int64()),
    ("id", pa.string()),
    ("record", pa.string()),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("label", pa.string()),
    ("labels", pa.list_(pa.string())),
    ("confidence", pa.string()),
    ("score", pa.float64()),
    ("tier", pa.int8()),
    ("model", pa.string()),
    ("attempts", pa.int16()),
    ("trail", pa.list_(ATTEMPT)),
    ("shared", pa.bool_()),
    ("truncated", pa.bool_()),
    ("input_tokens", pa.int64()),
    ("output_tokens", pa.int64()),
    ("cost_usd", pa.float64()),
    ("run_id", pa.string()),
    ("task", pa.string()),
    ("task_version", pa.string()),
)

# The judged attempts of a shard, as check writes them.
ATTEMPTS = pa.schema(
    [
        ("key", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("confidence", pa.string()),
        ("fields", pa.binary()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
    ]
)

MILLISECONDS = 1e11  # a timestamp beyond is milliseconds: as seconds it would lie after the year 5138

_FIELDS = {
    FieldType.STRING: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.NUMBER: pa.float64(),
    FieldType.BOOLEAN: pa.bool_(),
}
_KEPT = {
    KeepType.STRING: pa.string(),
    KeepType.INT: pa.int64(),
    KeepType.DOUBLE: pa.float64(),
    KeepType.BOOL: pa.bool_(),
    KeepType.DATE: pa.date32(),
    KeepType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


def schema(task: Task) -> pa.Schema:
    """The columns of a task's results: the shared ones, the answer fields, the kept columns, the whole row."""
    columns = list(BASE)
    columns += [(name, field_type(field)) for name, field in task.answer.fields.items()]
    columns += [(kept.column, _KEPT[kept.type]) for kept in task.input.kept]
    if task.input.keep_input:
        columns.append(("input", pa.string()))
    return pa.schema(columns)


def field_type(field: AnswerField) -> pa.DataType:
    """The column type of an extracted field."""
    inner = _FIELDS[field.type]
    return pa.list_(inner) if field.array else inner


def field_columns(task: Task, answers: Sequence[bytes | None]) -> dict[str, pa.Array]:
    """The extracted fields of records as typed columns."""
    decoded = [{} if answer is None else msgspec.json.decode(answer) for answer in answers]
    return {
        name: pa.array([_stored(field, answer.get(name)) for answer in decoded], field_type(field))
        for name, field in task.answer.fields.items()
    }


def _stored(field: AnswerField, value: Any) -> Any:
    """A value as its column takes it: 3.0 is an integer in JSON Schema and none in Arrow, and the other way round."""
    if value is None or field.type not in _NUMBERS:
        return value
    number = _NUMBERS[field.type]
    return [number(item) for item in value] if field.array else number(value)


_NUMBERS: dict[FieldType, Callable[[Any], Any]] = {FieldType.INTEGER: int, FieldType.NUMBER: float}


class RowColumns:
    """The columns that are read from the raw rows: the user's id, the kept fields, the whole row."""

    def __init__(self, task: Task) -> None:
        self.id = task.input.id
        self.kept = task.input.kept
        self.keep_input = task.input.keep_input
        self.paths = [self.id] if self.id else []
        self.paths += [kept.path for kept in self.kept]
        self._picker = Picker(self.paths, msgspec.Raw)

    def read(self, raws: Sequence[bytes]) -> tuple[dict[str, pa.Array], dict[str, int]]:
        """Columns `id`, the kept ones and `input`; and how many values of each kept column did not parse."""
        values = self._values(raws) if self.paths else []
        columns: dict[str, pa.Array] = {"id": id_column(values.pop(0)) if self.id else pa.nulls(len(raws), pa.string())}
        invalid: dict[str, int] = {}
        for kept, of_column in zip(self.kept, values, strict=True):
            columns[kept.column], wrong = kept_column(kept, of_column)
            if wrong:
                invalid[kept.column] = wrong
        if self.keep_input:
            columns["input"] = text_column(raws)
        return columns, invalid

    def _values(self, raws: Sequence[bytes]) -> list[list[Value]]:
        """For each path the rows' values as JSON; None for a missing one, or when the row is no object."""
        if self._picker.nested:
            found = [self._values_slowly(raw) for raw in raws]
            return [[values[n] for values in found] for n in range(len(self.paths))]
        decode, nothing = self._picker.decode, self._picker.decode(b"{}")
        rows: list[Any] = []
        slow: dict[int, list[Value]] = {}
        for n, raw in enumerate(raws):
            try:
                rows.append(decode(raw))
            except UNDECODED:
                rows.append(nothing)
                slow[n] = self._values_slowly(raw)
        columns = [values_at(rows, places) for places in self._picker.places]
        for n, values in slow.items():
            for column, value in zip(columns, values, strict=True):
                column[n] = value
        return columns

    def _values_slowly(self, raw: bytes) -> list[Value]:
        row = parse_object(raw)
        return [_json(look_up(row, path)) if isinstance(row, dict) else None for path in self.paths]


def values_at(rows: Sequence[Any], places: Sequence[Sequence[str]]) -> list[Value]:
    """The rows' values at the first of some places that a row has, None where it has none."""
    if len(places) == 1:
        return list(map(attrgetter(places[0][0]), rows))
    return [value_in(row, places) for row in rows]


def _json(value: Any) -> bytes | None:
    """A leniently decoded value as JSON again; NaN and the like stay what they are, which is none."""
    if value is None:
        return None
    try:
        return printable(json.dumps(value, ensure_ascii=False)).encode()
    except RecursionError:
        return b"nested too deeply"


def text_column(raws: Sequence[bytes]) -> pa.Array:
    """Raw rows as strings; what is no UTF-8 is replaced, since a string column can hold nothing else."""
    try:
        return pa.array(raws, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([raw.decode(errors="replace") for raw in raws], pa.string())


def id_column(values: Sequence[Value]) -> pa.Array:
    """Ids as strings: a string as it is, any other value as its JSON."""
    texts = _decoded_at_once(values, str)
    return pa.array([_as_id(value) for value in values] if texts is None else texts, pa.string())


def _as_id(value: Value) -> str | None:
    if value is None:
        return None
    data = bytes(value)
    if data == b"null":
        return None
    if data[:1] != b'"':
        return data.decode(errors="replace")
    try:
        return printable(json.loads(data))
    except ValueError:
        return data.decode(errors="replace")


def kept_column(kept: Kept, values: Sequence[Value]) -> tuple[pa.Array, int]:
    """A kept column, and how many values are null because they did not parse."""
    column = _kept_at_once(kept.type, values)
    return (column, 0) if column is not None else _kept_one_by_one(kept.type, values)


def _kept_at_once(kind: KeepType, values: Sequence[Value]) -> pa.Array | None:
    """The column when every value is of the plainest JSON type and form for it, as nearly always; else None."""
    plain = _decoded_at_once(values, _PLAIN[kind])
    try:
        return None if plain is None else pa.array(plain, _ARROW[_PLAIN[kind]]).cast(_KEPT[kind])
    except (pa.ArrowInvalid, OverflowError):
        return None


def _kept_one_by_one(kind: KeepType, values: Sequence[Value]) -> tuple[pa.Array, int]:
    wrong = 0
    parsed: list[Any] = []
    for value in values:
        try:
            found = None if value is None else _lenient(bytes(value))
            parsed.append(None if found is None else _PARSERS[kind](found))
        except (ValueError, OverflowError, TypeError, OSError, RecursionError):
            parsed.append(None)
            wrong += 1
    return pa.array(parsed, _KEPT[kind]), wrong


def _decoded_at_once(values: Sequence[Value], kind: Any) -> list[Any] | None:
    """JSON values decoded as one list of `kind` and null, None when one of them is something else."""
    data = b"[" + b",".join([b"null" if value is None else value for value in values]) + b"]"
    try:
        return msgspec.json.decode(data, type=list[kind | None])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _lenient(value: bytes) -> Any:
    """A value decoded as rows are: lone surrogates pass, what is no JSON raises ValueError."""
    return json.loads(value, parse_constant=_no_number)


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _string(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    number = int(value)
    if number not in INT64:
        raise OverflowError(number)
    return number


def _double(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        value = _BOOLS.get(value.lower())
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


_BOOLS = {"true": True, "false": False}


def _date(value: Any) -> dt.date:
    """ISO 8601; of a moment, the date that is written there."""
    return _moment(value).date()


def _timestamp(value: Any) -> dt.datetime:
    """ISO 8601; without an offset it counts as UTC. A number is seconds since 1970, or milliseconds when that large."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return dt.datetime.fromtimestamp(value / 1000 if abs(value) > MILLISECONDS else value, dt.UTC)
    moment = _moment(value)
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _moment(value: Any) -> dt.datetime:
    if not isinstance(value, str):
        raise TypeError(value)
    return dt.datetime.fromisoformat(value.strip())


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
_PARSERS: dict[KeepType, Callable[[Any], Any]] = {
    KeepType.STRING: _string,
    KeepType.INT: _int,
    KeepType.DOUBLE: _double,
    KeepType.BOOL: _bool,
    KeepType.DATE: _date,
    KeepType.TIMESTAMP: _timestamp,
}
