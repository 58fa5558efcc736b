"""partition over real spans: every row once, whatever the container, the cut and the limits."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import re
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import IncompleteReadError
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.aws.events import Event
from sluice.budget.costs import Load
from sluice.budget.tokens import estimated_tokens
from sluice.errors import BadInput, RetryLater
from sluice.models.catalog import Catalog
from sluice.rows.record import KEY, PLACE, RAW, REASONS
from sluice.runs.keys import Keys
from sluice.runs.planning import cut_spans
from sluice.runs.state import Span, SpanIndex
from sluice.steps import cutting, partition, plan
from sluice.steps.services import Run
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.runs.state import Segment

WRITTEN = {
    "name": "texts",
    "input": {"id": "id", "text": "text", "keep_input": True},
    "labels": ["short", "long"],
    "answer": {"confidence": False},
    "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
}


def make_task() -> Task:
    return parse_task(WRITTEN, "test")


def answer(model: str, text: str) -> str:
    """Nova cannot answer a third of the texts; Claude can."""
    if "nova" in model and len(text) % 3 == 0:
        return "no idea"
    return json.dumps({"label": "long" if len(text) > 30 else "short"})


def partitioned(cloud: Cloud, files: dict[str, bytes]) -> tuple[Run, list[Span]]:
    run = Run(cloud.work, cloud.begin(make_task(), files))
    spans = msgspec.json.decode(cloud.work.get(run.keys.spans), type=list[Span])
    for span in spans:
        partition.run(cloud.services, span)
    return run, spans


def index_of(run: Run, span: int) -> tuple[SpanIndex, bytes]:
    head, _, tables = run.store.get(run.keys.index(span)).partition(b"\n")
    return msgspec.json.decode(head, type=SpanIndex), tables


def stored(run: Run, span: int, segment: Segment) -> list[bytes]:
    return run.store.read_range(run.keys.rows(span), segment.begin, segment.bytes).split(b"\n")[1:]


def found_rows(run: Run, spans: list[Span]) -> dict[tuple[int, int], bytes]:
    """All stored rows by source and line, as merge numbers them."""
    rows: dict[tuple[int, int], bytes] = {}
    lines_before: dict[int, int] = {}
    for span in spans:
        index, _ = index_of(run, span.span)
        first = index.pieces[0].source
        for segment in index.segments:
            for row in stored(run, span.span, segment):
                source, line = int(row[KEY : KEY + 8]), int(row[KEY + 8 : PLACE])
                place = source, line + (lines_before.get(first, 0) if source == first else 0)
                assert place not in rows
                rows[place] = row
        for piece in index.pieces:
            lines_before[piece.source] = lines_before.get(piece.source, 0) + piece.lines
    return rows


PARTS = [
    b"\n",
    b"\n",
    b"\r\n",
    b" ",
    b"{}\n",
    b'{"text":"a"}\n',
    b'{"text":"\xe2\x80\xa8\xc2\x85"}\n',
    b"\xef\xbb\xbf",
    b"[1]",
]
FILE = st.lists(st.sampled_from(PARTS), max_size=12).map(lambda parts: b"".join([b"{}\n", *parts]))


@settings(max_examples=40)
@given(st.lists(FILE, min_size=1, max_size=3), st.integers(2, 80), st.integers(1, 40))
def test_each_row_comes_out_once_under_its_own_number(files: list[bytes], span_bytes: int, max_row: int) -> None:
    """For any bytes, span size and limit: the rows are the lines that are not blank, and nothing else."""
    cloud = Cloud(answer, {"span_bytes": span_bytes, "max_row_bytes": max_row})
    run, spans = partitioned(cloud, {f"{n}.jsonl": data for n, data in enumerate(files)})
    wanted = {}
    for source, data in enumerate(files):
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            bare = line.removesuffix(b"\r")
            if bare.strip(b" \t\r"):
                wanted[source, number] = bare if len(bare) <= max_row else b""
            elif len(bare) > max_row:
                wanted[source, number] = b""
    assert {place: row[RAW:] for place, row in found_rows(run, spans).items()} == wanted


def test_the_index_says_what_the_segments_hold() -> None:
    """Rows, bytes and distinct keys of each bucket, the rejected by reason, and the smallest keys."""
    rows: list[Any] = [{"text": f"text {n % 300}"} for n in range(1000)]
    cloud = Cloud(answer, {"span_bytes": 6000})
    run, spans = partitioned(cloud, {"a.jsonl": jsonl(rows) + b"junk\n" * 7})
    assert len(spans) > 2
    for span in spans:
        index, tables = index_of(run, span.span)
        width = 16**index.depth
        for n, segment in enumerate(index.segments):
            counts = array("I", tables[n * 12 * width : (n + 1) * 12 * width])
            lines = stored(run, span.span, segment)
            good = [line for line in lines if line[PLACE] not in REASONS]
            assert lines == sorted(lines, key=lambda line: line[: index.depth])
            assert sum(counts[:width]) == segment.rows == len(lines)
            assert sum(counts[width : 2 * width]) == segment.bytes
            assert sum(counts[2 * width :]) == len({line[:KEY] for line in good})
            assert sum(segment.rejected.values()) == len(lines) - len(good)
            assert set(segment.sketch) == {line[:12].decode() for line in good}
    assert sum(sum(s.rejected.values()) for span in spans for s in index_of(run, span.span)[0].segments) == 7


def test_a_large_stream_is_cut_into_segments() -> None:
    """What one worker reads of a compressed object is written whenever a span's worth is held."""
    cloud = Cloud(answer, {"span_bytes": 500_000})
    run, spans = partitioned(cloud, {"a.jsonl.gz": gzip.compress(b'{"text":"%b"}\n' % (b"x" * 3000) * 2000)})
    (span,) = spans
    segments = index_of(run, span.span)[0].segments
    assert len(segments) >= 4
    assert sum(segment.rows for segment in segments) == 2000
    assert len(found_rows(run, spans)) == 2000


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv", "a.parquet"])
def test_an_object_that_takes_too_long_is_refused_in_words(name: str) -> None:
    """Before a worker is cut off, it says what to do; an object that many workers share is not its own fault."""
    cloud = Cloud(answer)
    run = cloud.begin(make_task(), {name: TWINS[name](), "b.jsonl": as_lines()})
    spans = msgspec.json.decode(cloud.work.get(Keys(run).spans), type=list[Span])
    hurried = dataclasses.replace(cloud.services, remaining_seconds=lambda: 30.0)
    words = rf"s3://incoming/texts/{name} holds more than the .* rows .*: split it"
    with pytest.raises(RetryLater, match=words):
        partition.run(hurried, spans[0])
    partition.run(hurried, spans[0])  # the next try has its own time, and leaves it out
    assert re.match(words, index_of(Run(cloud.work, run), 0)[0].refused["0"])
    only_lines = Span(run=run, span=9, pieces=[piece for span in spans for piece in span.pieces if piece[0] == 1])
    assert partition.run(hurried, only_lines) == {"rows": 400, "rejected": 0}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson.zst", "a.parquet"])
def test_an_object_that_grows_too_large_is_refused(name: str) -> None:
    """The limit holds for the text, whatever the object's size."""
    cloud = Cloud(answer, {"max_text_bytes": 10_000})
    run, _ = partitioned(cloud, {name: TWINS[name]()})
    with pytest.raises(BadInput, match=rf"s3://incoming/texts/{name} holds more than 10,000 bytes of text"):
        plan.run(cloud.services, run.id, 0)


def test_a_span_is_partitioned_once() -> None:
    """A span whose index stands is left alone."""
    cloud = Cloud(answer)
    run, spans = partitioned(cloud, {"a.jsonl": jsonl([{"text": "a"}])})
    before = len(cloud.s3.writes)
    assert partition.run(cloud.services, spans[0]) == {}
    assert len(cloud.s3.writes) == before
    assert cloud.work.exists(Keys(run.id).index(0))


ENDS = ('with a quote: "', "of two\nlines", "with, commas")
TEXTS = [{"id": str(n), "text": f"text {n % 97} {ENDS[n % 3]} {'é' * (n % 40)}"} for n in range(400)]


def as_lines() -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in TEXTS)


def as_csv() -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "text"])
    writer.writeheader()
    writer.writerows(TEXTS)
    return out.getvalue().encode()


def as_tsv() -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, dialect="excel-tab").writerows([["id", "text"], *([row["id"], row["text"]] for row in TEXTS)])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def as_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(TEXTS), out, row_group_size=90)
    return out.getvalue()


def packed(data: bytes) -> bytes:
    """Two gzip members."""
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


def zstd(data: bytes) -> bytes:
    """Two zstd frames."""
    half = len(data) // 2
    return b"".join(pa.compress(part, codec="zstd", asbytes=True) for part in (data[:half], data[half:]))


TWINS: dict[str, Callable[[], bytes]] = {
    "a.jsonl": as_lines,
    "a.jsonl.gz": lambda: packed(as_lines()),
    "a.ndjson.zst": lambda: zstd(as_lines()),
    "a.csv": as_csv,
    "a.csv.gz": lambda: packed(as_csv()),
    "a.tsv": as_tsv,
    "a.parquet": as_parquet,
    "a": as_parquet,
    "b": lambda: packed(as_lines()),
}
DECIDED = ("line", "id", "record", "status", "reason", "label", "tier", "attempts", "shared", "input")


def decisions(name: str, data: bytes) -> list[tuple[Any, ...]]:
    cloud = Cloud(answer, {"span_bytes": 5000, "max_records_per_job": 60, "min_records_per_job": 5})
    cloud.run(make_task(), {name: data})
    return sorted(tuple(row[column] for column in DECIDED) for row in cloud.rows())


@pytest.fixture(scope="module")
def plain() -> list[tuple[Any, ...]]:
    return decisions("a.jsonl", as_lines())


@pytest.mark.parametrize("name", list(TWINS))
def test_the_same_rows_get_the_same_decisions_from_any_container(name: str, plain: list[tuple[Any, ...]]) -> None:
    """Keys, decisions, line numbers and the rows themselves do not depend on what the rows came in."""
    assert len(plain) == len(TEXTS)
    assert {row[3] for row in plain} == {"accepted"}
    assert decisions(name, TWINS[name]()) == plain


def test_rejected_csv_rows_reach_the_results() -> None:
    """A row with too many cells is one rejected row with its text; the rows around it are answered."""
    cloud = Cloud(answer)
    cloud.run(make_task(), {"a.csv": b"id,text\n1,one\n2,two,three\n\n4,four\n"})
    rows = sorted((row["line"], row["status"], row["reason"], row["input"]) for row in cloud.rows())
    assert rows == [
        (1, "accepted", None, '{"id":"1","text":"one"}'),
        (2, "rejected", "row_not_csv", "2,two,three"),
        (3, "accepted", None, '{"id":"4","text":"four"}'),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_an_object_that_changed_is_not_read(name: str) -> None:
    """In a bucket without versions the object must still have the tag with which it was frozen, or be there at all."""
    cloud = Cloud(answer)
    run = cloud.begin(make_task(), {name: TWINS[name]()})
    (span,) = msgspec.json.decode(cloud.work.get(Keys(run).spans), type=list[Span])[:1]
    cloud.incoming.put(f"texts/{name}", TWINS[name]() + b" ")
    assert refused(cloud, run, span).startswith(f"s3://incoming/texts/{name} was changed while the run read it: start")
    del cloud.s3.objects["incoming", f"texts/{name}"]
    assert refused(cloud, run, span).startswith(f"s3://incoming/texts/{name} was deleted before the run had read it")


def refused(cloud: Cloud, run: str, span: Span) -> str:
    """Why the one input of a span is not read; the span is forgotten again."""
    partition.run(cloud.services, span)
    head, _ = index_of(Run(cloud.work, run), span.span)
    del cloud.s3.objects["work", Keys(run).index(span.span)]
    assert not head.segments
    return head.refused["0"]


CUT = gzip.compress(b"".join(b'{"id":"c%d","text":"of the cut one %d"}\n' % (n, n) for n in range(2000)))[:-30]
GOOD = jsonl([{"id": str(n), "text": f"text {n}"} for n in range(5)])
TWICE = b"id,my card is 4111,my card is 4111\n1,2,3\n"


@pytest.mark.parametrize("span_bytes", [48 * 1024 * 1024, 2_000])
@pytest.mark.parametrize("first", [True, False])
def test_an_object_that_cannot_be_read_keeps_no_other_from_the_results(span_bytes: int, first: bool) -> None:
    """Of it nothing is kept, however much was read by then; it is named with its reason, and its content is not."""
    cloud = Cloud(answer, {"span_bytes": span_bytes})
    told: list[dict[str, Any]] = []
    cloud.services = dataclasses.replace(
        cloud.services, publish_event=lambda kind, detail: told.append({"kind": kind, **detail})
    )
    bad = {"cut.jsonl.gz": CUT, "twice.csv": TWICE}
    files = {**bad, "good.jsonl": GOOD} if first else {"good.jsonl": GOOD, **bad, "more.jsonl": GOOD}
    summary = cloud.run(make_task(), files)
    good = [name for name in files if name not in bad]
    assert Counter(row["source"].rpartition("/")[2] for row in cloud.rows()) == dict.fromkeys(good, 5)
    why = {item["uri"].rpartition("/")[2]: item["refused"] for item in summary["inputs"]}
    assert [name for name, reason in why.items() if reason] == list(bad)
    assert "cut or damaged" in why["cut.jsonl.gz"]
    assert "no column 'text'" in why["twice.csv"]
    assert summary["status"] == "succeeded"
    assert len([warning for warning in summary["warnings"] if "could not be read" in warning]) == len(bad)
    refusals = [detail for detail in told if detail["kind"] == Event.REFUSED]
    assert [detail["key"] for detail in refusals] == [f"texts/{name}" for name in bad]
    assert len(list(cloud.work.keys("notices/"))) == len(bad)
    kept = b"".join(data for (bucket, key), data in cloud.s3.objects.items() if bucket != "incoming")
    assert b"my card" not in kept


@pytest.mark.parametrize(("limit", "status"), [(0.5, "succeeded"), (0.4, "over_limit"), (0.0, "over_limit")])
def test_a_task_says_how_many_inputs_may_be_refused(limit: float, status: str) -> None:
    """Above its limit the run is over it; without one it only warns."""
    cloud = Cloud(answer)
    task = parse_task({**WRITTEN, "limits": {"refused_inputs": limit}}, "test")
    assert cloud.run(task, {"good.jsonl": GOOD, "cut.jsonl.gz": CUT})["status"] == status


def test_where_no_input_can_be_read_the_run_stops_with_the_reasons() -> None:
    """There is nothing to publish, and each has its notice."""
    cloud = Cloud(answer)
    run, _ = partitioned(cloud, {"cut.jsonl.gz": CUT, "twice.csv": TWICE})
    for _ in range(2):
        with pytest.raises(BadInput, match=r"cut\.jsonl\.gz is no whole gzip stream .*; and 1 more could not be read"):
            plan.run(cloud.services, run.id, 0)
    assert len(list(cloud.work.keys("notices/"))) == 2


def test_an_object_of_which_one_worker_could_read_its_piece_and_another_not_stops_the_run() -> None:
    """It was changed in between: what has been read of it by then is of another object."""
    cloud = Cloud(answer, {"span_bytes": 300})
    run = Run(cloud.work, cloud.begin(make_task(), {"a.jsonl": GOOD * 10, "b.jsonl": GOOD}))
    spans = msgspec.json.decode(cloud.work.get(run.keys.spans), type=list[Span])
    for span in spans:
        partition.run(cloud.services, span)
        cloud.incoming.put("texts/a.jsonl", GOOD)
    with pytest.raises(BadInput, match=r"a\.jsonl was changed while the run read it"):
        plan.run(cloud.services, run.id, 0)


class _Breaking:
    """A body whose connection breaks after some bytes."""

    def __init__(self, body: Any, after: int) -> None:
        self.body, self.left = body, after

    def read(self, count: int) -> bytes:
        if not self.left:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=2)
        data: bytes = self.body.read(min(count, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        pass


def test_a_broken_connection_is_taken_up_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of hours loses its connection now and then: no byte is lost or doubled; one that never works stops."""
    cloud, data = Cloud(answer), bytes(range(256)) * 40
    cloud.incoming.put("a", data)
    get = cloud.s3.get_object
    monkeypatch.setattr(cloud.s3, "get_object", lambda **asked: {"Body": _Breaking(get(**asked)["Body"], 1000)})
    assert b"".join(cloud.incoming.blocks("a", 7, len(data))) == data[7:]
    monkeypatch.setattr(cloud.s3, "get_object", lambda **asked: {"Body": _Breaking(get(**asked)["Body"], 0)})
    with pytest.raises(RetryLater, match="s3://incoming/a: the connection keeps breaking"):
        list(cloud.incoming.blocks("a", 7, len(data)))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=30),
    st.integers(1, 100),
    st.integers(1, 5),
)
def test_spans_cover_every_byte_once(sizes: list[tuple[int, bool]], span_bytes: int, max_pieces: int) -> None:
    """Pieces of an object follow each other from its first byte to its last, in different spans; whole ones are one."""
    spans = cut_spans(sizes, span_bytes, max_pieces)
    pieces = [piece for span in spans for piece in span]
    assert pieces == sorted(pieces)
    for number, (size, whole) in enumerate(sizes):
        mine = [(begin, end) for source, begin, end in pieces if source == number]
        assert [begin for begin, _ in mine] + [size] == [0, *(end for _, end in mine)] or not size
        assert all(begin < end for begin, end in mine)
        assert not whole or len(mine) == (size > 0)
    assert all(0 < len(span) <= max_pieces for span in spans)
    assert all(len({source for source, _, _ in span}) == len(span) for span in spans)
    splittable = [span for span in spans if not any(sizes[source][1] for source, _, _ in span)]
    assert all(sum(end - begin for _, begin, end in span) <= span_bytes * 1.25 + 1 for span in splittable)


@pytest.mark.parametrize(
    "text", ["ein ganz gewöhnlicher Satz", "ఇది ఒక సాధారణ వాక్యం మాత్రమే", "これは普通の文です"], ids=["de", "te", "ja"]
)
def test_a_runs_own_plan_knows_how_many_tokens_its_scripts_take(text: str) -> None:
    """Within 3% of what all texts have by the figures of the catalogue, whatever else stands in the rows."""
    rows = [{"text": f"{text} {n} {text * (n % 3)}", "other": "x" * (n % 7)} for n in range(3000)]
    cloud = Cloud(answer, {"span_bytes": 60_000})
    run = Run(cloud.work, cloud.begin(make_task(), {"a.jsonl": jsonl([*rows, {"other": "no text"}])}))
    for span in msgspec.json.decode(cloud.work.get(run.keys.spans), type=list[Span]):
        partition.run(cloud.services, span)
    cutting.cut_run(run)
    texts = {row["text"] for row in rows}
    each = estimated_tokens(texts, Catalog.load().tokens.characters) / len(texts)
    load = Load.of_plan(run.task, run.plan)
    assert load.text_tokens / load.records == pytest.approx(each, rel=0.03)
