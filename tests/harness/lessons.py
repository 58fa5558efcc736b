"""Lessons about made-up texts: a colour that is named, which the teacher says with a given probability."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import TYPE_CHECKING

from sluice.quality.lessons import Lesson, Source, Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = ("red", "green", "blue", "pink")
THINGS = ("chair", "table", "lamp", "cup", "door", "wall", "book", "coat", "car", "pen")


def teacher(
    labels: Sequence[str] = COLOURS,
    most: int = 1,
    fewest: int = 1,
    model: str = "amazon.nova-pro-v1:0",
    prompt: str = "0f" * 16,
    pack: int = 1,
) -> Teacher:
    """The teacher of a task with these labels; several for each row where more than one may be given."""
    return Teacher(model, prompt, tuple(labels), fewest, most, several=most > 1, pack=pack)


def key_of(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def lesson(text: str, *labels: str, source: Source = Source.ORACLE, drawn: int = 1) -> Lesson:
    return Lesson(key_of(text), text, labels, source, drawn)


def lessons(count: int, seed: int = 1, says_so: float = 0.95) -> list[Lesson]:
    """Drawn rows, each with a text of its own that names a colour; the teacher says another one now and then."""
    dice = random.Random(seed)
    found = []
    for n in range(count):
        colour, thing = dice.choice(COLOURS), dice.choice(THINGS)
        label = colour if dice.random() < says_so else dice.choice([each for each in COLOURS if each != colour])
        found.append(lesson(f"the {thing} is {colour}, no. {seed}-{n}", label))
    return found


def hard(count: int, seed: int = 2) -> list[Lesson]:
    """Rows that were escalated: the teacher says anything about them."""
    dice = random.Random(seed)
    texts = [f"a murky {dice.choice(THINGS)}, perhaps {dice.choice(COLOURS)}, {seed}-{n}" for n in range(count)]
    return [lesson(text, dice.choice(COLOURS), drawn=0) for text in texts]


HOSTILE = (
    "",
    " \t\n\u3000\u00a0",
    "\u200b\u200d\ufeff",  # white space and nothing else, once it is in one form
    "\0",
    "red\0green\0" * 3,
    "x" * 100_000,
    "red " * 25_000,
    "\ufdfa" * 100_000,  # each is eighteen letters in its plain form
    "?!... --- ***",
    "\u1826\u1827 \u182d\u182f",  # Mongolian
    "\ud800 red \udfff",
    "\ud83d",
    "\u0301\u0302\u0303",  # marks without a letter
    "\U0001f600\U0001f468\u200d\U0001f469",
    "\ue000\U0010ffff",
    "\u0130\u0130\u0130",  # longer in small letters
)
