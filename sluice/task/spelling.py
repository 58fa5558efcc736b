"""The same characters in another form: how a word is matched with a label that another keyboard has typed.

A form never decides between two labels: what is spelled exactly like one is that label, and a form counts only where
one label alone has it. Capitals, blanks around a word and widths of letters are no forms: `Billing` is not `billing`.
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u02bc\uff07"
DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02"
HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# Soft hyphens, joiners, marks and isolates of direction, variation selectors, a byte order mark in the middle.
INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
# What turns the direction of all that follows, so that a name could read as another one.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Categories that stand for no character of a name: controls, halves of surrogate pairs, ends of lines and paragraphs.
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

_FORMS = str.maketrans(
    {
        **dict.fromkeys(SINGLE_QUOTES, "'"),
        **dict.fromkeys(DOUBLE_QUOTES, '"'),
        **dict.fromkeys(HYPHENS, "-"),
        **dict.fromkeys(SPACES, " "),
        **dict.fromkeys(INVISIBLE, ""),
        "\u2026": "...",
    }
)


def plain_form(text: str) -> str:
    """A text with each character in its plainest form: composed, with plain quotes, hyphens and blanks, all visible."""
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_FORMS))


def unescaped(text: str) -> str:
    """A text without the escapes that a request's text is written with."""
    return text.replace("&lt;", "<").replace("&amp;", "&") if "&" in text else text


def printable_name(text: str) -> bool:
    """Whether each character can stand in a name: joiners, marks of direction and parts of emoji can."""
    return not any(
        character in TURNING or unicodedata.category(character) in UNPRINTABLE
        for character in text
        if not character.isprintable()
    )


class Names:
    """A closed set of names, and which of them a word is."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        forms: dict[str, list[str]] = {}
        for name in self.names:
            forms.setdefault(plain_form(name), []).append(name)
        self._of_form = {form: found[0] for form, found in forms.items() if form and len(found) == 1}

    def find(self, value: Any) -> str | None:
        """The name that a decoded JSON value is: spelled like it, or in another form; of a number or truth its JSON.

        Null is a name only where one is spelled so.
        """
        word = as_word(value)
        if word is None or word in self.names:
            return word
        if not isinstance(value, str):
            return None
        return self._of_form.get(plain_form(word)) or self._unescaped(word)

    def _unescaped(self, word: str) -> str | None:
        plain = unescaped(word)
        return plain if plain in self.names else self._of_form.get(plain_form(plain))


def as_word(value: Any) -> str | None:
    """A decoded JSON scalar as a word: a string as it is, of any other its JSON; None for a list or an object."""
    if isinstance(value, str):
        return value
    try:
        return None if isinstance(value, list | dict) else json.dumps(value)
    except ValueError:  # a number of thousands of digits
        return None


def labels_in(words: str, labels: AbstractSet[str]) -> frozenset[str]:
    """The labels of an attempt, as a trail has them: joined by commas, which a label may hold too."""
    parts, found, at = words.split(", "), set(), 0
    while at < len(parts):
        longest = next(
            (end for end in range(len(parts), at, -1) if ", ".join(parts[at:end]) in labels),
            at + 1,
        )
        found.add(", ".join(parts[at:longest]))
        at = longest
    return frozenset(found)
