"""From objects to lines: ranges, compression, CSV and Parquet."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadInput
from sluice.rows.containers import Codec, Container, Rows, container_of, lines_of, split_lines
from sluice.rows.containers.codecs import opened
from sluice.rows.containers.columnar import PAGE, RangedFile, parquet_rows
from sluice.rows.containers.delimited import csv_rows
from sluice.rows.containers.lines import lines_of_range, without_bom
from sluice.rows.record import OVERSIZE, BrokenRow
from sluice.runs.planning import cut_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PARTS = [b"\n", b"\r", b"\r\n", b"a", b"{}", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"xyz" * 9]
BYTES = st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join)
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NO_LIMIT = 10**9


def in_blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def flat(lists: Iterable[list[bytes]]) -> list[bytes]:
    return [line for lines in lists for line in lines]


def oracle(data: bytes, max_row: int) -> list[bytes | None]:
    """Lines by the book; None for one that is too long."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    bare = [line.removesuffix(b"\r") for line in lines]
    return [line if len(line) <= max_row else None for line in bare]


def seen(lines: Iterable[list[bytes]]) -> list[bytes | None]:
    return [None if line is OVERSIZE else line for line in flat(lines)]


@given(BYTES)
def test_a_block_splits_at_line_feeds_alone(data: bytes) -> None:
    """The fast way to the lines is that of the slow one, for no bytes and for no line feed too."""
    assert lines_of(data) == data.split(b"\n")


@given(BYTES, st.integers(1, 50), st.integers(1, 40))
def test_lines_do_not_depend_on_the_blocks(data: bytes, block: int, max_row: int) -> None:
    """Any bytes in blocks of any size give the lines between line feeds, each without one CR, too long ones marked."""
    assert seen(split_lines(without_bom(in_blocks(data, block)), max_row)) == oracle(data, max_row)


@given(BYTES, st.integers(1, 50), st.integers(1, 60), st.integers(1, 40))
def test_any_cut_into_ranges_gives_the_whole(data: bytes, block: int, span: int, max_row: int) -> None:
    """Each line comes out once, in order, whatever the ranges are cut like."""

    def read(begin: int, end: int) -> Iterator[bytes]:
        return in_blocks(data[begin:end], block)

    pieces = [piece for span_ in cut_spans([(len(data), False)], span) for piece in span_]
    found = [lines_of_range(read, begin, end, len(data), max_row) for _, begin, end in pieces]
    assert [line for lines in found for line in seen(lines)] == oracle(data, max_row)


def test_an_endless_line_is_not_read_by_every_range() -> None:
    """A range in which no line begins reads nothing behind its end; one that opens the line reads what may be kept."""
    size, fetched = 50 * 1024 * 1024, []

    def read(begin: int, end: int) -> Iterator[bytes]:
        fetched.append(end - begin)
        return in_blocks(b"x" * (end - begin), 1024 * 1024)

    assert flat(lines_of_range(read, 10**6, 2 * 10**6, size, 10**6)) == []
    assert sum(fetched) == 10**6 + 1
    fetched.clear()
    assert seen(lines_of_range(read, 0, 10**6, size, 10**6)) == [None]
    assert sum(fetched) < 3 * 10**6


def test_a_long_line_is_not_held() -> None:
    """What is skipped takes no memory: the neighbours of a line of 300 MB stand beside a marker."""
    import tracemalloc

    block = b"x" * 1024 * 1024
    blocks = [b'{"a":1}\n', *[block] * 300, b'\n{"b":2}\n']
    tracemalloc.start()
    assert flat(split_lines(blocks, 4 * 1024 * 1024)) == [b'{"a":1}', OVERSIZE, b'{"b":2}']
    assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a/b.jsonl", b"", "lines"),
        ("a/B.JSON", b"", "lines"),
        ("b.ndjson.gz", b"", "lines+gzip"),
        ("b.gz", b"", "lines+gzip"),
        ("b.csv", b"", "csv"),
        ("b.csv.zst", b"", "csv+zstd"),
        ("b.tsv", b"", "tsv"),
        ("b.parquet", b"", "parquet"),
        ("part-0001", b"PAR1", "parquet"),
        ("part-0001", b"\x1f\x8b\x08\x00", "lines+gzip"),
        ("part-0001", b"\x28\xb5\x2f\xfd", "lines+zstd"),
        ("part-0001", b"a,b\n", "lines"),
        ("part-0001", b"", "lines"),
    ],
)
def test_the_container_follows_suffix_then_content(name: str, head: bytes, expected: str) -> None:
    """The suffix decides, else the first bytes; CSV is never guessed. The name leads back to the container."""
    found = container_of(name, lambda: head)
    assert str(found) == expected
    assert Container.parse(expected) == found
    assert found.whole == (expected != "lines")


def test_parquet_inside_gzip_is_refused() -> None:
    """A Parquet file is read from its end, which a stream does not have."""
    with pytest.raises(BadInput, match=r"x\.parquet\.gz: Parquet is compressed in itself; unpack"):
        container_of("x.parquet.gz", lambda: b"")


TEXT = b'{"text":"hello"}\n' * 10_000


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


PACKED = {Codec.GZIP: gzip.compress(TEXT), Codec.ZSTD: zstd(TEXT)}


@pytest.mark.parametrize("codec", list(PACKED))
@pytest.mark.parametrize("block", [1, 7, 1000, 10**6])
def test_members_and_frames_follow_each_other(codec: Codec, block: int) -> None:
    """A stream of several members or frames is read to its end."""
    packed = PACKED[codec]
    assert b"".join(opened(codec, in_blocks(packed * 3, block), "x", NO_LIMIT)) == TEXT * 3


@pytest.mark.parametrize("block", [1, 10, 10**6])
def test_padding_of_gzip_is_passed_over(block: int) -> None:
    """Zeros between and behind members, as tapes and block devices leave them, are no damage."""
    stream = gzip.compress(b"a\n") + bytes(100) + gzip.compress(b"b\n") + bytes(100)
    assert b"".join(opened(Codec.GZIP, in_blocks(stream, block), "x", NO_LIMIT)) == b"a\nb\n"


@pytest.mark.parametrize("codec", list(PACKED))
@pytest.mark.parametrize("damage", ["cut", "head", "begin", "junk"])
def test_damage_is_refused_with_the_name(codec: Codec, damage: str) -> None:
    """A cut or damaged stream is no shorter input: it is refused, named."""
    packed = PACKED[codec]
    damaged = packed[:4] + bytes(8) + packed[12:]
    data = {"cut": packed[:-3], "head": packed[:15], "begin": damaged, "junk": packed + b"junk and more junk"}[damage]
    with pytest.raises(BadInput, match=rf"s3://in/x is no whole {codec} stream .*write it again"):
        b"".join(opened(codec, in_blocks(data, 1000), "s3://in/x", NO_LIMIT))


@pytest.mark.parametrize("codec", list(PACKED))
def test_a_bomb_is_stopped_and_a_repetitive_file_is_not(codec: Codec) -> None:
    """Only the size of the text counts: a million equal lines compress by more than 200 and are fine."""
    text = b'{"text":"the very same words"}\n' * 1_000_000
    packed = gzip.compress(text) if codec is Codec.GZIP else zstd(text)
    assert len(text) > 200 * len(packed)
    assert sum(map(len, opened(codec, in_blocks(packed, 10_000), "x", len(text)))) == len(text)
    with pytest.raises(BadInput, match=r"x holds more than 1,000,000 bytes of text.*split it"):
        list(opened(codec, in_blocks(packed, 10_000), "x", 1_000_000))


def csv_lines(data: bytes, block: int = 7, delimiter: str = ",", max_row: int = 1000) -> list[bytes]:
    return flat(csv_rows(in_blocks(data, block), delimiter, "x.csv", max_row))


@given(
    st.lists(st.tuples(CELL, CELL), max_size=8),
    st.integers(1, 60),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_csv_comes_back_as_it_was_written(rows: list[tuple[str, str]], block: int, end: str) -> None:
    """Quotes, delimiters and line ends inside cells survive; an empty cell is null."""
    import csv

    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["id", "text"], *rows])
    read = [json.loads(line) for line in csv_lines(out.getvalue().encode(), block)]
    assert read == [{"id": id_ or None, "text": text or None} for id_, text in rows]


def test_a_broken_csv_row_leaves_its_neighbours() -> None:
    """Too many cells, too few, quotes that do not fit, a quote that never closes, not UTF-8: one row each."""
    data = (
        b'id,text\n1,"a, b"\n2\n3,x,y\n4,"unclosed\n5,plain\n\n6,"q ""z"""\n7,"bad"q"\n'
        b'8,"two\n\nlines",z\n9,caf\xe9\n10,ok'
    )
    lines = csv_lines(data)
    broken = [n for n, line in enumerate(lines) if isinstance(line, BrokenRow)]
    assert broken == [1, 2, 3, 6, 7]
    assert [json.loads(line)["id"] for n, line in enumerate(lines) if n not in (*broken, 8)] == ["1", "5", "6", "10"]
    assert lines[8] == b'{"id": "9", "text": "caf' + b'\xe9"}'
    assert b"\n" not in b"".join(lines)


def test_a_csv_row_that_is_too_long_is_marked() -> None:
    """A long line and a long cell are marked; the rows around them stay."""
    data = b'id,text\n1,a\n2,"' + b"x" * 2000 + b'"\n3,' + b"y" * 2000 + b"\n4,b\n"
    assert [line is OVERSIZE for line in csv_lines(data)] == [False, True, True, False]


def test_quotes_that_never_close_do_not_cost_the_square() -> None:
    """Lines that each open a quote are read again a bounded number of times."""
    line = b'a"b,"c\n'
    lines = csv_lines(b"id,text\n" + line * 20_000, block=4096, max_row=5000)
    assert len(lines) == 20_000


def test_tsv_has_tabs() -> None:
    """A tab separates, a comma is text."""
    assert csv_lines(b"id\ttext\n1\ta, b\n", delimiter="\t") == [b'{"id":"1","text":"a, b"}']


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"id,text", b"id,text\r\n"])
def test_a_csv_file_without_rows_has_none(data: bytes) -> None:
    """Nothing, blank lines or a header alone are no rows."""
    assert csv_lines(data) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"id;text\n1;x\n", "separated by ';'"),
        (b"caf\xe9,text\n1,x\n", "has to be UTF-8"),
        (b"id,text\r1,x\r", "LF or CRLF"),
        (b'"id,text\n1,x\n', "quotes of the first line"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(data: bytes, message: str) -> None:
    """Without names no row can be read; the message says what is wrong."""
    with pytest.raises(BadInput, match=rf"x\.csv: .*{message}"):
        csv_lines(data)


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def parquet_lines(data: bytes, max_row: int = 10**6, max_text: int = NO_LIMIT) -> list[bytes]:
    return flat(parquet_rows(lambda begin, end: data[begin:end], len(data), "x.parquet", max_row, max_text))


def test_parquet_values_become_json() -> None:
    """Each type has one form; what JSON cannot say is null or base64."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - a column without a zone
    table = pa.table(
        {
            "string": ["é"],
            "null": pa.nulls(1),
            "int": pa.array([2**64 - 1], pa.uint64()),
            "nan": [float("nan")],
            "naive": pa.array([moment], pa.timestamp("ms")),
            "fraction": pa.array([moment.replace(microsecond=120_000)], pa.timestamp("us")),
            "nanos": pa.array([1], pa.timestamp("ns", "Europe/Berlin")),
            "date": [moment.date()],
            "time": [moment.time()],
            "decimal": [decimal.Decimal("1.10")],
            "text_bytes": [b"text"],
            "bytes": [b"\xff\x00"],
            "list": [[b"a"]],
            "struct": [{"at": moment}],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "dictionary": pa.array(["x"]).dictionary_encode(),
            "seconds": pa.array([90], pa.duration("s")),
        }
    )
    (line,) = parquet_lines(as_parquet(table))
    assert b'"decimal":1.10,' in line
    assert json.loads(line) == {
        "string": "é",
        "null": None,
        "int": 2**64 - 1,
        "nan": None,
        "naive": "2026-01-02T03:04:05",
        "fraction": "2026-01-02T03:04:05.12",
        "nanos": "1970-01-01T00:00:00.000000001Z",
        "date": "2026-01-02",
        "time": "03:04:05",
        "decimal": 1.1,
        "text_bytes": "text",
        "bytes": "/wA=",
        "list": ["a"],
        "struct": {"at": "2026-01-02T03:04:05"},
        "map": {"k": 1},
        "dictionary": "x",
        "seconds": 90,
    }


def test_parquet_text_that_is_no_utf8_is_one_bad_row() -> None:
    """Arrow does not look whether a string column holds UTF-8; the row with the bad bytes carries them on."""
    raw = pa.array([b"ok", b"\xff bad", b"fine"], pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    assert parquet_lines(as_parquet(table)) == [b'{"text":"ok"}', b'{"text": "\xff bad"}', b'{"text":"fine"}']


def test_parquet_goes_over_row_groups_and_marks_long_rows() -> None:
    """Row groups follow each other; a row above the limit is marked."""
    table = pa.table({"text": [f"row {n}" for n in range(1000)] + ["x" * 3000, "end"]})
    lines = parquet_lines(as_parquet(table, row_group_size=77), max_row=1000)
    assert [line is OVERSIZE for line in lines] == [False] * 1000 + [True, False]
    assert lines[999] == b'{"text":"row 999"}'


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "middle"])
def test_damaged_parquet_is_refused(damage: str) -> None:
    """A file that is none, or lost a part, is refused with its name."""
    data = as_parquet(pa.table({"text": [f"row {n} {n * n}" for n in range(5000)]}))
    bad = {"cut": data[:-10], "empty": b"", "text": b"hello", "middle": data[:200] + bytes(300) + data[500:]}[damage]
    with pytest.raises(BadInput, match=r"x\.parquet cannot be read as Parquet.*write it again"):
        parquet_lines(bad)


def test_parquet_with_doubled_or_no_columns_or_too_much_text_is_refused() -> None:
    """A name has to stand for one column; the limit on text holds for Parquet too."""
    double = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["t", "t"])
    with pytest.raises(BadInput, match="two columns called 't'"):
        parquet_lines(as_parquet(double))
    with pytest.raises(BadInput, match="no columns"):
        parquet_lines(as_parquet(pa.table({})))
    with pytest.raises(BadInput, match="more than 1,000 bytes of text"):
        parquet_lines(as_parquet(pa.table({"t": ["same"] * 1000})), max_text=1000)


def test_an_error_of_the_store_is_not_taken_for_damage() -> None:
    """What S3 says while a Parquet file is read comes through Arrow as it was raised."""
    data = as_parquet(pa.table({"t": ["a"]}))

    def read(_begin: int, _end: int) -> bytes:
        raise BadInput("the object was changed")

    with pytest.raises(BadInput, match=r"^the object was changed$"):
        flat(parquet_rows(read, len(data), "x", 1000, NO_LIMIT))


@given(st.lists(st.tuples(st.integers(0, 4 * PAGE), st.integers(0, 2 * PAGE)), max_size=6))
def test_a_ranged_file_reads_what_stands_there(reads: list[tuple[int, int]]) -> None:
    """Any sequence of seeks and reads gives the object's bytes."""
    data = bytes(range(251)) * (3 * PAGE // 251)
    file = RangedFile(lambda begin, end: data[begin:end], len(data))
    for at, count in reads:
        assert file.seek(at) == at
        assert file.read(count) == data[at : at + count]


def test_small_column_chunks_do_not_each_cost_a_request() -> None:
    """A file of many small row groups and columns is fetched in pages, each once."""
    table = pa.table({f"c{n}": [str(i) for i in range(2000)] for n in range(12)})
    data, fetched = as_parquet(table, row_group_size=50), []

    def read(begin: int, end: int) -> bytes:
        fetched.append((begin, end))
        return data[begin:end]

    assert len(flat(parquet_rows(read, len(data), "x", 10**6, NO_LIMIT))) == 2000
    assert len(fetched) <= 2 + 2 * (len(data) // PAGE + 1)


def test_the_rows_of_each_container_know_their_name() -> None:
    """The two halves of a container make its name."""
    assert str(Container(Rows.CSV, Codec.GZIP)) == "csv+gzip"
    assert Container(Rows.PARQUET).packed
    assert not Container(Rows.CSV).packed
