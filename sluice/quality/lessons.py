"""What a learned model is taught: records with their labels, by whom, and under which teacher.

**The file** in which lessons outlast their run is zlib over lines of JSON: a `Head`, then for each record an array of
its key, text, labels, source, and how many uniformly drawn rows have it.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.decoding import decoder
from sluice.errors import Stop
from sluice.runs.document import Document, read

if TYPE_CHECKING:
    from collections.abc import Iterable


class Source(StrEnum):
    """Who says what a lesson's labels are; the first one is believed where two speak of one record."""

    CORRECTION = "correction"
    GOLD = "gold"
    ORACLE = "oracle"


class Lesson(NamedTuple):
    """A record and its labels; `drawn` is how many uniformly drawn rows have it, 0 where it came otherwise.

    `earlier`: it is another run that had it.
    """

    key: str
    text: str
    labels: tuple[str, ...]
    source: Source
    drawn: int = 0
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Teacher:
    """What decides which answers a model was taught: another one of these is another teacher."""

    model: str
    prompt: str  # a digest of the instructions as they are sent
    labels: tuple[str, ...]
    fewest: int = 1
    most: int = 1
    several: bool = False
    pack: int = 1


class Head(Document, frozen=True, kw_only=True):
    """Where lessons come from: runs, the seeds of their draws, and who taught.

    `agreement`: how often the model of that run gave the last tier's labels to drawn rows that it had not seen, as a
    share with its interval; None where it states nothing.
    """

    task: str
    runs: list[str]
    seeds: list[str]
    teacher: Teacher
    agreement: dict[str, Any] | None = None


class Lessons(NamedTuple):
    """A file of lessons."""

    head: Head
    records: list[Lesson]


def pack_lessons(head: Head, lessons: Iterable[Lesson]) -> bytes:
    """The file of these lessons, by key."""
    lines = [
        msgspec.json.encode((each.key, each.text, each.labels, each.source, each.drawn))
        for each in sorted(lessons, key=lambda each: (each.key, each.source))
    ]
    return zlib.compress(b"\n".join([head.write(), *lines]))


def unpack_lessons(data: bytes, key: str) -> Lessons:
    """The lessons of a file, as those of an earlier run.

    Raises:
        Stop: it is no such file, or of a format that this version cannot read.
    """
    decode_line = decoder(tuple[str, str, tuple[str, ...], Source, int]).decode
    try:
        first, *lines = zlib.decompress(data).split(b"\n")
        head = read(Head, first, key)
        return Lessons(head, [Lesson(*decode_line(line), earlier=True) for line in lines])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Stop(f"{key} holds no lessons: {error}") from error


def changed(was: Teacher, now: Teacher) -> str:
    """What makes two teachers different, in words."""
    told = [
        f"{name} was {getattr(was, name)}, is {getattr(now, name)}"
        for name in ("model", "fewest", "most", "several", "pack")
        if getattr(was, name) != getattr(now, name)
    ]
    if was.prompt != now.prompt:
        told.append("its prompt changed")
    more, fewer = set(now.labels) - set(was.labels), set(was.labels) - set(now.labels)
    if more or fewer:
        told.append(f"{len(more):,} labels are new and {len(fewer):,} gone")
    elif was.labels != now.labels:
        told.append("the labels stand in another order")
    return ", ".join(told)


def fingerprint(teacher: Teacher) -> str:
    """16 hex digits of all that decides which labels the teacher gives."""
    return blake2b(msgspec.json.encode(asdict(teacher), order="deterministic"), digest_size=8).hexdigest()
