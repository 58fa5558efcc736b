from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.answers.requests import RequestWriter
from sluice.aws import s3
from sluice.aws.s3 import PART_BYTES, Store, ahead
from sluice.steps.selection import _whole_rows
from tests.harness.s3 import MemoryS3
from tests.harness.stage import BATCH, MICRO, STRONGER, SURE, finish, stage

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = st.lists(st.binary(min_size=1, max_size=20).filter(lambda row: b"\n" not in row), max_size=12)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data cut at these places."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[begin:end] for begin, end in pairwise(places)]


@settings(deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 200), max_size=12))
def test_stored_rows_come_whole_however_they_are_read(rows: list[bytes], cuts: list[int]) -> None:
    """A read may end inside a row, before it or behind it."""
    data = b"".join(b"\n" + row for row in rows)
    found = [row for lines in _whole_rows(pieces(data, cuts)) for row in lines]
    assert found == rows == data.split(b"\n")[1:]


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.sampled_from([0, 1, 1000, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 3]), max_size=4))
def test_an_object_is_what_was_written(sizes: list[int]) -> None:
    """However the writes fall on the parts, and however often a part's memory is filled anew."""
    client: Any = MemoryS3()
    store = Store(client, "work")
    written = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    with store.writer("key") as out:
        for data in written:
            out.write(data)
    assert store.get("key") == b"".join(written)
    assert out.size == sum(sizes)


@pytest.mark.parametrize("block", [1, 60, 1000])
def test_records_that_wait_are_all_read_however_their_blocks_fall(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each object the lines that a job is about, and no others: none is lost, none is sent twice."""
    monkeypatch.setattr(s3, "BLOCK_BYTES", block)
    unsure = SURE.replace("certain", "unsure")
    settings = {"max_records_per_job": 7, "min_records_per_job": 1}
    staged = stage(
        BATCH, STRONGER, rows=20, answer=lambda model, _: unsure if model == MICRO else SURE, settings=settings
    )
    summary = finish(staged)
    assert (summary["rows"]["accepted"], summary["tiers"][1]["sent"]) == (20, 20)
    assert set(staged.machine.faulty.bought.values()) <= {1, 2}  # a tier has two attempts


def test_reading_ahead_keeps_the_order() -> None:
    """Results come in the order of what was asked for, however many are under way."""
    assert list(ahead(lambda number: number * number, range(100), 7)) == [number * number for number in range(100)]


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.binary(max_size=9)), min_size=1, max_size=9))
def test_lines_rendered_together_are_those_rendered_one_by_one(rows: list[tuple[bytes, bytes]]) -> None:
    """One join over many records gives the same bytes."""
    writer = RequestWriter.__new__(RequestWriter)
    writer.head, writer.tail = b"<head>", b"<tail>\n"
    keys, escaped = [key for key, _ in rows], [text for _, text in rows]
    assert writer.lines(keys, escaped) == b"".join(writer.line(key, text) for key, text in rows)
