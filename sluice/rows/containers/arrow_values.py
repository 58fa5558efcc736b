"""Arrow's values as JSON has them: one form for each type, at any depth.

Timestamps, dates and times in ISO 8601 (an instant with a time zone as UTC), decimals as numbers, durations as numbers
of their unit, maps as objects with keys that are texts, NaN and infinity as null. Binary is text where it is UTF-8, as
many older writers store text, else base64.
"""

from __future__ import annotations

import json
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VALUE_BYTES = 2  # that a value takes in JSON at least, with the comma behind it
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
BYTES = (
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
)  # fmt: skip
_encode = msgspec.json.Encoder(decimal_format="number").encode


def values_of(column: pa.Array) -> list[Any]:
    """A column as values that have a form in JSON."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _uuids(column) if kind.extension_name == "arrow.uuid" else values_of(column.storage)
    if pa.types.is_dictionary(kind):
        return values_of(column.dictionary_decode())
    return next((make for check, make in _MAKERS if check(kind)), _listed)(column)


def _uuids(column: pa.Array) -> list[Any]:
    return [None if value is None else str(value) for value in column.to_pylist()]


def _is(kind: pa.DataType, checks: Sequence[Callable[[pa.DataType], bool]]) -> bool:
    return any(check(kind) for check in checks)


def _listed(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _texts(column: pa.Array) -> list[Any]:
    """Nobody vouches that a column of strings is UTF-8."""
    try:
        return _listed(column)
    except UnicodeDecodeError:
        values = _listed(column.cast(pa.binary()))
        return [None if value is None else value.decode(errors="surrogateescape") for value in values]


def _bytes(column: pa.Array) -> list[Any]:
    """Bytes as text; where they are none, they stay bytes, which JSON gets as base64."""
    return [value if value is None or not _is_text(value) else value.decode() for value in _listed(column)]


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _clock(column: pa.Array) -> list[Any]:
    return _listed(_without_zeros(column.cast(pa.string())))


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


def _nested(column: pa.Array) -> list[Any]:
    valid = _listed(column.is_valid())
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        children = [values_of(child) for child in column.flatten()]
        rows = zip(*children, strict=True) if children else (() for _ in valid)
        return [dict(zip(names, row, strict=True)) if good else None for good, row in zip(valid, rows, strict=True)]
    counts, values = _inside(column)
    if pa.types.is_map(column.type):
        keys, items = (values_of(child) for child in values)
        pairs = iter(zip(map(_as_key, keys), items, strict=True))
        mapped = [dict(islice(pairs, count)) for count in counts]
        return [row if good else None for good, row in zip(valid, mapped, strict=True)]
    each = iter(values_of(values[0]))
    listed = [list(islice(each, count)) for count in counts]
    return [row if good else None for good, row in zip(valid, listed, strict=True)]


def _inside(column: pa.Array) -> tuple[list[int], list[pa.Array]]:
    """How many values each row of a list or a map holds, and the values: of a map its keys and its items."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        return [size] * len(column), [column.values.slice(column.offset * size, len(column) * size)]
    ends = _listed(column.offsets)
    counts = [end - begin for begin, end in pairwise(ends)]
    children = [column.keys, column.items] if pa.types.is_map(kind) else [column.values]
    return counts, [child.slice(ends[0], ends[-1] - ends[0]) for child in children]


def _as_key(key: Any) -> str:
    """The name under which a map's item stands in an object: a text as it is, anything else as JSON."""
    if isinstance(key, str):
        return key
    try:
        return _encode(key).decode()
    except UnicodeEncodeError:
        return json.dumps(key, ensure_ascii=False, default=repr)


def weights_of(column: pa.Array) -> list[int]:
    """At least how many bytes each value takes in JSON, without making it."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return weights_of(column.storage)
    if pa.types.is_dictionary(kind):
        lengths = pa.array(weights_of(column.dictionary), pa.int64())
        return _numbers(lengths.take(column.indices))
    if pa.types.is_struct(kind):
        children = [weights_of(child) for child in column.flatten()]
        return list(map(sum, zip(*children, strict=True))) if children else [0] * len(column)
    if pa.types.is_nested(kind):
        counts, values = _inside(column)
        inner = list(map(sum, zip(*map(weights_of, values), strict=True)))
        sums, ends = [0, *accumulate(inner)], [0, *accumulate(counts)]
        return [sums[end] - sums[begin] for begin, end in pairwise(ends)]
    if pa.types.is_fixed_size_binary(kind):
        return [kind.byte_width] * len(column)
    if _is(kind, TEXTS) or _is(kind, BYTES):
        return _numbers(pc.binary_length(column.cast(pa.large_binary())))
    return [VALUE_BYTES] * len(column)


def _numbers(column: pa.Array) -> list[int]:
    return _listed(pc.fill_null(column, 0))


_MAKERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
    (pa.types.is_nested, _nested),
    (pa.types.is_timestamp, _moments),
    (lambda kind: pa.types.is_date(kind) or pa.types.is_time(kind), _clock),
    (lambda kind: _is(kind, TEXTS), _texts),
    (lambda kind: _is(kind, BYTES), _bytes),
    (pa.types.is_duration, lambda column: _listed(column.cast(pa.int64()))),
    (pa.types.is_float16, lambda column: _listed(column.cast(pa.float32()))),
)
