"""JSON that does not stand one object a line: arrays, objects over several lines or one behind the other, wrappers.

It is read value by value in flat memory: what is held is a row and a block. Rows are passed on as they stand, without
the line ends between their parts; commas, blanks and record separators between rows are passed over. What is no JSON is
refused with the row at which it ends: behind it nobody can tell where rows begin.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

from sluice.errors import BadInput
from sluice.rows.containers.layouts import MARKS, NOTHING, STRING_MARKS, brackets, decode, is_cut, says_lines
from sluice.rows.containers.reading import Reading
from sluice.rows.paths import look_up
from sluice.rows.record import OVERSIZE, integer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WINDOW = 64 * 1024
ROWS_BYTES = 1024 * 1024  # of rows that are handed on together
DEEPEST = 3  # objects in which the rows of a document may lie
BETWEEN = re.compile(r"[ \t\r\n\x1e,]*")
LINE_ENDS = re.compile(r"[ \t\r]*\n\s*")
WHOLE = Reading()
_decode_leniently = json.JSONDecoder(parse_int=integer, strict=False).raw_decode


def json_rows(blocks: Iterable[bytes], name: str, max_row: int, reading: Reading = WHOLE) -> Iterator[list[bytes]]:
    """The rows of a JSON document as lines of JSON, in lists; too long ones are `OVERSIZE`.

    Raises:
        BadInput: it is cut or no JSON, or one object that holds no rows.

    """
    rows, size = [], 0
    for row in _Document(blocks, name, max_row, reading).rows():
        rows.append(row)
        size += len(row)
        if size >= ROWS_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


class _Document:
    """A document on its way; `text` is what of it is held, `at` where it is read."""

    def __init__(self, blocks: Iterable[bytes], name: str, max_row: int, reading: Reading) -> None:
        self.blocks = iter(blocks)
        self.decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self.name = name
        self.max_row = max_row
        self.paths = reading.text
        self.text = ""
        self.at = 0
        self.ended = False
        self.count = 0

    def rows(self) -> Iterator[bytes]:
        first = True
        while mark := self._next():
            if mark == "[":
                self.at += 1
                yield from self._elements()
            elif mark == "{" and first:
                yield from self._first_object()
            elif mark in "]}":
                self._refuse()
            else:
                yield self._row()
            first = False

    def _elements(self) -> Iterator[bytes]:
        """The rows up to the end of an array that has been opened."""
        while (mark := self._next()) != "]":
            if not mark or mark == "}":
                self._refuse()
            yield self._row()
        self.at += 1

    def _row(self) -> bytes:
        self.count += 1
        found = self._value()
        if found is None:
            self._skip()
            return OVERSIZE
        return self._line(found[1])

    def _line(self, begin: int) -> bytes:
        part = self.text[begin : self.at]
        if "\n" in part:
            try:
                decode(part)
                part = LINE_ENDS.sub("", part)
            except ValueError:
                part = part.replace("\n", "\r")  # inside a text, where JSON has no line end: the row is rejected
            except RecursionError:
                part = part.replace("\n", " ")
        line = part.encode(errors="surrogateescape")
        return line if len(line) <= self.max_row else OVERSIZE

    # One object: a row, or what the rows are wrapped in.

    def _first_object(self) -> Iterator[bytes]:
        found = self._value()
        if found is not None and (self._next() or self._is_row(found[0])):
            self.count += 1
            yield self._line_before(found)
            return
        if found is not None:
            self.at = found[1]
        before = self.count
        yield from self._members(1)
        if self.count == before:
            raise BadInput(
                f"{self.name} is one JSON object that is no row with the task's text and holds no array of such rows; "
                "write one object a line, as with jq -c '.NAME[]' FILE > NEW.jsonl"
            )

    def _line_before(self, found: tuple[Any, int, int]) -> bytes:
        behind, self.at = self.at, found[2]
        line = self._line(found[1])
        self.at = behind
        return line

    def _is_row(self, value: Any) -> bool:
        """Whether the only object of a document is a row: it has the text, or nothing in it could be rows."""
        if not isinstance(value, dict):
            return True
        if self._has_text(value):
            return True
        inner = [item for item in value.values() if isinstance(item, dict | list) and item]
        if not self.paths:
            return not any(isinstance(item, list) and isinstance(item[0], dict) for item in inner)
        texts = [look_up(value, path) for path in self.paths]
        rows = any(isinstance(item, list) and isinstance(item[0], dict | list) for item in inner)
        table = any(isinstance(text, dict | list) for text in texts)
        records = bool(inner) and len(inner) == len(value) and all(map(self._has_text, inner))
        if says_lines(self.name):
            return not self._wraps(value, DEEPEST)
        return not (rows or table or records or any(map(_holds_rows, inner)))

    def _wraps(self, value: dict[str, Any], depth: int) -> bool:
        """Whether an array inside an object begins with a row."""
        return any(
            (isinstance(inner, list) and bool(inner) and self._has_text(inner[0]))
            or (isinstance(inner, dict) and depth > 1 and self._wraps(inner, depth - 1))
            for inner in value.values()
        )

    def _has_text(self, value: Any) -> bool:
        return isinstance(value, dict) and any(isinstance(look_up(value, path), str) for path in self.paths)

    def _members(self, depth: int) -> Iterator[bytes]:
        """The rows in the arrays of an object, at whose opening the document is."""
        self.at += 1
        while (mark := self._next()) != "}":
            if mark != '"' or self._value() is None or self._next() != ":":
                self._refuse()
            self.at += 1
            mark = self._next()
            if mark == "{" and depth < DEEPEST:
                yield from self._members(depth + 1)
            elif mark == "[":
                self.at += 1
                yield from self._rows_inside()
            elif self._value() is None:
                self._skip()
        self.at += 1

    def _rows_inside(self) -> Iterator[bytes]:
        """The rows of an array inside an object, if its first element is one; else it is passed over."""
        found = self._value() if self._next() == "{" else None
        if found is not None and (self._has_text(found[0]) or not self.paths):
            self.count += 1
            yield self._line(found[1])
            yield from self._elements()
        else:
            self._skip(depth=1)

    # The text.

    def _next(self) -> str:
        """The next character that is no blank and no comma; empty at the end."""
        while True:
            found = BETWEEN.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self._more(WINDOW)

    def _more(self, wanted: int) -> None:
        """Hold at least so many characters from here on, if there are so many."""
        parts = [self.text[self.at :]]
        size = len(parts[0])
        while size < wanted and not self.ended:
            block = next(self.blocks, None)
            self.ended = block is None
            parts.append(self.decode(block or b"", final=self.ended))
            size += len(parts[-1])
        self.text, self.at = "".join(parts), 0

    def _value(self) -> tuple[Any, int, int] | None:
        """The value here with its begin and end, behind which the document then is; None when it is too long."""
        read = decode
        while True:
            held = len(self.text) - self.at
            try:
                value, end = read(self.text, self.at)
                if end < len(self.text) or self.ended or isinstance(value, str | dict | list):
                    found = value, self.at, end
                    self.at = end
                    return found
            except json.JSONDecodeError as error:
                if "control character" in error.msg and read is decode:
                    read = _decode_leniently
                    continue
                if self.ended or not is_cut(error, self.text):
                    self._refuse()
            except RecursionError:
                return self._deep()
            if held > self.max_row:
                return None
            self._more(2 * max(held, WINDOW))

    def _deep(self) -> tuple[Any, int, int] | None:
        """A value that is nested more deeply than Python reads; what it holds is of no interest."""
        self._more(self.max_row + 1)
        begin = self.at
        end = _end_of(self.text, begin)
        if end is None:
            return None
        self.at = end
        return None if end - begin > self.max_row else (NOTHING, begin, end)

    def _skip(self, depth: int = 0) -> None:
        """Pass over a value, or over what is left of `depth` that are open, without holding it."""
        inside = False
        while True:
            search = STRING_MARKS if inside else MARKS
            found = search.search(self.text, self.at)
            if found is None:
                self.at = len(self.text)
            else:
                mark, self.at = found[0], found.end()
                if mark == "\\":
                    self.at += 1
                elif mark == '"':
                    inside = not inside
                else:
                    depth += 1 if mark in "{[" else -1
                if not inside and depth == 0:
                    return
            if self.at >= len(self.text):
                over = self.at - len(self.text)
                if self.ended:
                    self._refuse()
                self.at = len(self.text)
                self._more(WINDOW)
                self.at = over

    def _refuse(self) -> None:
        raise BadInput(
            f"{self.name} is no whole JSON document: it is cut or damaged behind row {self.count:,}; write it again, "
            "or one object a line"
        )


def _holds_rows(value: Any) -> bool:
    """Whether an object holds an array of objects, one or two names down."""
    if not isinstance(value, dict):
        return False
    inner = [*value.values(), *(item for held in value.values() if isinstance(held, dict) for item in held.values())]
    return any(isinstance(item, list) and item and isinstance(item[0], dict) for item in inner)


def _end_of(text: str, begin: int) -> int | None:
    """Where the value that opens here ends; None when it does not."""
    depth = 0
    for mark, end in brackets(text, begin):
        depth += 1 if mark in "{[" else -1
        if depth == 0:
            return end
    return None
