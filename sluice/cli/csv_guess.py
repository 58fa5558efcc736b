"""How a CSV file seems to be written: a guess that `sluice init` writes down for a person to read."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from sluice.rows.containers.foreign import utf16_of
from sluice.task.csv_form import CsvForm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOOKED_AT = 1024 * 1024  # bytes
ROWS = 50
ABOVE = 10  # lines of a title
SEPARATORS = ",;\t|"
MOSTLY = 0.5  # of the rows have as many cells, else nothing is said of a title
LONG = 60  # characters that hardly any column's name has
DATA = re.compile(r"[-+]?[\d.,:/ T-]*\d[\d.,:/ TZ%€$-]*|\S+@\S+|https?://\S+")
VALUE = re.compile(r"true|false|yes|no|null|none", re.IGNORECASE)  # and the name of a column too: no, for a number
UNKNOWN_TO_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


def guessed_form(head: bytes, separator: str, *, whole: bool) -> CsvForm | None:
    """How a file that begins so is written; None where it is as its suffix, with `separator`, promises."""
    given: dict[str, Any] = {}
    encoding = _encoding(head, whole=whole)
    if encoding is not None:
        given["encoding"] = encoding
    text = head.decode(encoding or "utf-8", errors="replace").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    if not whole:
        lines = lines[:-1]
    if lines and lines[0].lower().strip('"').startswith("sep="):
        return CsvForm(**given) if given else None
    found = max(SEPARATORS, key=lambda mark: (_fit(lines, mark), mark == separator))
    if found != separator and _fit(lines, found) > _fit(lines, separator):
        given["separator"] = found
    if '\\"' in text and _broken(lines, found, None) > _broken(lines, found, "\\"):
        given["escape"] = "\\"
    rows = _rows(lines, found, given.get("escape"))
    skip = next((n for n, row in enumerate(rows[:ABOVE]) if len([cell for cell in row if cell.strip()]) > 1), 0)
    skip = skip if _fit(lines, found)[0] > MOSTLY else 0
    if skip:
        given["skip"] = skip
    first = next(iter(rows[skip:]), [])
    if first and _is_data(first, rows[skip + 1 :]):
        given["header"] = False
    return CsvForm(**given) if given else None


def _encoding(head: bytes, *, whole: bool) -> str | None:
    wide = utf16_of(head)
    if wide is not None:
        return wide.lower()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return "latin-1" if UNKNOWN_TO_CP1252.search(head) else "cp1252"
    return None


def _fit(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """How many rows have the commonest number of cells, if that is more than one, and the number."""
    counts = Counter(len(row) for row in _rows(lines, separator, None) if row)
    if not counts:
        return 0.0, 0
    width, rows = max(counts.items(), key=lambda item: (item[1], item[0]))
    return (rows / counts.total(), width) if width > 1 else (0.0, 1)


def _rows(lines: Iterable[str], separator: str, escape: str | None) -> list[list[str]]:
    reader = csv.reader(lines, delimiter=separator, escapechar=escape)
    try:
        return list(islice(reader, ROWS))
    except csv.Error:
        return []


def _broken(lines: Iterable[str], separator: str, escape: str | None) -> int:
    """How many rows have another number of cells than the first."""
    rows = _rows(lines, separator, escape)
    widths = [len(row) for row in rows if row]
    odd = sum(width != widths[0] for width in widths)
    stray = sum('"' in cell and escape is None for row in rows for cell in row)
    return odd + stray


def _is_data(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a first row is one of data: number, date, sentence, a value as below it, the same twice in it."""
    named = [cell.strip() for cell in cells]
    return (
        any(VALUE.fullmatch(cell) and _stands_below(n, below) for n, cell in enumerate(named))
        or any(DATA.fullmatch(cell) or len(cell) > LONG or len(cell.split()) > 5 for cell in named)
        or len(set(named)) < len(named) / 2
    )


def _stands_below(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column holds words of true and false as well."""
    return any(VALUE.fullmatch(row[column].strip()) for row in rows if column < len(row))


def csv_lines(form: CsvForm | None) -> list[str]:
    """The lines of a task file that say how its CSV files are written."""
    if form is None:
        return []
    given = yaml.safe_dump(form.model_dump(mode="json", exclude_unset=True), default_flow_style=True, sort_keys=False)
    return [f"  csv: {given.strip()}  # as the first rows look; check it"]
