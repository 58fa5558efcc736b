r"""Rows: from a line of input to a key, and the layout in which partition hands them on.

A stored row is one line, so that a block of rows splits at C speed:

    \n  key (32 hex)  source (8 digits)  line (12 digits)  flag (1)  the raw row

`flag` is a blank for a good row, `~` for a text that is cut, `=` for one whose text people had settled before, a letter
for a rejected row (`REJECTIONS` in order). Of a row that a route of the task takes it tells that, too: the n-th
character behind the blank, or the n-th small letter.
`line` counts within the row's piece of the object; merge adds what the spans before it counted. The key of a good row
is a hash of its text, that of a rejected one a hash of its place, in a domain of its own: no text has such a key. Rows
that were stored before that was so may share keys; whoever looks for the row of a key passes over rejected rows.
"""

from __future__ import annotations

import json
import re
from binascii import hexlify
from collections import defaultdict
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from sluice.reasons import REJECTIONS, Reason
from sluice.rows.paths import MISSING, Picker, look_up, value_in
from sluice.task.routes import MAX_ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sluice.task.task import Task

KEY = 32
SOURCE = 40  # key, source
PLACE = 52  # key, source, line
RAW = 53
GOOD = ord(" ")
CUT = ord("~")
SETTLED = ord("=")
ROUTED = range(GOOD + 1, GOOD + 1 + MAX_ROUTES)
ROUTED_CUT = range(ord("a"), ord("a") + MAX_ROUTES)
CUTS = frozenset({CUT, *ROUTED_CUT})  # the flags of rows whose text is cut
SENT = frozenset({GOOD, *ROUTED, *CUTS})  # the flags of rows that models are asked about
FLAGS = {reason: chr(ord("A") + n) for n, reason in enumerate(REJECTIONS)}
REASONS = {ord(flag): reason for reason, flag in FLAGS.items()}
OVERSIZE = b"\xffoversize"  # stands for a line that was too long to keep: compared by identity, never by value
HELD = 56  # bytes that a row costs beside its stored form while it is held: the object's head, its place in a list
MAX_DIGITS = 4000
HELD_KEY = 130  # bytes of a key in a set
OF_PLACE = b"rejected row"  # the domain of keys that are made of a place: BLAKE2b's `person`
LINE_FEED = b"\n"
THOUSAND = 1000
DIGITS = [b"%03d " % number for number in range(THOUSAND)]  # a line number's last digits, and the flag of a good row
GLUED = re.compile(rb"\} ?\{|\r")  # what stands between the rows of one line
BLANKS = re.compile(r"[ \t\r]*")
BLANK = b" \t\r"  # what JSON takes for white space
BYTES_PER_TOKEN = 4  # a rule of thumb for European text; no tokenizer of these models is public

# What msgspec raises on bytes that are no such row; the slow path then finds out why.
UNDECODED = (msgspec.MsgspecError, UnicodeError, RecursionError, AttributeError, TypeError)


key_of = itemgetter(slice(1, KEY + 1))  # the key of a stored row that begins with its line feed


class BrokenRow(bytes):
    """A row that its container could not take apart: a byte that no decoder takes, and behind it the row's text.

    Like `OVERSIZE` it is known by what it is: any file may hold the same bytes.
    """

    __slots__ = ()

    @classmethod
    def of(cls, text: bytes) -> Self:
        return cls(b"\xff" + text)

    @property
    def text(self) -> bytes:
        return self[1:]


class Row(NamedTuple):
    """A good row: the text that the model sees, whole, and whether it has to be cut."""

    text: str
    cut: bool


class RowReader:
    """Takes the text out of a raw row, as the task says. Good rows take the fast path; the others are asked why."""

    def __init__(self, task: Task) -> None:
        self.paths = task.input.text
        self.max_bytes = task.input.max_tokens * BYTES_PER_TOKEN
        self.cuts = task.input.when_longer == "cut"
        self.whole_row = task.reads_row
        picker = Picker(self.paths, str | msgspec.UnsetType | None, MISSING)
        self.decode: Callable[[bytes], Any] = picker.decode
        self.text_of = text_getter(picker, self.paths)

    def read(self, raw: bytes) -> Row | Reason:
        """The row's text, or the reason why it has none. Slow: called for the rows that the fast path leaves."""
        if raw is OVERSIZE:
            return Reason.ROW_TOO_LARGE
        if isinstance(raw, BrokenRow):
            return Reason.ROW_NOT_CSV
        row = parse_object(raw)
        if isinstance(row, Reason):
            return row
        texts = [look_up(row, path) for path in self.paths]
        if any(text is not None and not isinstance(text, str) for text in texts):
            return Reason.TEXT_NOT_STRING
        if all(text is None for text in texts):
            return Reason.TEXT_MISSING
        text = printable(join_texts(self.paths, texts))
        if not any(part and not part.isspace() for part in texts):
            return Reason.TEXT_EMPTY
        too_long = len(text.encode()) > self.max_bytes
        if too_long and not self.cuts:
            return Reason.TEXT_TOO_LONG
        return Row(text, cut=too_long)

    def text(self, raw: bytes) -> str:
        """The text of a row that partition found good."""
        try:
            text = self.text_of(self.decode(raw))
            text.encode()
        except UNDECODED:
            row = self.read(raw)
            if isinstance(row, Reason):
                raise ValueError(f"a good row reads as {row}") from None  # noqa: TRY004 - it is the value that is wrong
            return row.text
        return text

    def key(self, text: bytes, raw: bytes) -> bytes:
        """128 bits over all that the judgement depends on, in hex: the text; with rules, the whole row."""
        digest = blake2b(text, digest_size=16)
        if self.whole_row:
            digest.update(b"\n" + raw)
        return hexlify(digest.digest())


def text_getter(picker: Picker, paths: Sequence[str]) -> Callable[[Any], str]:
    """From a decoded row to the text; AttributeError or TypeError where the slow path has to look."""
    places = picker.places
    if len(places) == 1 and len(places[0]) == 1:
        return attrgetter(places[0][0][0])
    if all(len(ways) == 1 for ways in places):
        names = [ways[0][0] for ways in places]
        return lambda row: join_texts(paths, [getattr(row, name) for name in names])
    return lambda row: join_texts(paths, [value_in(row, ways) for ways in places])


def join_texts(paths: Sequence[str], texts: Sequence[str | None]) -> str:
    """One field stands as it is; several stand one below the other with their names."""
    if len(paths) == 1:
        return texts[0]  # type: ignore[return-value]
    return "\n".join(f"{path}: {text}" for path, text in zip(paths, texts, strict=True) if text and not text.isspace())


def parse_object(raw: bytes) -> dict[str, Any] | Reason:
    """A JSON object by the most lenient reader there is: NaN, lone surrogates and huge integers pass."""
    try:
        value = json.loads(raw.decode(), parse_int=integer)
    except UnicodeDecodeError:
        return Reason.ROW_NOT_UTF8
    except RecursionError:
        return Reason.ROW_TOO_DEEP
    except ValueError:
        return Reason.ROW_NOT_JSON
    return value if isinstance(value, dict) else Reason.ROW_NOT_OBJECT


def integer(digits: str) -> int | float:
    """Python refuses to read integers of thousands of digits; the fast decoder passes over them."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


_decode = json.JSONDecoder(parse_int=integer, strict=False).raw_decode


def walk(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at these names of a decoded object, one inside the other; None where they end early."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def printable(text: str) -> str:
    """The text with lone surrogates replaced, as a cut emoji leaves them: they exist in no UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Buckets:
    """Rows grouped by the first hex digits of their key: the layout of a segment before it is written."""

    def __init__(self, reader: RowReader, depth: int, route_of: Callable[[bytes], int | None] | None = None) -> None:
        self.reader = reader
        self.route_of = route_of  # the number of the route that takes a row
        self.depth = depth
        self.rejected: dict[str, int] = {}
        self.routed: dict[int, tuple[int, int]] = {}  # of each route how many rows it takes, and their bytes
        self.unsent: set[bytes] = set()  # the keys of rejected rows, which are theirs alone
        self.groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self.rows = 0
        self.bytes = 0
        self.begin = 0  # of the piece that is being read, in its object

    @property
    def held(self) -> int:
        """Bytes of memory that the rows take, about: short rows cost more than their text."""
        return self.bytes + self.rows * (RAW + 1 + HELD) + len(self.unsent) * HELD_KEY

    def add(self, lines: list[bytes], source: int, first: int, begin: int = 0) -> int:
        """Take lines of one input, numbered from `first` within the piece that begins at the byte `begin`.

        Blank lines are no rows. A line that holds several rows is replaced by them, in `lines` too. Returns the number
        of rows.
        """
        sound, at, before, self.begin = is_utf8(lines), 0, self.rows, begin
        while at < len(lines):
            number = first + at
            some = lines[at : at + THOUSAND - number % THOUSAND]
            added, taken = self._add_thousand(some, source, number, sound=sound)
            self.rows += added
            at += taken
            if taken < len(some):
                lines[at : at + 1] = apart(lines[at])
        return self.rows - before

    def _add_thousand(self, lines: Sequence[bytes], source: int, first: int, *, sound: bool) -> tuple[int, int]:
        """Take lines whose numbers differ in the last three digits alone, which spares formatting each number.

        Returns how many rows there were, and how many lines were taken: one that holds several rows ends it.
        """
        reader, groups, depth, route_of = self.reader, self.groups, self.depth, self.route_of
        plain = not reader.whole_row
        thousands, low = divmod(first, THOUSAND)
        place, total, added = b"%08d%09d" % (source, thousands), 0, 0
        for line, text, digits in zip(lines, self._texts(lines, sound=sound), DIGITS[low:], strict=False):
            if text is None:
                if GLUED.search(line) and len(apart(line)) > 1:
                    self.bytes += total
                    return added, int(digits) - low
                added += self._add_slowly(line, source, thousands * THOUSAND + int(digits))
                continue
            key = hexlify(blake2b(text, digest_size=16).digest()) if plain else reader.key(text, line)
            if route_of is not None and (route := self._route(line)) is not None:
                digits = b"%b%c" % (digits[:-1], ROUTED[route])  # noqa: PLW2901 - the flag is its last byte
            groups[key[:depth]].append(b"".join((LINE_FEED, key, place, digits, line)))
            total += len(line)
            added += 1
        self.bytes += total
        return added, len(lines)

    def _texts(self, lines: Sequence[bytes], *, sound: bool) -> Sequence[bytes | None]:
        """The texts of good rows in UTF-8, None for what only reads slowly; most often all are good, seen at once."""
        reader = self.reader
        if sound:
            try:
                texts = list(map(reader.text_of, map(reader.decode, lines)))
                found = list(map(str.encode, texts))
            except UNDECODED:
                pass
            else:
                sizes = set(map(len, found))
                if min(sizes) > 0 and max(sizes) <= reader.max_bytes and not any(map(str.isspace, texts)):
                    return found
        return [self._text(line) if sound or is_utf8((line,)) else None for line in lines]

    def _text(self, line: bytes) -> bytes | None:
        try:
            text: str = self.reader.text_of(self.reader.decode(line))
            found = text.encode()
        except UNDECODED:
            return None
        return found if 0 < len(found) <= self.reader.max_bytes and not text.isspace() else None

    def _add_slowly(self, line: bytes, source: int, number: int) -> int:
        if line is not OVERSIZE and not line.strip(BLANK):
            return 0
        row = self.reader.read(line)
        if isinstance(row, Reason):
            key, flag = self._key_of_place(source, number), FLAGS[row].encode()
            self.unsent.add(key)
            self.rejected[row] = self.rejected.get(row, 0) + 1
        else:
            route = self._route(line)
            cut = CUT if route is None else ROUTED_CUT[route]
            good = GOOD if route is None else ROUTED[route]
            key, flag = self.reader.key(row.text.encode(), line), bytes([cut if row.cut else good])
        kept = b"" if line is OVERSIZE else line.text if isinstance(line, BrokenRow) else line
        self.groups[key[: self.depth]].append(b"\n%b%08d%012d%b%b" % (key, source, number, flag, kept))
        self.bytes += len(kept)
        return 1

    def _route(self, line: bytes) -> int | None:
        """The route that takes a good row, which is counted."""
        route = None if self.route_of is None else self.route_of(line)
        if route is not None:
            rows, bytes_ = self.routed.get(route, (0, 0))
            self.routed[route] = rows + 1, bytes_ + len(line)
        return route

    def _key_of_place(self, source: int, number: int) -> bytes:
        """The key of a rejected row: its place in the object, which is its piece's and its line in there."""
        place = b"%d:%d:%d" % (source, self.begin, number)
        return hexlify(blake2b(place, digest_size=16, person=OF_PLACE).digest())

    def take(self, other: Buckets) -> None:
        """Take all rows of another, and leave it empty."""
        if self.rows:
            for name, group in other.groups.items():
                self.groups[name] += group
        else:  # as nearly always: spans are of one object
            self.groups = other.groups
        self.unsent |= other.unsent
        for reason, count in other.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count
        for route, (rows, bytes_) in other.routed.items():
            before = self.routed.get(route, (0, 0))
            self.routed[route] = before[0] + rows, before[1] + bytes_
        self.rows += other.rows
        self.bytes += other.bytes
        other.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.groups, self.unsent, self.rejected, self.routed = defaultdict(list), set(), {}, {}
        self.rows = self.bytes = 0

    def drain(self) -> Iterator[tuple[int, list[bytes], set[bytes]]]:
        """The buckets in order, each with its stored rows and the keys of the good ones; leaves this empty."""
        groups, unsent = self.groups, self.unsent
        self.clear()
        for name in sorted(groups):
            group = groups.pop(name)
            keys = set(map(key_of, group))
            yield int(name, 16), group, keys - unsent if unsent else keys


def route_in(flag: int) -> int | None:
    """The route that took a stored row, by its flag; None where none did."""
    return ROUTED.index(flag) if flag in ROUTED else ROUTED_CUT.index(flag) if flag in ROUTED_CUT else None


def apart(line: bytes) -> list[bytes]:
    r"""The rows of a line of JSON Lines that holds several: with `\r` between them, or one object behind the other.

    So files look that were made on several systems, or joined where the first had no line end.
    """
    if line is OVERSIZE or isinstance(line, BrokenRow) or not GLUED.search(line):
        return [line]
    text, found = line.decode(errors="surrogateescape"), []
    at = _behind_blanks(text, 0)
    try:
        while at < len(text):
            value, end = _decode(text, at)
            if not isinstance(value, dict):
                break
            found.append(text[at:end])
            at = _behind_blanks(text, end)
    except (ValueError, RecursionError):
        pass
    rest = text[at:].split("\r") if found else text.split("\r")
    rows = [*found, *rest] if at < len(text) or not found else found
    if sum(not row.isspace() and row != "" for row in rows) < 2:
        return [line]
    return [row.encode(errors="surrogateescape") for row in rows]


def _behind_blanks(text: str, at: int) -> int:
    found = BLANKS.match(text, at)
    return found.end() if found else at


def is_utf8(lines: Sequence[bytes]) -> bool:
    """Whether all lines are; the decoder of good rows does not look at the fields that it passes over."""
    whole = b"\n".join(lines)
    if whole.isascii():
        return True
    try:
        whole.decode()
    except UnicodeDecodeError:
        return False
    return True
