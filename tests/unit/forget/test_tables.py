"""Rows that leave CSV and Parquet: all others keep their numbers and their values."""

from __future__ import annotations

from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import BadInput
from sluice.forget.tables import csv_without, parquet_obstacle, parquet_without
from sluice.rows.containers.columnar import parquet_rows
from sluice.rows.containers.delimited import csv_rows
from sluice.rows.containers.reading import Reading
from sluice.task.csv_form import CsvForm

LONG = 10_000
CSV = b'a,b\r\n1,"x\r\ny"\r\n\r\n2,"one ""more"""\r\nno row\r\n3,z'


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def cleaned(data: bytes, gone: set[int], size: int = 7, reading: Reading | None = None) -> bytes:
    return b"".join(csv_without(blocks(data, size), gone, ",", "f", LONG, reading or Reading()))


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (set(), CSV),
        ({1}, b'a,b\r\n,\r\n\r\n2,"one ""more"""\r\nno row\r\n3,z'),
        ({2, 3}, b'a,b\r\n1,"x\r\ny"\r\n\r\n,\r\n,\r\n3,z'),
        ({4, 9}, b'a,b\r\n1,"x\r\ny"\r\n\r\n2,"one ""more"""\r\nno row\r\n,'),
    ],
)
def test_a_row_of_csv_gives_way_to_empty_cells(gone: set[int], left: bytes) -> None:
    """Over however many lines it stands, broken or not; no other byte changes, wherever the blocks end."""
    for size in (1, 5, 1000):
        for before, behind in ((b"", b""), (b"\xef\xbb\xbf", b"\n"), (b"sep=,\n", b"\r\n")):
            assert cleaned(before + CSV + behind, gone, size) == before + left + behind


@pytest.mark.parametrize(
    ("data", "form", "left"),
    [
        (b"a\n1\n2\n", {}, b'a\n""\n2\n'),  # an empty line would be no row
        (b"Title\na;b\n1;x\n2;y\n", {"separator": ";"}, b"Title\na;b\n;\n2;y\n"),
        (b"1,x\n2,y\n", {"header": ["a", "b"]}, b",\n2,y\n"),
        (b"a,b\n'1,\n',x\n2,y\n", {"quote": "'"}, b"a,b\n,\n2,y\n"),
    ],
)
def test_csv_is_read_as_the_task_says(data: bytes, form: dict[str, object], left: bytes) -> None:
    """So the number of a row is that which its run has found; the rows that stay are the same to a run."""
    reading = Reading(text=("a",), csv=CsvForm.model_validate(form))
    found = cleaned(data, {1}, reading=reading)
    assert found == left
    was, now = ([row for rows in csv_rows([each], ",", "f", LONG, reading) for row in rows] for each in (data, found))
    assert (len(was), was[1:]) == (len(now), now[1:])


@pytest.mark.parametrize(
    ("data", "form", "why"),
    [
        (b"1\n2\n", {"quote": "", "header": ["a"]}, "one column and no quotes"),
        (b"a,b\r1,2\r", {}, "CR alone"),
        (b"a,b\n1,2\n", {"encoding": "cp1252"}, "cp1252"),
        (b"a,b\n1," + b"x" * 2 * LONG + b"\n", {}, "too long"),
    ],
)
def test_csv_that_cannot_be_written_so_again_is_refused(data: bytes, form: dict[str, object], why: str) -> None:
    """Nothing of it is lost: the owner is told."""
    with pytest.raises(BadInput, match=why):
        cleaned(data, {1}, reading=Reading(csv=CsvForm.model_validate(form)))


def written(table: pa.Table, **how: object) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink, **how)
    return sink.getvalue()


def rows_in(data: bytes) -> list[bytes]:
    read = parquet_rows(lambda begin, end: data[begin:end], len(data), "f", LONG, 10**9)
    return [row for rows in read for row in rows]


def test_a_row_of_parquet_gives_way_to_nulls() -> None:
    """In all row groups and types, also in a dictionary; nothing of it is left, and the others are read as before."""
    names = [f"word-{n}" for n in range(6)]
    table = pa.table(
        {
            "text": names,
            "coded": pa.array(names).dictionary_encode(),
            "deep": [{"of": [name], "at": n} for n, name in enumerate(names)],
            "when": pa.array(range(6), pa.timestamp("us", "UTC")),
        }
    )
    data, sink = written(table, row_group_size=4, compression="none"), BytesIO()
    file = pq.ParquetFile(BytesIO(data))
    assert parquet_obstacle(file) is None
    parquet_without(file, {2, 6}, sink)
    found, before, after = sink.getvalue(), rows_in(data), rows_in(sink.getvalue())
    assert [after[n] for n in (0, 2, 3, 4)] == [before[n] for n in (0, 2, 3, 4)]
    assert after[1] == after[5] == b'{"text":null,"coded":null,"deep":null,"when":null}'
    assert not any(word in found for word in (b"word-1", b"word-5"))


@pytest.mark.parametrize(
    ("table", "how", "why"),
    [
        (pa.table({"a": pa.array([0], pa.timestamp("ns"))}), {"use_deprecated_int96_timestamps": True}, "INT96"),
        (pa.table({"a": ["x"]}, pa.schema([pa.field("a", pa.string(), nullable=False)])), {}, "no null"),
        (pa.table({"a": pa.array([["x"]], pa.list_(pa.dictionary(pa.int32(), pa.string())))}), {}, "dictionary"),
    ],
)
def test_parquet_that_cannot_be_written_so_again_is_refused(table: pa.Table, how: dict[str, object], why: str) -> None:
    """Times that would change, columns that have to have a value, dictionaries that would keep one."""
    assert why in str(parquet_obstacle(pq.ParquetFile(BytesIO(written(table, **how)))))
