"""Replies that outlast their run: by what they are known, and the layout in which they are kept.

A reply is known by a fingerprint of all that can change it. What is the same for every record of a tier, the
**question**, is a hash that stands in the key of the object; the record's own key stands inside. So another prompt,
model or parameter is another prefix, where nothing lies.

An object is a sequence of chunks: how many replies, how many bytes, the records' keys (16 bytes each), and behind them
the replies, JSON by column under zlib. Neither Arrow nor a package is needed to read it, since prepare has none, and a
chunk whose keys nobody asks for is never unpacked.
"""

from __future__ import annotations

import struct
import zlib
from binascii import hexlify, unhexlify
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sluice.answers.packs import PackWriter
from sluice.answers.requests import RequestWriter
from sluice.decoding import decode
from sluice.reasons import TRANSPORT, Reason
from sluice.rows.record import KEY
from sluice.runs.keys import RANGE_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from sluice.answers.judge import Verdict
    from sluice.runs.state import FrozenTier
    from sluice.task.task import Task

LAYOUT = b"1"  # of requests and of what is kept: another one finds nothing of this
CHUNK = 16_384  # replies
CHUNK_BYTES = 512 * 1024  # of different texts
OBJECT_BYTES = 2 * 1024 * 1024  # from here on an object is full
RANGE_RECORDS = 4096  # the least that a hash range is cut into: more objects would cost more than they spare
RAW_KEY = KEY // 2
HEAD = struct.Struct(">II")
FAST = 1  # level of zlib: the texts repeat, and higher ones cost more time than they spare bytes

# A record with one of these has no reply that says anything: it is asked again by whoever comes next.
NOT_READ = TRANSPORT | {
    Reason.REPLY_EMPTY,
    Reason.REPLY_REFUSED,
    Reason.REPLY_CUT,
    Reason.REPLY_NOT_JSON,
    Reason.REPLY_NOT_OBJECT,
    Reason.REPLY_TOO_DEEP,
    Reason.ANSWER_MISSING,
    Reason.ANSWER_DOUBLED,
    Reason.RECORD_REFUSED,
    Reason.REPLY_GONE,
}


def question(task: Task, tier: FrozenTier, answers: str) -> str:
    """What every record of a tier is asked, as 32 hex digits: the same as long as nothing can change a reply.

    The instructions with labels, form and examples as they are rendered, model, parameters, the tier's pack, how a text
    is taken from a row and cut, and who answers. Gates are not in it: they say what is made of a reply.
    """
    parts = [
        LAYOUT,
        answers.encode(),
        tier.model_id.encode(),
        b"%d" % tier.pack,
        RequestWriter(task, tier).line(b"", b""),
        msgspec.json.encode([list(task.input.text), task.input.max_tokens, task.input.when_longer]),
    ]
    if tier.pack > 1:
        parts += PackWriter(task, tier, b"").tails
    digest = blake2b(digest_size=RAW_KEY)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def could_be_read(verdict: Verdict) -> bool:
    """Whether a reply said something, whatever came of it."""
    return verdict.reason not in NOT_READ


class Said(NamedTuple):
    """A reply that is kept: its text, why it stops, and the tokens that it took when it was bought."""

    text: str
    stop: str | None
    input_tokens: int
    output_tokens: int


class Columns(msgspec.Struct, array_like=True):
    """Replies by column; texts repeat, so each stands once, and `which` says which of them a record got."""

    texts: list[tuple[str, str | None]]
    which: list[int]
    input_tokens: list[int]
    output_tokens: list[int]

    @property
    def of_records(self) -> tuple[list[int], list[int], list[int]]:
        """Which text each record got, and the tokens that it took, in and out."""
        return self.which, self.input_tokens, self.output_tokens


class Chunk(NamedTuple):
    """Some replies as they are kept: `keys` are in hexadecimal, `packed` is the chunk as it was read."""

    keys: list[bytes]
    packed: bytes

    def columns(self) -> Columns:
        """The replies in the order of the keys."""
        return decode(zlib.decompress(memoryview(self.packed)[HEAD.size + len(self.keys) * RAW_KEY :]), Columns)

    def replies(self) -> Iterator[Said]:
        """The same, one by one."""
        columns = self.columns()
        for which, tokens_in, tokens_out in zip(*columns.of_records, strict=True):
            text, stop = columns.texts[which]
            yield Said(text, stop, tokens_in, tokens_out)


class ChunkWriter:
    """Collects replies and hands on each chunk that is full."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._out = out
        self._begin()

    def _begin(self) -> None:
        self._keys: list[bytes] = []
        self._columns = Columns([], [], [], [])
        self._numbers: dict[tuple[str, str | None], int] = {}
        self._bytes = 0

    def add(self, key: bytes, said: Said) -> None:
        """Take the reply to a record, whose key is in hexadecimal."""
        columns, text = self._columns, (said.text, said.stop)
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(columns.texts)
            columns.texts.append(text)
            self._bytes += len(said.text)
        self._keys.append(key)
        columns.which.append(number)
        columns.input_tokens.append(said.input_tokens)
        columns.output_tokens.append(said.output_tokens)
        if len(self._keys) >= CHUNK or self._bytes > CHUNK_BYTES:
            self.close()

    def close(self) -> None:
        """Hand on what is left."""
        if self._keys:
            replies = zlib.compress(msgspec.json.encode(self._columns), FAST)
            self._out(HEAD.pack(len(self._keys), len(replies)) + unhexlify(b"".join(self._keys)) + replies)
        self._begin()


def read_chunks(blocks: Iterable[bytes]) -> Iterator[Chunk]:
    """What `ChunkWriter` handed on, one behind the other, from blocks of any size."""
    held = bytearray()
    for block in blocks:
        held += block
        while (size := _size(held)) is not None and size <= len(held):
            packed = bytes(memoryview(held)[:size])
            del held[:size]
            count, _ = HEAD.unpack_from(packed)
            spelled = hexlify(memoryview(packed)[HEAD.size : HEAD.size + count * RAW_KEY])
            yield Chunk([spelled[at : at + KEY] for at in range(0, len(spelled), KEY)], packed)
    if held:
        raise ValueError("kept replies end in the middle of a chunk")


def _size(held: bytearray) -> int | None:
    if len(held) < HEAD.size:
        return None
    count, size = HEAD.unpack_from(held)
    return int(HEAD.size + count * RAW_KEY + size)


def range_depth(least: str, most: str, records: int) -> int:
    """How many digits of the key name a range, for so many records between two keys, spread evenly as hashes are.

    As many as leave a range `RANGE_RECORDS` of them: a run of a few thousand rows has one range, and a job of a large
    one writes to few.
    """
    span = (int(most, 16) - int(least, 16) + 1) / 16.0**KEY
    depth, in_range = 0, records / span / 16
    while depth < RANGE_DIGITS and in_range >= RANGE_RECORDS:
        depth, in_range = depth + 1, in_range / 16
    return depth


def overlaps(digits: str, least: str, most: str) -> bool:
    """Whether a range has any key from `least` to `most`."""
    return least[: len(digits)] <= digits <= most[: len(digits)]


def common_digits(least: str, most: str) -> str:
    """The digits that all keys from `least` to `most` begin with, at most as many as name a range."""
    count = 0
    while count < RANGE_DIGITS and least[count] == most[count]:
        count += 1
    return least[:count]


def take(chunk: Chunk, found: Collection[bytes], out: Callable[[bytes], object], writer: ChunkWriter) -> None:
    """Hand on of a chunk the replies to `found`, once each: the chunk as it is where they are all of it."""
    if len(found) == len(chunk.keys):
        out(chunk.packed)
        return
    left = set(found)
    if not left:
        return
    for key, said in zip(chunk.keys, chunk.replies(), strict=True):
        if key in left:
            left.discard(key)
            writer.add(key, said)
