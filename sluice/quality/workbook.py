"""The first sheet of an xlsx workbook as rows of texts: what people wrote into it, and nothing that a cell would do."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree as ET

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_BYTES = 500_000_000  # of a part of the workbook, unpacked
MOST_COLUMNS = 16_384  # of a sheet
EXACT = 2**53  # up to which a sheet's numbers hold whole ones
LETTERS = re.compile(r"[A-Z]+")
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how a character that XML cannot hold is written
TEXTS = {"t", "r"}  # elements that hold text; others beside them say how it is spoken


def cells_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first sheet that have cells, each with its number; empty cells are empty texts.

    Raises:
        BadRequest: it is no workbook, or is protected by a password.

    """
    try:
        with zipfile.ZipFile(file) as book:
            shared = _shared(book)
            with _part(book, _first_sheet(book)) as sheet:
                yield from _rows(sheet, shared)
    except (zipfile.BadZipFile, zlib.error, ET.ParseError, LookupError, ValueError, NotImplementedError, RuntimeError):
        said = "is no xlsx workbook that could be read: save it anew without a password, or as CSV UTF-8"
        raise BadRequest(f"{file} {said}", "import") from None


def _part(book: zipfile.ZipFile, name: str) -> IO[bytes]:
    if book.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(name)
    return book.open(name)


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _first_sheet(book: zipfile.ZipFile) -> str:
    """The name of the part that holds the first sheet."""
    with _part(book, "xl/workbook.xml") as part:
        sheets = [each for each in ET.parse(part).iter() if _local(each) == "sheet"]  # noqa: S314 - as above
    (name,) = [value for key, value in sheets[0].items() if key.rpartition("}")[2] == "id"]
    with _part(book, "xl/_rels/workbook.xml.rels") as part:
        targets = {each.get("Id"): each.get("Target", "") for each in ET.parse(part).iter()}  # noqa: S314 - as above
    target = targets[name]
    return target[1:] if target.startswith("/") else f"xl/{target}"


def _shared(book: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by their numbers."""
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    found = []
    with _part(book, "xl/sharedStrings.xml") as part:
        for _, element in ET.iterparse(part):  # noqa: S314 - as above
            if _local(element) == "si":
                found.append(_text(element))
                element.clear()
    return found


def _text(element: ET.Element) -> str:
    """The text of an item: its own, or that of its runs."""
    parts = [part for child in element if _local(child) in TEXTS for part in child.iter() if _local(part) == "t"]
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), "".join(part.text or "" for part in parts))


def _rows(sheet: IO[bytes], shared: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    number, rows = 0, None
    for event, element in ET.iterparse(sheet, ("start", "end")):  # noqa: S314 - as above
        if event == "start":
            rows = element if _local(element) == "sheetData" else rows
        elif _local(element) == "row":
            number = int(element.get("r") or number + 1)
            if len(element):
                yield number, _cells(element, shared)
            if rows is not None:
                rows.clear()  # what has been read is not kept


def _cells(row: ET.Element, shared: Sequence[str]) -> list[str]:
    cells: list[str] = []
    for cell in row:
        column = _column(cell.get("r") or "") or len(cells) + 1
        if not len(cells) < column <= MOST_COLUMNS:
            raise ValueError(column)
        cells += [""] * (column - 1 - len(cells))
        cells.append(_value(cell, shared))
    return cells


def _column(place: str) -> int:
    """The number of a cell's column, from 1; 0 where the cell does not say."""
    found, number = LETTERS.match(place), 0
    for letter in found[0] if found else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _value(cell: ET.Element, shared: Sequence[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(_text(each) for each in cell if _local(each) == "is")
    text = next((each.text or "" for each in cell if _local(each) == "v"), "")
    match kind:
        case "s":
            return shared[int(text)]
        case "b":
            return "true" if text == "1" else "false"
        case "e":
            return ""  # an error of a formula
        case "n" if text:
            value = float(text)
            return str(int(value)) if value.is_integer() and abs(value) < EXACT else text
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
