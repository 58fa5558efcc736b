"""Answers to requests that hold several texts, from a source that answers one at a time.

A recording has an answer for each row, and the stand-in's words are those of one text: here they are put together as a
model would, an object for each id. What is no object, or no answer, cannot stand under an id: its row is left out, and
is asked again alone.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.judge import STOPPED_BY_POLICY, STOPPED_SHORT
from sluice.answers.objects import lone_object
from sluice.answers.packs import Packs
from sluice.answers.requests import CLOSE, ID_MEMBER, OPEN
from sluice.local.requests import SEVERAL_AT
from sluice.local.sources.keys import RecordKeys, whole
from sluice.local.sources.source import NoAnswer, Reply, Source
from sluice.rows.record import KEY
from sluice.runs.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_s3.client import S3Client

    from sluice.local.requests import Request

TEXT = re.compile(r"<text id=(\w+)>\n(.*?)\n</text>", re.DOTALL)


class OneByOne:
    """Asks a source about each text of a request; those that hold one text go to it as they are."""

    def __init__(self, source: Source, s3: S3Client) -> None:
        self.source = source
        self.name, self.concurrency = source.name, source.concurrency
        self.of_texts = RecordKeys(s3)
        self.of_packs = PackedRecords(s3)

    def answer(self, request: Request, run: str | None) -> Reply:
        """One reply with a line for each text that the source has an object for.

        Raises:
            NoAnswer: the source has none for any of them.
        """
        if not request.text.startswith(SEVERAL_AT):
            return self.source.answer(request, run)
        texts = TEXT.findall(request.text)
        keys, run = self._records(request, run)
        lines, refused = [], None
        for n, (name, text) in enumerate(texts):
            single = msgspec.structs.replace(
                request,
                record=keys[n] if keys else "",
                text=f"{OPEN}{text}{CLOSE}",
                max_tokens=request.max_tokens // len(texts),
            )
            try:
                lines += self._line(name, self.source.answer(single, run).cut(single))
            except NoAnswer as error:
                refused = error
        if not lines and refused is not None:
            raise refused
        return Reply("\n".join(lines))

    def _records(self, request: Request, run: str | None) -> tuple[Sequence[str], str | None]:
        """The records of a request, for a source that goes by them, and the run that asks."""
        if self.source.name != "replay":
            return [], run
        record = request.record
        if not record or run is None:
            record, run = self.of_texts.find(request.text)
        return self.of_packs.find(record, run), run

    def _line(self, name: str, reply: Reply) -> list[str]:
        alone = lone_object(reply.text.strip())
        if alone is None or ID_MEMBER in alone or reply.stop_reason in STOPPED_BY_POLICY | STOPPED_SHORT:
            return []
        rest = reply.text.strip()[1:].lstrip()
        comma = ", " if alone else ""
        return [f"{{{json.dumps(ID_MEMBER)}: {json.dumps(name)}{comma}{rest}"] if "\n" not in rest else []


class PackedRecords:
    """Finds the records of a request that holds several, where prepare has noted them."""

    def __init__(self, s3: S3Client) -> None:
        self.s3 = s3
        self.seen: set[str] = set()
        self.found: dict[str, list[str]] = {}
        self.lock = threading.Lock()

    def find(self, request: str, run: str) -> list[str]:
        """The keys of a request's records, in order; `run` is `<bucket>/<run>`.

        Raises:
            NoAnswer: no job of the run has it.
        """
        with self.lock:
            if request not in self.found:
                self._look(*run.split("/", 1))
            if request not in self.found:
                raise NoAnswer(f"no job of the run has noted which records the request {request} holds")
            return self.found[request]

    def _look(self, bucket: str, run: str) -> None:
        prefix = f"{Keys(run).root}/round-"
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for key in (item["Key"] for item in page.get("Contents", [])):
                if key.endswith("/packs.bin") and (place := f"{bucket}/{key}") not in self.seen:
                    self.seen.add(place)
                    self._read(bucket, key)

    def _read(self, bucket: str, key: str) -> None:
        listed = whole(self.s3, bucket, key.replace("packs.bin", "records.txt"))
        keys = [line[:KEY].decode() for line in listed.split(b"\n") if line]
        for name, held in Packs.read(whole(self.s3, bucket, key)).requests(keys):
            self.found[name] = keys[held.start : held.stop]
