"""Recorded answers: one JSON line per row, `{"id": …, "answers": {"<model>": "<raw reply>"}}`, or source and line.

A record that several rows share takes the answers of the first of them. A reply may be an object with `text` and
`stop_reason` in place of a string, for a recording of one that was cut.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.errors import BadSetting
from sluice.local.sources import NoAnswer, Reply
from sluice.local.sources.keys import RecordKeys, first_rows

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from sluice.local.sources import Tiers
    from sluice.local.standin.requests import Request
    from sluice.task import Task

Answers = dict[str, str | Reply]


class Recorded(msgspec.Struct):
    """One line of the file."""

    answers: Answers
    id: str | int | float | None = None
    source: str | None = None
    line: int | None = None


class ReplaySource:
    """Answers from a file, found by the place or the id of a record's first row."""

    name = "replay"
    concurrency = 1

    def __init__(self, path: str, task: Task, tiers: Tiers, s3: S3Client) -> None:
        self.tiers = tiers
        self.task = task
        self.s3 = s3
        self.by_id: dict[str, Answers] = {}
        self.by_place: dict[tuple[str, int], Answers] = {}
        self.read(Path(path))
        self.keys = RecordKeys(s3)
        self.runs: dict[tuple[str, str], dict[str, Answers]] = {}
        self.lock = threading.Lock()

    def read(self, path: Path) -> None:
        """Take the file's lines; of several for one row, the first.

        Raises:
            BadSetting: it cannot be read, or a line of it is no recorded answer.
        """
        decode = msgspec.json.Decoder(Recorded).decode
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        self._take(decode(line), path, number)
        except OSError as error:
            raise BadSetting(f"replay:{path}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise BadSetting(f"replay:{path}, line {number}: {error}") from None

    def _take(self, recorded: Recorded, path: Path, number: int) -> None:
        if recorded.source is not None and recorded.line is not None:
            self.by_place.setdefault((Path(recorded.source).name, recorded.line), recorded.answers)
        elif recorded.id is not None:
            self.by_id.setdefault(as_text(recorded.id), recorded.answers)
        else:
            raise BadSetting(f"replay:{path}, line {number}: there is neither id nor source and line")

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
        for name in self.tiers.names_of(request.model):
            if name in answers:
                reply = answers[name]
                return Reply(reply) if isinstance(reply, str) else reply
        raise NoAnswer(f"the replay has no answer of {request.model} for record {record}; it has {', '.join(answers)}")

    def _of_run(self, run: str) -> dict[str, Answers]:
        """The recorded answers by record, of the work bucket and run `<bucket>/<run>`."""
        bucket, _, name = run.partition("/")
        with self.lock:
            if (bucket, name) not in self.runs:
                self.runs[bucket, name] = dict(self._match(bucket, name))
            return self.runs[bucket, name]

    def _match(self, bucket: str, run: str) -> Any:
        for row in first_rows(self.s3, bucket, run, self.task):
            answers = self.by_place.get((Path(row.source).name, row.line))
            if answers is None and row.id is not None:
                answers = self.by_id.get(row.id)
            if answers is not None:
                yield row.key, answers


def as_text(value: str | float) -> str:
    """An id as the results hold it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
