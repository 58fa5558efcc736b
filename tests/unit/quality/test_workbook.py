"""A sheet that people saved from Excel says what its cells show, whoever wrote it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
import xlsxwriter

from sluice.errors import BadRequest
from sluice.quality import workbook
from sluice.quality.sheet import rows_of
from sluice.quality.workbook import cells_of

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
BOOK = (
    f'<workbook xmlns="{MAIN}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Target="{target}"/></Relationships>'
)


def book_of(file: Path, sheet: str, shared: str | None = None, target: str = "worksheets/sheet1.xml") -> Path:
    """A workbook as other programs write it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/workbook.xml", BOOK)
        book.writestr("xl/_rels/workbook.xml.rels", RELATIONS.format(target=target))
        book.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{MAIN}">{sheet}</worksheet>')
        if shared is not None:
            book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{shared}</sst>')
    return file


def test_a_sheet_says_what_was_written(tmp_path: Path) -> None:
    """Texts, numbers as they are shown, truths; empty cells and rows have nothing; other sheets are not read."""
    file = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for column, name in enumerate(("id", " label ", "note")):
            sheet.write_string(0, column, name)
        sheet.write_string(1, 0, "007")
        sheet.write_string(1, 1, "a \u202e<b>&amp; _x0041_\n")
        sheet.write_number(3, 0, 12)
        sheet.write_string(3, 1, "b")
        sheet.write_boolean(3, 2, True)
        sheet.write_number(4, 0, 0.1)
        sheet.write_string(4, 2, "no label")
        book.add_worksheet().write_string(0, 0, "other")
    assert list(rows_of(file)) == [
        (2, {"id": "007", "label": "a \u202e<b>&amp; _x0041_\n"}),
        (4, {"id": "12", "label": "b", "note": "true"}),
        (5, {"id": "0.1", "label": "", "note": "no label"}),
    ]


def test_other_programs_say_the_same_in_other_ways(tmp_path: Path) -> None:
    """Texts in runs or beside the cell, without places, with how they are spoken; a part by its whole name."""
    shared = "<si><r><t>i</t></r><r><t>d</t></r><rPh><t>spoken</t></rPh></si><si><t>label</t></si>"
    sheet = (
        '<sheetData><row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
        '<row r="5"><c r="A5" t="str"><v>x</v></c><c r="B5" t="inlineStr"><is><t>b</t></is></c></row>'
        '<row r="6"><c r="A6" t="e"><v>#REF!</v></c></row></sheetData>'
    )
    file = book_of(tmp_path / "a.xlsx", sheet, shared, "/xl/worksheets/sheet1.xml")
    assert list(rows_of(file)) == [(5, {"id": "x", "label": "b"})]


BOMB = '<!DOCTYPE x [<!ENTITY a "{}">{}]>'.format(
    "a" * 100, "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
)


@pytest.mark.parametrize(
    "sheet",
    [
        "<sheetData><row>",
        '<sheetData><row><c t="s"><v>7</v></c></row></sheetData>',
        '<sheetData><row><c r="ZZZZ1"><v>7</v></c></row></sheetData>',
        '<sheetData><row r="x"><c><v>7</v></c></row></sheetData>',
        '<sheetData><row><c r="B1"><v>7</v></c><c r="A1"><v>7</v></c></row></sheetData>',
    ],
)
def test_what_is_no_workbook_is_refused(tmp_path: Path, sheet: str) -> None:
    """In one sentence that says what to do, whatever is wrong inside."""
    with pytest.raises(BadRequest, match="save it anew without a password, or as CSV UTF-8"):
        list(cells_of(book_of(tmp_path / "a.xlsx", sheet)))


def test_a_workbook_that_would_grow_without_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entities, or as it is unpacked."""
    file = book_of(tmp_path / "a.xlsx", "", shared="")
    data = io.BytesIO()
    with zipfile.ZipFile(file) as book, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as other:
        for name in book.namelist():
            bomb = f'{BOMB}<sst xmlns="{MAIN}"><si><t>&j;</t></si></sst>'
            other.writestr(name, bomb if "shared" in name else book.read(name))
    bomb_file = tmp_path / "b.xlsx"
    bomb_file.write_bytes(data.getvalue())
    with pytest.raises(BadRequest, match="save it anew"):
        list(cells_of(bomb_file))
    assert list(cells_of(file)) == []
    monkeypatch.setattr(workbook, "MOST_BYTES", 100)
    with pytest.raises(BadRequest, match="save it anew"):
        list(cells_of(file))
