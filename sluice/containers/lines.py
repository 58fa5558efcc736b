r"""From objects to lines: JSON Lines plain, by range, and gzip or zstd, streamed whole.

Lines are split on `\n` bytes only: a text may hold U+2028 or U+0085, at which `str.splitlines` would cut.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.errors import BadInput
from sluice.rows import OVERSIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sluice.state import Input
    from sluice.store import Store

BOM = b"\xef\xbb\xbf"
TAIL_BYTES = 64 * 1024
EXPANSION = 200  # text compresses by 3 to 20; far more is a bomb


class Container(StrEnum):
    """How the rows stand in an object; only lines can be read by range, the others are one piece."""

    LINES = "lines"
    GZIP = "gzip"
    ZSTD = "zstd"


SUFFIXES = {
    ".jsonl": Container.LINES,
    ".ndjson": Container.LINES,
    ".json": Container.LINES,
    ".gz": Container.GZIP,
    ".zst": Container.ZSTD,
    ".zstd": Container.ZSTD,
}
MAGIC = {b"\x1f\x8b": Container.GZIP, b"\x28\xb5\x2f\xfd": Container.ZSTD}


def container_of(name: str, head: Callable[[], bytes]) -> Container:
    """By suffix, else by the first bytes, else lines."""
    for suffix, container in SUFFIXES.items():
        if name.lower().endswith(suffix):
            return container
    first = head()
    return next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), Container.LINES)


def split_lines(blocks: Iterable[bytes], max_row: int) -> Iterator[list[bytes]]:
    """Lines without their line end, a list per block. A line above `max_row` bytes is replaced by `OVERSIZE`."""
    carry: list[bytes] = []
    size = 0
    for block in blocks:
        lines = block.split(b"\n")
        if size <= max_row:
            carry.append(lines[0])
        size += len(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = _whole(carry, size, max_row)
        carry, size = [lines.pop()], len(carry[0])
        size = len(carry[0])
        yield [line[:-1] if line.endswith(b"\r") else line for line in lines] if b"\r\n" in block else lines
    if size:
        last = _whole(carry, size, max_row)
        yield [last[:-1] if last.endswith(b"\r") else last]


def _whole(carry: list[bytes], size: int, max_row: int) -> bytes:
    if size > max_row:
        return OVERSIZE
    line = b"".join(carry)
    return line[:-1] if line.endswith(b"\r") else line


def lines_of_range(
    store: Store, key: str, version: str | None, begin: int, end: int, size: int, max_row: int
) -> Iterator[list[bytes]]:
    """The lines that begin in the bytes `begin` to before `end` of an object of `size` bytes."""
    blocks = _blocks_of_range(store, key, version, begin, end, size)
    blocks = _without_bom(blocks) if begin == 0 else _from_first_newline(blocks)
    return split_lines(blocks, max_row)


def _blocks_of_range(store: Store, key: str, version: str | None, begin: int, end: int, size: int) -> Iterator[bytes]:
    """The bytes from just before `begin` to the end of the line that is open at `end`."""
    last = b"\n"
    for block in store.blocks(key, max(begin - 1, 0), end, version):
        last = block
        yield block
    at, step = end, TAIL_BYTES
    while not last.endswith(b"\n") and at < size:
        for block in store.blocks(key, at, min(at + step, size), version):
            cut = block.find(b"\n")
            if cut >= 0:
                yield block[:cut]
                return
            yield block
        at, step = min(at + step, size), step * 4


def _from_first_newline(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        cut = block.find(b"\n")
        if cut >= 0:
            yield block[cut + 1 :]
            yield from blocks


def _without_bom(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for first in blocks:
        yield first.removeprefix(BOM)
        break
    yield from blocks


def decompressed(container: Container, blocks: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    """The content of a compressed stream.

    Raises:
        BadInput: the stream is damaged or cut, or grows beyond `EXPANSION` times its size.

    """
    opened = _gunzip(blocks) if container is Container.GZIP else _unzstd(blocks)
    limit, total = max(size, 1024 * 1024) * EXPANSION, 0
    try:
        for block in opened:
            total += len(block)
            if total > limit:
                raise BadInput(f"{name} grows to more than {EXPANSION} times its {size} bytes: unpack it and check it")
            yield block
    except (zlib.error, OSError, EOFError) as error:
        raise BadInput(f"{name} is not a whole {container} stream: {error}; write it again") from error


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip stream may have several members one behind the other."""
    inflate, fresh = zlib.decompressobj(zlib.MAX_WBITS | 16), True
    for block in blocks:
        data = block
        while data:
            if inflate.eof:
                data = data.lstrip(b"\0")  # padding behind the last member
                if not data:
                    break
                inflate, fresh = zlib.decompressobj(zlib.MAX_WBITS | 16), True
            fresh = False
            out = inflate.decompress(data, 4 * 1024 * 1024)
            if out:
                yield out
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if not data and not inflate.eof:
                while out := inflate.decompress(b"", 4 * 1024 * 1024):
                    yield out
    if not fresh and not inflate.eof:
        raise EOFError("it ends in the middle")


class _Pipe:
    """A readable file over blocks, as pyarrow's decompressor wants one."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks = blocks
        self.rest = b""

    def read(self, count: int = -1) -> bytes:
        while not self.rest:
            block = next(self.blocks, None)
            if block is None:
                return b""
            self.rest = block
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def close(self) -> None:
        self.closed = True


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    with pa.CompressedInputStream(pa.PythonFile(_Pipe(blocks), mode="r"), "zstd") as stream:
        while block := stream.read(1024 * 1024):
            yield block


def lines_of_input(store: Store, key: str, item: Input, begin: int, end: int, max_row: int) -> Iterator[list[bytes]]:
    """The lines of a piece of a frozen input, as lists in order."""
    if item.container == Container.LINES:
        return lines_of_range(store, key, item.version, begin, end, item.bytes, max_row)
    blocks = store.blocks(key, version=item.version)
    opened = decompressed(Container(item.container), blocks, item.uri, item.bytes)
    return split_lines(_without_bom(opened), max_row)
