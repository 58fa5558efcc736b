"""Kept replies between a folder and the cloud of one run: what is new comes out, what is over goes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sluice.local.reuse import KeptRuns
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TODAY = dt.datetime.now(dt.UTC).date()


class Bucket:
    """A cloud with one bucket, as far as this is about it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def bucket(self, _variable: str) -> str:
        return "work"

    def upload(self, source: Path, _bucket: str, key: str) -> None:
        self.objects[key] = source.read_bytes()

    def keys(self, _bucket: str, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def read(self, _bucket: str, key: str) -> bytes:
        return self.objects[key]


def kept(bucket: Bucket, out: Path, **task: Any) -> KeptRuns:
    tiers = [{"model": "nova-micro"}]
    body = {"name": "t", "input": {"text": "text"}, "labels": ["a", "b"], "tiers": tiers, "reuse": {"days": 30}, **task}
    return KeptRuns(bucket, parse_task(body, "t"), out)  # type: ignore[arg-type]


def name(days: int, run: str, task: str = "t") -> str:
    return f"replies/{task}/q/______/{TODAY - dt.timedelta(days=days)}_{run}"


def put(out: Path, *names: str) -> None:
    for each in names:
        (out / each).parent.mkdir(parents=True, exist_ok=True)
        (out / each).write_bytes(each.encode())


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_what_is_over_goes_and_the_rest_is_brought(tmp_path: Path) -> None:
    """As a bucket's lifecycle would have it; another task's replies stay where they are."""
    put(tmp_path, name(31, "old"), name(30, "last"), name(0, "new"), name(99, "theirs", "other"))
    bucket = Bucket()
    kept(bucket, tmp_path).bring()
    assert set(bucket.objects) == {name(30, "last"), name(0, "new")}
    assert files(tmp_path) == {name(30, "last"), name(0, "new"), name(99, "theirs", "other")}


def test_what_a_run_kept_comes_out_and_what_it_merged_goes(tmp_path: Path) -> None:
    """The folder is afterwards what the bucket is, byte for byte."""
    put(tmp_path, name(3, "first"), name(2, "second"))
    bucket = Bucket()
    keeping = kept(bucket, tmp_path)
    keeping.bring()
    del bucket.objects[name(3, "first")]
    bucket.objects[name(0, "third")] = b"new"
    bucket.objects["replies/other/q/______/x_y"] = b"theirs"
    keeping.take()
    assert files(tmp_path) == {name(2, "second"), name(0, "third")}
    assert (tmp_path / name(0, "third")).read_bytes() == b"new"


def test_a_task_that_keeps_none_leaves_all_alone(tmp_path: Path) -> None:
    """Without `reuse` nothing is read, uploaded or removed, however old."""
    put(tmp_path, name(99, "old"))
    bucket = Bucket()
    keeping = kept(bucket, tmp_path, reuse=None)
    keeping.bring()
    keeping.take()
    assert (files(tmp_path), bucket.objects) == ({name(99, "old")}, {})


def test_what_earlier_runs_teach_is_brought_from_the_folder_and_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task that is taught; what `sluice learn` has written into the project stays there alone."""
    out, mine, theirs = tmp_path / "out", "learned/t/f/2026-11-20_r.lessons", "learned/t/f/2026-11-21_learn-1.lessons"
    put(out, mine)
    put(tmp_path, theirs, "learned/t/1.bin", "learned/other/f/2026-11-21_r.lessons")
    monkeypatch.chdir(tmp_path)
    tiers = [{"kind": "learned", "min_score": 0.9}, {"model": "nova-micro"}]
    bucket = Bucket()
    keeping = kept(bucket, out, tiers=tiers, train=200)
    keeping.bring()
    assert set(bucket.objects) == {mine, theirs}
    bucket.objects["learned/t/f/2026-11-22_s.lessons"] = b"new"
    keeping.take()
    assert files(out) == {mine, "learned/t/f/2026-11-22_s.lessons"}
    untaught = Bucket()
    kept(untaught, out).bring()
    assert not untaught.objects
