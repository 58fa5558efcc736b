"""CSV and TSV, quoted as RFC 4180 says or as the task says, row by row.

A broken row is one rejected row, and its neighbours stay. Python's own reader is used where a line holds a quote:
Arrow's drops or refuses a whole block for one bad row, and cannot read a row that is longer than its block.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from sluice.errors import BadInput
from sluice.rows.containers.foreign import refuse_utf16
from sluice.rows.containers.lines import raw_lines, without_bom
from sluice.rows.containers.objects import as_line
from sluice.rows.containers.reading import Reading, apart, check_columns, check_doubles
from sluice.rows.containers.texts import peeked, recoded
from sluice.rows.record import OVERSIZE, BrokenRow
from sluice.task.csv_form import CsvForm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RESCANS = 64  # times the longest row that may be read again behind quotes that never close
ABOVE = 20  # lines with a title or a remark that may stand above the header
HEAD = 64 * 1024  # bytes in which the first line ends
SEPARATED = re.compile(rb'"?sep=(.)"?\r?', re.DOTALL | re.IGNORECASE)  # as Excel writes and reads it
LINE_END = re.compile(rb'"[^"]*"|\r\n|\r(?!\n)|\n')  # or cells in quotes, which may hold some
SWAPPED = bytes.maketrans(b"\r\n", b"\n\r")
SWAP = str.maketrans("\r\n", "\n\r")
SEPARATORS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
WHOLE = Reading()


def csv_rows(
    blocks: Iterable[bytes], delimiter: str, name: str, max_row: int, reading: Reading = WHOLE
) -> Iterator[list[bytes]]:
    """The data rows as lines of JSON, in lists; the header gives the names, every value is a string, empty is null.

    A row with another number of cells than the header, or with quotes that do not fit, is a `BrokenRow`. A line
    without any character is no row.

    Raises:
        BadInput: the header cannot be used, or lacks a column of the text.

    """
    form = reading.csv or CsvForm()
    head, content = peeked(blocks, HEAD)
    if not form.encoding.startswith("utf-16"):
        refuse_utf16(head, name, "say so in the task, input.csv: {encoding: utf-16}, or ")
    head, content = peeked(without_bom(recoded(content, form.encoding)), HEAD)
    swapped = ends_in_cr(head)
    if swapped:
        content = (block.translate(SWAPPED) for block in content)
    table = CsvTable(form, delimiter, name, max_row, reading, swapped=swapped)
    open_: list[bytes] = []
    for lines in raw_lines(content, max_row):
        rows, open_ = table.read([*open_, *lines], last=False)
        if rows:
            yield rows
    rows, _ = table.read(open_, last=True)
    if rows:
        yield rows
    table.end()


def ends_in_cr(head: bytes) -> bool:
    """Whether the first line ends in a CR alone, and so all do, as old programs of the Macintosh write."""
    found = next((match[0] for match in LINE_END.finditer(head) if match[0][:1] != b'"'), b"")
    return found == b"\r"


class CsvTable:
    """One file on its way; `names` is the header once it is read."""

    def __init__(
        self, form: CsvForm, delimiter: str, name: str, max_row: int, reading: Reading, *, swapped: bool
    ) -> None:
        csv.field_size_limit(max_row)
        self.form = form
        self.delimiter = form.separator or delimiter
        self.name = name
        self.max_row = max_row
        self.reading = reading
        self.swapped = swapped
        self.marks = [mark.encode() for mark in (form.quote, form.escape) if mark]
        self.skip = form.skip
        self.above: list[tuple[list[str], bytes]] = []  # what stood above the header
        self.names: list[str] = []
        self.given = None if form.header is True else form.header or ()
        self.lines: list[bytes] = []
        self.at = 0
        self.rescanned = 0
        self.cells = self._reader()

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(
            _Feed(self),
            delimiter=self.delimiter,
            quotechar=self.form.quote or None,
            escapechar=self.form.escape,
            quoting=csv.QUOTE_MINIMAL if self.form.quote else csv.QUOTE_NONE,
            strict=True,
        )

    def read(self, lines: list[bytes], *, last: bool) -> tuple[list[bytes], list[bytes]]:
        """The rows of some lines, and the lines of a row that is still open at their end."""
        self.lines, self.at = lines, 0
        rows: list[bytes] = []
        marks = self.marks
        while self.at < len(lines):
            begin, line = self.at, lines[self.at]
            if line is OVERSIZE:
                self.at += 1
                rows.append(OVERSIZE)
            elif not self.names and self._no_row(line):
                self.at += 1
            elif not any(mark in line for mark in marks):
                self.at += 1
                if line not in (b"", b"\r"):
                    text = line.decode(errors="surrogateescape").removesuffix("\r")
                    self._take(text.split(self.delimiter), begin, rows)
            elif (cells := self._quoted()) is not None:
                self._take(cells, begin, rows)
            elif not last and self._may_go_on(begin):
                return rows, lines[begin:]
            else:
                self._broken(begin, begin + 1, rows)
        return rows, []

    def end(self) -> None:
        """Make sure that the header was found."""
        if self.above and not self.names:
            self._refuse()

    def _no_row(self, line: bytes) -> bool:
        """Whether a line above the header is to be left out, or says how cells are separated."""
        if self.skip:
            self.skip -= 1
            return True
        found = SEPARATED.fullmatch(line) if not self.above else None
        if found is not None and found[1].isascii() and not found[1].isalnum():
            self.delimiter = found[1].decode()
            self.cells = self._reader()
        return found is not None

    def _quoted(self) -> list[str] | None:
        """The cells of a row with quotes, which may go over several lines; None when its quotes do not fit."""
        try:
            return next(self.cells)
        except (csv.Error, StopIteration):
            return None

    def _may_go_on(self, begin: int) -> bool:
        """Whether a row whose quotes are open at the last line may still close them."""
        if self.at < len(self.lines):
            return False
        size = sum(map(len, self.lines[begin:]))
        self.rescanned += size
        return size <= self.max_row and self.rescanned <= RESCANS * self.max_row

    def _take(self, cells: list[str], begin: int, rows: list[bytes]) -> None:
        if self.swapped:
            cells = [cell.translate(SWAP) for cell in cells]
        if not self.names and self._is_header(cells, self.lines[begin]):
            return
        if len(cells) != len(self.names):
            self._broken(begin, self.at, rows)
        else:
            values = [cell or None for cell in cells]
            rows.append(as_line(dict(zip(self.names, values, strict=True)), self.max_row))

    def _broken(self, begin: int, end: int, rows: list[bytes]) -> None:
        """A row that is no row: its text, and on with the line behind it."""
        if not self.names:
            raise BadInput(f"{self.name}: the quotes of the first line, which names the columns, do not fit")
        line = self.lines[begin]
        if end == begin + 1 and line is not OVERSIZE and b"\r" in line.removesuffix(b"\r"):
            self.lines[begin:end] = line.split(b"\r")  # some lines end in CR alone
            self.at = begin
            return
        self.at = end
        rows.append(BrokenRow.of(b" ".join(self.lines[begin:end])))

    # The header.

    def _is_header(self, cells: list[str], line: bytes) -> bool:
        """Whether the first rows give the columns their names, which are then known; data rows give none."""
        if self.given is not None:
            self._call([*self.given] or [f"column_{n}" for n in range(1, len(cells) + 1)])
            if len(cells) != len(self.names):
                raise BadInput(
                    f"{self.name}: the first row has {len(cells):,} cells, and input.csv.header names "
                    f"{len(self.names):,} columns"
                )
            return False
        names = [cell.strip() for cell in cells]
        if not set(self.reading.text) <= set(names) and self._may_stand_above(names):
            self.above.append((names, line))
            return True
        if len(names) == 1 and any(not line.startswith(b"#") for _, line in self.above):
            self._refuse()  # with one column a title cannot be told from a row
        self._call([name or f"column_{n}" for n, name in enumerate(names, 1)], line)
        return True

    def _may_stand_above(self, names: list[str]) -> bool:
        """A title or a remark: a line with one cell that is not empty, or one that begins with #."""
        titled = sum(map(bool, names)) <= 1 or names[0].startswith("#")
        return bool(self.reading.text) and titled and len(self.above) < ABOVE

    def _refuse(self) -> None:
        """Tell of the first line what is wrong with it as a header."""
        names, line = self.above[0]
        self.names = []
        self._call(names, line)
        raise BadInput(f"{self.name}: no line of the first {ABOVE} names the columns")

    def _call(self, names: list[str], line: bytes = b"") -> None:
        """Give the columns these names.

        Raises:
            BadInput: they are no UTF-8, or one that the task reads is missing or stands there twice.

        """
        if any("\udc80" <= mark <= "\udcff" for mark in "".join(names)):
            raise BadInput(
                f"{self.name}: the line that names the columns is not {self.form.encoding}; say what it is, as in "
                "input.csv: {encoding: cp1252}, or write the file again in UTF-8"
            )
        check_columns(names, names, self.reading, self.name, self._hint(names, line))
        if not self.reading.text and len(names) == 1 and (hint := self._hint(names, line)):
            raise BadInput(f"{self.name}{hint.replace(';', ':', 1)}", names)
        check_doubles(names, self.reading, self.name)
        self.names = apart(names)

    def _hint(self, names: list[str], line: bytes) -> str:
        if line.lstrip()[:1] in (b"{", b"["):
            return "; it seems to hold JSON: end its name in .jsonl or .json"
        other = next((mark for mark in SEPARATORS if mark in names[0] and mark != self.delimiter), None)
        if len(names) == 1 and other is not None:
            word = "tab" if other == "\t" else f"'{other}'"
            return f"; its cells seem to be separated by {SEPARATORS[other]}: input.csv: {{separator: {word}}}"
        if self.given is None:
            return "; if no line names its columns, name them in the task: input.csv: {header: [id, text]}"
        return ""


class _Feed:
    """The lines behind the table's place, as text, for Python's reader."""

    def __init__(self, table: CsvTable) -> None:
        self.table = table
        escape = table.form.escape
        edge = re.escape(table.delimiter.encode())
        self.nothing = re.compile(rb"(?:(?<=" + edge + rb")|^)\\N(?=" + edge + rb"|\r?$)") if escape == "\\" else None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        table = self.table
        if table.at >= len(table.lines) or table.lines[table.at] is OVERSIZE:
            raise StopIteration
        line = table.lines[table.at]
        table.at += 1
        if self.nothing is not None:
            line = self.nothing.sub(b"", line)  # how databases write NULL
        return line.decode(errors="surrogateescape") + "\n"
