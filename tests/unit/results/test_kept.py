from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.results.kept import _at_once, _one_by_one, kept_column
from sluice.task.columns import NAMED_FORMATS, KeepType, Kept

UTC = dt.UTC


def moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def read(kind: str, values: list[Any], form: str | None = None) -> tuple[list[Any], list[tuple[int, str]]]:
    """A column of values, each given as bytes of JSON or as what JSON makes of it."""
    raws = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    column, wrong = kept_column(Kept("k", "k", KeepType(kind), form), raws)
    return column.to_pylist(), [(row, is_) for row, is_ in wrong]


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("string", "x", "x"),
        ("string", " x ", " x "),
        ("string", 7, "7"),
        ("string", b"1e3", "1e3"),
        ("string", {"a": [1]}, '{"a": [1]}'),
        ("string", True, "true"),
        ("int", 7, 7),
        ("int", 7.0, 7),
        ("int", b"1e3", 1000),
        ("int", 2**63 - 1, 2**63 - 1),
        ("int", b"9007199254740993.0", 9007199254740993),
        ("int", "1,200", 1200),
        ("int", "-1,234,567.00", -1234567),
        ("int", "+5", 5),
        ("int", " 12 ", 12),
        ("double", 1.5, 1.5),
        ("double", 2, 2.0),
        ("double", 10**30, 1e30),
        ("double", "1,200.5", 1200.5),
        ("double", "1,234,567", 1234567.0),
        ("double", ".5", 0.5),
        ("bool", True, True),
        ("date", "2026-11-20", dt.date(2026, 11, 20)),
        ("date", "2026-11-20T23:59:59+02:00", dt.date(2026, 11, 20)),
        ("date", "2024-01-17 00:00:00", dt.date(2024, 1, 17)),
        ("timestamp", "2026-11-20T10:00:00Z", moment(2026, 11, 20, 10)),
        ("timestamp", "2026-11-20 10:00:00.123456+02:00", moment(2026, 11, 20, 8, 0, 0, 123456)),
        ("timestamp", "2026-11-20T10:00:00", moment(2026, 11, 20, 10)),
        ("timestamp", "2026-11-20", moment(2026, 11, 20)),
        ("timestamp", "2024-01-15 10:00:00 UTC", moment(2024, 1, 15, 10)),
        ("timestamp", "2024-01-15 10:00:00.123456789 GMT", moment(2024, 1, 15, 10, 0, 0, 123456)),
        ("timestamp", "2024-01-15 10:00:00.000 -0800", moment(2024, 1, 15, 18)),
        ("timestamp", "2024-01-15 10:00:00+05", moment(2024, 1, 15, 5)),
        ("timestamp", "2024-01-15T10:00:00,5z", moment(2024, 1, 15, 10, 0, 0, 500000)),
        ("timestamp", "9999-12-31", moment(9999, 12, 31)),
    ],
)
def test_a_kept_value_is_typed(kind: str, value: Any, kept: Any) -> None:
    """What can be read as the column's type is, with nulls and empty cells beside it."""
    nothing = "" if kind == "string" else None
    assert read(kind, [value, None, ""]) == ([kept, None, nothing], [])


@pytest.mark.parametrize("word", ["true", "T", "yes", "Y", "on", "1", "1.0", "YES"])
def test_words_for_true(word: str) -> None:
    """Booleans are read as databases and spreadsheets write them."""
    assert read("bool", [word]) == ([True], [])


@pytest.mark.parametrize("word", ["false", "F", "no", "n", "OFF", "0", "0.0", "False"])
def test_words_for_false(word: str) -> None:
    """And their opposites."""
    assert read("bool", [word]) == ([False], [])


NO_VALUES = [
    ("int", "seven", "text"),
    ("int", 7.5, "number"),
    ("int", "7.5", "number"),
    ("int", "1_000", "text"),
    ("int", "1,20", "text"),
    ("int", "\uff11\uff12", "text"),
    ("int", "0x10", "text"),
    ("int", b"1e9999", "number"),
    ("int", True, "boolean"),
    ("int", 2**63, "number"),
    ("int", [1], "list"),
    ("int", {}, "object"),
    ("double", "x", "text"),
    ("double", True, "boolean"),
    ("double", "inf", "text"),
    ("double", "Infinity", "text"),
    ("double", "nan", "text"),
    ("double", "1_0.5", "text"),
    ("double", "1,200", "text"),
    ("double", "1.200,5", "text"),
    ("double", math.nan, "number"),
    ("double", math.inf, "number"),
    ("double", 10**400, "number"),
    ("bool", 2, "number"),
    ("bool", "maybe", "text"),
    ("date", "20.11.2026", "text"),
    ("date", "2026-02-30", "text"),
    ("date", "0000-01-01", "text"),
    ("date", 7, "number"),
    ("date", "20240115", "number"),
    ("date", 20240115, "number"),
    ("date", "2024-W03-1", "text"),
    ("timestamp", "yesterday", "text"),
    ("timestamp", True, "boolean"),
    ("timestamp", 45306, "number"),
    ("timestamp", "45306.5", "number"),
    ("timestamp", 1_000_000_000, "number"),
    ("timestamp", 1e300, "number"),
    ("timestamp", "2024-01-15x10:00:00", "text"),
    ("timestamp", "\uff12024-01-15", "text"),
    ("timestamp", "0001-01-01T00:00:00+23:59", "text"),
    ("timestamp", "0000-01-01T00:00:00Z", "text"),
    ("timestamp", "9999-12-31T23:59:59-05:00", "text"),
    ("timestamp", ["2026-11-20"], "list"),
]


@pytest.mark.parametrize(("kind", "value", "is_"), NO_VALUES)
def test_a_value_that_does_not_parse_is_null_and_counted(kind: str, value: Any, is_: str) -> None:
    """A value of another type, or that could mean two things, costs itself and a count, and no neighbour."""
    good = {"int": 1, "double": 1, "bool": True, "date": "2026-11-20", "timestamp": "2026-11-20"}[kind]
    found, wrong = read(kind, [good, value])
    assert found[0] is not None
    assert (found[1], wrong) == (None, [(1, is_)])


@pytest.mark.parametrize(
    ("kind", "form", "value", "kept"),
    [
        ("date", "%m/%d/%Y", "1/5/2024", dt.date(2024, 1, 5)),
        ("date", "%m/%d/%Y", "01/15/2024", dt.date(2024, 1, 15)),
        ("date", "%d-%b-%y", "15-JAN-24", dt.date(2024, 1, 15)),
        ("date", "%Y%m%d", 20240115, dt.date(2024, 1, 15)),
        ("date", "%Y\u5e74%m\u6708%d\u65e5", "2024\u5e741\u670815\u65e5", dt.date(2024, 1, 15)),
        ("date", "%m/%d/%Y", "2024-01-15", dt.date(2024, 1, 15)),
        ("date", "%Y-%d-%m", "2024-01-02", dt.date(2024, 2, 1)),
        ("timestamp", "%d.%m.%Y %H:%M", "15.01.2024 10:30", moment(2024, 1, 15, 10, 30)),
        ("timestamp", "%d/%b/%Y:%H:%M:%S %z", "15/Jan/2024:10:00:00 -0800", moment(2024, 1, 15, 18)),
        ("timestamp", "unix_seconds", 1_000_000_000, moment(2001, 9, 9, 1, 46, 40)),
        ("timestamp", "unix_seconds", "1000000000.25", moment(2001, 9, 9, 1, 46, 40, 250000)),
        ("timestamp", "unix_milliseconds", 1_000_000_000_000, moment(2001, 9, 9, 1, 46, 40)),
        ("timestamp", "excel_days", 45306.5, moment(2024, 1, 15, 12)),
        ("timestamp", "excel_days", "45306.4166666667", moment(2024, 1, 15, 10)),
        ("date", "excel_days", 45306, dt.date(2024, 1, 15)),
        ("date", "excel_days", 61, dt.date(1900, 3, 1)),
    ],
)
def test_dates_in_the_form_that_the_task_names(kind: str, form: str, value: Any, kept: Any) -> None:
    """Dates as people and spreadsheets write them are read where the task says how; ISO 8601 beside them."""
    assert read(kind, [value, None, ""], form) == ([kept, None, None], [])


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("%m/%d/%Y", "15/01/2024"),
        ("%m/%d/%Y", 45306),
        ("%m/%d/%Y", "\uff11/5/2024"),
        ("%Y-%d-%m", "2024-01-15"),
        ("unix_seconds", "1e300"),
        ("unix_seconds", True),
        ("excel_days", 60),
        ("excel_days", 2_958_466),
        ("excel_days", -1),
    ],
)
def test_what_is_not_in_the_named_form_is_counted(form: str, value: Any) -> None:
    """A date in another form than the task says is null, not another date."""
    found, wrong = read("timestamp", [value], form)
    assert (found, len(wrong)) == ([None], 1)


written = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(str)
    | st.sampled_from(["true", "false", "1", "0", "-0", "0.0", "1e3", "1E-3", "12.0", "9007199254740993.0"])
)


@given(st.sampled_from(list(KeepType)), written)
def test_twins_give_the_same_value(kind: KeepType, text: str) -> None:
    """A number or boolean of JSON is kept as the same characters in a cell of CSV are."""
    of_json, of_csv = (read(kind, [raw])[0] for raw in (text.encode(), json.dumps(text).encode()))
    assert of_json == of_csv or (kind is KeepType.DOUBLE and of_json[0] == of_csv[0])


json_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes().map(str)
    | st.datetimes(timezones=st.just(UTC)).map(dt.datetime.isoformat)
    | st.datetimes().map(lambda value: f"{value} UTC")
    | st.dates().map(str)
    | st.from_regex(
        r"[02]0[0-9]{2}-[0-1][0-9]-[0-3][0-9]([T ][0-2][0-9](:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,7})?)?)?( ?UTC|Z)?)?",
        fullmatch=True,
    )
    | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from(list(KeepType)), st.lists(json_values.map(json.dumps).map(str.encode), max_size=3))
def test_both_ways_to_a_kept_column_agree(kind: KeepType, values: list[bytes]) -> None:
    """The column decoded at once is the one that each value alone gives, wherever there is one."""
    at_once = _at_once(kind, list(values))
    column, wrong = _one_by_one(Kept("k", "k", kind), list(values))
    assert at_once is None or (at_once.equals(column) and not wrong)


@given(
    st.sampled_from([KeepType.DATE, KeepType.TIMESTAMP]),
    st.sampled_from(["%m/%d/%Y", "%d.%m.%y %H:%M:%S.%f", "%Y%j", *NAMED_FORMATS]),
    st.lists(json_values.map(json.dumps).map(str.encode) | st.binary(max_size=8), max_size=3),
)
def test_no_value_raises(kind: KeepType, form: str, values: list[bytes]) -> None:
    """Whatever stands in a row, the column is as long as the rows."""
    assert len(kept_column(Kept("k", "k", kind, form), list(values))[0]) == len(values)
