"""The same characters in another form, and what is another word all the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.task.spelling import Names, plain_form, printable_name


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Qualite\u0301", "Qualit\u00e9"),
        ("\u30ac\u30b9", "\u30ab\u3099\u30b9"),
        ("credit card", "credit\u00a0card"),
        ("credit\u202fcard", "credit card"),
        ("won't fix", "won\u2019t fix"),
        ("\u201cno\u201d", '"no"'),
        ("\u00abno\u00bb", "\u201eno\u201c"),
        ("follow\u2011up", "follow-up"),
        ("5 \u2212 3", "5 - 3"),
        ("1\u20132", "1-2"),
        ("more\u2026", "more..."),
        ("co\u00adoperation", "cooperation"),
        ("\u05d0\u200f", "\u05d0"),
        ("\u062f\u0633\u062a\u200c\u06a9\u0645", "\u062f\u0633\u062a\u06a9\u0645"),
        ("\u2764\ufe0f", "\u2764"),
        ("R&D", "R&amp;D"),
        ("a < b", "a &lt; b"),
        ("R&D\u2019s", "R&amp;D's"),
        ("5", 5),
        ("1.0", 1.0),
        ("true", True),
        ("null", None),
    ],
)
def test_a_word_in_another_form_is_the_name(name: str, word: Any) -> None:
    """Forms of characters, our own escapes, and a scalar whose JSON is the name."""
    assert Names([name, "other"]).find(word) == name


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Billing", "billing"),
        ("billing", " billing"),
        ("billing", "billing\n"),
        ("billing", "\uff42illing"),
        ("credit card", "credit  card"),
        ("credit card", "credit\tcard"),
        ("pages 3-5", "pages 35"),
        ("cafe", "caf\u00e9"),
        ("a > b", "a &gt; b"),
        ("5", 5.0),
        ("True", True),
        ("1", True),
        ("null", "None"),
        ("5", [5]),
        ("", {}),
        pytest.param("5", 10**5000, id="thousands of digits"),
    ],
)
def test_another_word_is_another_word(name: str, word: Any) -> None:
    """Capitals, blanks, widths, accents and types are no forms of a character."""
    assert Names([name]).find(word) is None


def test_a_form_that_two_names_have_is_neither() -> None:
    """What is spelled exactly like a name is that name, and all else is not guessed."""
    names = Names(["won't", "won\u2019t", "R&D", "R&amp;D"])
    assert [names.find(word) for word in ("won't", "won\u2019t", "won\u02bct", "R&amp;D")] == [
        "won't",
        "won\u2019t",
        None,
        "R&amp;D",
    ]


@given(st.lists(st.text(min_size=1), min_size=1), st.text())
def test_every_name_is_found_as_itself(names: list[str], other: str) -> None:
    """And a word that is found has the name's own form."""
    closed = Names(names)
    assert all(closed.find(name) == name for name in names)
    found = closed.find(other)
    assert found is None or plain_form(found) in (
        plain_form(other),
        plain_form(other.replace("&lt;", "<").replace("&amp;", "&")),
    )


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("\u05e9\u200f!", True),
        ("a\u200db", True),
        ("\U0001f469\u200d\U0001f4bb", True),
        ("\U0001f1e9\U0001f1ea", True),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", True),
        ("a\u00a0b", True),
        ("a\nb", False),
        ("a\x00", False),
        ("a\u2028b", False),
        ("a\u202eb", False),
        ("a\u2066b", False),
        ("a\ud800", False),
    ],
)
def test_what_can_stand_in_a_name(name: str, can: bool) -> None:
    """Joiners, marks and parts of emoji can; what breaks a line or turns what follows cannot."""
    assert printable_name(name) is can
