"""The results table: one explicit Arrow schema for good and bad rows, and the joins that fill it.

Joins are Arrow's own (index_in, take): Python sees a row only where its JSON has to be read for an id or a kept field.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.results.kept import ARROW_TYPES, decoded_at_once, kept_column
from sluice.rows.paths import Picker, look_up, value_in
from sluice.rows.record import UNDECODED, parse_object, printable
from sluice.task.answer import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluice.results.kept import Unparsed, Value
    from sluice.task.answer import AnswerField
    from sluice.task.task import Task

ATTEMPT = pa.struct(
    [
        ("round", pa.int16()),
        ("tier", pa.int8()),
        ("model", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.string()),
        ("detail", pa.string()),
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
        ("detail", pa.string()),
        ("cache_read_tokens", pa.int64()),
        ("cache_write_tokens", pa.int64()),
    ]
)

_FIELDS = {
    FieldType.STRING: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.NUMBER: pa.float64(),
    FieldType.BOOLEAN: pa.bool_(),
}


def schema(task: Task) -> pa.Schema:
    """The columns of a task's results: the shared ones, the answer fields, the kept columns, the whole row."""
    columns = list(BASE)
    columns += [(name, field_type(field)) for name, field in task.answer.fields.items()]
    columns += [(kept.column, ARROW_TYPES[kept.type]) for kept in task.input.kept]
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

    def read(self, raws: Sequence[bytes]) -> tuple[dict[str, pa.Array], dict[str, list[Unparsed]]]:
        """Columns `id`, the kept ones and `input`; and the values of each kept column that did not parse."""
        values = self._values(raws) if self.paths else []
        columns: dict[str, pa.Array] = {"id": id_column(values.pop(0)) if self.id else pa.nulls(len(raws), pa.string())}
        invalid: dict[str, list[Unparsed]] = {}
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
        slow: dict[int, list[Value]] = {}
        try:
            rows: list[Any] = list(map(self._picker.decode, raws))
        except UNDECODED:
            rows = self._decoded_one_by_one(raws, slow)
        columns = [values_at(rows, places) for places in self._picker.places]
        for n, values in slow.items():
            for column, value in zip(columns, values, strict=True):
                column[n] = value
        return columns

    def _decoded_one_by_one(self, raws: Sequence[bytes], slow: dict[int, list[Value]]) -> list[Any]:
        """Decoded rows; in place of one that the fast decoder refuses an empty one, and its values in `slow`."""
        decode, nothing = self._picker.decode, self._picker.decode(b"{}")
        rows = []
        for n, raw in enumerate(raws):
            try:
                rows.append(decode(raw))
            except UNDECODED:
                rows.append(nothing)
                slow[n] = self._values_slowly(raw)
        return rows

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
    ends = array("i", accumulate(map(len, raws), initial=0))
    found = pa.Array.from_buffers(pa.string(), len(raws), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(raws))])
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([raw.decode(errors="replace") for raw in raws], pa.string())
    return found


def id_column(values: Sequence[Value]) -> pa.Array:
    """Ids as strings: a string as it is, any other value as its JSON."""
    texts = decoded_at_once(values, str)
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
