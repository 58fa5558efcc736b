from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from sluice.quality import features
from sluice.quality.features import HEAD, SLOT_BITS, TAIL, WORDS, Rows, Vocabulary, count, plain
from tests.harness.lessons import HOSTILE

TEXTS = [
    "Where is my card?",
    "a",
    "",
    "card card CARD",
    "Où est ma carte? Noël, naïve",
    "我的卡在哪里",
    "12.50 EUR -- gone!!",
    "e\u0301te\u0301 ﬁne ①",
    "का पता",
]


def counted(text: str) -> Counter[tuple[str, ...]]:
    """The features of a text without marks beyond letters, one by one: tokens, pairs, n-grams of a marked token."""
    tokens = re.findall(r"\w+|[^\w\s]+", plain(text))
    found: Counter[tuple[str, ...]] = Counter(("word", token) for token in tokens)
    found.update(("pair", *pair) for pair in pairwise(tokens))
    for token in tokens:
        marked = f"\0{token}\0"
        for n in range(2, 6):
            found.update(("gram", marked[at : at + n]) for at in range(len(marked) - n + 1))
    return found


def row(rows: Rows, at: int) -> dict[int, float]:
    inside = slice(rows.starts[at], rows.starts[at + 1])
    return dict(zip(rows.columns[inside].tolist(), rows.values[inside].tolist(), strict=True))


@pytest.mark.parametrize("text", TEXTS[:-1])
def test_each_feature_has_a_slot_and_is_counted(text: str) -> None:
    """As often as in a list of them made one by one; features of two kinds lie in two halves of the slots."""
    found, expected = row(count([text]), 0), counted(text)
    assert sorted(found.values()) == sorted(expected.values())
    words = sorted(times for slot, times in found.items() if slot >= WORDS)
    assert words == sorted(times for name, times in expected.items() if name[0] != "gram")


def test_a_mark_belongs_to_its_letter() -> None:
    """A vowel sign of Devanagari parts no word."""
    tokens = sum(times for slot, times in row(count(["का पता"]), 0).items() if slot >= WORDS)
    assert tokens == 2 + 1


def test_a_text_counts_the_same_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, among others, and with other texts laid out at once; nothing runs from one text into the next."""
    texts = [*TEXTS, *HOSTILE, *TEXTS[::-1]]
    together = count(texts)
    monkeypatch.setattr(features, "BATCH", 10)
    for rows in (together, count(texts)):
        assert len(rows) == len(texts)
        assert [row(rows, at) for at in range(len(texts))] == [row(count([text]), 0) for text in texts]


def test_slots_ascend_within_a_row() -> None:
    """Which the readers of rows rely on."""
    rows = count(TEXTS)
    for at in range(len(rows)):
        columns = rows.columns[rows.starts[at] : rows.starts[at + 1]]
        assert (np.diff(columns) > 0).all()
    assert rows.columns.min() >= 0
    assert rows.columns.max() < 1 << SLOT_BITS


def test_slots_are_the_same_on_every_machine_and_in_every_version() -> None:
    """A file of a model holds slots, so that a hash that changed would make nonsense of it."""
    assert row(count(["ab?"]), 0).keys() == PINNED


PINNED = {29051, 31097, 71034, 150032, 233755, 289231, 331601, 363623, 415646, 839777, 913496, 960712}


def test_case_and_forms_of_a_character_make_no_difference() -> None:
    """Composed or not, wide or small."""
    for one, other in (("Été", "e\u0301te\u0301"), ("\uff23\uff21\uff32\uff24", "card"), ("ﬁne", "FINE")):
        assert row(count([one]), 0) == row(count([other]), 0)


def test_a_long_text_is_read_by_its_beginning_and_its_end() -> None:
    """What stands between makes no difference, and costs nothing."""
    head, tail = "first " * (HEAD // 6 + 1), " last" * (TAIL // 5 + 1)
    found = [row(count([f"{head}{'middle ' * n}{tail}"]), 0) for n in (1_000, 10_000)]
    assert found[0] == found[1]
    assert row(count(["last"]), 0).keys() - found[0].keys() == set()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_has_features_within_bounds(text: str) -> None:
    """Some have none; none has more than its beginning and end allow."""
    assert len(plain(text)) <= 3 * 2 * (HEAD + TAIL)
    rows = count([text])
    assert len(rows) == 1
    assert np.isfinite(rows.values).all()


def test_rows_are_taken_in_any_order() -> None:
    """Also twice, and none at all."""
    rows = count(TEXTS)
    order = np.array([3, 0, 2, 3])
    taken = rows.take(order)
    assert [row(taken, at) for at in range(4)] == [row(rows, at) for at in order.tolist()]
    assert len(rows.take(np.zeros(0, np.int64))) == 0


def test_no_texts_have_no_rows() -> None:
    """And no texts with letters have rows without features."""
    assert len(count([])) == 0
    assert count(["", " ", "\0"]).lengths().tolist() == [0, 0, 0]


def test_a_vocabulary_knows_what_stands_in_two_rows() -> None:
    """Rarer is worth more, words more than n-grams, by the formula of inverse document frequency."""
    rows = count(["ab cd", "ab ef", "ab gh", "xy"])
    vocabulary = Vocabulary.of(rows, 1_000)
    in_rows = Counter(slot for at in range(4) for slot in row(rows, at))
    assert set(vocabulary.slots.tolist()) == {slot for slot, times in in_rows.items() if times >= 2}
    for slot, worth in zip(vocabulary.slots.tolist(), vocabulary.worth.tolist(), strict=True):
        told = np.log(5 / (1 + in_rows[slot])) + 1
        assert worth == pytest.approx(told * (1.5 if slot >= WORDS else 1))


def test_of_too_many_features_those_in_the_most_rows_are_kept() -> None:
    """So that the room of a model has a bound."""
    dice = random.Random(5)
    rows = count([" ".join(dice.choices(["ab", "cd", "ef", "gh"], weights=[9, 5, 3, 2], k=3)) for _ in range(40)])
    every, some = Vocabulary.of(rows, 10_000), Vocabulary.of(rows, 7)
    in_rows = np.bincount(rows.columns, minlength=1 << SLOT_BITS)
    left = np.setdiff1d(every.slots, some.slots)
    assert len(some.slots) == 7
    assert in_rows[some.slots].min() >= in_rows[left].max()
    assert (np.diff(some.slots) > 0).all()


def test_weighed_rows_have_the_length_one() -> None:
    """But for those with nothing that is known, which are empty."""
    rows = count(["ab cd", "ab cd", "zz"])
    weighed = Vocabulary.of(rows, 1_000).weigh(rows)
    lengths = [sum(value**2 for value in row(weighed, at).values()) for at in range(3)]
    assert lengths == pytest.approx([1, 1, 0])
