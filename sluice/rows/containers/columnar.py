"""Parquet, batch by batch through ranged reads: neither the file nor a row group of it is ever held whole.

Only the columns that the task names are read, unless it wants the whole row. A file of a kilobyte can hold gigabytes,
as a dictionary with one long text and many rows that point to it; so dictionaries stay as they are until a row needs
its text, and rows are taken by the bytes that they come to.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import BadInput
from sluice.rows.containers.arrow_values import values_of, weights_of
from sluice.rows.containers.objects import as_line
from sluice.rows.containers.reading import Reading, apart, check_columns, check_doubles
from sluice.rows.record import OVERSIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAGE = 1024 * 1024  # what one ranged read fetches at least: the small column chunks of a row group lie side by side
PAGES = 48  # kept for the columns that are read in turn
STREAM_BYTES = 64 * 1024 * 1024  # what the columns may buffer together
LEAST_BUFFER = 4096
BATCH_BYTES = 4 * 1024 * 1024
BATCH_ROWS = 4096
HELD_BYTES = 256 * 1024 * 1024  # of the texts of a batch, should each be as long as its dictionary
INDEX_BYTES = 4  # of a value that points into a dictionary: more, and the texts themselves stand there
AS_TEXT = ("STRING", "NONE", "JSON", "ENUM")  # logical types that Arrow reads as text or bytes
HEADER_BYTES = 64  # in which the sizes of a page stand
WHOLE = Reading()


def parquet_rows(
    read: Callable[[int, int], bytes], size: int, name: str, max_row: int, max_text: int, reading: Reading = WHOLE
) -> Iterator[list[bytes]]:
    """The rows as lines of JSON, in lists; `read(begin, end)` gives bytes of the object.

    Raises:
        BadInput: the file is damaged, is no Parquet, lacks a column or has two of one name, or holds too much text.

    """
    total = 0
    try:
        for batch in _batches(RangedFile(read, size), name, reading):
            for rows in _lines(batch, max_row):
                total += sum(map(len, rows))
                if total > max_text:
                    raise BadInput(
                        f"{name} holds more than {max_text:,} bytes of text, too much for one worker: split it "
                        "(max_text_bytes)"
                    )
                yield rows
    except (pa.ArrowException, OSError, OverflowError) as error:
        # What Arrow says may quote a column's name or a value.
        raise BadInput(
            f"{name} cannot be read as Parquet ({type(error).__name__}): it is cut or damaged, or of a kind that Arrow "
            "does not read; write it again, or as JSON Lines"
        ) from None


def _batches(file: RangedFile, name: str, reading: Reading) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False) as opened:
        table = _Table(file, opened.metadata, opened.schema_arrow.names, [])
        table.leaves.extend(opened.schema.column(n).path for n in range(len(opened.schema)))
    if not table.names:
        raise BadInput(f"{name} has no columns")
    check_columns(table.names, _prefixes(table.leaves), reading, name)
    check_doubles(table.names, reading, name)
    numbers = [n for n, leaf in enumerate(table.leaves) if reading.whole or _is_read(leaf, reading.paths)]
    wanted = None if reading.whole else [table.leaves[n] for n in numbers]
    for n in range(table.metadata.num_row_groups):
        yield from table.rows(n, wanted, numbers, name)


def _prefixes(leaves: Sequence[str]) -> Iterator[str]:
    """Every path that leads to a column, or to several inside one."""
    for leaf in leaves:
        yield leaf
        at = leaf.rfind(".")
        while at >= 0:
            yield leaf[:at]
            at = leaf.rfind(".", 0, at)


def _is_read(leaf: str, paths: Sequence[str]) -> bool:
    return any(leaf == path or leaf.startswith(f"{path}.") for path in paths)


class _Table(NamedTuple):
    """A file that has been opened: its footer, the names of its columns, the paths of what is stored."""

    file: RangedFile
    metadata: pq.FileMetaData
    names: list[str]
    leaves: list[str]

    def rows(
        self, number: int, wanted: list[str] | None, columns: Sequence[int], name: str
    ) -> Iterator[pa.RecordBatch]:
        """A row group in batches, with the columns that are wanted (None: all)."""
        group = self.metadata.row_group(number)
        coded, most = self._dictionaries(group, columns, name)
        width = sum(group.column(n).total_uncompressed_size for n in columns) // max(1, group.num_rows)
        values = max((group.column(n).num_values for n in columns), default=0) // max(1, group.num_rows)
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, width, values), most))
        buffer = max(LEAST_BUFFER, min(PAGE, STREAM_BYTES // max(1, len(columns))))
        with pq.ParquetFile(
            pa.PythonFile(self.file, mode="r"),
            metadata=self.metadata,
            read_dictionary=coded,
            buffer_size=buffer,
            pre_buffer=False,
            coerce_int96_timestamp_unit="us",  # as nanoseconds, dates beyond 1677..2262 come out as others
        ) as opened:
            yield from opened.iter_batches(rows, row_groups=[number], columns=wanted, use_threads=False)

    def _dictionaries(self, group: pq.RowGroupMetaData, columns: Sequence[int], name: str) -> tuple[list[str], int]:
        """The columns that are left as they point into their dictionaries, and how many rows may be taken at once.

        A column is left so where its values are pointers alone. Where texts stand among them, as writers do when a
        dictionary gets too large, they would have to be looked up in it, one by one; then as many rows are taken as
        could each have the longest text of the dictionary.
        """
        coded, most = [], BATCH_ROWS
        for n in columns:
            chunk, described = group.column(n), self.metadata.schema.column(n)
            if chunk.physical_type == "FIXED_LEN_BYTE_ARRAY":
                most = min(most, max(1, HELD_BYTES // max(1, described.length)))
            if chunk.physical_type != "BYTE_ARRAY" or not chunk.has_dictionary_page:
                continue
            length = _unpacked_size(self.file, chunk)
            if length > HELD_BYTES:
                raise BadInput(
                    f"{name} has a dictionary of {length:,} bytes, too much for one worker; write it again without "
                    "dictionaries, or as JSON Lines"
                )
            pointers = chunk.total_uncompressed_size - length <= INDEX_BYTES * chunk.num_values
            if pointers and described.logical_type.type in AS_TEXT:
                coded.append(self.leaves[n])
            else:
                most = min(most, max(1, HELD_BYTES // max(1, length)))
        return coded, most


def _unpacked_size(file: RangedFile, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes of a dictionary as it will be held: the second field of its page's header, in Thrift's compact form."""
    file.seek(chunk.dictionary_page_offset)
    header = file.read(HEADER_BYTES)
    at, field, value = 0, 0, 0
    while field < 2 and at < len(header) and header[at] & 15 == 5:  # a field of 32 bits
        field += header[at] >> 4
        at, value, shift = at + 1, 0, 0
        while at < len(header):
            value |= (header[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if not header[at - 1] & 128:
                break
    return (value >> 1) if field == 2 else int(chunk.total_uncompressed_size)  # zigzag, and no size is below 0


def _lines(batch: pa.RecordBatch, max_row: int) -> Iterator[list[bytes]]:
    names = apart(batch.schema.names)
    if not any(pa.types.is_dictionary(kind) or pa.types.is_nested(kind) for kind in batch.schema.types):
        yield _lines_at_once(batch, names, max_row)
        return
    weights = list(map(sum, zip(*map(weights_of, batch.columns), strict=True)))
    begin, held = 0, 0
    for at, weight in enumerate(weights):
        if weight > max_row or held + weight > BATCH_BYTES:
            if begin < at:
                yield _lines_at_once(batch.slice(begin, at - begin), names, max_row)
            begin, held = at, 0
        if weight > max_row:
            yield [OVERSIZE]
            begin = at + 1
        else:
            held += weight
    if begin < len(weights):
        yield _lines_at_once(batch.slice(begin), names, max_row)


def _lines_at_once(batch: pa.RecordBatch, names: Sequence[str], max_row: int) -> list[bytes]:
    columns = [values_of(column) for column in batch.columns]
    return [as_line(dict(zip(names, row, strict=True)), max_row) for row in zip(*columns, strict=True)]


class RangedFile(io.RawIOBase):
    """A seekable file over ranged reads, which keeps the pages that were used last."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._read = read
        self._size = size
        self._at = 0
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, count: int = -1) -> bytes:
        end = self._size if count < 0 else min(self._size, self._at + count)
        begin, self._at = self._at, max(self._at, end)
        if begin >= end:
            return b""
        first, last = begin // PAGE, (end - 1) // PAGE
        if last - first >= PAGES // 2:
            return self._read(begin, end)
        self._fetch(first, last)
        whole = b"".join(self._pages[n] for n in range(first, last + 1))
        return whole[begin - first * PAGE : end - first * PAGE]

    def _fetch(self, first: int, last: int) -> None:
        """Make sure of the pages from `first` to `last`; those missing come with one ranged read."""
        missing = [n for n in range(first, last + 1) if n not in self._pages]
        if missing:
            low, high = missing[0], missing[-1] + 1
            data = self._read(low * PAGE, min(self._size, high * PAGE))
            for n in range(low, high):
                self._pages[n] = data[(n - low) * PAGE : (n - low + 1) * PAGE]
        for n in range(first, last + 1):
            self._pages.move_to_end(n)
        while len(self._pages) > PAGES:
            self._pages.popitem(last=False)
