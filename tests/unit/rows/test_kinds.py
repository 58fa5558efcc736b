"""Which objects below a folder or a prefix are taken for rows, and what is said of the others."""

from __future__ import annotations

import gzip

import pytest

from sluice.rows.containers.foreign import utf16_of
from sluice.rows.containers.kinds import Rows, left_out, rows_inside, unreadable

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
