"""From objects to lines: ranges, compression, CSV and Parquet."""

from __future__ import annotations

import bz2
import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import re
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadInput
from sluice.rows.containers import Codec, Container, Rows, columnar, container_of, lines_of, split_lines
from sluice.rows.containers.arrow_values import VALUE_BYTES, weights_of
from sluice.rows.containers.codecs import opened
from sluice.rows.containers.columnar import PAGE, WHOLE, RangedFile, parquet_rows
from sluice.rows.containers.delimited import csv_rows
from sluice.rows.containers.lines import lines_of_range, without_bom
from sluice.rows.containers.objects import as_line
from sluice.rows.containers.reading import Reading
from sluice.rows.record import OVERSIZE, BrokenRow
from sluice.runs.planning import cut_spans
from sluice.task.csv_form import CsvForm

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


PARQUET = b"PAR1\x15\x04" + bytes(20) + b"PAR1"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a/b.jsonl", b"", "lines"),
        ("a/B.JSON", b'{"a":1}\n', "lines"),
        ("b.ndjson.gz", b"\x1f\x8b\x08\x00", "lines+gzip"),
        ("b.gz", b"\x1f\x8b\x08", "lines+gzip"),
        ("b.gz", b"", "lines"),
        ("b.jsonl.gz", b'{"a":1}\n', "lines"),
        ("b.csv.gz", b"id,text\n", "csv"),
        ("b.jsonl.gz", b"\x1f\x00\x00damaged", "lines+gzip"),
        ("b.jsonl.gz", b"\x1f\x8bdamaged", "lines+gzip"),
        ("b.parquet", b"id,text\n", "parquet"),
        ("b.jsonl", b"\x1f\x8b\x08\x00", "lines+gzip"),
        ("b.csv", b"\x1f\x8b\x08\x00", "csv+gzip"),
        ("b.csv.gz", b"\x28\xb5\x2f\xfd", "csv+zstd"),
        ("b.csv", b"a,b\n", "csv"),
        ("b.csv", b"PAR1,text\n1,PAR1", "csv"),
        ("b.csv", b"PARENT,text\n", "csv"),
        ("b.csv", b"PK,text\n", "csv"),
        ("b.csv", b"BZh9,text\n", "csv"),
        ("b.csv.zst", b"\x50\x2a\x4d\x18", "csv+zstd"),
        ("b.tsv", b"", "tsv"),
        ("b.parquet", PARQUET, "parquet"),
        ("b.csv", PARQUET, "parquet"),
        ("b.parquet.gz", PARQUET, "parquet"),
        ("part-0001", PARQUET, "parquet"),
        ("part-0001", b"\x28\xb5\x2f\xfd", "lines+zstd"),
        ("part-0001", b"a,b\n", "lines"),
        ("part-0001", b'[{"a":1}]', "json"),
        ("b.csv", b'[{"a":1}]', "csv"),
    ],
)
def test_the_container_follows_content_then_suffix(name: str, data: bytes, expected: str) -> None:
    """Whole magic numbers decide, else the suffix; CSV is never guessed. The name leads back to the container."""
    found = container_of(name, len(data), lambda begin, end: data[begin:end])
    assert str(found) == expected
    assert Container.parse(expected) == found
    assert found.whole == (expected != "lines")


def zip_of(*names: str) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            packed.writestr(name, "<x/>\n" * 9)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.jsonl", zip_of("[Content_Types].xml", "xl/sheet.xml"), "an Excel workbook .*CSV UTF-8"),
        ("x.csv", zip_of("rows.csv"), "a zip archive.*unzip"),
        ("x.csv", bz2.compress(b"id,text\n"), "bzip2.*bunzip2"),
        ("x", lzma.compress(b"id,text\n"), "xz.*xz -dk"),
        ("x.json", '{"text":"a"}\n'.encode("utf-16"), "UTF-16, .*iconv -f UTF-16 -t UTF-8"),
        ("x.json", '{"text":"a"}\n'.encode("utf-16-le"), "UTF-16LE, .*iconv -f UTF-16LE"),
        ("x.jsonl", '{"text":"a"}\n'.encode("utf-16-be"), "UTF-16BE"),
        ("x.jsonl", '{"text":"a"}\n'.encode("utf-32"), "UTF-32"),
        ("x.jsonl", b'<?xml version="1.0"?><a/>', "XML"),
        ("x.jsonl", PARQUET[:-4], "cut or damaged"),
        ("x.parquet", gzip.compress(PARQUET, mtime=0), "unpack the gzip around it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",  # packed files bear the time
)
def test_what_holds_no_rows_as_it_is_is_refused(name: str, data: bytes, message: str) -> None:
    """Whatever it is called, the message says what it seems to be and how rows are made of it."""
    with pytest.raises(BadInput, match=rf"(?s){re.escape(name)}.*{message}"):
        container_of(name, len(data), lambda begin, end: data[begin:end])


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


TEXT_READING = Reading(text=("text",), paths=("text", "id"))


def csv_lines(
    data: bytes, block: int = 7, delimiter: str = ",", max_row: int = 1000, reading: Reading = TEXT_READING
) -> list[bytes]:
    return flat(csv_rows(in_blocks(data, block), delimiter, "x.csv", max_row, reading))


def csv_objects(data: bytes, **form: Any) -> list[dict[str, Any]]:
    """The rows of a file that is written as `form` says, none of them broken."""
    reading = TEXT_READING._replace(csv=CsvForm(**form) if form else None)
    return [json.loads(line) for block in (1, 7, 10**6) for line in csv_lines(data, block, reading=reading)]


def test_a_row_that_is_too_long_hides_none_of_its_neighbours() -> None:
    """Wherever it stands among the lines that come together, and whatever stands above the header."""
    rows = [b"id,text", b"1,a", b"2," + b"x" * 2_000, b"3,b", b"4," + b"y" * 2_000, b"5,c"]
    for block in (7, 10**6):
        found = csv_lines(b"\n".join(rows), block)
        assert [None if line is OVERSIZE else json.loads(line)["id"] for line in found] == ["1", None, "3", None, "5"]


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"sep=,\r\nid,text\r\n1,a b\r\n2,c", {}),
        (b'"sep=;"\nid;text\n1;a b\n2;c', {}),
        (b"A report of ours\n\nid,text\n1,a b\n2,c\n", {}),
        (b"# made by hand, today\nid,text\n1,a b\n2,c\n", {}),
        (b'\xef\xbb\xbf"id","text"\n1,a b\n2,c\n', {}),
        (b"id,text\r1,a b\r2,c\r", {}),
        (b'"id","text"\r"1","a b"\r2,c', {}),
        (b"id,text\r\n1,a b\r2,c\r\n", {}),
        (b"id;text\n1;a b\n2;c\n", {"separator": ";"}),
        (b"id|text\n1|a b\n2|c\n", {"separator": "|"}),
        (b"id\ttext\n1\ta b\n2\tc\n", {"separator": "tab"}),
        ("id,text\n1,a b\n2,c\n".encode("utf-16"), {"encoding": "utf-16"}),
        (b"1,a b\n2,c\n", {"header": ["id", "text"]}),
        (b"a,b,c\nd,e,f\nid,text\n1,a b\n2,c\n", {"skip": 2}),
        (b"a,b,c\nd,e,f\nx,y\nid,text\n1,a b\n2,c\n", {"skip": 3}),
        (b"id,text\n1,'a b'\n2,c\n", {"quote": "'"}),
        (b"id,text\n1,a b\n2,c\n", {"quote": ""}),
    ],
)
def test_csv_as_people_write_it(data: bytes, form: dict[str, Any]) -> None:
    """What stands above the header, how lines end, and what the task says of a file, give the same two rows."""
    assert csv_objects(data, **form) == [{"id": "1", "text": "a b"}, {"id": "2", "text": "c"}] * 3


def test_csv_with_escapes() -> None:
    """A backslash makes the next character stand for itself, in quotes and without, and \\N is nothing."""
    data = b'id,text\n1,"he said \\"hi\\", and left"\n2,a\\,b\n\\N,"c\\\\"\n'
    found = csv_objects(data, escape="\\")[:3]
    assert [row["text"] for row in found] == ['he said "hi", and left', "a,b", "c\\"]
    assert [row["id"] for row in found] == ["1", "2", None]


def test_csv_in_another_encoding() -> None:
    """Texts come out as they were meant; a byte that the encoding does not know rejects its row alone."""
    data = "id,text\n1,café €\n2,x\n".encode("cp1252") + b"3,\x81\n4,y\n"
    reading = TEXT_READING._replace(csv=CsvForm(encoding="windows-1252"))
    lines = csv_lines(data, reading=reading)
    assert json.loads(lines[0])["text"] == "café €"
    assert b"\xff" in lines[2]
    assert json.loads(lines[3]) == {"id": "4", "text": "y"}
    marked = csv_lines(b"\xef\xbb\xbfid,text\n1,caf\xc3\xa9\n", reading=reading)
    assert json.loads(marked[0])["text"] == "café"


def test_text_that_ends_in_the_middle_of_a_character_rejects_its_row_alone() -> None:
    """A file of UTF-16 with an odd number of bytes was cut: what is left of the last character does not vanish."""
    data = "id,text\n1,a\n2,b".encode("utf-16") + b"c"
    lines = csv_lines(data, reading=TEXT_READING._replace(csv=CsvForm(encoding="utf-16")))
    assert json.loads(lines[0]) == {"id": "1", "text": "a"}
    assert lines[1].endswith(b'b\xff"}')


def test_a_header_of_one_column_that_another_separator_would_part_is_refused_by_name() -> None:
    """Also where nobody has said yet which column holds the text."""
    with pytest.raises(BadInput, match=r"^x\.csv: .*;"):
        csv_lines(b"id;text\n1;a\n", reading=Reading())
    for line in (b'{"id": "1"}\n', b'{"id": "1", "n": "a"}\n'):
        with pytest.raises(BadInput, match=r"it seems to hold JSON: end its name in \.jsonl"):
            csv_lines(line)


def test_a_column_that_the_header_leaves_without_a_name_has_its_number() -> None:
    """A spreadsheet's column of row numbers, say: it can be read and kept like any other."""
    reading = Reading(text=("column_2",), paths=("column_2",))
    assert csv_lines(b"id,,n\n1,a,x\n", reading=reading) == [b'{"id":"1","column_2":"a","n":"x"}']


def test_csv_without_a_header_numbers_its_columns() -> None:
    """Where the task says that no line names them, columns are called column_1, column_2, …"""
    reading = Reading(text=("column_2",), paths=("column_2",), csv=CsvForm(header=False))
    lines = csv_lines(b"1,a\n2,b\n", reading=reading)
    assert lines == [b'{"column_1":"1","column_2":"a"}', b'{"column_1":"2","column_2":"b"}']
    with pytest.raises(BadInput, match=r"has 3 cells, and input\.csv\.header names 2 columns"):
        csv_lines(b"1,a,x\n", reading=TEXT_READING._replace(csv=CsvForm(header=("id", "text"))))


def test_columns_that_the_task_does_not_read_may_share_a_name() -> None:
    """Each keeps its value under a name of its own; what a rule names may not stand there twice."""
    data = b"id,text,Labels,Labels,Labels_2\n1,a,x,y,z\n"
    assert [json.loads(line) for line in csv_lines(data)] == [
        {"id": "1", "text": "a", "Labels": "x", "Labels_3": "y", "Labels_2": "z"}
    ]
    with pytest.raises(BadInput, match="two columns called 'Labels'"):
        csv_lines(data, reading=TEXT_READING._replace(named=frozenset({"Labels"})))


def test_a_hundred_thousand_columns_take_seconds() -> None:
    """The time for a header grows with its columns, not with their square."""
    names = ",".join(f"c{n}" for n in range(100_000))
    data = f"text,{names},c7\nhello,{','.join('x' * 100_000)},y\n".encode()
    begin = time.process_time()
    (line,) = flat(csv_rows([data], ",", "x.csv", 10**8, TEXT_READING))
    assert time.process_time() - begin < 5
    assert json.loads(line)["c7_2"] == "y"


def test_no_word_of_a_header_stands_in_a_message() -> None:
    """The names go with the error for commands that keep nothing; the message has the task's own."""
    with pytest.raises(BadInput) as raised:
        csv_lines(b"secret,word\n1,a\n")
    assert raised.value.columns == ("secret", "word")
    assert "secret" not in str(raised.value)
    assert "word" not in str(raised.value)


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


def test_a_row_whose_quotes_do_not_fit_keeps_nothing_back() -> None:
    """What is wrong in the midst of a line is wrong whatever comes behind: the rows after it come out at once."""
    asked = 0

    def blocks() -> Iterator[bytes]:
        nonlocal asked
        yield b"id,text\n" + b"0,x\n" * 20_000  # more than is looked at for the header
        for number in range(3):
            asked += 1
            yield b'%d,"a"b\n%d,c\n' % (2 * number, 2 * number + 1)

    rows = csv_rows(blocks(), ",", "x.csv", 1000, TEXT_READING)
    came = []
    for some in rows:
        came += [(asked, line) for line in some if not line.endswith(b'"x"}')]
    broken = [(when, line) for when, line in came if isinstance(line, BrokenRow)]
    assert [line.text for _, line in broken] == [b'0,"a"b', b'2,"a"b', b'4,"a"b']
    assert [when for when, line in came if line.endswith(b'"text":"c"}')] == [1, 2, 3]


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
        (b"text,text\n1,2\n", "two columns called 'text'"),
        (b"id;text\n1;x\n", "no column 'text'.* 1 column; its cells seem to be separated by ';': input.csv"),
        (b"id\ttext\n1\tx\n", "separated by tab: input.csv: {separator: tab}"),
        (b"caf\xe9,text\n1,x\n", "not utf-8; .*input.csv: {encoding: cp1252}"),
        (b"id, Text \n1,x\n", "no column 'text', .*among its 2 columns; 'Text' differs from it only in case"),
        (b"1,money\n2,bugs\n", "no column 'text', .*if no line names its columns, .*input.csv: {header:"),
        (b'{"text":"a"}\n', "it seems to hold JSON"),
        ("id,text\n1,a\n".encode("utf-16"), "UTF-16, .*input.csv: {encoding: utf-16}"),
        (b"a title\n\nid,body\n1,x\n", "no column 'text', .*among its 2 columns"),
        (b"one\ntwo\nthree\n", "no column 'text', .*among its 1 column"),
        (b"one\ntext\nthree\n", "no column 'text', .*among its 1 column"),
        (b'"id,text\n1,x\n', "quotes of the first line"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(data: bytes, message: str) -> None:
    """Without names no row can be read; the message says what is wrong."""
    with pytest.raises(BadInput, match=rf"x\.csv.*{message}"):
        csv_lines(data, reading=TEXT_READING)


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def parquet_lines(data: bytes, max_row: int = 10**6, max_text: int = NO_LIMIT, reading: Reading = WHOLE) -> list[bytes]:
    return flat(parquet_rows(lambda begin, end: data[begin:end], len(data), "x.parquet", max_row, max_text, reading))


def pruned(*paths: str) -> Reading:
    """What a task wants that reads these paths, the first as its text."""
    return Reading(paths[:1], paths, whole=False)


def test_parquet_gives_what_the_task_reads() -> None:
    """Only the named columns are read, also inside structs and where a name has a dot; the others may hold anything."""
    table = pa.table(
        {
            "id": ["1"],
            "a.b": ["dotted"],
            "s": [{"text": "inside", "other": "x"}],
            "odd": pa.array([2932897], pa.int32()).cast(pa.date32()),
        }
    )
    data = as_parquet(table)
    assert parquet_lines(data, reading=pruned("a.b", "id")) == [b'{"id":"1","a.b":"dotted"}']
    assert parquet_lines(data, reading=pruned("s.text")) == [b'{"s":{"text":"inside"}}']
    with pytest.raises(BadInput, match=r"no column 'A', .*among its 4 columns$"):
        parquet_lines(data, reading=pruned("A"))
    with pytest.raises(BadInput, match="'id' differs from it only in case") as raised:
        parquet_lines(data, reading=pruned("ID "))
    assert raised.value.columns == ("id", "a.b", "s", "odd")


SECONDS = pa.struct([("a", pa.timestamp("s"))])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([[(True, 1)]], pa.map_(pa.bool_(), pa.int64())), '{"true":1}'),
        (pa.array([[(decimal.Decimal("1.5"), 1)]], pa.map_(pa.decimal128(5, 2), pa.int64())), '{"1.50":1}'),
        (pa.array([[({"x": 1}, 1)]], pa.map_(pa.struct([("x", pa.int64())]), pa.int64())), r'{"{\"x\":1}":1}'),
        (pa.array([2932897], pa.int32()).cast(pa.date32()), '"10000-01-01"'),
        (
            pa.array([{"a": 253402387200}], pa.struct([("a", pa.int64())])).cast(SECONDS),
            '{"a":"10000-01-02T00:00:00"}',
        ),
        (pa.array([[1.5, None]], pa.list_(pa.float32())), "[1.5,null]"),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), "[1,2]"),
        (pa.array([None], pa.struct([("a", pa.int8())])), "null"),
        (pa.array([[{"k": [b"\xff"]}]], pa.list_(pa.struct([("k", pa.list_(pa.binary()))]))), '[{"k":["/w=="]}]'),
    ],
)
def test_parquet_of_any_type_has_a_form_in_json(column: pa.Array, expected: str) -> None:
    """Maps of any key, nested values, dates that Python does not know: none stops a file."""
    assert parquet_lines(as_parquet(pa.table({"t": column}))) == [f'{{"t":{expected}}}'.encode()]


def test_int96_keeps_dates_that_nanoseconds_cannot_say() -> None:
    """Timestamps as Spark and Impala write them come out as they went in, beyond 1677..2262 too."""
    moments = [dt.datetime(9999, 12, 31), dt.datetime(1000, 1, 1)]  # noqa: DTZ001 - INT96 knows no zone
    data = as_parquet(pa.table({"t": pa.array(moments, pa.timestamp("us"))}), use_deprecated_int96_timestamps=True)
    assert parquet_lines(data) == [b'{"t":"9999-12-31T00:00:00"}', b'{"t":"1000-01-01T00:00:00"}']


@pytest.mark.parametrize("inside", ["text", "list"])
def test_a_dictionary_bomb_is_read_in_flat_memory(inside: str) -> None:
    """Rows that all point to one long text are taken by their bytes, and one that comes to too much is marked."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array(["x" * 2**20]))
    column = text if inside == "text" else pa.ListArray.from_arrays(pa.array(range(0, 401, 2), pa.int32()), text)
    data = as_parquet(pa.table({"t": column}), compression="zstd", store_schema=False)
    before, most, rows, too_long = pa.total_allocated_bytes(), 0, 0, 0
    for lines in parquet_rows(lambda begin, end: data[begin:end], len(data), "x", 2**21 - 1, NO_LIMIT):
        most = max(most, sum(map(len, lines)), pa.total_allocated_bytes() - before)
        rows += len(lines)
        too_long += sum(line is OVERSIZE for line in lines)
    assert (rows, too_long) == ((400, 0) if inside == "text" else (200, 200))
    assert most < 48 * 2**20


def test_a_dictionary_that_has_overflowed_is_read_in_flat_memory() -> None:
    """Where texts stand among the pointers, as many rows are taken as could each have the longest."""
    texts = ["x" * 2**20] * 700 + [f"{n} " * 9 for n in range(200_000)]
    data = as_parquet(pa.table({"t": texts}), compression="zstd")
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for lines in parquet_rows(lambda begin, end: data[begin:end], len(data), "x", 2**21, NO_LIMIT):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += len(lines)
    assert rows == len(texts)
    assert most < 3 * 2**27


def test_a_dictionary_is_measured_by_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pointers into a small one are no reason to refuse a file."""
    monkeypatch.setattr(columnar, "HELD_BYTES", 50_000)
    texts = [f"text {n * 7919 % 1000}" for n in range(100_000)]
    data = as_parquet(pa.table({"t": texts}))
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).total_uncompressed_size > 50_000
    assert len(parquet_lines(data)) == len(texts)
    with pytest.raises(BadInput, match="has a dictionary of"):
        parquet_lines(as_parquet(pa.table({"t": [f"a text of some length, {n}" for n in range(3_000)]})))


def test_a_parquet_file_of_many_columns_takes_seconds() -> None:
    """Ten thousand columns of which one is read cost no more than their footer."""
    data = as_parquet(pa.table({"text": ["hello"], **{f"c{n}": ["x"] for n in range(10_000)}}))
    begin = time.process_time()
    assert parquet_lines(data, reading=pruned("text")) == [b'{"text":"hello"}']
    assert time.process_time() - begin < 5


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


def test_a_key_of_a_map_that_is_no_utf8_is_one_bad_row_as_well() -> None:
    """Also inside a key that is no text itself: its bytes are carried on, and not written as something that is text."""
    words = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"], pa.binary()).buffers())
    keys = pa.StructArray.from_arrays([words], ["x"])
    table = pa.table({"m": pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), keys, pa.array([1, 2]))})
    good, bad = parquet_lines(as_parquet(table))
    assert good == rb'{"m":{"{\"x\":\"ok\"}":1}}'
    assert b"\xff" in bad


@pytest.mark.parametrize(
    ("column", "weights"),
    [
        (pa.array([["ab", "c"], [], ["d"], None], pa.list_(pa.string())), [3, 0, 1, 0]),
        (pa.array([[("k", "vv")], []], pa.map_(pa.string(), pa.string())), [3, 0]),
        (pa.array([{}, {}], pa.struct([])), [0, 0]),
        (pa.array([{"a": "xy", "b": 1}], pa.struct([("a", pa.string()), ("b", pa.int8())])), [2 + VALUE_BYTES]),
        (pa.array(["ab", None, "ab"]).dictionary_encode(), [2, 0, 2]),
        (pa.array([b"abc"], pa.binary(3)), [3]),
    ],
)
def test_how_many_bytes_a_value_takes_is_known_before_it_is_made(column: pa.Array, weights: list[int]) -> None:
    """At least: what lies inside, to the byte where it is text."""
    assert weights_of(column) == weights


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
    with pytest.raises(BadInput, match="two columns called 't', which the task reads"):
        parquet_lines(as_parquet(double), reading=Reading(("t",), ("t",)))
    assert parquet_lines(as_parquet(double)) == [b'{"t":"a","t_2":"b"}']
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


def test_a_long_read_begins_where_it_was_asked_for() -> None:
    """What is more than the kept pages hold comes with one ranged read, from its own first byte to its last."""
    size, asked = 64 * PAGE, list[tuple[int, int]]()

    def read(begin: int, end: int) -> bytes:
        asked.append((begin, end))
        return bytes(end - begin)

    file = RangedFile(read, size)
    file.seek(PAGE + 5)
    assert len(file.read(40 * PAGE)) == 40 * PAGE
    assert asked == [(PAGE + 5, 41 * PAGE + 5)]
    assert file.tell() == 41 * PAGE + 5


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


def test_a_row_that_is_no_utf8_goes_out_as_it_came_whatever_stands_beside_it() -> None:
    """Its bytes make it a rejected row; a decimal or a moment in it is no reason to stop the file."""
    line = as_line({"a": "\udcff", "n": decimal.Decimal("1.5"), "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}, 1000)
    assert b'"a": "\xff"' in line
    assert as_line({"a": "\udcff"}, 5) is OVERSIZE
