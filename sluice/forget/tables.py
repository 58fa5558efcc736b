"""CSV and Parquet without rows: one without a value stands in the place of each, so that others keep their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import BadInput
from sluice.rows.containers.delimited import HEAD, CsvTable, ends_in_cr
from sluice.rows.containers.lines import BOM, raw_lines, without_bom
from sluice.rows.containers.texts import peeked
from sluice.rows.record import OVERSIZE
from sluice.task.csv_form import CsvForm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from sluice.rows.containers.reading import Reading

ROWS = 10_000  # of a row group that is written
CODECS = {"UNCOMPRESSED": "none", "LZ4_RAW": "lz4"}  # as Arrow calls them to write


class CsvWithout(CsvTable):
    """A file on its way, whose rows of some numbers are written without a value."""

    def __init__(self, gone: AbstractSet[int], delimiter: str, name: str, longest: int, reading: Reading) -> None:
        super().__init__(reading.csv or CsvForm(), delimiter, name, longest, reading, swapped=False)
        self.gone = gone
        self.before = 0  # rows that earlier lines held
        self.cuts: dict[int, int] = {}  # where rows that go begin and end among the lines

    def left(self, lines: list[bytes], *, last: bool) -> tuple[list[bytes], list[bytes]]:
        """The lines as they will read, and those of a row that is still open at their end."""
        if any(line is OVERSIZE for line in lines):
            raise BadInput(f"{self.name} has a row that is too long to be written anew")
        rows, open_ = self.read(lines, last=last)
        self.before += len(rows)
        found, at = [], 0
        while at < len(lines) - len(open_):
            end = self.cuts.pop(at, None)
            found.append(lines[at] if end is None else self._blank(lines[end - 1]))
            at = end or at + 1
        return found, open_

    def _take(self, cells: list[str], begin: int, rows: list[bytes]) -> None:
        super()._take(cells, begin, rows)
        self._cut(begin, rows)

    def _broken(self, begin: int, end: int, rows: list[bytes]) -> None:
        super()._broken(begin, end, rows)
        self._cut(begin, rows)

    def _cut(self, begin: int, rows: list[bytes]) -> None:
        if self.at > begin and self.before + len(rows) in self.gone:
            self.cuts[begin] = self.at

    def _blank(self, last: bytes) -> bytes:
        """A row of as many cells, all empty; of one cell in quotes, since an empty line is no row."""
        if len(self.names) == 1 and not self.form.quote:
            raise BadInput(f"{self.name} has one column and no quotes, so that a row without a value would be none")
        blank = self.delimiter * (len(self.names) - 1) or 2 * self.form.quote
        return blank.encode() + b"\r" * last.endswith(b"\r")


def csv_without(
    blocks: Iterable[bytes], rows: AbstractSet[int], delimiter: str, name: str, longest: int, reading: Reading
) -> Iterator[bytes]:
    """CSV with rows without a value in the place of some, given by their numbers; all others as they were.

    Raises:
        BadInput: it is written in such a way, or holds such rows, that it cannot be written again so.

    """
    last = b""

    def seen(content: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal last
        for block in content:
            last = block[-1:] or last
            yield block

    head, content = peeked(blocks, HEAD)
    if reading.csv is not None and reading.csv.encoding != "utf-8":
        raise BadInput(f"{name} is written in {reading.csv.encoding}")
    if ends_in_cr(head.removeprefix(BOM)):
        raise BadInput(f"{name} has lines that end in CR alone")
    if head.startswith(BOM):
        yield BOM
    table, open_, between = CsvWithout(rows, delimiter, name, longest, reading), list[bytes](), b""
    for lines in raw_lines(seen(without_bom(content)), longest):
        found, open_ = table.left([*open_, *lines], last=False)
        if found:
            yield between + b"\n".join(found)
            between = b"\n"
    found, _ = table.left(open_, last=True)
    if found:
        yield between + b"\n".join(found)
    table.end()
    if last == b"\n":
        yield last


def parquet_obstacle(file: pq.ParquetFile) -> str | None:
    """Why rows of a file cannot be without a value, or cannot be written as they were read; None where they can."""
    columns = [file.schema.column(n) for n in range(len(file.schema))]
    if any(column.physical_type == "INT96" for column in columns):
        return "it has times in INT96, which are not written any more"
    if not all(field.nullable for field in file.schema_arrow):
        return "it has a column that takes no null"
    if any(_holds_dictionary(field.type) for field in file.schema_arrow):
        return "it has a dictionary inside a column"
    return None


def _holds_dictionary(kind: pa.DataType) -> bool:
    inside = [kind.field(n).type for n in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    return any(pa.types.is_dictionary(each) or _holds_dictionary(each) for each in inside)


def parquet_without(file: pq.ParquetFile, rows: AbstractSet[int], out: pa.NativeFile) -> None:
    """Write a file with rows of nulls in the place of some, given by their numbers from 1; all others as they were."""
    was = file.schema_arrow
    # A dictionary keeps the values that no row points to any more.
    schema = pa.schema(
        [field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in was],
        metadata=was.metadata,
    )
    codec = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "SNAPPY"
    with pq.ParquetWriter(out, schema, compression=CODECS.get(codec, codec.lower())) as writer:
        begin = 1
        for batch in file.iter_batches(ROWS, use_threads=False):
            count = batch.num_rows
            places = pa.array([None if begin + n in rows else n for n in range(count)], pa.int64())
            writer.write_batch(batch.take(places).cast(schema), row_group_size=ROWS)
            begin += count
