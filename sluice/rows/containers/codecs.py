"""gzip and zstd streams, opened as they come: any number of members or frames, one behind the other."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from sluice.errors import BadInput
from sluice.rows.containers.kinds import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP = zlib.MAX_WBITS | 16
BITE = 64 * 1024  # what zlib is fed at once: it copies the rest of a bite for each member that ends in it
OUT_BYTES = 1024 * 1024


def opened(codec: Codec, blocks: Iterator[bytes], name: str, limit: int) -> Iterator[bytes]:
    """The content of a stream, which `name` stands for in messages.

    Raises:
        BadInput: the stream is damaged or cut, or holds more than `limit` bytes.

    """
    total = 0
    try:
        for block in _gunzip(blocks) if codec is Codec.GZIP else _unzstd(blocks):
            total += len(block)
            if total > limit:
                raise BadInput(
                    f"{name} holds more than {limit:,} bytes of text, too much for one worker: split it, or unpack it "
                    "to JSON Lines, which many workers read at once (max_text_bytes)"
                )
            yield block
    except (zlib.error, OSError, EOFError) as error:
        raise BadInput(f"{name} is no whole {codec} stream ({error}): it is cut or damaged; write it again") from error


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(GZIP)
    begun = behind = False
    for block in blocks:
        for at in range(0, len(block), BITE):
            data = block[at : at + BITE]
            while data:
                if inflate.eof:
                    inflate, begun, behind = zlib.decompressobj(GZIP), False, True
                if behind and not begun:
                    data = data.lstrip(b"\0")  # padding between members and behind the last
                begun = begun or bool(data)
                if out := inflate.decompress(data, OUT_BYTES):
                    yield out
                data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            while not inflate.eof and (out := inflate.decompress(b"", OUT_BYTES)):
                yield out
    if begun and not inflate.eof:
        raise EOFError("it ends in the middle")


class Pipe:
    """A readable file over blocks, as pyarrow wants one: a read gives less than was asked for at the end alone."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks = blocks
        self.rest = memoryview(b"")

    def read(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            if not self.rest:
                block = next(self.blocks, None)
                if block is None:
                    break
                self.rest = memoryview(block)
            missing = count - len(taken)
            taken += self.rest[:missing]
            self.rest = self.rest[missing:]
        return bytes(taken)

    def close(self) -> None:
        self.closed = True


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - most functions have no Arrow, and most objects no zstd

    with pa.CompressedInputStream(pa.PythonFile(Pipe(blocks), mode="r"), "zstd") as stream:
        while block := stream.read(OUT_BYTES):
            yield block
