"""Lines in a random order, in memory that does not grow with their number."""

from __future__ import annotations

import random
import tempfile
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 24 * 1024 * 1024
BATCH_LINES = 4096


class Shuffle:
    """Deals lines out to temporary files at random, then gives each file's lines in a random order.

    Each file is about one block long, so one block stands in memory at a time; the order is the seed's.
    """

    def __init__(self, seed: str, expected_bytes: int) -> None:
        self.random = random.Random(seed)
        self.files: list[IO[bytes]] = [temporary() for _ in range(1 + expected_bytes // BLOCK_BYTES)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.close()

    def add(self, lines: list[bytes]) -> None:
        """Take lines, each with its line feed."""
        if len(self.files) == 1:
            self.files[0].write(b"".join(lines))
            return
        hands: list[list[bytes]] = [[] for _ in self.files]
        choices = self.random.choices(hands, k=len(lines))
        for hand, line in zip(choices, lines, strict=True):
            hand.append(line)
        for file, hand in zip(self.files, hands, strict=True):
            file.write(b"".join(hand))

    def blocks(self) -> Iterator[bytes]:
        """Everything, block by block."""
        for file in self.files:
            file.seek(0)
            lines = file.read().split(b"\n")
            lines.pop()  # what follows the last line feed
            self.random.shuffle(lines)
            if lines:
                yield b"\n".join(lines) + b"\n"


def temporary() -> IO[bytes]:
    """A file without a name, which goes when it is closed."""
    return tempfile.TemporaryFile()
