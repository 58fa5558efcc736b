"""Streams of bytes as UTF-8, whatever they were written in, and a look at their beginning."""

from __future__ import annotations

import codecs
from itertools import chain
from typing import TYPE_CHECKING

from sluice.rows.containers.lines import BOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NO_UTF8 = "sluice.no-utf8"


def _no_utf8(error: UnicodeError) -> tuple[str, int]:
    """For each byte that is no text one that is no UTF-8, so that its row is rejected and the others stay."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff" * (error.end - error.start), error.end


codecs.register_error(NO_UTF8, _no_utf8)


def recoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The stream as UTF-8; one that begins with the byte order mark of UTF-8 is that already."""
    head, whole = peeked(blocks, len(BOM))
    if encoding == "utf-8" or head.startswith(BOM):
        yield from whole
        return
    decoder = codecs.getincrementaldecoder(encoding)(NO_UTF8)
    for block in whole:
        yield decoder.decode(block).encode(errors="surrogateescape")
    yield decoder.decode(b"", final=True).encode(errors="surrogateescape")


def peeked(blocks: Iterable[bytes], count: int) -> tuple[bytes, Iterator[bytes]]:
    """At least the first `count` bytes of a stream, if it has so many, and the whole stream."""
    rest, held, size = iter(blocks), [], 0
    for block in rest:
        held.append(block)
        size += len(block)
        if size >= count:
            break
    return b"".join(held), chain(held, rest)
