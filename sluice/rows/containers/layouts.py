"""How JSON stands in an object, by its beginning: one object a line, or in another layout."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sluice.errors import BadInput
from sluice.rows.containers.lines import BOM
from sluice.rows.record import integer

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES = 64 * 1024  # by which most objects show how they are written
MOST_HEAD_BYTES = 1024 * 1024  # and those whose first row is long
TAIL = 12  # characters by whose lack a value can fail to be read: a pair of escapes, -Infinity
BLANKS = " \t\r\n\x1e"
MARKS = re.compile(r'["{}\[\]]')
STRING_MARKS = re.compile(r'["\\]')
PRETTY = re.compile(rb'\{[ \t\r]*\n\s*(?:"(?:[^"\\\n]|\\.)*"\s*:|\Z)')
LINES = re.compile(r"\.(?:jsonl|ndjson)(?:\.(?:gz|zst|zstd))?$", re.IGNORECASE)
NOTHING = object()
decode = json.JSONDecoder(parse_int=integer).raw_decode


def is_document(head: bytes, name: str, *, complete: bool) -> bool | None:
    """Whether an object is more than JSON Lines, by its first bytes; None when more of them are needed.

    JSON Lines they are if in doubt: a first row may be broken, and lines can be read by many workers.

    Raises:
        BadInput: an array that holds no objects.

    """
    data = head.removeprefix(BOM)
    if data.startswith(b"\x1e"):
        return True
    text = data.decode(errors="surrogateescape").lstrip(BLANKS)
    if text[:1] not in ("{", "["):
        return False
    line, found, behind = text.partition("\n")
    behind = behind.lstrip(BLANKS)
    value = _parsed(line) if found or complete else NOTHING
    if isinstance(value, dict):
        only = complete and not behind
        return only and any(isinstance(inner, dict | list) and bool(inner) for inner in value.values())
    if isinstance(value, list):
        return _is_array(value, behind, name)
    sure = _opens_array(text, line, behind, name) if text[0] == "[" else _opens_objects(text, line, behind)
    if sure is None and complete:
        return PRETTY.match(text.encode(errors="surrogateescape")) is not None
    return sure


def _is_array(value: list[Any], behind: str, name: str) -> bool:
    """A first line that is an array: the rows, unless objects or other such lines come behind it."""
    if value and not isinstance(value[0], dict):
        if not behind and not says_lines(name):
            _refuse_array(name)
        return False
    return not behind.startswith("{")


def _opens_array(text: str, line: str, behind: str, name: str) -> bool | None:
    inner = text[1:].lstrip(BLANKS)
    if not inner:
        return None
    second = behind.partition("\n")[0]
    if line.rstrip() != "[" and isinstance(_parsed(second), dict):
        return False  # a first row that is broken
    if inner[0] in "{]":
        return True
    try:
        _, end = decode(inner)
    except (ValueError, RecursionError):
        return False if inner[0] != "[" else None
    if inner[end:].lstrip(BLANKS)[:1] in (",", "]"):
        _refuse_array(name)
    return False


def says_lines(name: str) -> bool:
    """Whether a name promises JSON Lines: there a line is a row, if nothing else can be made of it."""
    return LINES.search(name) is not None


def _refuse_array(name: str) -> None:
    raise BadInput(
        f"{name} is a JSON array of values that are no objects; write one object a line, as with "
        "jq -c '.[] | {text: .}' FILE > NEW.jsonl"
    )


def _opens_objects(text: str, line: str, behind: str) -> bool | None:
    """Whether the first object goes over several lines, or has others behind it on its own."""
    try:
        _, end = decode(text)
    except json.JSONDecodeError as error:
        if not is_cut(error, text):
            return False
        data = text.encode(errors="surrogateescape")
        if len(data) < MOST_HEAD_BYTES - len(BOM) - HEAD_BYTES:
            return None
        return bool(PRETTY.match(data)) or (not _are_rows(behind) and "[" in _open_brackets(text))
    except (ValueError, RecursionError):
        return False
    rest = text[end : len(line)].strip(BLANKS)
    if end > len(line):
        return True
    if rest in ("", ","):
        return behind.startswith("{") if rest else None
    return rest.lstrip(BLANKS + ",").startswith("{")


def _are_rows(text: str) -> bool:
    """Whether the first two lines are objects."""
    return all(isinstance(_parsed(line), dict) for line in text.split("\n", 2)[:2])


def _parsed(line: str) -> Any:
    try:
        return json.loads(line, parse_int=integer)
    except (ValueError, RecursionError):
        return NOTHING


def is_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether a value could not be read because there is no more of it."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(text) - TAIL


def _open_brackets(text: str) -> list[str]:
    """What is open at the end of the beginning of a document."""
    found: list[str] = []
    for mark, _ in brackets(text, 0):
        if mark in "{[":
            found.append(mark)
        elif found:
            found.pop()
    return found


def brackets(text: str, at: int) -> Iterator[tuple[str, int]]:
    """The brackets outside of strings, each with the place behind it."""
    inside = False
    while found := (STRING_MARKS if inside else MARKS).search(text, at):
        mark, at = found[0], found.end()
        if mark == "\\":
            at += 1
        elif mark == '"':
            inside = not inside
        else:
            yield mark, at
