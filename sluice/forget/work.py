"""What is to be done, as a list that is written down first: whoever breaks off is taken up where he was.

Each piece of work can be done again without harm. No text of a row stands in the list, which is removed at the end.
"""

from __future__ import annotations

from typing import Any

import msgspec

PROTOCOLS = "forgotten/"
UNFINISHED = f"{PROTOCOLS}unfinished.json"
FORMAT = 1

At = tuple[str, str]  # the name of a store, and a key in it


class Piece(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that is done at one place."""


class TakeRows(Piece, frozen=True, kw_only=True):
    """Rewrite a file of results without rows, given by source and line."""

    at: At
    rows: list[tuple[str, int]]


class Retell(Piece, frozen=True, kw_only=True):
    """Write what tells of a run anew, all of it made from run.json."""

    document: msgspec.Raw
    runs: list[At]
    report: At | None
    table: At | None


class Replace(Piece, frozen=True, kw_only=True):
    """Write a small document."""

    at: At
    text: str


class TakeLines(Piece, frozen=True, kw_only=True):
    """Rewrite an object of corrections with other lines, numbered from 1, in the place of some."""

    at: At
    lines: dict[int, str]


class TakeReplies(Piece, frozen=True, kw_only=True):
    """Rewrite an object of kept replies without those to these records."""

    at: At
    records: list[str]


class TakeSettled(Piece, frozen=True, kw_only=True):
    """Rewrite what people had settled before a run, without these records."""

    at: At
    records: list[str]


class TakeJournal(Piece, frozen=True, kw_only=True):
    """Rewrite the replies that a folder keeps without those to these records; `records` None: without any."""

    at: At
    records: list[str] | None


class Remove(Piece, frozen=True, kw_only=True):
    """Delete objects."""

    store: str
    keys: list[str]


class CleanInput(Piece, frozen=True, kw_only=True):
    """Write a version of an input anew without the rows of these lines, and delete the version.

    `newest`: it is the one that the bucket shows; others are deleted alone, and so is one without `lines`. `runs` have
    read it; `work` names the store that holds these. `waits`: it may yet become a run's. `text` and `csv` say how a
    table is read (`input` of the task).
    """

    at: At
    version: str
    container: str
    lines: list[int]
    newest: bool
    runs: list[str]
    work: str
    text: tuple[str, ...] = ()
    csv: dict[str, Any] | None = None
    waits: bool = False


AnyPiece = TakeRows | Retell | Replace | TakeLines | TakeReplies | TakeSettled | TakeJournal | Remove | CleanInput


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, when, by whom, how many; no content. `found_by`: which kinds of conditions, not their values.

    `removed` counts by kind of place, `runs` rows by run; `withdrawn` says in words what no longer works, and
    `not_reached` where rows may lie that nobody here can take out.
    """

    at: str
    by: str
    found_by: str
    rows: int
    texts: int
    runs: dict[str, int]
    removed: dict[str, int]
    withdrawn: list[str]
    not_reached: list[str]
    format: int = FORMAT


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """All pieces in order, and the protocol that is written behind the last."""

    protocol: Protocol
    pieces: list[AnyPiece]
    format: int = FORMAT
