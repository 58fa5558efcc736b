"""The rows of a CSV or Parquet file as the JSON objects that their twin in JSON Lines would hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.rows.record import OVERSIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

_encode = msgspec.json.Encoder(decimal_format="number").encode


def as_line(row: Mapping[str, Any], max_row: int) -> bytes:
    """A row as one line of JSON, `OVERSIZE` above `max_row` bytes.

    Bytes that are no UTF-8 come in as lone surrogates (`surrogateescape`) and go out as they were, so that the row is
    rejected for what it is.
    """
    try:
        line = _encode(row)
    except UnicodeEncodeError:
        line = json.dumps(row, ensure_ascii=False, default=repr).encode(errors="surrogateescape")
    return line if len(line) <= max_row else OVERSIZE
