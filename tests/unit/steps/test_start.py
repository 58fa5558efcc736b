"""start: which objects a run is frozen over, and what it refuses."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
from typing import Any

import msgspec
import pytest

from sluice.errors import BadInput, BadSetting
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.settings import FLOORS
from sluice.runs.state import Input, Inputs, Span, Start
from sluice.steps import start
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl


def make_task() -> Task:
    written = {
        "name": "texts",
        "input": {"text": "text"},
        "labels": ["a", "b"],
        "tiers": [{"model": "nova-micro"}],
    }
    return parse_task(written, "test")


def begin(cloud: Cloud, *uris: str, **command: Any) -> str:
    asked = {"task": make_task().model_dump(mode="json"), "inputs": list(uris), "answers": "memory", **command}
    run = start.run(cloud.services, cloud.deployment(), {"command": asked})
    assert run is not None
    return run


def inputs_of(cloud: Cloud, run: str) -> list[Input]:
    return msgspec.json.decode(cloud.work.get(Keys(run).inputs), type=Inputs).inputs


def make_cloud(**files: bytes) -> Cloud:
    cloud = Cloud(lambda _model, _text: "")
    for name, data in files.items():
        cloud.incoming.put(f"texts/{name.replace('__', '/').replace('_', '.')}", data)
    return cloud


ROWS = jsonl([{"text": "a"}, {"text": "b"}])


def test_a_prefix_stands_for_the_objects_under_it() -> None:
    """All objects in the order of their keys, without the placeholders of folders; each frozen with tag and size."""
    packed = gzip.compress(ROWS, mtime=0)
    cloud = make_cloud(b_jsonl=ROWS, a_csv=b"text\na\n", sub__c_parquet=b"PAR1", d_jsonl_gz=packed)
    cloud.incoming.put("texts/sub/", b"")
    inputs = inputs_of(cloud, begin(cloud, "s3://incoming/texts/"))
    assert [(item.uri.rpartition("texts/")[2], item.container) for item in inputs] == [
        ("a.csv", "csv"),
        ("b.jsonl", "lines"),
        ("d.jsonl.gz", "lines+gzip"),
        ("sub/c.parquet", "parquet"),
    ]
    assert [item.bytes for item in inputs] == [7, len(ROWS), len(packed), 4]
    assert all(item.etag and item.version is None for item in inputs)


def test_what_a_prefix_leaves_out_is_said() -> None:
    """Manifests, markers, unknown suffixes and files without rows are no data of a prefix, unless they are named."""
    cloud = make_cloud(b_jsonl=ROWS)
    for name in ("x-manifest.csv", "_temporary/0.jsonl", "notes.txt", "README"):
        cloud.incoming.put(f"texts/{name}", b"words")
    run = begin(cloud, "s3://incoming/texts/")
    assert [item.uri for item in inputs_of(cloud, run)] == ["s3://incoming/texts/b.jsonl"]
    said = " ".join(Run(cloud.work, run).start.warnings)
    for part in (
        "x-manifest.csv: a manifest",
        "0.jsonl: a name that begins",
        "notes.txt: it ends in .txt",
        "README: it has",
    ):
        assert part in said
    named = begin(cloud, "s3://incoming/texts/notes.txt")
    assert [item.container for item in inputs_of(cloud, named)] == ["lines"]


def test_many_objects_keep_their_order() -> None:
    """Objects are looked at side by side; a row's source is their place in the list."""
    cloud = make_cloud(**{f"{n:04d}_jsonl": ROWS for n in range(300)})
    run = begin(cloud, "s3://incoming/texts/0299.jsonl", "s3://incoming/texts/")
    assert [item.uri[-10:-6] for item in inputs_of(cloud, run)] == ["0299", *(f"{n:04d}" for n in range(300))]
    spans = msgspec.json.decode(cloud.work.get(Keys(run).spans), type=list[Span])
    assert [len(span.pieces) for span in spans] == [301]


@pytest.mark.parametrize(
    "data", [gzip.compress(ROWS, mtime=0), b"PAR1\x15 and more PAR1", b"PAR1 and more", ROWS, b"", b"x"]
)
def test_an_unknown_suffix_is_looked_into(data: bytes) -> None:
    """Without a suffix that says it, the first bytes do; an empty object is lines."""
    cloud = Cloud(lambda _model, _text: "")
    cloud.incoming.put("texts/part-0", data)
    (item,) = inputs_of(cloud, begin(cloud, "s3://incoming/texts/part-0"))
    assert item.container == {b"\x1f\x8b": "lines+gzip", b"PAR1\x15": "parquet"}.get(
        data[:2] if data[:2] == b"\x1f\x8b" else data[:5], "lines"
    )


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("texts/a.jsonl", "texts/a.jsonl is no S3 URI: s3://bucket/key"),
        ("s3://incoming/texts/none.jsonl", "s3://incoming/texts/none.jsonl does not exist"),
        ("s3://incoming/nothing/", "there is nothing under s3://incoming/nothing/"),
    ],
)
def test_what_is_not_there_is_refused(uri: str, message: str) -> None:
    """A wrong URI, a missing object, an empty prefix: nothing is begun."""
    cloud = make_cloud(a_jsonl=ROWS)
    with pytest.raises(BadInput, match=message):
        begin(cloud, uri)
    assert not list(cloud.work.keys("runs/"))


def test_what_writers_leave_beside_the_data_is_no_data_unless_it_is_named() -> None:
    """Names and folders that begin with _ or . below a prefix; a command that names such an object means it."""
    cloud = make_cloud()
    for key in ("out/a.jsonl", "out/_SUCCESS", "out/.DS_Store", "out/_temporary/b.jsonl", "out/2026/_metadata"):
        cloud.incoming.put(f"texts/{key}", ROWS)
    cloud.incoming.put("texts/_hidden/c.jsonl", ROWS)

    def uris(*wanted: str) -> list[str]:
        return [item.uri.removeprefix("s3://incoming/texts/") for item in inputs_of(cloud, begin(cloud, *wanted))]

    assert uris("s3://incoming/texts/out/") == ["out/a.jsonl"]
    assert uris("s3://incoming/texts/_hidden/") == ["_hidden/c.jsonl"]
    assert uris("s3://incoming/texts/out/_temporary/b.jsonl") == ["out/_temporary/b.jsonl"]


def test_an_object_that_cannot_be_one_workers_is_refused_beside_others() -> None:
    """Its neighbours begin without it; nothing begins where it is alone."""
    cloud = make_cloud(a_jsonl=ROWS)
    cloud.incoming.put("texts/b.jsonl", b"PK\x03\x04" + bytes(60))
    first, second = inputs_of(cloud, begin(cloud, "s3://incoming/texts/a.jsonl", "s3://incoming/texts/b.jsonl"))
    assert first.refused is None
    assert "zip" in str(second.refused)
    with pytest.raises(BadInput, match="zip"):
        begin(cloud, "s3://incoming/texts/b.jsonl")


SETTINGS = {
    "big.csv": "max_text_bytes",
    "big.csv.gz": "max_compressed_bytes",
    "big.jsonl.zst": "max_compressed_bytes",
    "big.parquet": "max_compressed_bytes",
}


@pytest.mark.parametrize(("name", "setting"), SETTINGS.items())
def test_an_object_too_large_for_one_worker_is_refused(name: str, setting: str) -> None:
    """The message has the object, its size, the limit and what to do; lines of any size are taken."""
    cloud = make_cloud()
    size = FLOORS[setting] + 1
    cloud.incoming.put(f"texts/{name}", bytes(size))
    with pytest.raises(
        BadInput, match=rf"s3://incoming/texts/{name} has {size:,} bytes; .* for {size - 1:,}: split it"
    ):
        begin(cloud, f"s3://incoming/texts/{name}", settings={setting: size - 1})
    begin(cloud, f"s3://incoming/texts/{name}", settings={setting: size})
    cloud.incoming.put("texts/big.jsonl", bytes(size))
    begin(cloud, "s3://incoming/texts/big.jsonl", settings={setting: size - 1})


def test_a_run_has_the_date_of_its_beginning_whatever_the_age_of_its_objects() -> None:
    """The tables' folders begin with the first deployment; a run over last year's objects has to be among them."""
    cloud = make_cloud(a_jsonl=ROWS)
    later = dt.datetime(2027, 3, 1, 0, 30, tzinfo=dt.UTC)
    cloud.services = dataclasses.replace(cloud.services, now=lambda: later)
    run = begin(cloud, "s3://incoming/texts/a.jsonl")
    frozen = read(Start, cloud.work.get(Keys(run).start), run)
    assert frozen.date == "2027-03-01"
    assert "-20261120t" in run  # its id is that of the objects, so that the same command is the same run


def test_the_same_request_is_the_same_run() -> None:
    """The id follows from what is frozen: another tag, setting or nonce is another run."""
    cloud = make_cloud(a_jsonl=ROWS)
    uri = "s3://incoming/texts/a.jsonl"
    first = begin(cloud, uri)
    assert begin(cloud, uri) == first
    others = {begin(cloud, uri, nonce="1"), begin(cloud, uri, settings={"span_bytes": 5})}
    cloud.incoming.put("texts/a.jsonl", ROWS + b" ")
    assert len({first, *others, begin(cloud, uri)}) == 4


def test_a_job_that_may_outlast_its_requests_is_refused() -> None:
    """With the setting and what it has to be; no run can have a setting of its own for the deployment's buckets."""
    cloud = make_cloud(a_jsonl=ROWS)
    slow = make_task().model_dump(mode="json")
    slow["tiers"][0]["timeout_hours"] = 72
    with pytest.raises(BadSetting, match=r"keep_requests_days = 3 is not allowed: .* 72 hours .* set it to 4 or more"):
        begin(cloud, "s3://incoming/texts/", task=slow)
    with pytest.raises(BadSetting, match=r"keep_requests_days is a setting of the deployment.*cdk\.json"):
        begin(cloud, "s3://incoming/texts/", settings={"keep_requests_days": 9})
    assert not list(cloud.work.keys("runs/"))
