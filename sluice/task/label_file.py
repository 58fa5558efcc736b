"""Labels from a CSV file, as spreadsheets and people write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import TYPE_CHECKING

from sluice.task.problems import ProblemsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEPARATORS = ",;\t|"
NAME, DESCRIPTION = "name", "description"
_SAID = re.compile(r'\s*"?sep=(.)"?\s*\Z')  # the first line by which spreadsheets say what separates the cells


def label_text(path: Path) -> str:
    """The text of a file of labels, UTF-8, or UTF-16 where its first bytes say so.

    Raises:
        ValueError: it is neither.
        OSError: it cannot be read.

    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(f"names {path}, which is not UTF-8; save it as CSV UTF-8") from None


def labels_of_table(text: str, path: Path) -> list[tuple[str, str]] | None:
    """Names with their descriptions; None when the first row that is not empty names no column `name`.

    Rows of empty cells are passed over, as are blanks around a cell, and columns of other names.

    Raises:
        ProblemsError: rows that cannot be what their writer meant, with their lines.

    """
    separator, text = _separator(text)
    if separator is None:
        return None
    rows = _rows(text, separator, path)
    _, header = next(rows)
    names = [cell.casefold() for cell in header]
    problems, pairs = [], []
    if names.count(NAME) > 1 or names.count(DESCRIPTION) > 1:
        raise ProblemsError([f"labels: {path} names a column twice: {', '.join(header)}"])
    at, described = names.index(NAME), names.index(DESCRIPTION) if DESCRIPTION in names else len(names)
    for line, cells in rows:
        name, description = (cells[n] if n < len(cells) else "" for n in (at, described))
        if any(cells[len(names) :]):
            advice = f"put a cell that holds {separator!r} in double quotes"
            problems.append(f"labels: {path}, line {line}: more cells than the first line names; {advice}")
        elif not name:
            problems.append(f"labels: {path}, line {line}: there is no name in it")
        pairs.append((name, description))
    if problems:
        raise ProblemsError(problems)
    return pairs


def _separator(text: str) -> tuple[str | None, str]:
    """What separates the cells, None when no first row with a column `name` can be seen; and the text from there on."""
    lines = text.splitlines(keepends=True)
    said = _SAID.match(lines[0]) if lines else None
    if said:
        text = "".join(lines[1:])
        named, _ = _separator(text)
        return None if named is None else said[1], text
    first = next((line for line in lines if line.strip(SEPARATORS + '" \r\n')), "")
    for separator in SEPARATORS:
        if NAME in (cell.strip(' "\r\n').casefold() for cell in first.split(separator)):
            return separator, text
    return None, text


def _rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line."""
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for cells in table:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield table.line_num, stripped
    except csv.Error as error:
        raise ProblemsError([f"labels: {path}, line {table.line_num}: {error}; a quote may not be closed"]) from None
