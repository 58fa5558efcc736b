"""Parquet, batch by batch through ranged reads: neither the file nor a row group of it is ever held whole.

Values become JSON as a JSON Lines export would write them: timestamps, dates and times in ISO 8601 (an instant with a
time zone as UTC), decimals as numbers, durations as numbers of their unit, maps as objects, NaN and infinity as null.
Binary is text where it is UTF-8, as many older writers store text, else base64.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.errors import BadInput
from sluice.rows.containers.objects import as_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 1024 * 1024  # what one ranged read fetches at least: the small column chunks of a row group lie side by side
PAGES = 48  # kept for the columns that are read in turn
STREAM_BYTES = 64 * 1024 * 1024  # what the columns may buffer together
BATCH_BYTES = 4 * 1024 * 1024
BATCH_ROWS = 4096


def parquet_rows(
    read: Callable[[int, int], bytes], size: int, name: str, max_row: int, max_text: int
) -> Iterator[list[bytes]]:
    """The rows as lines of JSON, in lists; `read(begin, end)` gives bytes of the object.

    Raises:
        BadInput: the file is damaged, is no Parquet, has no columns or two of one name, or holds too much text.

    """
    total = 0
    try:
        for batch in _batches(RangedFile(read, size), name):
            rows = _lines(batch, max_row)
            total += sum(map(len, rows))
            if total > max_text:
                raise BadInput(
                    f"{name} holds more than {max_text:,} bytes of text, too much for one worker: split it "
                    "(max_text_bytes)"
                )
            yield rows
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise BadInput(f"{name} cannot be read as Parquet: {error}; write it again, or as JSON Lines") from error


def _batches(file: RangedFile, name: str) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False) as opened:
        names = opened.schema_arrow.names
        columns = opened.metadata.num_columns
    double = next((found for n, found in enumerate(names) if found in names[:n]), None)
    if double is not None or not names:
        raise BadInput(f"{name} has " + ("no columns" if double is None else f"two columns called {double!r}"))
    buffer = max(64 * 1024, min(PAGE, STREAM_BYTES // columns))
    source = pa.PythonFile(file, mode="r")
    with pq.ParquetFile(source, buffer_size=buffer, pre_buffer=False) as opened:
        for n in range(opened.num_row_groups):
            group = opened.metadata.row_group(n)
            width = max(1, group.total_byte_size // max(1, group.num_rows))
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES // width))
            yield from opened.iter_batches(rows, row_groups=[n], use_threads=False)


def _lines(batch: pa.RecordBatch, max_row: int) -> list[bytes]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    return [as_line(dict(zip(names, row, strict=True)), max_row) for row in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    """A column as values that have a form in JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        return _moments(column)
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return _listed(_without_zeros(column.cast(pa.string())))
    if pa.types.is_nested(kind) or pa.types.is_duration(kind):
        column = column.cast(_plain(kind), safe=False)
    if _has_text(column.type):
        return _texts(column)
    return _listed(column)


def _listed(column: pa.Array) -> list[Any]:
    values: list[Any] = (
        column.to_pylist(maps_as_pydicts="lossy") if pa.types.is_nested(column.type) else column.to_pylist()
    )
    return values


def _has_text(kind: pa.DataType) -> bool:
    """Whether values hold strings or bytes, for which nobody vouches that they are UTF-8."""
    texts = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    )  # fmt: skip
    return pa.types.is_nested(kind) or any(check(kind) for check in texts)


def _texts(column: pa.Array) -> list[Any]:
    try:
        values = _listed(column)
    except UnicodeDecodeError:
        values = _listed(column.cast(_plain(column.type, text=pa.binary())))
        return [_decoded(value, "surrogateescape") for value in values]
    kind = column.type
    plain = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return values if plain else [_decoded(value, "strict") for value in values]


def _decoded(value: Any, errors: str) -> Any:
    """Bytes inside a value as text; where they are none, they stay bytes, which JSON gets as base64."""
    if isinstance(value, bytes):
        try:
            return value.decode(errors=errors)
        except UnicodeDecodeError:
            return value
    if isinstance(value, dict):
        return {_decoded(name, errors): _decoded(item, errors) for name, item in value.items()}
    return [_decoded(item, errors) for item in value] if isinstance(value, list) else value


def _moments(column: pa.Array) -> list[Any]:
    """Arrow prints an instant as UTC once it has no zone; no time zone database is needed for that."""
    zoned = column.type.tz is not None
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    text = _without_zeros(pc.replace_substring(text, " ", "T", max_replacements=1))
    return _listed(pc.binary_join_element_wise(text, "Z", "") if zoned else text)


def _without_zeros(text: pa.Array) -> pa.Array:
    """Fractions of a second without the zeros behind them."""
    short = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
    return pc.if_else(pc.match_substring(text, "."), short, text)


def _plain(kind: pa.DataType, text: pa.DataType | None = None) -> pa.DataType:
    """The type whose Python values have a form in JSON: microseconds, UTC, no durations; `text` replaces strings."""
    types = pa.types
    if types.is_dictionary(kind):
        return _plain(kind.value_type, text)
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type, text)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_plain(kind.key_type, text), _plain(kind.item_type, text))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type, text))
    return _plain_value(kind, text)


def _plain_value(kind: pa.DataType, text: pa.DataType | None) -> pa.DataType:
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if types.is_duration(kind):
        return pa.int64()
    if types.is_time64(kind):
        return pa.time64("us")
    if text is not None and (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        return text
    return kind


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
