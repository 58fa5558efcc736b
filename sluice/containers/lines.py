r"""JSON Lines, whole or by range.

Lines are split on `\n` bytes only: a text may hold U+2028 or U+0085, at which `str.splitlines` would cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.rows import OVERSIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BOM = b"\xef\xbb\xbf"
TAIL_BYTES = 64 * 1024


def split_lines(blocks: Iterable[bytes], max_row: int) -> Iterator[list[bytes]]:
    """Lines without their line end, a list per block. A line above `max_row` bytes is replaced by `OVERSIZE`."""
    for lines in raw_lines(blocks, max_row + 1):
        if max(map(len, lines)) > max_row or any(line.endswith(b"\r") for line in lines):
            bare = [line[:-1] if line is not OVERSIZE and line.endswith(b"\r") else line for line in lines]
            yield [OVERSIZE if len(line) > max_row else line for line in bare]
        else:
            yield lines


def raw_lines(blocks: Iterable[bytes], max_row: int) -> Iterator[list[bytes]]:
    r"""Lines without `\n`, a list per block that ends one; never more than `max_row` bytes of an open line are held.

    What stands behind the last `\n` is a line if it is not empty.
    """
    carry: list[bytes] = []
    size = 0
    for block in blocks:
        lines = block.split(b"\n")
        last = lines.pop()
        if lines:
            size += len(lines[0])
            carry.append(lines[0])
            lines[0] = b"".join(carry) if size <= max_row else OVERSIZE
            carry, size = [], 0
            yield lines if len(block) <= max_row else [line if len(line) <= max_row else OVERSIZE for line in lines]
        size += len(last)
        if size <= max_row:
            carry.append(last)
        else:
            carry.clear()
    if size:
        yield [b"".join(carry) if size <= max_row else OVERSIZE]


def lines_of_range(
    read: Callable[[int, int], Iterator[bytes]], begin: int, end: int, size: int, max_row: int
) -> Iterator[list[bytes]]:
    """The lines that begin in the bytes `begin` to before `end` of an object of `size` bytes.

    `read(begin, end)` gives those bytes of the object in blocks.
    """
    blocks = _blocks_of_range(read, begin, end, size, max_row)
    return split_lines(blocks if begin else without_bom(blocks), max_row)


def _blocks_of_range(
    read: Callable[[int, int], Iterator[bytes]], begin: int, end: int, size: int, max_row: int
) -> Iterator[bytes]:
    """From the first line that begins in the range to the end of the line that is open at its end.

    The byte before the range says whether a line begins with it. A line that is too long to keep is not read to its
    end, and nothing is read behind a range in which no line begins: one endless line would be read by every span.
    """
    begun, held = begin == 0, 0
    for block in read(max(begin - 1, 0), end):
        found = block
        if not begun:
            cut = block.find(b"\n")
            if cut < 0:
                continue
            begun, found = True, block[cut + 1 :]
        newline = found.rfind(b"\n")
        held = len(found) - newline - 1 if newline >= 0 else held + len(found)
        yield found
    at, step = end, TAIL_BYTES
    while held and held <= max_row + 1 and at < size:
        for block in read(at, min(at + step, size)):
            cut = block.find(b"\n")
            if cut >= 0:
                yield block[:cut]
                return
            held += len(block)
            yield block
        at, step = at + step, step * 4


def without_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks without a byte order mark in front, however small the first of them are."""
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if len(head) >= len(BOM):
            break
    if head:
        yield head.removeprefix(BOM)
    yield from rest
