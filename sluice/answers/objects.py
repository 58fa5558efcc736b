"""Finding the JSON objects of a reply among drafts, prose and fences.

What stands in tags of thinking is no part of the answer; what is left is read from its beginning to its end, since a
model may show a draft first, or correct itself.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from sluice.reasons import Reason

PART = "\0"  # between the text parts of a message: no JSON value goes on behind it
MAX_REPLY = 100_000  # characters: far beyond any answer asked for, so the rest of a flood is not read
MAX_STARTS = 5_000  # places at which an object or a list is looked for
MAX_FAILED = 5 * MAX_REPLY  # characters that are read at such places in vain
MAX_OPENINGS = 200  # braces and brackets of one object: no answer asked for comes near, and the stack stays flat

# Words that a tag of thinking is named by, alone or among others: <thinking>, <chain_of_thought>, <innerMonologue>.
_WORDS = """
think thinking antthinking thought thoughts reason reasons reasoning rationale reflect reflection reflections
reflecting scratch scratchpad analysis analyse analyze analyzing monologue deliberation brainstorm brainstorming
draft drafts cot plan planning
"""
THINKING = frozenset(_WORDS.split())
_ATTRIBUTES = r"""[^<>"']{0,200}+(?:(?:"[^"]{0,200}+"|'[^']{0,200}+')[^<>"']{0,200}+){0,5}+"""
# Where a tag, an object or a list can begin; prose has other brackets too.
_START = re.compile(
    rf"""[<\u25c1]\|?\s{{0,9}}(?P<close>/?)\s{{0,9}}(?P<name>[^\W\d][\w:.-]{{0,60}})
        (?:{_ATTRIBUTES}|[^<>]{{0,200}}?)[>\u25b7]
      |\[(?P<close_>/?)(?P<name_>think|thinking|reasoning)\]
      |\{{(?=\s*["'\u2018\u201c\w}}])
      |\[""",
    re.VERBOSE | re.IGNORECASE,
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_HOLDS_OBJECTS = re.compile(r"\[\s*\{")
_BRACKETS = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{}\[\]]')


class Found(NamedTuple):
    """What a reply holds outside of its thinking.

    `objects` at the top level, each with its text; `listed`, those that stand in a list; `broken`, what is written
    like an object and is no JSON; `cut`, what begins like one and runs to the reply's end; `prose`, all of it as text.
    `whole`: whether the reply was read to its end.
    """

    objects: list[tuple[dict[str, Any], str]]
    listed: list[dict[str, Any]]
    broken: list[str]
    cut: str
    prose: str
    whole: bool


class _Doubled(dict[str, Any]):
    """An object that names some members twice, with different values."""

    names: frozenset[str] = frozenset()


def ambiguous(answer: dict[str, Any]) -> frozenset[str]:
    """The members that an answer gives two different values."""
    return answer.names if isinstance(answer, _Doubled) else frozenset()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = _Doubled(made)
    doubled.names = frozenset(name for name, value in pairs if value is not made[name] and value != made[name])
    return doubled


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)


def lone_object(reply: str) -> dict[str, Any] | None:
    """The object that a reply is and nothing else, as nearly always; None where it has to be looked for."""
    if reply[:1] != "{" or len(reply) > MAX_REPLY:
        return None
    try:
        value, end = _DECODER.raw_decode(reply)
    except (ValueError, RecursionError):
        return None
    return value if end == len(reply) or not reply[end:].strip(" \t\r\n") else None


def read_objects(reply: str) -> Found | Reason:
    """What a reply holds, or the reason why nothing of it can be read."""
    if not reply[:MAX_REPLY].strip():
        return Reason.REPLY_EMPTY
    reader = _Reader(reply[:MAX_REPLY])
    try:
        done = reader.read()
    except RecursionError:
        return Reason.REPLY_TOO_DEEP
    except ValueError:  # NaN, Infinity or a number of thousands of digits
        return Reason.REPLY_NOT_JSON
    return reader.found(whole=done and len(reply) <= MAX_REPLY)


class _Reader:
    """A reply on its way from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.failed = 0
        self.inside, self.depth = "", 0  # the tag of thinking that is open, and how many of its name
        self.outside = 0  # where what stands outside of thinking begins
        self._forget()

    def _forget(self) -> None:
        self.objects: list[tuple[dict[str, Any], str]] = []
        self.listed: list[dict[str, Any]] = []
        self.broken: list[str] = []
        self.cut = ""
        self.prose: list[str] = []

    def read(self) -> bool:
        """Go through the text; False when there is more in it than is looked at."""
        at = 0
        for _ in range(MAX_STARTS):
            start = _START.search(self.text, at)
            if start is None or self.failed > MAX_FAILED:
                return start is None
            name = start["name"] or start["name_"]
            at = self._tag(start, name) if name else self._value(start.start())
        return _START.search(self.text, at) is None

    def found(self, *, whole: bool) -> Found:
        if not self.inside:
            self.prose.append(self.text[self.outside :])
        return Found(self.objects, self.listed, self.broken, self.cut, "".join(self.prose), whole)

    def _tag(self, start: re.Match[str], name: str) -> int:
        """Where to go on behind a tag. One that closes what nothing has opened says that all before it was thinking."""
        if start.group().endswith(("/>", "/|>")) or THINKING.isdisjoint(map(str.casefold, _WORD.findall(name))):
            return start.start() + 1
        name, closes = name.casefold(), bool(start["close"] or start["close_"])
        if not self.inside and closes:
            self._forget()
            self.outside = start.end()
        elif not self.inside:
            self.inside, self.depth = name, 1
            self.prose.append(self.text[self.outside : start.start()])
        elif name == self.inside:
            self.depth += -1 if closes else 1
            if not self.depth:
                self.inside, self.outside = "", start.end()
        return start.end()

    def _value(self, start: int) -> int:
        """Take what begins here, and say where to go on. Inside of thinking it is passed over, tags in it included."""
        try:
            value, end = _DECODER.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            self.failed += error.pos - start
            return start + 1 if self.inside else self._broken(start, error)
        except ValueError:
            if self.inside:
                return start + 1
            raise
        if self.inside:
            return end
        if isinstance(value, dict):
            self.objects.append((value, self.text[start:end]))
        else:
            self.listed += [item for item in value if isinstance(item, dict)]
        return end

    def _broken(self, start: int, error: json.JSONDecodeError) -> int:
        """Pass over an object that is no JSON, with all that stands in it; a bracket of prose is no object."""
        if self._at_end(error):
            self.cut = self.text[start:]
            return len(self.text)
        if self.text[start] == "[" and not _HOLDS_OBJECTS.match(self.text, start):
            return start + 1
        end = self._closing(start)
        self.broken.append(self.text[start:end])
        return start + 1 if end is None else end

    def _at_end(self, error: json.JSONDecodeError) -> bool:
        """Whether an object runs to the end of the reply, so that it was cut."""
        rest = self.text[error.pos :].strip().removesuffix("```").strip()
        return error.msg.startswith("Unterminated string") or not rest

    def _closing(self, start: int) -> int | None:
        """Behind the bracket that closes the one here; None where none does."""
        depth = 0
        for bracket in _BRACKETS.finditer(self.text, start):
            kind = bracket.group()
            if kind[0] != '"':
                depth += 1 if kind in "{[" else -1
                if not depth:
                    self.failed += bracket.end() - start
                    return bracket.end()
        self.failed += len(self.text) - start
        return None


def strict(raw: str, value: dict[str, Any]) -> dict[str, Any] | Reason:
    """What the lenient reader took is read again by a strict one, which refuses what cannot be stored."""
    if raw.count("{") + raw.count("[") > MAX_OPENINGS:
        return Reason.REPLY_TOO_DEEP
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return Reason.REPLY_NOT_JSON
    return value
