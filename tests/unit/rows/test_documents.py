"""JSON that does not stand one object a line: known by its beginning, read value by value."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadInput
from sluice.rows.containers.documents import json_rows
from sluice.rows.containers.kinds import container_of
from sluice.rows.containers.layouts import MOST_HEAD_BYTES, is_document
from sluice.rows.containers.lines import split_lines, without_bom
from sluice.rows.containers.reading import Reading
from sluice.rows.record import OVERSIZE, Buckets, RowReader, apart
from tests.harness.stage import make_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

READING = Reading(text=("text",), paths=("text",))
A, B = '{"id":1,"text":"a"}', '{"id":2,"text":"b } ] \\" {"}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["id", "text", "x"]), VALUES, min_size=1), min_size=2, max_size=6)
LAYOUTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "array": json.dumps,
    "pretty array": lambda rows: json.dumps(rows, indent=2),
    "pretty objects": lambda rows: "\n\n".join(json.dumps(row, indent=1) for row in rows),
    "one behind the other": lambda rows: "".join(map(json.dumps, rows)),
    "carriage returns": lambda rows: "".join(f"{json.dumps(row)}\r" for row in rows),
    "record separators": lambda rows: "".join(f"\x1e{json.dumps(row)}\n" for row in rows),
    "commas": lambda rows: "".join(f"{json.dumps(row)},\n" for row in rows),
    "an array a line": lambda rows: f"{json.dumps(rows[:1])}\n{json.dumps(rows[1:])}\n",
    "a trailing comma": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + ",\n]\n",
    "wrapped": lambda rows: json.dumps({"count": 2, "rows": [{"text": "x"}, *rows], "next": {"page": 2}}),
    "wrapped deeper": lambda rows: json.dumps({"hits": {"hits": [{"text": "x"}, *rows]}}, indent=2),
}


def read(data: bytes, block: int = 1 << 20, max_row: int = 10**6, reading: Reading = READING) -> list[bytes]:
    """The rows of an object as every worker reads it, with the container that its bytes decide."""
    container = container_of("x.json", len(data), lambda begin, end: data[begin:end])
    blocks = without_bom(data[at : at + block] for at in range(0, len(data), block))
    rows: Iterable[list[bytes]] = (
        json_rows(blocks, "x.json", max_row, reading) if container.whole else split_lines(blocks, max_row)
    )
    return [row for some in rows for line in some for row in apart(line) if row.strip()]


@pytest.mark.parametrize("layout", list(LAYOUTS))
@given(rows=ROWS, block=st.integers(1, 99), mark=st.booleans())
def test_rows_are_found_in_every_layout(layout: str, rows: list[dict[str, Any]], block: int, *, mark: bool) -> None:
    """However objects are laid out, each is a row, as it was, on one line, whatever the blocks are cut like."""
    data = LAYOUTS[layout](rows).encode()
    found = read(b"\xef\xbb\xbf" + data if mark else data, block)
    assert not any(b"\n" in row for row in found)
    wrapped = [{"text": "x"}] if layout.startswith("wrapped") else []
    assert [json.loads(row) for row in found] == [*wrapped, *rows]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        f"{A}\n",
        f"{A}\n{B}",
        "not json\n" + A,
        '{"id":1,"text":"cut\n' + f"{A}\n{B}\n",
        '{"text":"x"\n' + f"{A}\n{B}\n",
        f"[1, 2]\n{A}\n",
        f"[{A}]\n{B}\n",
        f"[broken\n{A}\n",
        "[2026-01-01 10:00] a line of a log\n[2026-01-01 10:01] another\n",
        '{"id":1,"text":"a row with things in it","tags":[{"a":1}]}\n' + A,
        '{"text":"a long first row' + "x" * 200_000 + '"}\n' + A,
        '{"text":"an endless one' + "x" * 2 * MOST_HEAD_BYTES,
        "{}\n",
        '{"id":7}',
    ],
)
def test_lines_stay_lines(text: str) -> None:
    """A first line that is broken or no object makes no document of a file: many workers read it by range."""
    data = text.encode()
    assert str(container_of("x.json", len(data), lambda begin, end: data[begin:end])) == "lines"


@pytest.mark.parametrize("text", ['["a","b"]', '[["a"],["b"]]', "[\n1,\n2\n]", '[\n["a"]\n]', "[1]"])
def test_an_array_without_objects_is_refused(text: str) -> None:
    """Its elements have no fields: it is no one bad row, and the message has the command that makes rows of it."""
    with pytest.raises(BadInput, match=r"x\.json is a JSON array of values that are no objects; .*jq -c"):
        read(text.encode())


@pytest.mark.parametrize(
    "text", [f"[{A},{B}", f"[{A},\n{B},", f"[{A},{{}} x]", f"[{A}}}", '{\n  "text": "a"', f'[{A}, {{"text":"x}}]']
)
def test_a_document_that_is_cut_or_broken_is_refused(text: str) -> None:
    """Behind what is no JSON nobody can tell where rows begin; the message quotes nothing of it."""
    with pytest.raises(BadInput, match=r"x\.json is no whole JSON document: .* behind row \d") as raised:
        read(text.encode())
    assert "text" not in str(raised.value)


@pytest.mark.parametrize(
    "document",
    [
        {"rows": [{"body": "other"}, {"body": "name"}]},
        {"text": {"0": "a", "1": "b"}},
        {"text": ["a", "b"], "id": [1, 2]},
        {"one": {"text": "a"}, "two": {"text": "b"}},
        {"columns": ["id", "text"], "data": [[1, "a"], [2, "b"]]},
        {"response": {"docs": [{"body": "a"}]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_that_is_a_table_is_refused(document: dict[str, Any], indent: int | None) -> None:
    """An object that holds rows in a form of its own is not counted as one bad row."""
    with pytest.raises(BadInput, match=r"x\.json is one JSON object that is no row .*jq -c"):
        read(json.dumps(document, indent=indent).encode())


@pytest.mark.parametrize(
    "row", [{"text": "a", "tags": [{"text": "b"}]}, {"id": 7, "more": {"a": 1}}, {"text": None, "n": {}}]
)
def test_one_object_that_is_a_row_is_one(row: dict[str, Any]) -> None:
    """A file with one object a row, written in lines or not, has that row, with its text or without."""
    for indent in (None, 2):
        assert [json.loads(line) for line in read(json.dumps(row, indent=indent).encode())] == [row]


def test_elements_that_are_no_rows_are_rows_to_be_rejected() -> None:
    """Another value, a text with a raw line end, and a row that is too long or too deep stay rows of an array."""
    deep = "[" * 200_000 + "]" * 200_000
    text = f'[{A}, 5, null, {{"text":"raw\nend"}}, {{"text":"' + "x" * 3000 + f'"}}, {{"d":{deep}}}, {B}]'
    found = read(text.encode(), block=1000, max_row=2000)
    assert [found[0], found[1], found[2], found[-1]] == [A.encode(), b"5", b"null", B.encode()]
    assert found[3] == b'{"text":"raw\rend"}'
    assert found[4] is OVERSIZE
    assert found[5] is OVERSIZE


def test_rows_behind_a_row_that_is_passed_over_are_read() -> None:
    """A row with lists and objects in it that is too long ends where it ends, be it in an array or in a wrapper."""
    long = '{"text":"' + "x" * 3000 + '","a":[{"b":[1,{"c":"]}\\"{["}]}],"d":{}}'
    for text in (f"[{long},{A},{B}]", f'{{"n":1,"rows":[{long},{A},{B}]}}'):
        assert read(text.encode(), block=700, max_row=2000) == [OVERSIZE, A.encode(), B.encode()]


def test_a_row_too_deep_for_python_is_one_where_the_limit_leaves_room() -> None:
    """Nobody reads what stands so deep, but the row and those behind it stay apart."""
    deep = f'{{"text":"a","d":{"[" * 5000}"]"{"]" * 5000}}}'
    found = read(f" [{A},{deep},{B}]".encode(), block=900, max_row=20_000)
    assert found == [A.encode(), deep.encode(), B.encode()]


def test_a_document_of_any_size_is_read_in_flat_memory() -> None:
    """A line of 11 MB, or a row of 40 MB at its end, is never held."""
    row = b'{"text":"some words of a row","n":1},'
    blocks = [b"[", *[row * 2_000] * 150, b'{"text":"', *[b"x" * 2**20] * 40, b'"}', b"]"]
    tracemalloc.start()
    count = sum(map(len, json_rows(iter(blocks), "x", 2**20, READING)))
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert count == 300_001


def test_numbers_and_names_stay_as_they_were_written() -> None:
    """A row is passed on, not written anew: 1.10, 1e400 and a name that stands twice are the owner's."""
    text = b'[\n {"n": 1.10, "big": 1e400,\n  "n": ' + b"9" * 5000 + b"}\n]"
    assert read(text) == [b'{"n": 1.10, "big": 1e400,"n": ' + b"9" * 5000 + b"}"]


def test_a_long_wrapper_is_known_by_what_is_open() -> None:
    """An object of one line whose end is far away holds rows where an array in it is open."""
    rows = ",".join([A] * 100_000)
    found = read(f'{{"meta":{{"a":[1]}},"rows":[{rows}],"n":3}}'.encode(), max_row=10_000)
    assert len(found) == 100_000


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (f"{A}\n{A}{B}\n{A}\n", [A, A, B, A]),
        (f"{A}\r\n{B}\r{A}\r\n", [A, B, A]),
        (f"{A}\n{A} {B}", [A, A, B]),
        (f"{A}\n{A}{{broken\n", [A, A, "{broken"]),
        ('{"text":"}{"}\n{"text":"} {", "x":{}}\n', ['{"text":"}{"}', '{"text":"} {", "x":{}}']),
        ('{"text":"a",\r"n":1}\n' + A, ['{"text":"a",\r"n":1}', A]),
        ('{"text":"}{" x}\n' + A, ['{"text":"}{" x}', A]),
    ],
)
def test_rows_that_share_a_line_are_each_one(data: str, rows: list[str]) -> None:
    """Where files were joined without a line end, or lines end in CR alone, no two rows count as one bad row."""
    lines = [line for some in split_lines([data.encode()], 1000) for line in some]
    buckets = Buckets(RowReader(make_task({"model": "nova-micro"})), 3)
    assert buckets.add(lines, 0, 998) == len(rows)
    assert [line for line in lines if line] == [row.encode() for row in rows]
    numbers = sorted(int(row[41:53]) for _, group, _ in buckets.drain() for row in group)
    assert numbers == [n for n, line in enumerate(lines, 998) if line]


def test_more_is_asked_for_where_the_beginning_does_not_tell() -> None:
    """An object that is open at the end of what is known is undecided."""
    assert is_document(b'{"rows": [{"a": 1},', "x", complete=False) is None
    assert is_document(b"[", "x", complete=False) is None
    assert is_document(b'{"text": "a"}', "x", complete=False) is None


def test_blanks_behind_the_bracket_that_opens_an_array_change_nothing() -> None:
    """It stands alone on its line for whoever reads it."""
    for data in (b'[\n{"a": 1}\n]', b'[ \n{"a": 1}\n]', b'[\t\r\n{"a": 1}\r\n]'):
        assert is_document(data, "x", complete=True) is True


def test_an_object_that_is_broken_before_its_rows_hides_no_lines() -> None:
    """Two whole objects behind a first line that is none are lines, however much of a third is there."""
    rows = ['{"text": "' + "x" * MOST_HEAD_BYTES + '"}', "{}", '{"']
    assert is_document("\n".join(['{"a": [', *rows]).encode(), "x", complete=False) is False
    assert is_document("\n".join(['{"a": [', rows[0], "1, {"]).encode(), "x", complete=False) is True


def test_the_same_is_told_of_lines_that_end_in_cr_and_lf() -> None:
    """A bracket alone on the first line opens an array, though the second line is an object."""
    assert is_document(b'[\r\n{"a": 1}\r\n]', "x", complete=True) is True
    assert is_document(b'[{"a": 1,\n{"a": 1}\n', "x", complete=True) is False


def test_of_a_first_line_that_is_broken_only_the_second_says_what_stands_behind() -> None:
    """However many come after it, and whatever numbers it has: an object there makes the first a broken row."""
    for second in ('{"a": 1}', '{"a": ' + "9" * 5000 + "}"):
        for more in ("", '{"a": 2}\n', '{"a": 2}\n{"a": 3}\n'):
            assert is_document(f'[{{"a": 1,\n{second}\n{more}'.encode(), "x", complete=True) is False


def test_a_row_too_deep_for_python_is_one_line_though_it_was_several() -> None:
    """Its line ends become blanks, between values and inside of them."""
    deep = "[" * 100_000
    found = read(f'[\n{{"text":\n{deep}{"]" * 100_000}}}\n]'.encode(), max_row=10**6)
    assert found == [f'{{"text": {deep}{"]" * 100_000}}}'.encode()]


def test_a_row_of_an_array_that_is_no_utf8_leaves_its_neighbours() -> None:
    """It goes out with its bytes, and is rejected for them."""
    data = b'[\n{"text":"a \xff"},\n{"text":"b"}\n]'
    for block in (1, 10, 1 << 20):
        assert read(data, block) == [b'{"text":"a \xff"}', b'{"text":"b"}']


def test_arrays_of_anything_else_beside_the_rows_are_passed_over() -> None:
    """Also where nobody has said yet which field holds the text."""
    data = f'{{"tags": ["a", {{"b": 1}}], "none": [], "deep": [[{A}]], "rows": [{A}, {B}]}}'.encode()
    for reading in (READING, Reading()):
        assert read(data, reading=reading) == [A.encode(), B.encode()]


def test_a_name_that_promises_lines_makes_a_line_a_row() -> None:
    """Where nothing else can be made of the only line of a .jsonl file, it is a row, which is rejected for itself."""
    for text in ('["a","b"]', '{"id":1,"tags":[{"a":1}]}', '{"text":{"a":1}}'):
        data = text.encode()
        found = container_of("x.jsonl", len(data), lambda begin, end, data=data: data[begin:end])  # type: ignore[misc]
        rows = (
            [data] if not found.whole else [row for some in json_rows([data], "x.jsonl", 99, READING) for row in some]
        )
        assert rows == [data]
    wrapped = f'{{"rows":[{A},{B}]}}'.encode()
    assert container_of("x.jsonl.gz", len(wrapped), lambda begin, end: wrapped[begin:end]).whole
    assert sum(map(len, json_rows([wrapped], "x.jsonl", 99, READING))) == 2
