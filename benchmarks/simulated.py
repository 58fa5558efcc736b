"""Runs of sizes that no machine holds: an S3 that makes the indexes of partition up as they are read."""

from __future__ import annotations

import datetime as dt
import random
from array import array
from io import BytesIO
from itertools import accumulate
from typing import Any

import msgspec

from benchmarks import corpus
from benchmarks.disk import refusal
from sluice.aws.s3 import Store
from sluice.models.catalog import Catalog
from sluice.runs.keys import Keys
from sluice.runs.planning import SKETCH, SMALL, bucket_depth, cut_spans, span_size
from sluice.runs.settings import Settings
from sluice.runs.state import FrozenTier, Input, Inputs, Piece, Segment, SpanIndex, Start
from sluice.steps.services import Services

RUN = "simulated"
LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ZERO = "0" * SMALL
ROW_BYTES = 300
TURN = 37  # buckets by which the tables of a segment begin behind those of the one before
STORED = 54  # bytes that a stored row has beside the row


class SimulatedS3:
    """A client that keeps small objects, counts all requests, and leaves `index(span)` to say what an index holds."""

    def __init__(self, run: SimulatedRun) -> None:
        self.run = run
        self.objects: dict[str, bytes] = {}
        self.gets = self.puts = 0
        self.uploaded: dict[str, int] = {}

    def _find(self, key: str, *, tables: bool) -> bytes | None:
        prefix = Keys(RUN).rows_prefix
        if key.startswith(prefix) and key.endswith(".index"):
            return self.run.index(int(key[len(prefix) : -len(".index")]), tables=tables)
        return self.objects.get(key)

    def get_object(self, *, Key: str, Range: str | None = None, **_rest: Any) -> Any:  # noqa: N803
        self.gets += 1
        data = self._find(Key, tables=Range is not None)
        if data is None:
            raise refusal("NoSuchKey", "GetObject")
        if Range is not None:
            begin, _, end = Range.removeprefix("bytes=").partition("-")
            data = data[int(begin) : int(end) + 1 if end else None]
        return {"Body": BytesIO(data)}

    def head_object(self, *, Key: str, **_rest: Any) -> Any:  # noqa: N803
        self.gets += 1
        if Key not in self.objects:
            raise refusal("404", "HeadObject")
        return {"ContentLength": len(self.objects[Key]), "ETag": '"made-up"', "LastModified": None}

    def put_object(self, *, Key: str, Body: bytes, **_rest: Any) -> Any:  # noqa: N803
        self.puts += 1
        self.objects[Key] = Body
        return {"ETag": '"made-up"'}

    def create_multipart_upload(self, *, Key: str, **_rest: Any) -> Any:  # noqa: N803
        self.puts += 1
        self.uploaded[Key] = 0
        return {"UploadId": Key}

    def upload_part(self, *, Key: str, Body: bytes, **_rest: Any) -> Any:  # noqa: N803
        """A large object is measured and not kept."""
        self.puts += 1
        self.uploaded[Key] += len(Body)
        return {"ETag": '"made-up"'}

    def complete_multipart_upload(self, **_rest: Any) -> Any:
        self.puts += 1

    def get_paginator(self, _operation: str) -> SimulatedS3:
        return self

    def paginate(self, *, Prefix: str, **_rest: Any) -> Any:  # noqa: N803
        self.puts += 1
        yield {
            "Contents": [
                {"Key": key, "Size": 1, "LastModified": LONG_AGO}
                for key in sorted(self.objects)
                if key.startswith(Prefix)
            ]
        }


def _turned(tables: bytes, by: int) -> bytes:
    """Three tables, each begun elsewhere, so that few of them give many buckets of their own size."""
    size = len(tables) // 3
    at = by % size
    return b"".join(tables[n + at : n + size] + tables[n : n + at] for n in range(0, 3 * size, size))


class SimulatedRun:
    """`rows` rows in objects of equal size, read by partition; all distinct, or each one of `texts` texts."""

    def __init__(self, rows: int, objects: int, texts: int | None = None, **settings: int) -> None:
        self.rows, self.texts = rows, texts
        self.settings = Settings(**settings)
        size = rows // objects * ROW_BYTES
        self.depth = bucket_depth(size * objects)
        self.spans = cut_spans([(size, False)] * objects, span_size(size * objects, self.settings.span_bytes))
        self.client = SimulatedS3(self)
        self._draw = random.Random(rows)
        self._keys = sorted(f"{self._draw.getrandbits(4 * SMALL):012x}" for _ in range(texts or 0))
        counts = [array("I", self._noisy()) for _ in range(7)] if texts is None else [self._of_texts()]
        self._tables = [self._made_up(distinct) for distinct in counts]
        client: Any = self.client
        nobody: Any = None
        store = Store(client, "work")
        self.services = Services(work=store, results=store, bucket=lambda _name: store, bedrock=nobody)
        store.put(Keys(RUN).start, self._start().write())
        frozen = [
            Input(uri=f"s3://in/{n}", version=None, etag="", bytes=size, container="lines") for n in range(objects)
        ]
        store.put(Keys(RUN).inputs, Inputs(inputs=frozen).write())

    def _noisy(self) -> list[int]:
        """Rows of each bucket of a segment, about Poisson."""
        mean = self.rows / len(self.spans) / 16**self.depth
        return [max(0, round(self._draw.gauss(mean, mean**0.5))) for _ in range(16**self.depth)]

    def _of_texts(self) -> array[int]:
        """Distinct keys of each bucket of a segment in which every text occurs."""
        counts = array("I", bytes(4 * 16**self.depth))
        for key in self._keys:
            counts[int(key[: self.depth], 16)] += 1
        return counts

    def _made_up(self, distinct: array[int]) -> tuple[int, int, bytes]:
        """Rows and bytes of a segment, and its three tables."""
        each = self.rows // len(self.spans) // self.texts if self.texts is not None else 1
        rows = array("I", [count * each for count in distinct])
        sizes = array("I", [count * (ROW_BYTES + STORED) for count in rows])
        return sum(rows), sum(sizes), rows.tobytes() + sizes.tobytes() + distinct.tobytes()

    def _sketch(self, span: int, rows: int) -> list[str]:
        """The smallest of so many keys: what lies between them is distributed exponentially."""
        if self.texts is not None:
            return self._keys[:SKETCH]
        draw = random.Random(span).expovariate
        gaps = [draw(rows / 16**SMALL) for _ in range(min(SKETCH, rows))]
        return [f"{int(at):012x}" for at in accumulate(gaps)]

    def index(self, span: int, *, tables: bool) -> bytes:
        """The index of a span: a segment whose buckets hold about the same share of its rows.

        Where only the tables are asked for, keys of the same length stand for those of the head.
        """
        total, size, found = self._tables[span % len(self._tables)]
        if self.texts is None:
            found = _turned(found, span * 4 * TURN)
        source = self.spans[span][0][0]
        piece = Piece(source=source, lines=total, rows=total)
        sketch = [ZERO] * min(SKETCH, self.texts or total) if tables else self._sketch(span, total)
        segment = Segment(begin=0, bytes=size, rows=total, rejected={}, sketch=sketch)
        head = SpanIndex(span=span, depth=self.depth, pieces=[piece], segments=[segment]).write()
        return b"\n".join((head, found))

    def _start(self) -> Start:
        task, catalog = corpus.bench_task(), Catalog.load()
        tiers = [FrozenTier(**tier.model_dump(), model_id=tier.model, batch=True, price=None) for tier in task.tiers]
        return Start(
            run=RUN,
            task=task.model_dump(mode="json"),
            task_version=task.version,
            settings=self.settings.model_dump(),
            tiers=tiers,
            created="2026-11-20T12:00:00+00:00",
            date="2026-11-20",
            answers="none",
            role_arn="arn:aws:iam::123456789012:role/bedrock",
            work_bucket="work",
            results_bucket="results",
            depth=self.depth,
            spans=len(self.spans),
            prices={"source": catalog.source, "date": catalog.date},
        )

    def items(self, key: str) -> list[Any]:
        """The items of a map."""
        found: list[Any] = msgspec.json.decode(self.client.objects[key])
        return found
