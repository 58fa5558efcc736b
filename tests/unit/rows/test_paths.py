"""Paths reach into objects, and name fields that have dots in their own names."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.rows.paths import MISSING, Picker, look_up, readings, value_in

NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "a.b.c", "c", "", "x"])
ROWS = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(0, 9),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def test_a_name_with_dots_comes_before_what_lies_inside() -> None:
    """The field that is called like the path, then those called like several of its names, then each by itself."""
    assert readings("a.b.c") == (("a.b.c",), ("a.b", "c"), ("a", "b.c"), ("a", "b", "c"))
    row: dict[str, Any] = {"a": {"b": {"c": 4}, "b.c": 3}, "a.b": {"c": 2}, "a.b.c": None}
    assert look_up(row, "a.b.c") is None
    assert look_up({key: value for key, value in row.items() if key != "a.b.c"}, "a.b.c") == 2
    assert look_up({"a": row["a"]}, "a.b.c") == 3
    assert look_up({"a": {"b": {"c": 4}}}, "a.b.c") == 4
    assert look_up({"Nr.": "7"}, "Nr.") == "7"
    assert look_up({"a": "text"}, "a.b") is None


@given(
    st.dictionaries(NAMES, ROWS, max_size=4), st.lists(st.sampled_from(["a", "b", "a.b", "a.b.c", "b.a"]), min_size=1)
)
@pytest.mark.parametrize("nothing", [None, MISSING])
def test_the_fast_way_finds_what_the_slow_one_finds(nothing: Any, row: dict[str, Any], paths: list[str]) -> None:
    """Where the decoder of single fields takes a row, it gives what a look into the whole row gives."""
    leaf = msgspec.Raw if nothing is None else Any
    picker = Picker(paths, leaf, nothing)
    try:
        decoded = picker.decode(json.dumps(row).encode())
    except (msgspec.MsgspecError, TypeError):
        return
    for path, places in zip(paths, picker.places, strict=True):
        found = value_in(decoded, places)
        assert (json.loads(bytes(found)) if isinstance(found, msgspec.Raw) else found) == look_up(row, path)
