"""Packs: requests that hold several records, and replies with an object for each of them.

Each text stands between tags of its own under a short id, which is drawn anew for each request; the reply repeats the
id in the object that answers it. No text can know the ids: they follow from the keys of all records of the request.
What a reply says is told apart by ids alone, never by order, and each object is judged as if it had come alone.
"""

from __future__ import annotations

import json
import re
from hashlib import shake_128
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.answers.objects import ambiguous, read_objects
from sluice.answers.requests import (
    CLOSE,
    EACH_ANSWER,
    END_OF_MESSAGE,
    ID_MEMBER,
    MESSAGE,
    ONE_ANSWER,
    ONE_TEXT,
    RECORD,
    SEVERAL_TEXTS,
    instructions,
    parameters,
    prompt_tokens,
    system_prompt,
)
from sluice.reasons import Reason
from sluice.rows.record import BYTES_PER_TOKEN, KEY
from sluice.task.tiers import MAX_PACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.runs.state import FrozenTier
    from sluice.task.task import Task
    from sluice.task.tiers import Way

LETTERS = "bcdfghjkmnpqrstvwxz"  # no vowels: an id is no word, and no example's id
ID = 4  # letters of a short id: 130,321 of them
DRAWN = 3  # bytes that one is drawn from
OPEN_BYTES = len("<text id=>\\n") + ID
SEPARATOR = b"\\n"
FRAME_BYTES = OPEN_BYTES + len("\\n</text>") + len(SEPARATOR)  # what a text has around it in a pack
ROW_TOKENS = 14  # an estimate of the same: the tags and the id, and the id again in the answer's object
# What the instructions say beside where a request may hold several texts, as an estimate too.
PACKED_TOKENS = (len(EACH_ANSWER + SEVERAL_TEXTS) - len(ONE_ANSWER + ONE_TEXT)) // BYTES_PER_TOKEN + 4
USUAL_CONTEXT = 32_000  # tokens, of a model whose context is unknown


class Names(NamedTuple):
    """How a pack is called: the id of its request, and the short ids of its records in their order."""

    request: bytes
    ids: list[str]


def draw_names(salt: bytes, keys: Sequence[bytes]) -> Names:
    """The ids of a pack of these records: the same for the same records under the same salt, and no two alike."""
    drawn = shake_128(salt + b"\n" + b"".join(keys)).digest(KEY // 2 + DRAWN * len(keys))
    ids: list[str] = []
    for at in range(KEY // 2, len(drawn), DRAWN):
        number = int.from_bytes(drawn[at : at + DRAWN], "big")
        while (name := _spelled(number)) in ids:
            number += 1
        ids.append(name)
    return Names(drawn[: KEY // 2].hex().encode(), ids)


def _spelled(number: int) -> str:
    letters = []
    for _ in range(ID):
        number, letter = divmod(number, len(LETTERS))
        letters.append(LETTERS[letter])
    return "".join(letters)


class PackWriter:
    """Renders packs of records of one task for one tier."""

    def __init__(self, task: Task, tier: FrozenTier, salt: bytes, way: Way | None = None) -> None:
        self.salt = salt
        self.close = msgspec.json.encode(CLOSE)[1:-1]
        prompt = instructions(system_prompt(task, packed=True), way)
        bodies = [{**prompt, **parameters(tier, size)} for size in range(1, MAX_PACK + 1)]
        self.tails = [END_OF_MESSAGE + msgspec.json.encode(body)[1:] + b"}\n" for body in bodies]
        self.constant_bytes = len(RECORD) + KEY + len(MESSAGE) + len(self.tails[-1])

    def line(self, keys: Sequence[bytes], escaped: Sequence[bytes]) -> bytes:
        """One line of a job's input for several records; each `escaped` comes from `escape`."""
        names = draw_names(self.salt, keys)
        parts = [RECORD, names.request, MESSAGE]
        for name, text in zip(names.ids, escaped, strict=True):
            parts += (b"<text id=%b>\\n" % name.encode(), text, self.close, SEPARATOR)
        parts[-1] = self.tails[len(keys) - 1]
        return b"".join(parts)


def text_room(task: Task, tier: FrozenTier) -> int:
    """How many bytes the texts of one request may have together.

    Half of what the model's context leaves beside instructions and answers, at `BYTES_PER_TOKEN`: scripts whose
    characters take more tokens then fit as well.
    """
    context = tier.context_tokens or USUAL_CONTEXT
    left = context - tier.pack * tier.max_tokens - prompt_tokens(task)
    return max(0, left) * BYTES_PER_TOKEN // 2


def next_pack(pack: int, now: int | None) -> int:
    """At most how many records a request holds when those of a tier's packs go again: half as many, then one alone.

    `now` is what they were packed by if they have gone again before. Half of a pack is never the pack, so that no
    request ever holds the same records twice.
    """
    return max(1, pack // 2) if now is None else 1


def packed_sendings(pack: int) -> int:
    """How often a record can go to a tier in a pack before it goes alone: in a whole one, then in half of one."""
    return (pack > 1) + (pack // 2 > 1)


class Packs:
    """Which requests a job has: `sizes` says how many records each holds, in the order of the job's records."""

    def __init__(self, salt: bytes, sizes: bytes) -> None:
        self.salt, self.sizes = salt, sizes
        self.firsts = [0, *accumulate(sizes)]

    @classmethod
    def read(cls, data: bytes) -> Packs:
        """What `write` wrote."""
        salt, _, sizes = data.partition(b"\n")
        return cls(salt, sizes)

    def write(self) -> bytes:
        """A line with the salt, then a byte for each request."""
        return self.salt + b"\n" + self.sizes

    def names(self, keys: Sequence[str], request: int) -> Names:
        """The ids of a request; one that holds one record goes by that record's key, and has no short ids."""
        first, size = self.firsts[request], self.sizes[request]
        held = [key.encode() for key in keys[first : first + size]]
        return Names(held[0], []) if size == 1 else draw_names(self.salt, held)

    def requests(self, keys: Sequence[str]) -> Iterator[tuple[str, range]]:
        """The id of each request, and the numbers of its records."""
        for n, size in enumerate(self.sizes):
            first = self.firsts[n]
            yield self.names(keys, n).request.decode(), range(first, first + size)


class Parts(NamedTuple):
    """What a reply says for each id in its order: the text of an object, or why there is none; and of unknown ids."""

    answers: list[str | Reason]
    strangers: int


# What a reply looks like that is as it was asked for; an object that begins with its id; ids in what is no JSON.
NAME = re.escape(json.dumps(ID_MEMBER))
FLAT = re.compile(rf'\{{{NAME}: "([^"\\]*)", ([^{{}}]*\}})')
LEADING = re.compile(rf'\{{\s*{NAME}\s*:\s*"[^"\\]*"\s*(?:,\s*|(?=\}}))')
MENTIONED = re.compile(rf'{NAME}\s*:\s*"([^"\\]*)')


def split_reply(reply: str, ids: Sequence[str]) -> Parts:
    """Find the object of each id. An id without one, or with several, has none; the others are not touched."""
    found: dict[str, list[str]] = {name: [] for name in ids}
    strangers = _read_lines(reply, found)
    why = Reason.ANSWER_MISSING
    if strangers is None:
        found = {name: [] for name in ids}
        strangers, why = _search(reply, found)
    return Parts([_single(given, why) for given in found.values()], strangers)


def _read_lines(reply: str, found: dict[str, list[str]]) -> int | None:
    """Take a reply that is as it was asked for, a flat object on each line; None for any other."""
    strangers = 0
    for line in reply.strip().split("\n"):
        flat = FLAT.fullmatch(line)
        if flat is None or f'"{ID_MEMBER}"' in flat[2]:
            return None
        if flat[1] in found:
            found[flat[1]].append("{" + flat[2])
        else:
            strangers += 1
    return strangers


def _search(reply: str, found: dict[str, list[str]]) -> tuple[int, Reason]:
    """Look for objects among prose, fences and lists; how many are of unknown ids, and why an id has none."""
    read = read_objects(reply)
    if isinstance(read, Reason):
        return 0, read
    strangers = 0
    for value, raw in (*read.objects, *((item, json.dumps(item)) for item in read.listed)):
        name = value.get(ID_MEMBER)
        if ID_MEMBER in ambiguous(value):
            _doubt(raw, found)
        elif isinstance(name, str) and name in found:
            found[name].append(_without_id(value, raw))
        else:
            strangers += ID_MEMBER in value
    for piece in (*read.broken, read.cut):  # a second answer to an id, half said, is a second answer
        _doubt(piece, {name: given for name, given in found.items() if given})
    return strangers, Reason.REPLY_CUT if read.cut else Reason.ANSWER_MISSING


def _doubt(raw: str, found: dict[str, list[str]]) -> None:
    for name in MENTIONED.findall(raw):
        if name in found:
            found[name] += ("", "")


def _without_id(value: dict[str, Any], raw: str) -> str:
    """The object's text as it would have come alone: without its id."""
    leading = LEADING.match(raw)
    if leading is not None:
        return "{" + raw[leading.end() :]
    if ambiguous(value):
        return raw
    return json.dumps({name: item for name, item in value.items() if name != ID_MEMBER}, ensure_ascii=False)


def _single(given: list[str], why: Reason) -> str | Reason:
    if len(given) == 1:
        return given[0]
    return Reason.ANSWER_DOUBLED if given else why


def share(total: int, among: int) -> list[int]:
    """A number of tokens in as many parts: they differ by one at most, and their sum is the number."""
    whole, rest = divmod(total, among)
    return [whole + (n < rest) for n in range(among)]
