from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from sluice.aws.s3 import Store
from sluice.errors import RetryLater, Stop
from sluice.runs.keys import Keys
from sluice.runs.state import Span
from sluice.steps import keep
from sluice.steps.stored import StoredRows
from tests.harness.s3 import MemoryS3
from tests.harness.stage import STRONGER, Stage, stage

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = [0, 1, keep.FRAME_BYTES - 1, keep.FRAME_BYTES, 3 * keep.FRAME_BYTES + 77]


def span_of(staged: Stage) -> Span:
    return Span(run=staged.run, span=0, pieces=[])


def spent(seconds: float) -> Callable[[], float]:
    return lambda: seconds


@pytest.fixture
def staged() -> Stage:
    return stage(STRONGER, rows=4)


@pytest.mark.parametrize("length", LENGTHS)
def test_any_range_reads_the_same_when_the_rows_have_expired(staged: Stage, length: int) -> None:
    """Within a frame, over several and at their borders."""
    keys, work, draw = Keys(staged.run), staged.machine.work, random.Random(length)
    data = draw.randbytes(length)
    work.put(keys.rows(0), data)
    work.delete([keys.frames(0)])
    keep.run(staged.services, span_of(staged))
    work.delete([keys.rows(0)])
    rows = StoredRows(work, keys)
    places = sorted({0, length, *(draw.randint(0, length) for _ in range(20)), *range(0, length, keep.FRAME_BYTES)})
    for n, begin in enumerate(places):
        for end in places[n + 1 :]:
            assert rows.read(0, begin, end - begin) == data[begin:end]


def test_rows_are_read_as_they_were_written_while_they_are_there(staged: Stage) -> None:
    """The copy is for what comes when they have expired."""
    keys, work = Keys(staged.run), staged.machine.work
    whole = work.get(keys.rows(0))
    work.delete([keys.kept(0), keys.frames(0)])
    assert StoredRows(work, keys).read(0, 0, len(whole)) == whole


def test_a_copy_that_was_begun_is_made_anew_and_a_whole_one_is_left_alone(staged: Stage) -> None:
    """The table stands only behind the whole copy."""
    keys, work = Keys(staged.run), staged.machine.work
    kept, table = work.get(keys.kept(0)), work.get(keys.frames(0))
    work.put(keys.kept(0), kept[:5])
    work.delete([keys.frames(0)])
    keep.run(staged.services, span_of(staged))
    assert (work.get(keys.kept(0)), work.get(keys.frames(0))) == (kept, table)
    work.delete([keys.rows(0)])
    keep.run(staged.services, span_of(staged))
    assert work.get(keys.kept(0)) == kept


def test_a_worker_with_little_time_left_leaves_the_copy_to_the_next(staged: Stage) -> None:
    """It would be cut off in the middle, and the span is read already."""
    keys, work = Keys(staged.run), staged.machine.work
    work.delete([keys.frames(0)])
    staged.use(remaining_seconds=spent(0))
    with pytest.raises(RetryLater, match="next call"):
        keep.run(staged.services, span_of(staged))
    staged.use(remaining_seconds=spent(900))
    keep.run(staged.services, span_of(staged))
    assert work.exists(keys.frames(0))


def test_rows_of_an_earlier_version_are_read_where_they_last() -> None:
    """They lie in the run's own folder, and there is no copy."""
    client: Any = MemoryS3()
    work, keys = Store(client, "work"), Keys("r")
    work.put(keys.rows_before(3), b"0123456789")
    assert StoredRows(work, keys).read(3, 2, 4) == b"2345"
    with pytest.raises(Stop):
        StoredRows(work, keys).read(4, 0, 1)
