"""Recorded answers: one JSON line per row, `{"id": …, "answers": {"<model>": "<raw reply>"}}`, or source and line.

The answers to a router's question stand under `router`, those of a judge, whichever answer it is shown, under `judge`.
A record that several rows share takes the answers of the first of them. A reply may be an object with `text` and
`stop_reason` in place of a string, for one that was cut.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.errors import BadSetting
from sluice.local.sources.keys import RecordKeys, first_rows, id_text
from sluice.local.sources.source import NoAnswer, Reply
from sluice.rows.inputs import in_common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.client import S3Client

    from sluice.local.requests import Request
    from sluice.local.sources.keys import FirstRow
    from sluice.local.sources.source import Tiers
    from sluice.task.task import Task

SHAPE = 'a line is {"id": <the row\'s id>, "answers": {"<model>": "<reply>"}}, or has source and line in place of id'
Answers = dict[str, str | Reply | None]  # null, like a model that is not there: nothing was recorded


class Recorded(msgspec.Struct):
    """One line of the file."""

    answers: Answers
    id: msgspec.Raw = msgspec.Raw(b"null")  # as it stands there: a long number is no float
    source: str | None = None
    line: int | None = None

    @property
    def row_id(self) -> str | None:
        """The user's id, as `first_rows` has it."""
        return id_text(json.loads(bytes(self.id)))


class ReplaySource:
    """Answers from a file, found by the place or the id of a record's first row."""

    name = "replay"
    concurrency = 1

    def __init__(self, path: str, task: Task, tiers: Tiers, s3: S3Client, name: str | None = None) -> None:
        self.of = name  # whose answers are taken whichever model is asked; None for the asked model's
        self.tiers = tiers
        self.task = task
        self.s3 = s3
        self.by_id: dict[str, Answers] = {}
        self.by_place: dict[tuple[str, int], dict[str, Answers]] = {}  # by base name and line, then by source
        for recorded in read_recording(Path(path)):
            self._take(recorded)
        self.keys = RecordKeys(s3)
        self.runs: dict[tuple[str, str], dict[str, Answers]] = {}
        self.lock = threading.Lock()

    def _take(self, recorded: Recorded) -> None:
        """Keep a line; of several for one row, the first."""
        if recorded.source is not None and recorded.line is not None:
            same = self.by_place.setdefault((Path(recorded.source).name, recorded.line), {})
            same.setdefault(recorded.source, recorded.answers)
        else:
            self.by_id.setdefault(str(recorded.row_id), recorded.answers)

    def answer(self, request: Request, run: str | None) -> Reply:
        """The recorded reply of the request's model.

        Raises:
            NoAnswer: nothing is recorded for the record, or not for this model.
        """
        record = request.record
        if not record or run is None:
            record, run = self.keys.find(request.text)
        answers = self._of_run(run).get(record)
        if answers is None:
            raise NoAnswer(f"the replay has no answers for record {record}")
        for name in self.tiers.names_of(request.model) if self.of is None else (self.of,):
            if (reply := answers.get(name)) is not None:
                return Reply(reply) if isinstance(reply, str) else reply
        raise NoAnswer(f"the replay has no answer of {request.model} for record {record}; it has {', '.join(answers)}")

    def _of_run(self, run: str) -> dict[str, Answers]:
        """The recorded answers by record, of the work bucket and run `<bucket>/<run>`."""
        bucket, _, name = run.partition("/")
        with self.lock:
            if (bucket, name) not in self.runs:
                self.runs[bucket, name] = dict(self._match(bucket, name))
            return self.runs[bucket, name]

    def _of_place(self, row: FirstRow) -> Answers | None:
        """What is recorded for a row's line; of several files of one name, that of the source most like the row's."""
        same = self.by_place.get((Path(row.source).name, row.line), {})
        parts = row.source.split("/")
        likest = max(same, key=lambda source: in_common(source.split("/"), parts), default=None)
        return None if likest is None else same[likest]

    def _match(self, bucket: str, run: str) -> Any:
        for row in first_rows(self.s3, bucket, run, self.task):
            answers = self._of_place(row)
            if answers is None and row.id is not None:
                answers = self.by_id.get(row.id)
            if answers is not None:
                yield row.key, answers


def read_recording(path: Path) -> Iterator[Recorded]:
    """The lines of a recording.

    Raises:
        BadSetting: it cannot be read, or a line of it is no recorded answer.
    """
    decode = msgspec.json.Decoder(Recorded).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                recorded = decode(line)
                if recorded.row_id is None and (recorded.source is None or recorded.line is None):
                    raise BadSetting(f"replay:{path}, line {number}: there is neither id nor source and line")
                yield recorded
    except OSError as error:
        raise BadSetting(f"replay:{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of msgspec and json
        raise BadSetting(f"replay:{path}, line {number}: {error}; {SHAPE}") from None
