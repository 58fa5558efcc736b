"""The results table: one explicit Arrow schema for good and bad rows, and the joins that fill it.

Joins are Arrow's own (index_in, take): Python sees a row only where its JSON has to be read for an id or a kept field.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.rows import row_type, walk
from sluice.task import FieldType, KeepType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.task import AnswerField, Kept, Task

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
    decoded = [None if answer is None else msgspec.json.decode(answer) for answer in answers]
    columns = {}
    for name, field in task.answer.fields.items():
        whole = _as_integers(field) if field.type is FieldType.INTEGER else _as_it_is
        values = [None if answer is None or answer.get(name) is None else whole(answer[name]) for answer in decoded]
        columns[name] = pa.array(values, field_type(field))
    return columns


def _as_it_is(value: Any) -> Any:
    return value


def _as_integers(field: AnswerField) -> Callable[[Any], Any]:
    """3.0 is an integer in JSON Schema and none in Arrow."""
    return (lambda value: [int(item) for item in value]) if field.array else int


class RowColumns:
    """The columns that are read from the raw rows: the user's id, the kept fields, the whole row."""

    def __init__(self, task: Task) -> None:
        self.id = tuple(task.input.id.split(".")) if task.input.id else None
        self.kept = task.input.kept
        self.keep_input = task.input.keep_input
        paths = [self.id] if self.id else []
        paths += [tuple(kept.path.split(".")) for kept in self.kept]
        self.paths = paths
        flat = all(len(path) == 1 for path in paths) and len(set(paths)) == len(paths)
        self._decode = msgspec.json.Decoder(row_type(paths, msgspec.Raw | None)).decode if flat and paths else None
        self._names = [f"f{n}" for n in range(len(paths))]

    def read(self, raws: Sequence[bytes]) -> tuple[dict[str, pa.Array], dict[str, int]]:
        """Columns `id`, the kept ones and `input`; and how many values of each kept column did not parse."""
        columns: dict[str, pa.Array] = {}
        invalid: dict[str, int] = {}
        values = [self._values(raw) for raw in raws] if self.paths else []
        names: list[Kept | None] = [None] if self.id else []
        names += self.kept
        for n, kept in enumerate(names):
            raw_values = [row[n] for row in values]
            if kept is None:
                columns["id"] = pa.array([_as_id(value) for value in raw_values], pa.string())
                continue
            column, wrong = kept_column(kept, raw_values)
            columns[kept.column] = column
            if wrong:
                invalid[kept.column] = wrong
        columns.setdefault("id", pa.nulls(len(raws), pa.string()))
        if self.keep_input:
            columns["input"] = text_column(raws)
        return columns, invalid

    def _values(self, raw: bytes) -> list[bytes | None]:
        """The values at the paths as JSON; None for null, a missing one, or a row that is no object."""
        if self._decode is not None:
            try:
                row = self._decode(raw)
                return [getattr(row, name) for name in self._names]
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                pass
        return self._values_slowly(raw)

    def _values_slowly(self, raw: bytes) -> list[bytes | None]:
        from sluice.rows import parse_object, printable  # noqa: PLC0415

        row = parse_object(raw)
        if not isinstance(row, dict):
            return [None] * len(self.paths)
        found = [walk(row, path) for path in self.paths]
        found = [printable(value) if isinstance(value, str) else value for value in found]
        return [None if value is None else _json(value) for value in found]


def _json(value: Any) -> bytes | None:
    try:
        return msgspec.json.encode(value)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError, TypeError):
        return repr(value).encode(errors="replace")


def text_column(raws: Sequence[bytes]) -> pa.Array:
    """Raw rows as strings; what is no UTF-8 is replaced, since a string column can hold nothing else."""
    try:
        return pa.array(raws, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([raw.decode(errors="replace") for raw in raws], pa.string())


def _as_id(value: bytes | None) -> str | None:
    """A string as it is, any other value as its JSON."""
    if value is None:
        return None
    data = bytes(value)
    if data == b"null":
        return None
    try:
        return msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()
    except (msgspec.MsgspecError, UnicodeError):
        return data.decode(errors="replace")


def kept_column(kept: Kept, values: Sequence[bytes | None]) -> tuple[pa.Array, int]:
    """A kept column, and how many values are null because they did not parse."""
    parse = _PARSERS[kept.type]
    wrong = 0
    parsed: list[Any] = []
    for value in values:
        if value is None or value == b"null":
            parsed.append(None)
            continue
        try:
            parsed.append(parse(_decoded(bytes(value))))
        except (ValueError, OverflowError, TypeError):
            parsed.append(None)
            wrong += 1
    return pa.array(parsed, _KEPT[kept.type]), wrong


def _decoded(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _string(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError(number)
    return number


def _double(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value.lower()] if value in _BOOLS else _fail(value)


_BOOLS = ("true", "false", "True", "False", "TRUE", "FALSE")


def _fail(value: Any) -> bool:
    raise ValueError(value)


def _date(value: Any) -> dt.date:
    return dt.date.fromisoformat(value[:10])


def _timestamp(value: Any) -> dt.datetime:
    """ISO 8601; without an offset it counts as UTC. A number is seconds since 1970, or milliseconds when that large."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return dt.datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, dt.UTC)
    moment = dt.datetime.fromisoformat(value)
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


_PARSERS: dict[KeepType, Callable[[Any], Any]] = {
    KeepType.STRING: _string,
    KeepType.INT: _int,
    KeepType.DOUBLE: _double,
    KeepType.BOOL: _bool,
    KeepType.DATE: _date,
    KeepType.TIMESTAMP: _timestamp,
}
