"""Which row a record stands for, read from a run's own objects in the work bucket.

The only place of the stand-in that knows how a run lays out its rows and its jobs.
"""

from __future__ import annotations

import json
import threading
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.answers.requests import FILLER
from sluice.decoding import decoder
from sluice.local.requests import Body, Line
from sluice.local.sources.source import NoAnswer
from sluice.rows.paths import look_up
from sluice.rows.record import KEY, PLACE, RAW, SENT, parse_object
from sluice.runs.document import read
from sluice.runs.keys import REQUESTS, Keys
from sluice.runs.state import Inputs, SpanIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.client import S3Client

    from sluice.task.task import Task


class FirstRow(NamedTuple):
    """The first row of a record: its key, the user's id, the input's URI, and the line from 1."""

    key: str
    id: str | None
    source: str
    line: int


def first_rows(s3: S3Client, bucket: str, run: str, task: Task) -> Iterator[FirstRow]:
    """The first good row of each record of a run, in the order of the input."""
    keys = Keys(run)
    inputs = read(Inputs, whole(s3, bucket, keys.inputs), keys.inputs).inputs
    path = task.input.id
    seen: set[bytes] = set()
    lines_before: dict[int, int] = {}
    for span in spans(s3, bucket, keys):
        for stored in stored_rows(s3, bucket, keys.rows(span)):
            key = stored[:KEY]
            if stored[PLACE] in SENT and key not in seen:
                seen.add(key)
                source, line = int(stored[KEY : KEY + 8]), int(stored[KEY + 8 : PLACE])
                number = line + lines_before.get(source, 0)
                yield FirstRow(key.decode(), id_of(stored[RAW:], path), inputs[source].uri, number)
        index = whole(s3, bucket, keys.index(span))
        for piece in read(SpanIndex, index_head(index), keys.index(span)).pieces:
            lines_before[piece.source] = lines_before.get(piece.source, 0) + piece.lines


def id_of(raw: bytes, path: str | None) -> str | None:
    """The user's id of a raw row, as text."""
    row = parse_object(raw) if path else None
    if path is None or not isinstance(row, dict):
        return None
    return id_text(look_up(row, path))


def id_text(value: Any) -> str | None:
    """An id as text, whatever it is in JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def index_head(data: bytes) -> bytes:
    """The document at the head of a span's index; the counts per bucket stand behind it."""
    return data.split(b"\n", 1)[0]


def spans(s3: S3Client, bucket: str, keys: Keys) -> Iterator[int]:
    """The numbers of a run's spans, in order."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=keys.rows_prefix)
    names = sorted(item["Key"] for page in pages for item in page.get("Contents", []))
    for name in names:
        if name.endswith(".index"):
            yield int(name.rsplit("/", 1)[-1].removesuffix(".index"))


def stored_rows(s3: S3Client, bucket: str, key: str) -> Iterator[bytes]:
    """The stored rows of one object, streamed."""
    left = b""
    for block in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
        *rows, left = (left + block).split(b"\n")
        yield from filter(None, rows)
    if left:
        yield left


def whole(s3: S3Client, bucket: str, key: str) -> bytes:
    """A whole object."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


class RecordKeys:
    """Finds the record of an on-demand request, which carries no id, by its text in the inputs of the jobs."""

    def __init__(self, s3: S3Client) -> None:
        self.s3 = s3
        self.seen: set[str] = set()
        self.found: dict[bytes, tuple[str, str]] = {}
        self.lock = threading.Lock()

    def find(self, text: str) -> tuple[str, str]:
        """The record id, and `<bucket>/<run>`.

        Raises:
            NoAnswer: no job has asked this.
        """
        digest = blake2b(text.encode(errors="replace"), digest_size=16).digest()
        with self.lock:
            if digest not in self.found:
                self._look()
            if digest not in self.found:
                raise NoAnswer("no job of a run has asked this, so the replay cannot tell whose answer it is")
            return self.found[digest]

    def _look(self) -> None:
        for bucket in (item["Name"] for item in self.s3.list_buckets()["Buckets"]):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{REQUESTS}/")
            for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
                place = f"{bucket}/{key}"
                if "/in/" in key and key.endswith(".jsonl") and place not in self.seen:
                    self.seen.add(place)
                    self._read(bucket, key)

    def _read(self, bucket: str, key: str) -> None:
        run = f"{bucket}/{key.split('/')[1]}"
        line, body = decoder(Line).decode, decoder(Body).decode
        for raw in stored_rows(self.s3, bucket, key):
            record: Any = line(raw)
            if record.recordId.startswith(FILLER):
                continue
            text = body(record.modelInput).messages[-1].content[0].text
            self.found.setdefault(blake2b(text.encode(), digest_size=16).digest(), (record.recordId, run))
