"""Forgetting people in a folder of runs: nothing of theirs is left, and all else is as it was."""

from __future__ import annotations

import json
import shutil
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from sluice.answers.reuse import read_chunks
from sluice.api.forget import forget_in
from sluice.api.quality import verify
from sluice.aws.folder import Folder
from sluice.errors import BadRequest
from sluice.forget import doing, work
from sluice.forget.asked import Asked
from sluice.forget.planning import Planner, Site
from sluice.local.sources.kept import NAME, ReplyFile
from sluice.local.sources.source import Reply
from sluice.quality.lessons import Head, Lesson, Source, pack_lessons
from sluice.results.corrections import Correction, Corrections
from sluice.results.folder import held, runs_in_folder
from sluice.runs.keys import LessonKeys
from tests.harness.canaries import MANY, PEOPLE, SHARED, TASKS, as_folder, canary, holders, in_folder, shared_runs
from tests.harness.lessons import teacher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GONE = range(2, 22, 2) if MANY else (2, 4)
WHERE = "person in (" + ", ".join(f"'{canary(person)}'" for person in GONE) + ")"


@pytest.fixture
def kind() -> str:
    return "certified"


@pytest.fixture
def out(kind: str, tmp_path: Path) -> Path:
    """Two runs, the first of which has given way, with what people and servers said of their rows."""
    found = tmp_path / "out"
    found.mkdir()
    as_folder(*shared_runs(kind), found)
    log = Corrections(Folder("", found), "t")
    rows = {row["id"]: row for row in rows_in(found)}
    for n, name in enumerate(f"{canary(number % PEOPLE)}-id{number}" for number in (2, 1, 10, 86)):
        row, note = rows[name], f"{name.partition('-')[0]} asked"
        place = {key: row[key] for key in ("source", "line", "record", "id")}
        said = Correction(**place, by=f"p{n}", at="2026-11-28T10:00:00+00:00", run="r", labels=["blue"], note=note)
        log.add([said])
    journal = ReplyFile(found / NAME)
    for n, row in enumerate(row for row in rows.values() if row["record"]):
        journal.keep(bytes([n % 256, n // 256]), Reply(f"said of {row.get('ref', row['label'])}"), [row["record"]])
    journal.keep(b"old", Reply("said of nobody knows whom"))
    return found


def rows_in(out: Path) -> list[dict[str, Any]]:
    files = sorted(out.glob("results/**/*.parquet")) + sorted(out.glob("history/**/*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def replies_in(out: Path) -> Iterator[tuple[str, bytes, Any]]:
    for path in sorted(out.glob("replies/**/*_*")):
        for chunk in read_chunks([path.read_bytes()]):
            yield from ((path.parent.name, *pair) for pair in zip(chunk.keys, chunk.replies(), strict=True))


def forget(out: Path, **asked: Any) -> str:
    return forget_in(out, Asked.of(**asked)).do("ann")


@pytest.mark.parametrize("kind", TASKS)
def test_no_byte_of_theirs_is_left_and_every_other_row_is_as_before(out: Path) -> None:
    """In results and history, documents and reports, certificates, corrections, kept replies and the journal."""
    before, said = rows_in(out), set(map(repr, replies_in(out)))
    theirs = [row for row in before if row["person"] in map(canary, GONE)]
    left = [row for row in before if row["person"] not in map(canary, GONE)]
    alone = {row["record"] for row in theirs if row["record"]} - {row["record"] for row in left}
    assert len(holders(in_folder(out), *map(canary, GONE))) > 12
    protocol = json.loads((out / forget(out, where=WHERE)).read_text())
    assert holders(in_folder(out), *map(canary, GONE), records=alone) == set()
    assert rows_in(out) == left
    assert set(map(repr, replies_in(out))) == {reply for reply in said if not any(key in reply for key in alone)}
    kept = [json.loads(line)["of"][0] for line in (out / NAME).read_text().splitlines()]
    by_id = {row["id"]: row["record"] for row in before}
    assert kept == [record for record in by_id.values() if record and record not in alone]
    assert (protocol["rows"], protocol["by"], protocol["found_by"]) == (len(theirs), "ann", "a condition")


def test_the_books_of_each_run_balance_and_its_certificate_still_stands(out: Path) -> None:
    """Once more after more people; what the run did, and what it promises, stays as it was."""
    before = [found.document for found in runs_in_folder(out)]
    for condition in (WHERE, f"person = '{canary(1)}'"):
        forget(out, where=condition)
    for found, was in zip(runs_in_folder(out), before, strict=True):
        now, rows = found.document, found.document["rows"]
        assert rows["in"] == was["rows"]["in"]
        assert rows["in"] == sum(rows[name] for name in ("accepted", "unresolved", "rejected", "forgotten"))
        assert [entry["rows"] for entry in now["forgotten"]] == [rows["forgotten"] - rows["in"] // 6, rows["in"] // 6]
        assert sum(item["forgotten"] for item in now["inputs"]) == rows["forgotten"]
        assert sum(now["labels"].values()) == rows["accepted"]
        assert sum(now["reasons"].values()) == rows["unresolved"] + rows["rejected"]
        assert [now[name] for name in ("tiers", "records", "cost_usd")] == [
            was[name] for name in ("tiers", "records", "cost_usd")
        ]
        certificate = (out / found.place / "certificate.json").read_bytes()
        checked = verify(found.rows, now, certificate)
        assert (checked["problems"], checked["checked"]) == ([], rows["in"] - rows["forgotten"])
        assert now["findings"]["examples"]
        assert b"forgotten since" in (out / found.place / "report.html").read_bytes()


def test_of_a_text_that_others_have_the_reply_and_what_was_said_stay(out: Path) -> None:
    """A correction of it is one of a row that stays, without its note; other lines of the log keep their numbers."""
    record = blake2b(SHARED.encode(), digest_size=16).hexdigest()
    log = Corrections(Folder("", out), "t")
    log.refresh()
    other = next(mark for row in log.rows.values() for mark in row.entries if mark.what.by == "p1")
    forget(out, where=WHERE)
    assert record.encode() in {key for _, key, _ in replies_in(out)}
    log = Corrections(Folder("", out), "t")
    log.refresh()
    assert len(log) == 1
    assert other in [said for row in log.rows.values() for said in row.entries]


def test_what_runs_keep_to_teach_later_ones_goes_where_it_has_such_a_text(out: Path) -> None:
    """As a whole; another run no longer names the record among those that taught it; what is damaged is named."""
    theirs = next(row["record"] for row in rows_in(out) if row["person"] == canary(GONE[0]) and row["id"][-1] == "2")
    head = Head(task="t", runs=["r"], seeds=["s"], teacher=teacher())
    for name, key in (("a", theirs), ("b", "0" * 32)):
        place = out / LessonKeys("t", "f").of("2026-11-20", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pack_lessons(head, [Lesson(key, "a text", ("red",), Source.ORACLE, 1)]))
    draws = msgspec.json.decode((out / "draws.json").read_bytes())
    (out / "draws.json").write_bytes(msgspec.json.encode(draws | {"taught": [theirs, "0" * 32]}))
    damaged = out / LessonKeys("t", "f").of("2026-11-20", "c")
    damaged.write_bytes(b"of a later version")
    protocol = json.loads((out / forget(out, where=WHERE)).read_text())
    left = sorted(path.name for path in out.glob("learned/**/*.lessons"))
    assert left == ["2026-11-20_b.lessons", "2026-11-20_c.lessons"]
    assert any(damaged.name in line and "could not be looked into" in line for line in protocol["not_reached"])
    assert json.loads((out / "draws.json").read_text())["taught"] == ["0" * 32]


def test_looking_changes_nothing(out: Path) -> None:
    """Rows by id, in any of their runs, are counted by place."""
    before = in_folder(out)
    found = forget_in(out, Asked.of(ids=["kanary02q-id2", "kanary04q-id4"])).found
    assert in_folder(out) == before
    assert sorted(found.rows.values()) == [2, 2]
    assert found.places["rows of results"] == 4
    assert found.places["corrections"] == 1
    assert any("a.jsonl has 2 of these rows" in line for line in found.not_reached)


def test_rows_are_found_by_their_text_too(out: Path) -> None:
    """In any case, and together with an id only those that meet both; who is not there is nobody."""
    by_text = forget_in(out, Asked.of(texts=["KANARY05Q-"]))
    assert {row.source for run in by_text.site.runs for row in run.gone} == {
        item["uri"] for item in runs_by(out)["inputs"]
    }
    assert sorted(forget_in(out, Asked.of(texts=["kanary05q-5"], ids=["kanary05q-id5"])).found.rows.values()) == [1, 1]
    assert not forget_in(out, Asked.of(ids=["nobody"])).found.pieces


def runs_by(out: Path) -> dict[str, Any]:
    return next(found.document for found in runs_in_folder(out))


@pytest.mark.parametrize("asked", [{}, {"ids": [" "]}, {"where": " "}, {"where": "no_such = 1"}])
def test_a_condition_that_nobody_means_is_refused(out: Path, asked: dict[str, Any]) -> None:
    """None at all, an empty one, and one that no run's columns can meet."""
    with pytest.raises(BadRequest):
        forget(out, **asked)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_what_broke_off_is_ended_by_the_next_call(share: float, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any piece of its work: the folder is as if it had not, and one protocol tells of it."""
    asked = Asked.of(ids=["kanary02q-id2", "kanary04q-id10"])
    whole = out.with_name("whole")
    shutil.copytree(out, whole)
    forget_in(whole, asked).do("ann")
    right, pieces, real = but_protocols(whole), forget_in(out, asked).found.pieces, doing._do
    left = iter(reversed(range(int(share * len(pieces)) + 1)))

    def dies(stores: Any, piece: Any) -> None:
        if next(left) == 0:
            raise KeyboardInterrupt
        real(stores, piece)

    monkeypatch.setattr(doing, "_do", dies)
    with pytest.raises(KeyboardInterrupt):
        forget_in(out, asked).do("ann")
    monkeypatch.setattr(doing, "_do", real)
    again = forget_in(out, asked)
    assert again.unfinished is not None
    assert not again.found.pieces
    assert but_protocols(out) == right
    assert len(list((out / "forgotten").iterdir())) == 1


def but_protocols(out: Path) -> dict[str, bytes]:
    return {key: data for key, data in in_folder(out) if not key.startswith(("forgotten", ".lock"))}


def test_a_folder_that_is_being_written_is_left_alone(out: Path) -> None:
    """A run that goes on there would bring rows back."""
    forgetting = forget_in(out, Asked.of(where=WHERE))
    with held(out), pytest.raises(BadRequest, match="is being written"):
        forgetting.do("ann")


def test_the_list_of_work_holds_no_text(out: Path) -> None:
    """Places and keys alone, while it is there; documents without the rows."""
    forgetting = forget_in(out, Asked.of(where=WHERE))
    listed = msgspec.json.encode(forgetting.found.work(forgetting.asked, by="ann", at="2026-11-28"))
    assert not any(canary(person).encode() in listed for person in GONE)
    assert msgspec.json.decode(listed, type=work.Work).pieces == forgetting.found.pieces


def test_replies_are_found_where_an_earlier_version_merged_them(tmp_path: Path) -> None:
    """It took the `_` in the name of a task for the name's end."""
    store = Folder("", tmp_path)
    for key in ("my_task/f/aa/2026-11-28_r", "my_merged-1", "my/f/aa/2026-11-28_r", "mine_merged-1"):
        store.put(f"replies/{key}", b"")
    site = Site({"results": store}, "results", "results", [], tasks={"my_task", "my"})
    planner = Planner(site, Asked.of(ids=["x"]), "2026-11-29")
    assert list(planner._kept_of("my_task")) == ["replies/my_task/f/aa/2026-11-28_r", "replies/my_merged-1"]
    assert list(planner._kept_of("my")) == ["replies/my/f/aa/2026-11-28_r"]
