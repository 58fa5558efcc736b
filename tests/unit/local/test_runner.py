"""What the local runner does around a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.errors import Stop
from sluice.local.looks import Looks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.runs.progress import Snapshot


@dataclass
class Bucket:
    """A work bucket with nothing in it yet, which may be gone."""

    gone: bool = False
    told: list[Snapshot] = field(default_factory=list)

    def find(self, _key: str) -> bytes | None:
        if self.gone:
            raise Stop("the bucket is gone")
        return None

    def keys(self, _prefix: str) -> Iterable[tuple[str, int]]:
        return []


def test_looks_are_taken_now_and_then() -> None:
    """The runner offers a look twenty times a second; reading the bucket each time would slow the run."""
    bucket, moments = Bucket(), iter([0.0, 0.0, 0.1, 0.5, 0.5])
    looks = Looks(bucket, lambda: None, bucket.told.append, lambda: next(moments))
    for _ in range(3):
        looks("r1")
    assert [snapshot.run for snapshot in bucket.told] == ["r1", "r1"]


def test_a_look_that_fails_does_not_end_the_run() -> None:
    """Being told of its progress is not worth a run."""
    bucket = Bucket(gone=True)
    Looks(bucket, lambda: None, bucket.told.append, lambda: 0.0)("r1")
    assert bucket.told == []
