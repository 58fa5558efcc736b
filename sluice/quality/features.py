"""Texts as sparse rows of hashed n-grams: no download, no word list, any language.

A token is a run of letters, digits and marks, or a run of other signs; white space and control characters part them.
Features are tokens, pairs of neighbours, and n-grams of characters within a token that is marked at both ends. Hashes
are of code points, in integers that wrap, so that they are the same on every machine.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

SLOT_BITS = 20  # of the table of slots; columns behind them are the dimensions of word vectors, where there are any
WORDS = 1 << (SLOT_BITS - 1)  # from this slot on lie tokens and their pairs, below it n-grams of characters
HEAD, TAIL = 1_000, 500  # characters of a longer text that are read: from its beginning, and from its end
GRAMS = range(2, 6)  # characters
SEEN = 2  # rows, from which on a feature can teach anything about another row
WORD_WORTH = 1.5  # of tokens and pairs beside n-grams, of which there are ten times as many
VECTOR_WORTH = 1.0  # of what words mean beside how they are spelt: the length of that part of a row
BATCH = 400_000  # characters that are laid out at once, which bounds memory

# Odd numbers of 64 bits without a pattern (digits of pi and of the golden ratio): any would do, these stay.
_CHARACTER = np.uint64(0x9E3779B97F4A7C15)
_ROLL = np.uint64(0x243F6A8885A308D3)
_PAIR = np.uint64(0x13198A2E03707345)
_SPREAD = np.uint64(0xA4093822299F31D1)
_KIND = np.uint64(0x082EFA98EC4E6C89)
_WORD, _WORD_PAIR = 0, 1  # kinds of features; n-grams of n characters are of kind n

_SPACE, _LETTER, _SIGN = 0, 1, 2


class Rows(NamedTuple):
    """A sparse matrix, a row for each text: row i holds `columns[starts[i]:starts[i + 1]]`, ascending, and `values`."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.starts) - 1

    def lengths(self) -> NDArray[np.int64]:
        """How many features each row has."""
        return np.diff(self.starts)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """These rows, in this order."""
        lengths = self.lengths()[rows]
        starts = _starts(lengths)
        at = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return Rows(starts, self.columns[at], self.values[at])


class WordVectors(Protocol):
    """What looks up the vectors of words by their hashes (sluice.quality.vectors)."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""

    def sums(self, hashes: Hashes, rows: Places, count: int) -> NDArray[np.float32]:
        """Of each of `count` texts the sum of its words' vectors; `rows` has the text of each hash, ascending."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The slots that a model knows, ascending, and what each is worth: its inverse document frequency.

    Behind their columns stand those of word vectors, as many as they have `dimensions`.
    """

    slots: NDArray[np.int32]
    worth: NDArray[np.float32]
    dimensions: int = 0

    def __len__(self) -> int:
        """How many columns."""
        return len(self.slots) + self.dimensions

    @classmethod
    def of(cls, counts: Rows, most: int, dimensions: int = 0) -> Vocabulary:
        """The slots that stand in two rows or more; of too many, those in the most rows."""
        rows = np.bincount(counts.columns, minlength=1 << SLOT_BITS)[: 1 << SLOT_BITS]
        slots = np.flatnonzero(rows >= SEEN)
        if len(slots) > most:
            slots = np.sort(slots[np.argsort(-rows[slots], kind="stable")[:most]])
        worth = np.log((1 + len(counts)) / (1 + rows[slots])) + 1
        worth[slots >= WORDS] *= WORD_WORTH
        return cls(slots.astype(np.int32), worth.astype(np.float32), dimensions)

    def weigh(self, counts: Rows) -> Rows:
        """The known slots of each row as columns from 0, in rows of length 1; one that has none of them is empty."""
        place = np.full((1 << SLOT_BITS) + self.dimensions, -1, np.int32)
        place[self.slots] = np.arange(len(self.slots), dtype=np.int32)
        place[1 << SLOT_BITS :] = np.arange(len(self.slots), len(self), dtype=np.int32)
        columns = place[counts.columns]
        known = columns >= 0
        starts = _starts(known.astype(np.int64))[counts.starts]
        columns, values = columns[known], counts.values[known]
        counted = columns < len(self.slots)
        values[counted] = (1 + np.log(values[counted])) * self.worth[columns[counted]]
        row = np.repeat(np.arange(len(counts)), np.diff(starts))[counted]
        length = np.sqrt(np.bincount(row, values[counted] * values[counted], minlength=len(counts)))
        values[counted] /= length[row]
        return Rows(starts, columns, values.astype(np.float32, copy=False))


def plain(text: str) -> str:
    """What is read of a text: beginning and end of a long one, in one form of each character, in small letters."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} {text[-TAIL:]}"
    if not text.isascii():
        # Compatibility forms of one character can be 18 long, so that the bound is set again.
        text = unicodedata.normalize("NFKC", text)[: 2 * (HEAD + TAIL)]
    return text.lower()


def count(texts: Sequence[str], vectors: WordVectors | None = None) -> Rows:
    """How often each slot's feature stands in each text: values are counts, columns slots below 2**SLOT_BITS.

    With word vectors each text that has a known word has their sum behind its slots, in length VECTOR_WORTH.
    """
    parts = [_counted(batch, vectors) for batch in _batches(texts)]
    if not parts:
        return Rows(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    lengths = np.concatenate([part.lengths() for part in parts])
    columns, values = (np.concatenate([part[at] for part in parts]) for at in (1, 2))
    return Rows(_starts(lengths), columns, values)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(plain(text))
        size += len(batch[-1])
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Laid(NamedTuple):
    """Tokens of a batch behind one another, a mark before each and one at the end."""

    characters: Hashes  # mixed; 0 is a mark
    marks: Places  # where they stand, one more than there are tokens
    rows: Places  # the text of each token


def _counted(texts: list[str], vectors: WordVectors | None) -> Rows:
    laid = _lay(texts)
    if not len(laid.rows):
        return Rows(np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    words = _words(laid)
    found = np.concatenate([*_tokens(words, laid.rows), *_grams(laid)])
    found.sort()
    at = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
    counts = np.diff(np.append(at, len(found)))
    kept = found[at]
    starts = np.searchsorted(kept, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(SLOT_BITS))
    columns = (kept & np.uint64((1 << SLOT_BITS) - 1)).astype(np.int32)
    counted = Rows(starts.astype(np.int64), columns, counts.astype(np.float32))
    return counted if vectors is None else _beside(counted, vectors.sums(words, laid.rows, len(texts)))


def _beside(counted: Rows, sums: NDArray[np.float32]) -> Rows:
    """The same rows, behind each the sum of its words' vectors; a text of unknown words has none."""
    length = np.sqrt(np.square(sums).sum(1))
    some = np.flatnonzero(length)
    dimensions = sums.shape[1]
    lengths = counted.lengths()
    starts = _starts(lengths + np.where(length > 0, dimensions, 0))
    columns, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    at = np.repeat(starts[:-1] - counted.starts[:-1], lengths) + np.arange(len(counted.columns))
    columns[at], values[at] = counted.columns, counted.values
    behind = ((starts[:-1] + lengths)[some, None] + np.arange(dimensions)).ravel()
    columns[behind] = np.tile(np.arange(1 << SLOT_BITS, (1 << SLOT_BITS) + dimensions, dtype=np.int32), len(some))
    values[behind] = (sums[some] * (VECTOR_WORTH / length[some, None])).ravel()
    return Rows(starts, columns, values)


def words_of(texts: Sequence[str]) -> tuple[Hashes, Places]:
    """The hash of each token of some short texts, and the text that has it."""
    laid = _lay([plain(text) for text in texts])
    return (_words(laid), laid.rows) if len(laid.rows) else (np.zeros(0, np.uint64), laid.rows)


def _lay(texts: list[str]) -> _Laid:
    points = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds(points)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    row = np.repeat(np.arange(len(texts)), lengths + 1)[: len(points)]
    begins = np.flatnonzero((kinds != _SPACE) & (kinds != np.concatenate([[_SPACE], kinds[:-1]])))
    inside = np.flatnonzero(kinds != _SPACE)
    marks = np.searchsorted(inside, begins) + np.arange(len(begins))
    characters = np.zeros(len(inside) + len(begins) + 1, np.uint64)
    letters = np.ones(len(characters), np.bool_)
    letters[marks] = letters[-1] = False
    mixed = (points[inside].astype(np.uint64) + np.uint64(1)) * _CHARACTER
    characters[letters] = mixed ^ (mixed >> np.uint64(29))
    return _Laid(characters, np.append(marks, len(characters) - 1), row[begins])


def _kinds(points: NDArray[np.uint32]) -> NDArray[np.uint8]:
    kinds = _ASCII[np.minimum(points, 127)]
    others = np.flatnonzero(points > 127)
    if len(others):
        known, which = np.unique(points[others], return_inverse=True)
        kinds[others] = np.fromiter(map(_kind, known.tolist()), np.uint8, len(known))[which]
    return kinds


def _kind(point: int) -> int:
    category = unicodedata.category(chr(point))
    if category[0] in "LNM":
        return _LETTER
    return _SPACE if category[0] in "ZC" and category != "Co" else _SIGN


_ASCII = np.fromiter(map(_kind, range(128)), np.uint8, 128)


def _words(laid: _Laid) -> Hashes:
    """The hash of each token."""
    within = np.arange(len(laid.characters) - 1) - np.repeat(laid.marks[:-1], np.diff(laid.marks))
    powers = np.cumprod(np.full(int(within.max()) + 1, _ROLL))
    words: Hashes = np.add.reduceat(laid.characters[:-1] * powers[within], laid.marks[:-1])
    return words


def _tokens(words: Hashes, rows: Places) -> Iterator[Hashes]:
    """Tokens, and pairs of tokens that follow each other in a text."""
    yield _placed(words, rows, _WORD)
    together = rows[1:] == rows[:-1]
    yield _placed((words[:-1] * _PAIR + words[1:])[together], rows[1:][together], _WORD_PAIR)


def _grams(laid: _Laid) -> Iterator[Hashes]:
    """N-grams of characters that have a mark at most at their ends."""
    row = np.append(np.repeat(laid.rows, np.diff(laid.marks)), laid.rows[-1])
    is_mark = laid.characters == 0
    rolled = laid.characters
    whole = np.ones(len(rolled), np.bool_)
    for n in range(2, GRAMS.stop):
        whole = whole[:-1] & ~is_mark[n - 2 : -1] if n > GRAMS.start else whole[:-1]
        rolled = rolled[:-1] * _ROLL + laid.characters[n - 1 :]
        yield _placed(rolled[whole], row[: len(rolled)][whole], n)


def _placed(hashes: Hashes, rows: Places, kind: int) -> Hashes:
    """Row and slot in one number, which sorts by row."""
    mixed = (hashes ^ (hashes >> np.uint64(31))) * _SPREAD + np.uint64(kind * int(_KIND) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _PAIR
    slots = mixed >> np.uint64(64 - SLOT_BITS + 1)
    if kind in (_WORD, _WORD_PAIR):
        slots |= np.uint64(WORDS)
    return (rows.astype(np.uint64) << np.uint64(SLOT_BITS)) | slots


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
