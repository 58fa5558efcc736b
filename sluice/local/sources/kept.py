"""Replies that were paid for or waited for are written down as they come, and asked for no second time.

One line of JSON for each, in the folder of the results: the fingerprint of what was asked, and what came back. A run
that was killed goes on where it was, since the same command finds there what it had; so does another version of the
task for the requests that the two share. No key and no header is in it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from sluice.answers.shown import OPEN_ANSWER
from sluice.files import plain
from sluice.local.sources.source import DIGEST, Call, NoAnswer, Reply, Source, digest_of
from sluice.local.sources.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.local.requests import Request

NAME = "replies.jsonl"
TEXTS = re.compile(r"<text(?: id=\w+)?>\n(.*?)\n</text>", re.DOTALL)  # as sluice.answers writes them, escaped
SENT_FOR_NUL = "\N{REPLACEMENT CHARACTER}"  # as `escape` there has it


@runtime_checkable
class AsksSomebody(Source, Protocol):
    """A source that calls a model, and can tell what it would send."""

    def call(self, request: Request) -> Call:
        """The call for a request, not made."""
        ...

    def send(self, call: Call, run: str | None) -> Reply:
        """Make a call, and give the reply.

        Raises:
            NoAnswer: there is none.
        """
        ...


class Line(msgspec.Struct, frozen=True):
    """A reply, the fingerprint of its request in hexadecimal, and the hashes of the texts that were asked about.

    These are the keys of their records, but for tasks whose records are whole rows; None in a file of an earlier
    version. By them `sluice forget` finds a person's replies.
    """

    asked: str
    reply: Reply
    of: list[str] | None = None


_decode = msgspec.json.Decoder(Line).decode


class ReplyFile:
    """The replies that a folder keeps, found by what was asked.

    In memory are 16 bytes and a place for each reply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = Lock()
        self.no_room = ""
        self.attempts: Counter[bytes] = Counter()
        self._places: dict[bytes, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._end = self._read()

    def find(self, asked: bytes) -> Reply | None:
        """The reply to what has this digest, if it is there."""
        place = self._places.get(asked)
        return None if place is None else self._at(place)

    def keep(self, asked: bytes, reply: Reply, of: list[str] | None = None) -> None:
        """Write a reply down.

        Raises:
            NoAnswer: there is no room for it; nor is any asked for from then on.
        """
        line = msgspec.json.encode(Line(asked.hex(), reply, of)) + b"\n"
        with self.lock:
            try:
                written = os.pwrite(self._file, line, self._end)
                if written < len(line):
                    written += os.pwrite(self._file, line[written:], self._end + written)
            except OSError as error:
                os.ftruncate(self._file, self._end)  # no half line stays
                self.no_room = f"no reply can be kept in {plain(self.path)}: {error.strerror}"
                raise NoAnswer(self.no_room) from error
            self._places[asked] = self._end
            self._end += len(line)

    def _at(self, place: int) -> Reply:
        size = 4096
        while b"\n" not in (data := os.pread(self._file, size, place)) and len(data) == size:
            size *= 8
        return _decode(data.partition(b"\n")[0]).reply

    def _read(self) -> int:
        """Find every whole line; a last one that was cut is dropped. The end of what is good."""
        end = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            while (line := file.readline()).endswith(b"\n"):
                with suppress(ValueError):  # of msgspec too: nobody's line, which is passed over
                    self._places.setdefault(bytes.fromhex(_decode(line).asked), end)
                end += len(line)
        os.ftruncate(self._file, end)
        return end


class KeptReplies:
    """Answers from the file what it has, asks the source for what is missing, and keeps that.

    A request that is made again within a run is another attempt, whose reply is another one. Without `asks` what is
    missing stays so.
    """

    def __init__(self, source: AsksSomebody, file: ReplyFile, tally: Tally | None = None, *, asks: bool = True) -> None:
        self.source, self.file, self.tally, self.asks = source, file, tally or Tally(), asks
        self.name, self.concurrency = source.name, source.concurrency

    def answer(self, request: Request, run: str | None) -> Reply:
        """Give the reply that is there, else the source's.

        Raises:
            NoAnswer: the source has none, which is not kept; or a reply cannot be kept, so that no more are asked for.
        """
        call = self.source.call(request)
        asked = question = call.digest()
        with self.file.lock:
            self.file.attempts[question] += 1
            attempt = self.file.attempts[question]
        if attempt > 1:
            asked = digest_of(asked + attempt.to_bytes(4, "big"))
        if (found := self.file.find(asked)) is not None:
            self.tally.found()
            return found
        if not self.asks:
            raise NoAnswer("no reply to this is kept")
        if self.file.no_room:
            raise NoAnswer(self.file.no_room)  # a reply that would be lost is not asked for
        try:
            reply = self.source.send(call, run)
        except NoAnswer:
            with self.file.lock:
                self.file.attempts[question] -= 1  # an attempt is one that was answered, as whoever comes later counts
            raise
        self.file.keep(asked, reply, hashes_of(request.text))
        return reply


def hashes_of(message: str) -> list[str]:
    """The hashes of the texts in a request's message, as records are known by; of a judge's without the answer shown.

    A text with U+FFFD is known by two, since NUL is sent as that.
    """
    shown = (text.partition(OPEN_ANSWER)[0] for text in TEXTS.findall(message))
    texts = [text.replace("&lt;", "<").replace("&amp;", "&") for text in shown]
    texts += [text.replace(SENT_FOR_NUL, "\0") for text in texts if SENT_FOR_NUL in text]
    return [blake2b(text.encode(errors="replace"), digest_size=DIGEST).hexdigest() for text in texts]


def count_kept(folder: Path) -> int:
    """How many replies a folder keeps."""
    try:
        with (folder / NAME).open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
