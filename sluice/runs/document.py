"""A document that a run keeps: each carries a format number, and is read with a look at it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sluice.errors import Stop

FORMAT = 1
READABLE = frozenset({FORMAT})  # a run outlives a deploy: the format before stays readable

D = TypeVar("D", bound="Document")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A kept document; `read` refuses a format that this version does not know."""

    format: int = FORMAT

    def write(self) -> bytes:
        return msgspec.json.encode(self)


def read(kind: type[D], data: bytes, key: str) -> D:
    """Decode a kept document.

    Raises:
        Stop: it was written in a format that this version cannot read, or is damaged.

    """
    try:
        document = msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Stop(f"{key} is no {kind.__name__}: {error}") from error
    if document.format not in READABLE:
        raise Stop(f"{key} has format {document.format}; this version reads {sorted(READABLE)}")
    return document
