"""Which objects below a folder or a prefix are taken for rows, and what is said of the others."""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.aws.s3 import Store
from sluice.errors import BadInput
from sluice.rows.containers import Rows, container_of
from sluice.rows.containers.foreign import utf16_of
from sluice.rows.containers.inputs import Limits, lines_of_input
from sluice.rows.containers.kinds import left_out, rows_inside, unreadable
from sluice.rows.containers.reading import Reading
from sluice.runs.state import Input
from sluice.task.file import parse_task
from tests.harness.s3 import MemoryS3

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = b'{"text": "a"}\n'
PARQUET = b"PAR1\x15\x04"


@pytest.mark.parametrize(
    ("name", "head", "reason"),
    [
        ("_SUCCESS", b"", "marks no data"),
        ("2026/.part/rows.jsonl", JSON, "marks no data"),
        ("manifest", b"", "lists other files"),
        ("unload/rows-Manifest.csv", JSON, "lists other files"),
        ("my.report.xlsx", b"PK", "it ends in .xlsx;"),
        ("rows.tar.gz", b"", "it ends in .tar.gz;"),
        ("rows.parquet.gz", b"", "compressed in itself"),
        ("notes", b"hello", "holds no JSON"),
        ("notes", b"PAR1 is how it begins", "holds no JSON"),
    ],
)
def test_what_holds_no_rows_is_passed_over_with_a_reason(name: str, head: bytes, reason: str) -> None:
    """By its name, or by how it begins where its name says nothing."""
    assert reason in str(left_out(name, head))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        *(
            ("rows", head)
            for head in (b"", b" \n", JSON, b"\xef\xbb\xbf [1,", b"\x1e{}", gzip.compress(JSON, mtime=0), PARQUET)
        ),
        ("2026.01.csv", b"a,b"),
        ("ROWS.JSONL", b"hello"),
        ("rows.csv.gz", b"no gzip"),
        ("my_manifesto.csv", b"a,b"),
        ("v1.2 final/rows", JSON),
    ],
)
def test_what_can_hold_rows_is_taken(name: str, head: bytes) -> None:
    """A known suffix is enough, as are the first bytes of JSON, Parquet or a packed file; an empty one has no rows."""
    assert left_out(name, head) is None


def test_a_name_without_a_suffix_says_nothing() -> None:
    """What follows a dot has to look like a suffix."""
    assert [unreadable(name) for name in ("rows", "rows.2026-11-20", "rows.", "a.b/rows")] == [None] * 4


@pytest.mark.parametrize(
    ("inside", "complete", "rows"),
    [
        (b'{"rows":[{"a":1}]}', True, Rows.JSON),
        (b'{"rows":[{"a":1}]}', False, Rows.LINES),
        (b'{"a":1}', True, Rows.LINES),
        (b'{"a":1}\n{"a":2}', False, Rows.LINES),
        (b'[{"a":1}]', True, Rows.JSON),
    ],
)
def test_what_a_compressed_object_holds_is_told_by_its_text(inside: bytes, complete: bool, rows: Rows) -> None:
    """One object that is all of it may be a table; where more comes, it is a row."""
    assert rows_inside(inside, "x.gz", complete=complete) is rows


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE"])
def test_utf_16_without_a_mark_is_told_by_its_zeros(encoding: str) -> None:
    """Which half of each pair is zero says which form it is; with a mark it is either, and text has no zeros."""
    rows = 'id,text\n1,"some words"\n' * 20
    assert utf16_of(rows.encode(encoding)) == encoding
    assert utf16_of(rows.encode("utf-16")) == "UTF-16"
    assert utf16_of(rows.encode()) is None


def read_whole(data: bytes, name: str) -> list[bytes]:
    """The rows of an object that one worker reads from its beginning."""
    client: Any = MemoryS3()
    store = Store(client, "in")
    store.put(name, data)
    container = container_of(name, len(data), lambda begin, end: data[begin:end])
    etag = client.head_object(Bucket="in", Key=name)["ETag"]
    item = Input(uri=f"s3://in/{name}", version=None, etag=etag, bytes=len(data), container=str(container))
    limits, reading = Limits(1000, 10**6), Reading(text=("text",), paths=("text",))
    return [line for some in lines_of_input(store, name, item, 0, len(data), limits, reading) for line in some]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a.json.gz", b'[{"text":"a"},\n{"text":"b"}]'),
        ("a.jsonl.gz", JSON + b'{"text":"b"}'),
        ("a.csv.gz", b"text\na\nb\n"),
        ("a.json", b'[{"text":"a"},\n{"text":"b"}]'),
        ("a.csv", b"text\na\nb\n"),
    ],
)
def test_what_a_compressed_object_holds_is_read_as_if_it_were_not(name: str, rows: bytes) -> None:
    """In each layout: only its text tells."""
    data = gzip.compress(rows, mtime=0) if name.endswith("gz") else rows
    found = [json.loads(line) for line in read_whole(data, name)]
    assert found == [{"text": "a"}, {"text": "b"}]


class Versions(Store):
    """A bucket that keeps each version of its one object, as (version, tag) and bytes."""

    def __init__(self, held: dict[tuple[str | None, str | None], bytes]) -> None:
        self.held = held

    def blocks(
        self, key: str, begin: int = 0, end: int | None = None, version: str | None = None, etag: str | None = None
    ) -> Iterator[bytes]:
        assert key == "a"
        yield self.held[version, etag][begin:end]


@pytest.mark.parametrize("container", ["lines", "csv", "csv+gzip", "json", "parquet"])
def test_the_version_is_read_that_the_run_froze(container: str) -> None:
    """Also where another has taken its place, whatever the rows stand in."""
    packed = container.endswith("gzip")
    made = {
        "lines": lambda text: b'{"text":"%b"}' % text,
        "csv": lambda text: b"text\n%b\n" % text,
        "json": lambda text: b'[{"text":"%b"}]' % text,
        "parquet": parquet,
    }[container.removesuffix("+gzip")]
    frozen, later = (gzip.compress(made(text), mtime=0) if packed else made(text) for text in (b"frozen", b"later"))
    store = Versions({("1", "x"): frozen, ("2", "y"): later})
    item = Input(uri="s3://in/a", version="1", etag="x", bytes=len(frozen), container=container)
    limits, reading = Limits(1000, 10**6), Reading(text=("text",), paths=("text",))
    lines = [line for some in lines_of_input(store, "a", item, 0, len(frozen), limits, reading) for line in some]
    assert [json.loads(line) for line in lines] == [{"text": "frozen"}]


def parquet(text: bytes) -> bytes:
    """A Parquet file of one row."""
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [text.decode()]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, False),
        ({"input": {"text": "text", "keep": {"stars": "int"}}}, False),
        ({"input": {"text": "text", "keep_input": True}}, True),
        ({"gates": {"rules": [{"name": "r", "schema": {"required": ["row"]}}]}}, True),
    ],
)
def test_columns_that_nobody_reads_are_read_only_where_the_row_is_wanted(changes: dict[str, Any], whole: bool) -> None:
    """Because it is kept as it came, or since a rule may look at all of it."""
    task = {"name": "t", "input": {"text": "text"}, "labels": ["a", "b"], "tiers": [{"model": "nova-micro"}]}
    assert Reading.of(parse_task(task | changes, "t")).whole is whole


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_what_is_compressed_twice_is_refused(name: str) -> None:
    """With the command that mends it."""
    twice = gzip.compress(gzip.compress(b"text\na\n", mtime=0), mtime=0)
    with pytest.raises(BadInput, match=r"seems to be .*gzip.*gunzip"):
        read_whole(twice, name)
