"""Conditional writes and removals: what S3 answers, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice.aws.s3 import Store
from sluice.errors import RetryLater, Stop
from tests.harness.s3 import MemoryS3, Objects, client_error


@dataclass
class Contested(MemoryS3):
    """The first conditional writes meet another one that is under way, which succeeds or not."""

    conflicts: int = 0
    winner: bytes | None = None
    refused: list[dict[str, str]] = field(default_factory=list)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> Any:  # noqa: N803
        if self.conflicts:
            self.conflicts -= 1
            if not self.conflicts and self.winner is not None:
                self.objects[Bucket, Key] = self.winner
            raise client_error("ConditionalRequestConflict", "PutObject", 409)
        return super().put_object(Bucket=Bucket, Key=Key, Body=Body, IfNoneMatch=IfNoneMatch)

    def delete_objects(self, *, Bucket: str, Delete: Any) -> Any:  # noqa: N803
        return super().delete_objects(Bucket=Bucket, Delete=Delete) | {"Errors": self.refused}


def store(client: MemoryS3) -> Store:
    return Store(client, "work")  # type: ignore[arg-type]


@pytest.mark.parametrize(("winner", "ours"), [(None, True), (b"theirs", False)])
def test_a_conflict_is_not_yet_an_object(winner: bytes | None, ours: bool) -> None:
    """409 is asked again: the other write may have failed, and then this one counts."""
    client = Contested(conflicts=2, winner=winner)
    assert store(client).put_new("claims/x", b"ours") is ours
    assert client.objects["work", "claims/x"] == (winner or b"ours")


def test_a_conflict_that_does_not_end_is_for_later() -> None:
    """Neither written nor known to be there: nobody may go on as if it were."""
    with pytest.raises(RetryLater, match="ConditionalRequestConflict"):
        store(Contested(conflicts=99)).put_new("claims/x", b"ours")


def test_many_objects_are_removed_by_the_thousand() -> None:
    """One that is gone already is no error."""
    client = Contested()
    keys = [f"inbox/{n}" for n in range(2500)]
    client.objects = Objects({("work", key): b"" for key in [*keys[1:], "inbox/stays"]})
    store(client).delete(keys)
    assert list(client.objects) == [("work", "inbox/stays")]


@pytest.mark.parametrize(("code", "kind"), [("SlowDown", RetryLater), ("AccessDenied", Stop)])
def test_a_removal_that_s3_refuses_is_an_error(code: str, kind: type[Exception]) -> None:
    """DeleteObjects succeeds as a call and says inside what it did not do."""
    client = Contested(refused=[{"Key": "inbox/1", "Code": code, "Message": code}])
    with pytest.raises(kind, match=f"inbox/1: DeleteObjects: {code}"):
        store(client).delete(["inbox/1"])
