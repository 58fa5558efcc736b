"""What a learned model is taught: records with their labels, by whom, and under which teacher."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec


class Source(StrEnum):
    """Who says what a lesson's labels are; the first one is believed where two speak of one record."""

    CORRECTION = "correction"
    GOLD = "gold"
    ORACLE = "oracle"


class Lesson(NamedTuple):
    """A record and its labels; `drawn` is how many uniformly drawn rows have it, 0 where it came otherwise."""

    key: str
    text: str
    labels: tuple[str, ...]
    source: Source
    drawn: int = 0


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
