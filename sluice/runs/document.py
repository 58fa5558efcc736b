"""A document that a run keeps: each carries a format number, and is read with a look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from sluice.decoding import decode
from sluice.errors import Stop

if TYPE_CHECKING:
    from pydantic import BaseModel

FORMAT = 1
READABLE = frozenset({FORMAT})  # a run outlives a deploy: the format before stays readable

D = TypeVar("D", bound="Document")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A kept document; `read` refuses a format that this version does not know.

    It may hold parts of a task as they are, which pydantic reads and writes.
    """

    format: int = FORMAT

    def write(self) -> bytes:
        return msgspec.json.encode(self, enc_hook=lambda part: part.model_dump(mode="json"))


def _part(kind: type[BaseModel], value: object) -> BaseModel:
    return kind.model_validate(value)


def read(kind: type[D], data: bytes, key: str) -> D:
    """Decode a kept document.

    Raises:
        Stop: it was written in a format that this version cannot read, or is damaged.

    """
    try:
        document = decode(data, kind, dec_hook=_part)
    except msgspec.MsgspecError as error:
        raise Stop(f"{key} is no {kind.__name__}: {error}") from error
    if document.format not in READABLE:
        raise Stop(f"{key} has format {document.format}; this version reads {sorted(READABLE)}")
    return document
