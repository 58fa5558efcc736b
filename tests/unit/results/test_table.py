from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.cli.samples import raw_rows
from sluice.results.table import RowColumns, field_columns, schema
from sluice.task.file import parse_task
from sluice.task.task import Task

if TYPE_CHECKING:
    from pathlib import Path


def make(**changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], **changes}, "t")


def read(rows: list[Any], **about: Any) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The columns of rows, each given as bytes or as what JSON makes of it."""
    raws = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    columns, invalid = RowColumns(make(input={"text": "t", **about})).read(raws)
    found = {name: column.to_pylist() for name, column in columns.items()}
    return found, {name: len(values) for name, values in invalid.items()}


def test_the_columns_are_those_of_the_contract() -> None:
    """Names, types and order of the columns: the shared ones, the fields, the kept ones, the row."""
    task = make(
        input={"text": "t", "keep": {"a.b": "int", "d": "date", "at": "timestamp"}, "keep_input": True},
        answer={"fields": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}},
    )
    trail = (
        "round: int16, tier: int8, model: string, outcome: string, reason: string, label: string, confidence: string, "
        "detail: string"
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
    | st.lists(st.integers(), max_size=2)
)


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


TWINS = {
    "at": ("timestamp", pa.timestamp("us", "UTC"), [dt.datetime(2024, 1, 15, 10, 30, tzinfo=dt.UTC), None]),
    "day": ("date", pa.date32(), [dt.date(2024, 1, 15), None]),
    "whole": ("int", pa.float64(), [12.0, None]),  # as pandas has whole numbers beside empty cells
    "part": ("double", pa.float64(), [0.1, None]),
    "yes": ("bool", pa.bool_(), [True, None]),
    "word": ("string", pa.string(), ["5", None]),
    "number": ("string", pa.int64(), [5, None]),
}
CSV = b"t,at,day,whole,part,yes,word,number\nx,2024-01-15 10:30:00 UTC,2024-01-15,12.0,0.1,TRUE,5,5\ny,,,,,,,\n"
JSON = [
    {"t": "x", "at": "2024-01-15T10:30:00+00:00", "day": "2024-01-15", "whole": 12.0, "part": 0.1, "yes": True}
    | {"word": "5", "number": 5},
    {"t": "y", "at": None},
]


def test_twins_in_csv_json_and_parquet_give_the_same_columns(tmp_path: Path) -> None:
    """Whatever a table was exported as, its kept columns are the same, and nothing of them is left unparsed."""
    made = {name: pa.array(values, kind) for name, (_, kind, values) in TWINS.items()}
    pq.write_table(pa.table({"t": ["x", "y"], **made}), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_bytes(CSV)
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in JSON))
    columns = RowColumns(make(input={"text": "t", "keep": {name: kind for name, (kind, *_) in TWINS.items()}}))
    found = {file.suffix: columns.read(list(raw_rows(file))) for file in sorted(tmp_path.iterdir())}
    assert [unparsed for _, unparsed in found.values()] == [{}, {}, {}]
    as_lists = [{name: column.to_pylist() for name, column in read.items()} for read, _ in found.values()]
    assert as_lists[0] == as_lists[1] == as_lists[2]
    assert as_lists[0]["whole"] == [12, None]
