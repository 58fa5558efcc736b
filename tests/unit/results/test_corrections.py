"""What people say of rows: a log that only grows, read back as what stands of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.aws.folder import Folder
from sluice.aws.s3 import Store
from sluice.errors import Stop
from sluice.results.corrections import Correction, Corrections
from tests.harness.s3 import MemoryS3

if TYPE_CHECKING:
    from pathlib import Path


def said(by: str, label: str, line: int = 1, **more: Any) -> Correction:
    made: dict[str, Any] = {"source": "s3://in/t/a.csv", "line": line, "record": f"k{line}", "run": "r", "at": "2026"}
    return Correction(**(made | {"by": by, "labels": [label]} | more))


@pytest.fixture(params=["bucket", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(MemoryS3(), "results") if request.param == "bucket" else Folder("", tmp_path)  # type: ignore[arg-type]


def standing(log: Corrections, line: int = 1) -> tuple[str, list[str] | None, bool] | None:
    found = log.of("s3://in/t/a.csv", line, f"k{line}")
    return None if found is None else (found.by, found.latest.labels, found.conflict)


def test_two_who_do_not_know_of_each_other_are_in_conflict(store: Store) -> None:
    """Both answers are kept, and named, until somebody who has seen both decides."""
    ann, ben = Corrections(store, "t"), Corrections(store, "t")
    ann.add([said("ann", "a")])
    ben.add([said("ben", "b")])
    ann.refresh()
    found = ann.of("s3://in/t/a.csv", 1, "k1")
    assert found is not None
    assert (found.conflict, found.by, found.note) == (True, "ann, ben", "ann: a; ben: b")
    assert [place for place, _ in ann.conflicts()] == [("s3://in/t/a.csv", 1, "k1")]
    ann.add([said("ann", "b", seen=ann.of_row(("s3://in/t/a.csv", 1, "k1")).last)])
    ben.refresh()
    assert standing(ben) == ("ann", ["b"], False)


def test_the_same_answer_of_two_is_no_conflict(store: Store) -> None:
    """They agree, and both are named."""
    log = Corrections(store, "t")
    log.add([said("ann", "a"), said("ben", "a")])
    assert standing(log) == ("ann, ben", ["a"], False)


def test_what_is_withdrawn_gives_back_what_it_had_replaced(store: Store) -> None:
    """Undo is as if it had never been said; the log still has it."""
    log = Corrections(store, "t")
    first = log.add([said("ann", "a")])[0]
    second = log.add([said("ben", "b", seen=first.mark)])[0]
    log.add([said("ben", "", labels=None, withdraws=second.mark)])
    assert standing(log) == ("ann", ["a"], False)
    assert len(log.of_row(first.what.place).entries) == 3


def test_rows_of_one_text_share_what_is_said_of_one(store: Store) -> None:
    """Unless people have said different things of such rows, each of which keeps its own."""
    log = Corrections(store, "t")
    log.add([said("ann", "a", record="k")])
    assert [getattr(log.of("other", 9, "k"), "by", None), log.of("other", 9, "x")] == ["ann", None]
    log.add([said("ann", "b", line=2, record="k")])
    assert log.of("other", 9, "k") is None
    assert [log.of("s3://in/t/a.csv", n, "k").latest.labels for n in (1, 2)] == [["a"], ["b"]]  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ab"), st.integers(1, 2)), max_size=12))
def test_nothing_is_written_over(turns: list[tuple[str, str, int]]) -> None:
    """However writers take turns, the log holds all that was said, in the order in which it was written."""
    store = Store(MemoryS3(), "results")  # type: ignore[arg-type]
    logs = {by: Corrections(store, "t") for by in "ABC"}  # each with its own, perhaps old, view
    for by, label, line in turns:
        logs[by].add([said(by, label, line)])
    read = Corrections(store, "t")
    read.refresh()
    entries = sorted((entry.mark, entry.what) for row in read.rows.values() for entry in row.entries)
    assert [(what.by, what.labels, what.line) for _, what in entries] == [(by, [x], n) for by, x, n in turns]


def test_a_log_of_a_later_version_is_refused(store: Store) -> None:
    """So is a damaged one; the object is named."""
    store.put("corrections/t/00000001.jsonl", b'{"format": 2, "source": "s", "line": 1, "record": "", "by": "", ')
    with pytest.raises(Stop, match=r"00000001\.jsonl is no log"):
        Corrections(store, "t").refresh()
    store.put(
        "corrections/t/00000001.jsonl",
        b'{"format": 2, "source": "s", "line": 1, "record": "", "by": "", "at": "", "run": ""}\n',
    )
    with pytest.raises(Stop, match="later version"):
        Corrections(store, "t").refresh()
