"""CSV and TSV, quoted as RFC 4180 says, row by row: a broken row is one rejected row, and its neighbours stay.

Python's own reader is used where a line holds a quote: Arrow's drops or refuses a whole block for one bad row, and
cannot read a row that is longer than its block.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from sluice.errors import BadInput
from sluice.rows.containers.lines import raw_lines
from sluice.rows.containers.objects import as_line
from sluice.rows.record import OVERSIZE, BrokenRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

QUOTE = b'"'
RESCANS = 64  # times the longest row that may be read again behind quotes that never close


def csv_rows(blocks: Iterable[bytes], delimiter: str, name: str, max_row: int) -> Iterator[list[bytes]]:
    """The data rows as lines of JSON, in lists; the header gives the names, every value is a string, empty is null.

    A row with another number of cells than the header, or with quotes that do not fit, is a `BrokenRow`. A line
    without any character is no row.

    Raises:
        BadInput: the header cannot be used.

    """
    table = _Table(delimiter, name, max_row)
    open_: list[bytes] = []
    for lines in raw_lines(blocks, max_row):
        rows, open_ = table.read([*open_, *lines], last=False)
        if rows:
            yield rows
    rows, _ = table.read(open_, last=True)
    if rows:
        yield rows


class _Table:
    """One file on its way; `names` is the header once it is read."""

    def __init__(self, delimiter: str, name: str, max_row: int) -> None:
        csv.field_size_limit(max_row)
        self.delimiter = delimiter
        self.name = name
        self.max_row = max_row
        self.names: list[str] = []
        self.lines: Sequence[bytes] = ()
        self.at = 0
        self.rescanned = 0
        self.cells = csv.reader(_Feed(self), delimiter=delimiter, strict=True)

    def read(self, lines: list[bytes], *, last: bool) -> tuple[list[bytes], list[bytes]]:
        """The rows of some lines, and the lines of a row that is still open at their end."""
        self.lines, self.at = lines, 0
        rows: list[bytes] = []
        while self.at < len(lines):
            begin, line = self.at, lines[self.at]
            if line is OVERSIZE:
                self.at += 1
                rows.append(OVERSIZE)
            elif QUOTE not in line:
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
        if not self.names:
            self.names = self._header(cells)
        elif len(cells) != len(self.names):
            self._broken(begin, self.at, rows)
        else:
            values = [cell or None for cell in cells]
            rows.append(as_line(dict(zip(self.names, values, strict=True)), self.max_row))

    def _broken(self, begin: int, end: int, rows: list[bytes]) -> None:
        """A row that is no row: its text, and on with the line behind it."""
        if not self.names:
            raise BadInput(f"{self.name}: the quotes of the first line, which names the columns, do not fit")
        self.at = end
        rows.append(BrokenRow.of(b" ".join(self.lines[begin:end])))

    def _header(self, cells: list[str]) -> list[str]:
        names = [cell.strip() or f"column_{n}" for n, cell in enumerate(cells, 1)]
        line = "".join(names)
        double = next((name for n, name in enumerate(names) if name in names[:n]), None)
        if double is not None:
            raise BadInput(f"{self.name}: two columns are called {double!r}; rename one")
        if "\r" in line or any("\udc80" <= mark <= "\udcff" for mark in line):
            raise BadInput(
                f"{self.name}: the first line, which names the columns, has to be UTF-8 that ends in LF or CRLF"
            )
        if len(names) == 1 and (other := next((mark for mark in ",;\t|" if mark in line), None)):
            raise BadInput(
                f"{self.name}: the columns seem to be separated by {other!r}; write a CSV file with commas, or a .tsv "
                "file with tabs"
            )
        return names


class _Feed:
    """The lines behind the table's place, as text, for Python's reader."""

    def __init__(self, table: _Table) -> None:
        self.table = table

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        table = self.table
        if table.at >= len(table.lines) or table.lines[table.at] is OVERSIZE:
            raise StopIteration
        line = table.lines[table.at]
        table.at += 1
        return line.decode(errors="surrogateescape") + "\n"
