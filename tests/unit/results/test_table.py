from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.results.table import RowColumns, _kept_at_once, _kept_one_by_one, field_columns, schema
from sluice.task.columns import KeepType
from sluice.task.file import parse_task
from sluice.task.task import Task

UTC = dt.UTC


def make(**changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], **changes}, "t")


def read(rows: list[Any], **about: Any) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The columns of rows, each given as bytes or as what JSON makes of it."""
    raws = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    columns, invalid = RowColumns(make(input={"text": "t", **about})).read(raws)
    return {name: column.to_pylist() for name, column in columns.items()}, invalid


def test_the_columns_are_those_of_the_contract() -> None:
    """Names, types and order of the columns: the shared ones, the fields, the kept ones, the row."""
    task = make(
        input={"text": "t", "keep": {"a.b": "int", "d": "date", "at": "timestamp"}, "keep_input": True},
        answer={"fields": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}},
    )
    trail = (
        "round: int16, tier: int8, model: string, outcome: string, reason: string, label: string, confidence: string"
    )
    assert [f"{field.name} {field.type}" for field in schema(task)] == [
        "source string",
        "line int64",
        "id string",
        "record string",
        "status string",
        "reason string",
        "label string",
        "labels list<item: string>",
        "confidence string",
        "score double",
        "tier int8",
        "model string",
        "attempts int16",
        f"trail list<item: struct<{trail}>>",
        "shared bool",
        "truncated bool",
        "input_tokens int64",
        "output_tokens int64",
        "cost_usd double",
        "run_id string",
        "task string",
        "task_version string",
        "n int64",
        "tags list<item: string>",
        "a_b int64",
        "d date32[day]",
        "at timestamp[us, tz=UTC]",
        "input string",
    ]


@pytest.mark.parametrize(
    ("row", "id_"),
    [
        (b'{"id": "x"}', "x"),
        (b'{"id": ""}', ""),
        (b'{"id": 7}', "7"),
        (b'{"id": 1.50}', "1.50"),
        (b'{"id": 123456789012345678901234567890}', "123456789012345678901234567890"),
        (b'{"id": true}', "true"),
        (b'{"id": null}', None),
        (b"{}", None),
        (b'{"id": [1, 2]}', "[1, 2]"),
        (b'{"id": {"a": "b"}}', '{"a": "b"}'),
        (b'{"id": "a\\u00e9\\ud83d\\ude00"}', "a\u00e9\U0001f600"),
        (b'{"id": "cut \\ud83d"}', "cut \N{REPLACEMENT CHARACTER}"),
        (b'{"id": NaN}', "NaN"),
        (b'{"id": "x", "n": NaN}', "x"),
        (b'{"id": "x", "deep": ' + b"[" * 900 + b"]" * 900 + b"}", "x"),
        (b"[1]", None),
        (b"no JSON", None),
        (b'{"id": "x"', None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_an_id_of_any_type_is_a_string(row: bytes, id_: str | None) -> None:
    """A string is itself, any other value its JSON, and none is null; a plain row beside it is not disturbed."""
    assert read([row, {"id": "plain"}], id="id")[0]["id"] == [id_, "plain"]


def test_without_a_field_for_it_the_id_is_null() -> None:
    """A task that names no id has an empty column."""
    assert read([{"id": 1}])[0] == {"id": [None]}


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("string", "x", "x"),
        ("string", 7, "7"),
        ("string", {"a": [1]}, '{"a": [1]}'),
        ("string", True, "true"),
        ("int", 7, 7),
        ("int", 7.0, 7),
        ("int", "7", 7),
        ("int", 2**63 - 1, 2**63 - 1),
        ("double", 1.5, 1.5),
        ("double", 2, 2.0),
        ("double", "2.5", 2.5),
        ("double", 10**30, 1e30),
        ("bool", True, True),
        ("bool", "FALSE", False),
        ("date", "2026-11-20", dt.date(2026, 11, 20)),
        ("date", "2026-11-20T23:59:59+02:00", dt.date(2026, 11, 20)),
        ("timestamp", "2026-11-20T10:00:00Z", dt.datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("timestamp", "2026-11-20 10:00:00.123456+02:00", dt.datetime(2026, 11, 20, 8, 0, 0, 123456, tzinfo=UTC)),
        ("timestamp", "2026-11-20T10:00:00", dt.datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("timestamp", "2026-11-20", dt.datetime(2026, 11, 20, tzinfo=UTC)),
        ("timestamp", 1_000_000_000, dt.datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        ("timestamp", 1_000_000_000_000, dt.datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
    ],
)
def test_a_kept_value_is_typed(kind: str, value: Any, kept: Any) -> None:
    """What can be read as the column's type is, with nulls and missing values beside it."""
    columns, invalid = read([{"k": value}, {"k": None}, {}], keep={"k": kind})
    assert (columns["k"], invalid) == ([kept, None, None], {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "seven"),
        ("int", 7.5),
        ("int", True),
        ("int", 2**63),
        ("int", [1]),
        ("int", {}),
        ("double", "x"),
        ("double", True),
        ("double", "inf"),
        ("double", math.nan),
        ("double", math.inf),
        ("double", 10**400),
        ("bool", 1),
        ("bool", "yes"),
        ("date", "20.11.2026"),
        ("date", "2026-02-30"),
        ("date", 7),
        ("timestamp", "yesterday"),
        ("timestamp", True),
        ("timestamp", 1e300),
        ("timestamp", "0001-01-01T00:00:00+23:59"),
        ("timestamp", ["2026-11-20"]),
    ],
)
def test_a_value_that_does_not_parse_is_null_and_counted(kind: str, value: Any) -> None:
    """A value of another type costs itself and a count, and no neighbour."""
    good = {"int": 1, "double": 1, "bool": True, "date": "2026-11-20", "timestamp": "2026-11-20"}[kind]
    columns, invalid = read([{"k": value}, {"k": good}], keep={"k": kind})
    assert columns["k"][0] is None
    assert columns["k"][1] is not None
    assert invalid == {"k": 1}


def test_dotted_paths_reach_into_objects() -> None:
    """A kept path ends early without a value, and is called with underscores."""
    rows = [{"a": {"b": 1, "c": {"d": "x"}}}, {"a": {}}, {"a": None}, {"a": 3}, {"a": {"c": []}}, {}]
    columns, invalid = read(rows, keep={"a.b": "int", "a.c.d": "string"})
    assert columns["a_b"] == [1, None, None, None, None, None]
    assert columns["a_c_d"] == ["x", None, None, None, None, None]
    assert invalid == {}


def test_an_object_can_be_kept_beside_what_lies_in_it() -> None:
    """A path may be the beginning of another, and the id's."""
    columns, _ = read([{"a": {"b": 1}}, {}], keep={"a": "string", "a.b": "int"}, id="a.b")
    assert columns == {"id": ["1", None], "a": ['{"b": 1}', None], "a_b": [1, None]}


def test_the_last_of_doubled_keys_counts() -> None:
    """As in most readers of JSON, on the fast way and on the careful one."""
    rows = [b'{"k": 1, "k": 2}', b'{"k": 1, "k": 2, "n": NaN}']
    assert read(rows, keep={"k": "int"})[0]["k"] == [2, 2]


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_the_whole_row_is_kept_whatever_its_bytes(rows: list[bytes]) -> None:
    """The row stands in the output as it is; what is no UTF-8 is replaced."""
    assert read(list(rows), keep_input=True)[0]["input"] == [row.decode(errors="replace") for row in rows]


json_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes().map(str)
    | st.datetimes(timezones=st.just(UTC)).map(dt.datetime.isoformat)
    | st.dates().map(str)
    | st.from_regex(
        r"20[0-9]{2}-[0-1][0-9]-[0-3][0-9]([T ][0-2][0-9](:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,7})?)?)?Z?)?",
        fullmatch=True,
    )
    | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from(list(KeepType)), st.lists(json_values.map(json.dumps).map(str.encode), max_size=3))
def test_both_ways_to_a_kept_column_agree(kind: KeepType, values: list[bytes]) -> None:
    """The column decoded at once is the one that each value alone gives, wherever there is one."""
    at_once = _kept_at_once(kind, values)
    column, wrong = _kept_one_by_one(kind, values)
    assert at_once is None or (at_once.equals(column) and not wrong)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "k", "x"]), json_values), max_size=4))
def test_any_rows_give_as_many_values(rows: list[dict[str, Any]]) -> None:
    """No value of a row raises, and each column is as long as the rows."""
    about: dict[str, Any] = {"keep": {"k": "timestamp", "x": "string"}, "id": "id"}
    assert {len(column) for column in read(list(rows), **about)[0].values()} == {len(rows)}


def test_fields_become_typed_columns() -> None:
    """An extracted field is of its column's type; a record without an answer has null."""
    fields = {
        "n": {"type": "integer"},
        "x": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": {"type": "integer"}},
        "ok": {"type": "boolean"},
    }
    task = make(answer={"fields": fields})
    answers = [{"n": 3.0, "x": 10**30, "tags": [1, 2.0], "ok": True}, {"n": 1, "x": None, "tags": [], "ok": False}]
    columns = field_columns(task, [*map(msgspec.json.encode, answers), None])
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "n": [3, 1, None],
        "x": [1e30, None, None],
        "tags": [[1, 2], [], None],
        "ok": [True, False, None],
    }
    assert columns["tags"].type == pa.list_(pa.int64())
