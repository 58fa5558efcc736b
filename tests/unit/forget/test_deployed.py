"""Forgetting people in a deployment: no object holds a byte of theirs, and all other rows are as they were."""

from __future__ import annotations

import csv
import json
from io import BytesIO, StringIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.s3.models import FakeDeleteMarker, s3_backends

from sluice.api.forget import forget_deployed
from sluice.aws.versions import versions
from sluice.errors import BadRequest
from sluice.forget.asked import Asked
from sluice.forget.cleaning import without
from sluice.forget.deployed import INCOMING, RESULTS, WORK, Beyond
from sluice.forget.planning import Planner, Site
from sluice.results.corrections import Correction, Corrections
from sluice.results.wanted import Wanted
from sluice.runs.inbox import Dropped, claim_key
from sluice.runs.keys import Keys
from sluice.runs.settled import SettledRecord, read_settled, write_settled
from tests.harness.canaries import COUNT, FIRST, MANY, PEOPLE, TASKS, canary, holders, rows_of, shared_runs, task_of

if TYPE_CHECKING:
    from sluice.aws.s3 import Store
    from tests.harness.deployed import Deployed
    from tests.harness.drive import Cloud

GONE = range(1, 11) if MANY else (1, 3)
MORE = rows_of(40, PEOPLE, first=2 * COUNT)  # in tables that no run has read yet
IDS = [row["id"] for row in rows_of(COUNT, PEOPLE) + MORE if row["person"] in map(canary, GONE)]


@pytest.fixture
def kind() -> str:
    return "certified"


@pytest.fixture
def made(kind: str) -> tuple[Cloud, list[dict[str, Any]]]:
    return shared_runs(kind)


def memory_of(store: Store) -> Any:
    """The bucket inside of the emulator: thousands of objects are there sooner than by as many requests."""
    return s3_backends["123456789012"]["aws"].buckets[store.bucket]


@pytest.fixture
def stack(made: tuple[Cloud, list[dict[str, Any]]], deployed: Deployed) -> Deployed:
    """Two runs that have ended, over objects of which each lies there in an older version too."""
    cloud, summaries = made
    stores = {name: getattr(deployed.stack, name) for name in ("incoming", "work", "results")}
    emulator = s3_backends["123456789012"]["aws"]
    for (bucket, key), data in cloud.s3.objects.items():
        if bucket == "incoming":
            emulator.put_object(stores[bucket].bucket, key, data.upper())
        emulator.put_object(stores[bucket].bucket, key, data)
    frozen = {f"s3://incoming/{item.key}": item for item in newest(stores["incoming"])}
    for (bucket, key), data in cloud.s3.objects.items():
        if key.endswith(("inputs.json", "run.json", "published.json")):
            document = json.loads(data)
            for item in document["inputs"]:
                item |= {"version": frozen[item["uri"]].version}
            text = json.dumps(document).replace("s3://incoming/", stores["incoming"].uri(""))
            stores[bucket].put(key, text.encode())
    for item in frozen.values():
        stores["work"].put(claim(stores["incoming"], item.key, item.version), summaries[0]["run_id"].encode())
    rename_sources(stores["results"], stores["incoming"].bucket)
    stores["work"].put("athena/some.csv", f"{canary(1)},{canary(2)}".encode())
    return deployed


def rename_sources(results: Store, bucket: str) -> None:
    """Let rows name the bucket of the stack."""
    for key, _ in list(results.keys("results/")):
        table = pq.ParquetFile(BytesIO(results.get(key))).read()
        sources = [uri.replace("s3://incoming/", f"s3://{bucket}/") for uri in table["source"].to_pylist()]
        table = table.set_column(0, "source", [sources])
        sink = BytesIO()
        pq.write_table(table, sink)
        results.put(key, sink.getvalue())


def put_tables(incoming: Store) -> None:
    """Put rows there as CSV and as Parquet."""
    text, binary = StringIO(newline=""), BytesIO()
    writer = csv.DictWriter(text, list(MORE[0]))
    writer.writeheader()
    writer.writerows(MORE)
    pq.write_table(pa.Table.from_pylist(MORE), binary)
    incoming.put("t/more.csv", text.getvalue().encode())
    incoming.put("t/more.parquet", binary.getvalue())


def claim(store: Store, key: str, version: str) -> str:
    return claim_key(Dropped(bucket=store.bucket, key=key, version=version, etag="", bytes=0, at="").id)


def newest(store: Store) -> list[Any]:
    return [item for item in versions(store, "") if item.newest]


def everything(deployed: Deployed) -> list[tuple[str, bytes]]:
    """Every version of every object."""
    stores = (deployed.stack.incoming, deployed.stack.work, deployed.stack.results)
    found = [version for store in stores for _, each in memory_of(store).keys.iterlists() for version in each]
    return [(item.name, item.value) for item in found if not isinstance(item, FakeDeleteMarker)]


def rows_in(deployed: Deployed) -> list[dict[str, Any]]:
    results = deployed.stack.results
    keys = [key for key, _ in results.keys("results/")]
    return [row for key in keys for row in pq.ParquetFile(BytesIO(results.get(key))).read().to_pylist()]


@pytest.mark.parametrize("kind", TASKS)
def test_no_byte_of_theirs_is_in_any_object_and_every_other_row_is_as_before(stack: Deployed) -> None:
    """In all versions of inputs, in what runs worked with, and in what they published; nobody gets more rights."""
    before, incoming = rows_in(stack), stack.stack.incoming
    put_tables(incoming)
    sizes = {item.key: item.size for item in newest(incoming)}
    assert len(holders(everything(stack), *map(canary, GONE))) > 60
    forgetting = forget_deployed(stack.deployment, Asked.of(ids=IDS))
    assert rows_in(stack) == before
    forgetting.do("ann")
    theirs = [row for row in before if row["person"] in map(canary, GONE)]
    left = [row for row in before if row["person"] not in map(canary, GONE)]
    alone = {row["record"] for row in theirs if row["record"]} - {row["record"] for row in left}
    assert holders(everything(stack), *map(canary, GONE), records=alone) == set()
    assert rows_in(stack) == left
    lines = [key for key in sizes if key.endswith(".jsonl")]
    assert [item.size for item in newest(incoming) if item.key in lines] == [sizes[key] for key in lines]
    texts = b"".join(incoming.get(key) for key in lines).decode().split("\n")
    rows = rows_of(FIRST, PEOPLE) + rows_of(COUNT - FIRST, PEOPLE, first=FIRST)
    others = [row for row in rows if row["person"] not in map(canary, GONE)]
    assert [json.loads(line) for line in texts if line.strip()] == others
    read = [item for item in newest(incoming) if item.key in lines]
    assert all(stack.stack.work.exists(claim(incoming, item.key, item.version)) for item in read)
    stay = [row if row["person"] not in map(canary, GONE) else dict.fromkeys(row) for row in MORE]
    assert pq.ParquetFile(BytesIO(incoming.get("t/more.parquet"))).read().to_pylist() == stay
    table = csv.DictReader(incoming.get("t/more.csv").decode().splitlines())
    assert [{name: value or None for name, value in row.items()} for row in table] == stay


def test_its_runs_are_told_anew_and_closed(stack: Deployed) -> None:
    """Their inputs can be read, and what cannot be done any more is said."""
    forgetting = forget_deployed(stack.deployment, Asked.of(ids=IDS), "t")
    key = forgetting.do("ann")
    for name in forgetting.found.rows:
        run = stack.deployment.run(name)
        rows, results = run.summary["rows"], stack.stack.results
        assert rows["in"] == sum(rows[word] for word in ("accepted", "unresolved", "rejected", "forgotten"))
        (table,) = [key for key, _ in results.keys("runs/") if name in key]
        assert pq.ParquetFile(BytesIO(results.get(table))).read()["forgotten"].to_pylist() == [rows["forgotten"]]
        assert sum(1 for _ in run.published().input_lines(Wanted())) == rows["in"] - rows["forgotten"]
        assert stack.stack.work.exists(Keys(name).forgotten)
    protocol = json.loads(stack.stack.results.get(key))
    assert any("neither resumed nor judged again, and the model" in line for line in protocol["withdrawn"])
    assert not forget_deployed(stack.deployment, Asked.of(ids=IDS)).found.pieces


def test_what_was_said_of_rows_that_no_run_has_any_more_goes_too(
    made: tuple[Cloud, list[dict[str, Any]]], stack: Deployed
) -> None:
    """From the log, and from what a run had for settled that has read none of them and stays open; by the id alone."""
    name, results, work = made[1][0]["run_id"], stack.stack.results, stack.stack.work
    settled = [SettledRecord(record=letter * 32, labels=["red"], fields={"ref": letter}) for letter in "de"]
    work.put(Keys(name).settled, write_settled(settled))
    about: dict[str, Any] = {"source": "s3://gone/x.jsonl", "by": "ann", "at": "2026-11-28T10:00:00+00:00", "run": "r"}
    said = [Correction(line=n, record=each.record, id=f"no {n}", **about) for n, each in enumerate(settled)]
    Corrections(results, "t").add(said)
    before = dict(everything(stack))
    forget_deployed(stack.deployment, Asked.of(ids=["no 0"])).do("ann")
    after = dict(everything(stack))
    assert read_settled(after[Keys(name).settled]) == settled[1:]
    assert holders(after.items(), "d" * 32) == set()
    changed = {key for key in before if before[key] != after.get(key)}
    assert {key.partition("/")[0] for key in changed - {Keys(name).settled}} == {"corrections", "athena"}


@pytest.mark.parametrize(
    ("more", "named"), [({}, {"a", "b"}), ({"ids": ["1"]}, {"a"}), ({"texts": ["a thing"], "ids": ["2"]}, set())]
)
def test_versions_that_no_run_has_read_are_named_where_there_is_a_condition(
    more: dict[str, Any], named: set[str], deployed: Deployed
) -> None:
    """It is one on results; of other conditions given with it at least the ids and the texts are looked for."""
    incoming = deployed.stack.incoming
    for key, number in (("a.jsonl", 1), ("b.jsonl", 2), ("c.jsonl", 1), ("_tmp/d.jsonl", 1)):
        incoming.put(f"t/{key}", json.dumps({"id": str(number), "text": f"{key[0]} thing"}).encode())
    read = {"uri": incoming.uri("t/c.jsonl"), "version": next(versions(incoming, "t/c.jsonl")).version}
    of_run: dict[str, Any] = {"task": "t", "inputs": [read], "definition": task_of("judged").model_dump(mode="json")}
    runs: Any = [SimpleNamespace(run="r", gone=[], document=of_run)]
    asked = Asked.of(where="label = 'red'", **more)
    stores = {INCOMING: incoming, WORK: deployed.stack.work, RESULTS: deployed.stack.results}
    planner = Planner(Site(stores, RESULTS, WORK, runs), asked, "2026-11-29")
    Beyond([])(planner)
    said = " ".join(planner.found.not_reached)
    assert {name for name in "abcd" if f"/{name}.jsonl" in said} == named


def test_while_a_run_goes_on_nothing_is_looked_for(deployed: Deployed) -> None:
    """It would write what has just been taken out."""
    deployed.begin()
    deployed.execute()
    with pytest.raises(BadRequest, match="is running: wait for its end"):
        forget_deployed(deployed.deployment, Asked.of(ids=IDS))


def test_rows_leave_lines_where_they_stand() -> None:
    """Blank ones and several rows of a line count as they do for a run; the end of the file stays as it was."""
    first, second, last = b'\xef\xbb\xbf{"a":1}\r', b'{"a":2}{"a":3}', b'{"a":4}'
    data = b"\n".join([first, b"", second, last])
    cleaned = {
        (): data,
        (1,): b"\n".join([b" " * len(first), b"", second, last]),
        (4,): b"\n".join([first, b"", b'{"a":2} {}    ', last]),
        (3, 4, 5): b"\n".join([first, b"", b"{} {}         ", b" " * len(last)]),
    }
    for size in (1, 7, 100):
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        for lines, left in cleaned.items():
            assert b"".join(without(blocks, set(lines))) == left
            assert b"".join(without([*blocks, b"\n"], set(lines))) == left + b"\n"
