"""Rows of results as a workbook for a spreadsheet: no cell of it is a formula, a link or anything else that acts."""

from __future__ import annotations

import datetime as dt
from typing import IO, TYPE_CHECKING, Any

from sluice.cli.exits import complain
from sluice.cli.formats import as_texts, escaped
from sluice.errors import BadRequest
from sluice.extras import Extra, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

MOST_ROWS = 1_048_575  # below the header: a sheet has 2**20
MOST_LETTERS = 32_767  # of a cell, in units of UTF-16
EXACT = 2**53  # a spreadsheet's numbers are floating point, and hold whole ones exactly up to this
CUT = "\N{HORIZONTAL ELLIPSIS}"


def write_workbook(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    out: IO[bytes],
    choices: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Write rows as one sheet with a header that stays in sight, and return how many; lists and structs are JSON.

    `choices` are the texts that the cells of a column may have, listed on a sheet of their own.

    Raises:
        BadRequest: there are more rows than a sheet has.
        NotInstalled: XlsxWriter is not there.

    """
    require(Extra.TABLES, "--format xlsx")
    import xlsxwriter  # noqa: PLC0415 - an extra

    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
    rows = cut = 0
    with xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet("results")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        bold = book.add_format({"bold": True})
        for number, name in enumerate(schema.names):
            sheet.write_string(0, number, name, bold)
        sheet.freeze_panes(1, 0)
        for batch in batches:
            if rows + batch.num_rows > MOST_ROWS:
                raise BadRequest(
                    f"a sheet has {MOST_ROWS:,} rows, and there are more: pick some, or give --format csv or parquet"
                )
            for values in zip(*(escaped(as_texts(column)).to_pylist() for column in batch.columns), strict=True):
                rows += 1
                for number, value in enumerate(values):
                    cut += _write(sheet, (rows, number), value, day)
        sheet.autofilter(0, 0, rows, max(0, len(schema) - 1))
        for name, texts in (choices or {}).items():
            listed, number = book.add_worksheet(f"{name}s"), schema.get_field_index(name)
            for at, text in enumerate(texts):
                listed.write_string(at, 0, text)
            source = f"='{name}s'!$A$1:$A${len(texts)}"
            sheet.data_validation(1, number, max(1, rows), number, {"validate": "list", "source": source})
    if cut:
        complain(f"{cut:,} {'cell was' if cut == 1 else 'cells were'} longer than a sheet takes, and cut ({CUT})")
    return rows


def _write(sheet: Any, place: tuple[int, int], value: Any, day: Any) -> bool:
    """Write a cell as what it is, and tell whether it had to be cut."""
    match value:
        case None:
            return False
        case bool():
            sheet.write_boolean(*place, value)
        case int() | float() if -EXACT <= value <= EXACT:  # no infinity, and no NaN
            sheet.write_number(*place, value)
        case dt.datetime() if value.year >= FIRST_YEAR:
            sheet.write_datetime(*place, value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value)
        case dt.date() if not isinstance(value, dt.datetime) and value.year >= FIRST_YEAR:
            sheet.write_datetime(*place, value, day)
        case _:
            text = str(value)
            whole = len(text.encode("utf-16-le")) // 2 <= MOST_LETTERS
            sheet.write_string(*place, text if whole else _shortened(text))
            return not whole
    return False


FIRST_YEAR = 1900


def _shortened(text: str) -> str:
    return text.encode("utf-16-le")[: 2 * (MOST_LETTERS - 1)].decode("utf-16-le", errors="ignore") + CUT
