"""A version that forgetting writes has the place of the old one: in the claims, and in what runs have frozen."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sluice.aws.versions import Version, versions
from sluice.forget import cleaning
from sluice.forget.cleaning import FORGOTTEN, clean_input, object_id
from sluice.forget.deployed import Beyond
from sluice.forget.work import CleanInput
from sluice.runs.document import read
from sluice.runs.inbox import claim_key, marker_key
from sluice.runs.keys import Keys
from sluice.runs.state import Input, Inputs

if TYPE_CHECKING:
    from sluice.aws.s3 import Store
    from tests.harness.deployed import Deployed

KEY, DATA, LEFT = "t/a.jsonl", b'{"a":1}\n{"a":2}\n', b'       \n{"a":2}\n'


def put(deployed: Deployed, **more: Any) -> tuple[dict[str, Store], CleanInput]:
    """An object of two rows that a run has frozen, and the work of taking out the first."""
    incoming, work = deployed.stack.incoming, deployed.stack.work
    incoming.put(KEY, DATA)
    [item] = versions(incoming, KEY)
    uri = incoming.uri(KEY)
    frozen = Input(uri=uri, version=item.version, etag=item.etag, bytes=item.size, container="lines")
    work.put(Keys("r1").inputs, Inputs(inputs=[frozen]).write())
    about: dict[str, Any] = {"version": item.version, "container": "lines", "lines": [1], "newest": True, "runs": []}
    return {"in": incoming, "work": work}, CleanInput(at=("in", KEY), work="work", **about | more)


def dies(*_: Any) -> None:
    raise KeyboardInterrupt


def claim_in(stores: dict[str, Store], version: str) -> bytes | None:
    return stores["work"].find(claim_key(object_id(stores["in"], KEY, version)))


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [
        (b"r0", {"runs": ["r1"]}, b"r0"),
        (None, {"runs": ["r0", "r1"]}, b"r1"),
        (None, {}, FORGOTTEN),
        (None, {"waits": True}, None),
        (b"r0", {"waits": True}, b"r0"),
    ],
)
def test_no_event_of_the_new_version_makes_a_run(
    before: bytes | None, more: dict[str, Any], after: bytes | None, deployed: Deployed
) -> None:
    """It has a claim also where that of the old one has expired, unless the old one waits to be run."""
    stores, piece = put(deployed, **more)
    if before is not None:
        stores["work"].put(claim_key(object_id(stores["in"], KEY, piece.version)), before)
    clean_input(stores, piece)
    [item] = versions(stores["in"], KEY)
    assert stores["in"].get(KEY) == LEFT
    assert claim_in(stores, item.version) == after


@pytest.mark.parametrize("replaced", [False, True])
def test_who_died_behind_the_new_version_goes_on_with_it(
    replaced: bool, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its owner has put another object there since, which is no run's."""
    stores, piece = put(deployed, runs=["r1"])
    with monkeypatch.context() as dying:
        dying.setattr(cleaning, "_written_for", dies)
        with pytest.raises(KeyboardInterrupt):
            clean_input(stores, piece)
    if replaced:
        stores["in"].put(KEY, b"of the owner")
    clean_input(stores, piece)
    found = {
        item.version: b"".join(stores["in"].blocks(KEY, 0, item.size, item.version))
        for item in versions(stores["in"], KEY)
    }
    assert sorted(found.values()) == sorted([LEFT, *[b"of the owner"] * replaced])
    [ours] = [version for version, data in found.items() if data == LEFT]
    [frozen] = read(Inputs, stores["work"].get(Keys("r1").inputs), "r1").inputs
    assert (frozen.version, frozen.bytes) == (ours, len(LEFT))
    assert {version: claim_in(stores, version) for version in found} == dict.fromkeys(found) | {ours: b"r1"}


@pytest.mark.parametrize(
    ("days", "known", "waits"),
    [(0, None, True), (29, None, True), (31, None, False), (0, "claim", False), (31, "marker", True)],
)
def test_a_version_waits_that_no_run_has_taken(days: int, known: str | None, waits: bool, deployed: Deployed) -> None:
    """A claim lasts for 30 days, and an event comes within 14: which is older and in no inbox, some run has had."""
    stores, piece = put(deployed)
    id_ = object_id(stores["in"], KEY, piece.version)
    if known is not None:
        stores["work"].put({"claim": claim_key(id_), "marker": marker_key("t", id_)}[known], b"r0")
    beyond = Beyond([])
    beyond.incoming, beyond.work = stores["in"], stores["work"]
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days)
    beyond.planner = SimpleNamespace(day=day.isoformat())  # type: ignore[assignment]
    assert beyond._waits(Version(KEY, piece.version, len(DATA), "", newest=True)) == waits
