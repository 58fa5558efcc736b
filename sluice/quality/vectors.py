"""Word vectors out of a file of one's own: what texts mean beside how they are spelt.

**What is read** is the text form of word2vec, GloVe and fastText (`.vec`, `.txt`, also gzip): a line for each word, the
commonest first, with the word and its numbers parted by blanks; a first line of two numbers is a header. A word that is
not one token of sluice.quality.features is left out, as is one that stands there already in other letters.

**The file** that is kept is a line `sluice-vectors 1`, a line with the BLAKE2b digest of all that follows it, a line of
JSON, and three arrays, little-endian and in C order: `hashes` (uint64, ascending), `scales` (float32) and `numbers`
(int8, words by dimensions). A word's vector is its numbers times its scale, of length 1 times the word's weight.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice.errors import BadRequest
from sluice.quality.features import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = b"sluice-vectors 1\n"
GZIP = b"\x1f\x8b\x08"
DIGEST = 16  # bytes
MOST_NUMBERS = 30_000_000  # words times dimensions, a byte each: what a function of the least memory has room for
MOST_DIMENSIONS = 1_024
MOST_LINE = 64 * 1024  # bytes
HEADER = 2  # numbers in a header: how many words, how many dimensions
# A word weighs a / (a + p), p being how common it is (S. Arora, Y. Liang and T. Ma, 2017); p by its place in the file,
# as Zipf's law has it over a language of a million words.
COMMON = 1e-3
HARMONIC = 14.4  # the sum of 1/n up to a million
LOUDEST = 127  # of a number
TINY = 1e-30
AT_ONCE = 4_096  # words
KINDS = ("<u8", "<f4", "i1")
HEAD_BYTES = 100  # more than the line of JSON has


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of words, by the hash of each."""

    hashes: NDArray[np.uint64]
    scales: NDArray[np.float32]
    numbers: NDArray[np.int8]

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int(self.numbers.shape[1])

    def facts(self) -> dict[str, Any]:
        """What is said of them: words and dimensions."""
        return {"words": len(self.hashes), "dimensions": self.dimensions}

    def sums(self, hashes: NDArray[np.uint64], rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """Of each of `count` texts the sum of its words' vectors; `rows` has the text of each hash, ascending."""
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        known = self.hashes[at] == hashes
        at, rows = at[known], rows[known]
        found = np.zeros((count, self.dimensions), np.float32)
        for first in range(0, len(at), AT_ONCE):
            part, of = at[first : first + AT_ONCE], rows[first : first + AT_ONCE]
            begins = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]]))
            meant = self.numbers[part].astype(np.float32) * self.scales[part, None]
            found[of[begins]] += np.add.reduceat(meant, begins)
        return found

    def write(self) -> bytes:
        """The file of these vectors."""
        head = json.dumps({"words": len(self.hashes), "dimensions": self.dimensions}).encode() + b"\n"
        arrays = (self.hashes, self.scales, self.numbers)
        told = head + b"".join(
            np.ascontiguousarray(each, kind).tobytes() for each, kind in zip(arrays, KINDS, strict=True)
        )
        return MAGIC + _digest(told) + told

    @classmethod
    def read(cls, kept: bytes | memoryview) -> Vectors:
        """The vectors of a file.

        Raises:
            BadRequest: it is no such file, or not whole.
        """
        begin = len(MAGIC) + 2 * DIGEST + 1
        told = memoryview(kept)[begin:]
        if bytes(kept[: len(MAGIC)]) != MAGIC:
            raise BadRequest("these are no word vectors of this version; read them in again")
        if bytes(kept[len(MAGIC) : begin]) != _digest(told):
            raise BadRequest("the file of the word vectors is not whole; read them in again")
        end = bytes(told[:HEAD_BYTES]).index(b"\n") + 1
        head = json.loads(bytes(told[:end]))
        words, dimensions = head["words"], head["dimensions"]
        arrays, at = [], end
        for kind, size in zip(KINDS, (words, words, words * dimensions), strict=True):
            arrays.append(np.frombuffer(told, kind, size, at))
            at += arrays[-1].nbytes
        hashes, scales, numbers = arrays
        return cls(hashes, scales, numbers.reshape(words, dimensions))


class _Kept:
    """What is kept of the lines of a file, some words at a time."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.hashes: list[int] = []
        self.scales: list[NDArray[np.float32]] = []
        self.numbers: list[NDArray[np.int8]] = []

    def add(self, words: Sequence[str], vectors: Sequence[Sequence[float]], ranks: Sequence[int]) -> None:
        """Keep of these words those that are one token, and were not seen in other letters."""
        hashes, rows = words_of(words)
        alone = np.bincount(rows, minlength=len(words)) == 1
        chosen = []
        for found, row in zip(hashes.tolist(), rows.tolist(), strict=True):
            if alone[row] and found not in self.seen:
                self.seen.add(found)
                self.hashes.append(found)
                chosen.append(row)
        given = np.array([vectors[row] for row in chosen], np.float32).reshape(len(chosen), -1)
        length = np.sqrt(np.square(given).sum(1))
        loudest = np.abs(given).max(1, initial=0)
        some = np.maximum(loudest, np.float32(TINY))
        weights = COMMON / (COMMON + 1 / (np.array(ranks, np.float32)[chosen] * HARMONIC))
        self.scales.append((weights * some / LOUDEST / np.maximum(length, TINY)).astype(np.float32))
        self.numbers.append(np.rint(given / some[:, None] * LOUDEST).astype(np.int8))

    def vectors(self, most: int) -> Vectors:
        """The vectors of the first `most` words."""
        hashes = np.array(self.hashes[:most], np.uint64)
        order = np.argsort(hashes)
        scales, numbers = np.concatenate(self.scales)[:most], np.concatenate(self.numbers)[:most]
        return Vectors(hashes[order], scales[order], numbers[order])


def read_text(path: Path) -> Vectors:
    """The vectors of a text file, of the words that come first in it as many as there is room for.

    Raises:
        BadRequest: it cannot be read, or a line is none of such a file; the message names the line.
    """
    kept, dimensions, words, vectors, ranks = _Kept(), 0, [], [], []
    try:
        for number, line in _lines(path):
            dimensions = dimensions or _dimensions(line, f"{path}, line {number:,}")
            word, vector = _split(line, dimensions, f"{path}, line {number:,}")
            words.append(word)
            vectors.append(vector)
            ranks.append(number)
            if len(words) == AT_ONCE:
                kept.add(words, vectors, ranks)
                words, vectors, ranks = [], [], []
            if len(kept.hashes) * dimensions > MOST_NUMBERS:
                break
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else error}") from error
    if words:
        kept.add(words, vectors, ranks)
    if not kept.hashes:
        raise BadRequest(f"{path} holds no words with their numbers")
    return kept.vectors(MOST_NUMBERS // dimensions)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers, without a header."""
    with path.open("rb") as file:
        is_gzip = file.read(len(GZIP)) == GZIP
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if is_gzip else file
        for number in count(1):
            line = stream.readline(MOST_LINE)
            if not line:
                return
            if len(line) == MOST_LINE:
                raise BadRequest(f"{path}, line {number:,}: is {MOST_LINE:,} bytes or longer: no word with its numbers")
            if line.strip() and not (number == 1 and len(line.split()) == HEADER):
                yield number, line


def _dimensions(line: bytes, where: str) -> int:
    found = len(line.split()) - 1
    if not 1 < found <= MOST_DIMENSIONS:
        raise BadRequest(f"{where}: {found:,} numbers behind a word; a vector has 2 to {MOST_DIMENSIONS:,}")
    return found


def _split(line: bytes, dimensions: int, where: str) -> tuple[str, list[float]]:
    """A word, in which there can be blanks, and its numbers."""
    word, *numbers = line.rsplit(maxsplit=dimensions)
    try:
        vector = [float(number) for number in numbers]
    except ValueError:
        vector = []
    if len(vector) != dimensions or not all(map(isfinite, vector)):
        raise BadRequest(f"{where}: should be a word and {dimensions:,} numbers, parted by blanks") from None
    return word.decode("utf-8", "replace"), vector


def _digest(told: bytes | memoryview) -> bytes:
    return blake2b(told, digest_size=DIGEST).hexdigest().encode() + b"\n"
