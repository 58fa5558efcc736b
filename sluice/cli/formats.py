"""Rows of results as a table, CSV, JSON Lines or Parquet: each takes batches and writes as they come."""

from __future__ import annotations

import codecs
import io
import sys
from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from sluice.cli.display import visible
from sluice.figures import row_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDEST = 160  # of a table that is not on a terminal
SHOWN = (
    "file",
    "row",
    "id",
    "status",
    "labels",
    "corrected_labels",
    "corrected_by",
    "confidence",
    "reason",
    "tier",
    "cost_usd",
)
EXCERPT = 80  # characters of a text in a table
# Control characters, and those that turn the direction of what stands beside them: a terminal obeys the ones, and
# what is read differs from what is there by the others. Tabs and line ends stay, inside quotes.
HIDDEN = (*range(9), 0xB, 0xC, *range(0xE, 0x20), *range(0x7F, 0xA0))
TURNING = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
ESCAPES = {code: f"\\u{code:04x}" for code in (*HIDDEN, *TURNING)}
ESCAPED = "[" + "".join(f"\\x{{{code:x}}}" for code in ESCAPES) + "]"
# A sign that begins a formula, plain or of full width, at once or behind what a spreadsheet may pass over: blanks and
# control characters, blanks of no break or of another width, marks of byte order and of no width. And a tab or an end
# of a line at the beginning, with which a cell may fall apart when it is pasted.
FORMULA = "^[\\x00-\\x20\\x7f-\\xa0\\p{Z}\\p{Cf}]*[=+\\-@＝＋－＠]|^[\\t\\r\\n]"  # noqa: RUF001 - what they are


class Onward(io.RawIOBase):
    """Hands bytes on to a stream that may be a pipe, and leaves it open."""

    def __init__(self, out: IO[bytes]) -> None:
        super().__init__()
        self._out = out
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        self._out.write(data)
        self._at += len(data)
        return len(data)


def write_csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, out: IO[bytes], *, for_excel: bool = False) -> int:
    """Write rows as CSV with a header, and return how many; lists and structs stand as JSON, null as nothing.

    Excel takes a file for UTF-8 when a byte order mark begins it.
    """
    out.write(codecs.BOM_UTF8 if for_excel else b"")
    flat = pa.schema([(name, kind if not pa.types.is_nested(kind) else pa.string()) for name, kind in _fields(schema)])
    rows = 0
    with csv.CSVWriter(pa.PythonFile(Onward(out), mode="w"), flat) as writer:
        for batch in batches:
            writer.write_batch(pa.record_batch([cell_column(column) for column in batch.columns], schema=flat))
            rows += batch.num_rows
    return rows


def _fields(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in schema]


def cell_column(column: pa.Array) -> pa.Array:
    """Make a column's cells of CSV: a text that a spreadsheet would run gets a quote in front of it.

    Characters that nobody sees, and that do something all the same, stand as their escapes.
    """
    if pa.types.is_nested(column.type):
        return escaped(as_texts(column))
    if not pa.types.is_string(column.type):
        return column
    risky = pc.match_substring_regex(column, FORMULA)
    if pc.any(risky).as_py():
        column = pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    return escaped(column)


def as_texts(column: pa.Array) -> pa.Array:
    """A column with its lists and structs as JSON; any other as it is."""
    if not pa.types.is_nested(column.type):
        return column
    values = column.to_pylist()
    return pa.array([None if value is None else msgspec.json.encode(value).decode() for value in values], pa.string())


def escaped(column: pa.Array) -> pa.Array:
    """A column of texts with its hidden characters escaped: each as a backslash, u and its number."""
    if not pa.types.is_string(column.type) or not pc.any(pc.match_substring_regex(column, ESCAPED)).as_py():
        return column
    values = column.to_pylist()
    return pa.array([None if value is None else value.translate(ESCAPES) for value in values], pa.string())


def write_jsonl(batches: Iterable[pa.RecordBatch], out: IO[bytes]) -> int:
    """Write a JSON object a line, and return how many."""
    rows = 0
    encoder = msgspec.json.Encoder()
    for batch in batches:
        out.write(encoder.encode_lines(batch.to_pylist()))
        rows += batch.num_rows
    return rows


def write_parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema, out: IO[bytes]) -> int:
    """Write one Parquet file, also of no rows, and return how many there are."""
    rows = 0
    with pq.ParquetWriter(pa.PythonFile(Onward(out), mode="w"), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def write_lines(lines: Iterable[bytes], out: IO[bytes]) -> int:
    """Write lines as they are, and return how many."""
    rows = 0
    for rows, line in enumerate(lines, 1):  # noqa: B007 - counted
        out.write(line + b"\n")
    return rows


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows for the eye, with the columns that are asked for, else with those that have a value."""
    from rich.console import Console  # noqa: PLC0415 (the other formats need no rich)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDEST
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    names = columns or [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    words = {row_word(row["file"]) for row in rows if "file" in row}
    for name in names:
        numeric = any(isinstance(row[name], int | float) for row in rows)
        head = HEADS.get(name, name) if name != "row" or words <= {"row"} else "line"
        table.add_column(Text(head), justify="right" if numeric else "left", overflow="ellipsis")
    for row in rows:
        table.add_row(*(shown(name, row[name]) for name in names))
    console.print(table)


HEADS = {"cost_usd": "usd", "labels": "label"}


def shown(name: str, value: object) -> Any:
    """Make a cell of a table; what a terminal would obey is replaced."""
    from rich.text import Text  # noqa: PLC0415

    if value is None:
        return ""
    if name == "cost_usd" and isinstance(value, float):
        return f"{value:.6f}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = visible(" ".join(text.split("\n")))
    return Text(text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}\N{HORIZONTAL ELLIPSIS}")


def is_terminal(out: IO[bytes]) -> bool:
    """Whether bytes would land on a terminal."""
    return out is sys.stdout.buffer and sys.stdout.isatty()
