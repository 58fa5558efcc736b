"""Word vectors of one's own, and a model that they help."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sluice.errors import BadRequest
from sluice.quality import vectors as module
from sluice.quality.drift import Profile
from sluice.quality.features import SLOT_BITS, count
from sluice.quality.learned import learn, read, write
from sluice.quality.vectors import Vectors, read_text
from tests.harness.lessons import HOSTILE, THINGS, lesson, lessons, teacher

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.quality.learned import Learned

WORDS = {"the": (1, 1, 1), "red": (9, 0, 0), "crimson": (8, 1, 0), "green": (0, 9, 0), "teal": (0, 7, 1)}
LINES = [f"{word} {' '.join(map(str, numbers))}" for word, numbers in WORDS.items()]
SYNONYMS = {
    "red": ["scarlet", "crimson", "ruby"],
    "green": ["teal", "olive", "jade"],
    "blue": ["navy", "azure", "cyan"],
}


def written(folder: Path, lines: list[str], name: str = "words.vec") -> Path:
    path = folder / name
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def vector(vectors: Vectors, text: str) -> list[float]:
    """What stands behind the slots of a text, in length 1."""
    counts = count([text], vectors)
    found: list[float] = counts.values[counts.columns >= 1 << SLOT_BITS].tolist()
    return found


@pytest.mark.parametrize(("lines", "name"), [(LINES, "a.txt"), (["5 3", *LINES], "a.vec"), (LINES, "a.txt.gz")])
def test_texts_have_the_sum_of_their_words(tmp_path: Path, lines: list[str], name: str) -> None:
    """In any of the forms of a file: the nearer in meaning, the nearer; common words weigh little, unknown nothing."""
    vectors = read_text(written(tmp_path, lines, name))
    assert vectors.facts() == {"words": 5, "dimensions": 3}
    assert vector(vectors, "RED xyzzy") == pytest.approx([1, 0, 0], abs=0.01)
    assert vector(vectors, "the red")[0] > 0.9
    both = np.array(vector(vectors, "red green"))
    assert both @ [1, 1, 0] / 2**0.5 > 0.95
    assert vector(vectors, "xyzzy 7") == []
    assert len(count(HOSTILE, vectors)) == len(HOSTILE)


def test_a_text_has_the_same_features_alone_and_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many words are looked up at once."""
    vectors = read_text(written(tmp_path, LINES))
    texts = ["red green", "", "no", "the crimson teal the red", "teal"] * 3
    monkeypatch.setattr(module, "AT_ONCE", 2)
    many = count(texts, vectors)
    for at, text in enumerate(texts):
        alone, row = count([text], vectors), many.take(np.array([at]))
        assert alone.columns.tolist() == row.columns.tolist()
        assert row.values == pytest.approx(alone.values, abs=1e-6)


def test_words_that_are_no_token_or_stand_there_twice_are_left_out(tmp_path: Path) -> None:
    """The first of two that differ in case counts; a word may hold blanks."""
    vectors = read_text(written(tmp_path, ["Red 9 0", "RED 0 9", "New York 1 1", "</s> 1 1", "blue 0 0"]))
    assert vectors.facts() == {"words": 2, "dimensions": 2}
    assert vector(vectors, "red") == pytest.approx([1, 0], abs=0.01)
    assert vector(vectors, "blue") == []


def test_as_many_words_are_kept_as_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones, which are the commonest."""
    monkeypatch.setattr(module, "MOST_NUMBERS", 7)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    vectors = read_text(written(tmp_path, LINES))
    assert vectors.facts() == {"words": 2, "dimensions": 3}
    assert vector(vectors, "crimson") == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["red 1 0", "secretword 1 x"], "line 2: should be a word and 2 numbers"),
        (["red 1 0", "secretword 1"], "line 2: should be a word and 2 numbers"),
        (["red 1 0", "secretword nan 0"], "line 2: should be a word and 2 numbers"),
        (["secretword"], "line 1: 0 numbers behind a word"),
        (["secretword " + "1 " * 40_000], "line 1: is 65,536 bytes or longer"),
        ([], "holds no words"),
        (["300 2"], "holds no words"),
    ],
)
def test_what_is_no_file_of_vectors_is_refused_by_its_line(tmp_path: Path, lines: list[str], said: str) -> None:
    """Without a word of it."""
    with pytest.raises(BadRequest, match=said) as found:
        read_text(written(tmp_path, lines))
    assert "secretword" not in str(found.value)


def test_a_file_that_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(BadRequest, match=r"none\.vec cannot be read: No such file"):
        read_text(tmp_path / "none.vec")
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"red 1 0\n" * 1000)[:-30])
    with pytest.raises(BadRequest, match=r"broken\.gz cannot be read"):
        read_text(broken)


def test_what_is_kept_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """It comes back as it was."""
    vectors = read_text(written(tmp_path, LINES))
    kept = vectors.write()
    assert Vectors.read(kept).write() == kept
    with pytest.raises(BadRequest, match="not whole"):
        Vectors.read(kept[:-1])
    with pytest.raises(BadRequest, match="of this version"):
        Vectors.read(b"x" + kept)


def test_words_that_nobody_taught_are_known_by_what_they_mean(tmp_path: Path) -> None:
    """A model with vectors answers them as their neighbours, one without cannot; its file holds what it needs."""
    lines = [
        f"{word} {' '.join('0.9' if colour == other else f'0.0{n}' for other in SYNONYMS)}"
        for colour, words in SYNONYMS.items()
        for n, word in enumerate([colour, *words])
    ]
    vectors, asked = read_text(written(tmp_path, lines)), teacher(labels=tuple(SYNONYMS))
    taught = [
        lesson(f"the {thing} there is {word}", colour)
        for colour, words in SYNONYMS.items()
        for word in [colour, *words[:2]]
        for thing in THINGS
    ]
    unseen = [(f"the {thing} there is {words[2]}", colour) for colour, words in SYNONYMS.items() for thing in THINGS]

    def right(model: Learned) -> int:
        answers = model.answer([text for text, _ in unseen])
        return sum(labels == (colour,) for (labels, _), (_, colour) in zip(answers, unseen, strict=True))

    model = learn(taught, asked, vectors)[0]
    assert right(model) == len(unseen)
    assert right(learn(taught, asked)[0]) < len(unseen)
    again = read(write(model), asked)
    assert again.answer([text for text, _ in unseen]) == model.answer([text for text, _ in unseen])
    assert write(again) == write(model)
    assert model.taught_by["vectors"] == {"words": 12, "dimensions": 3}


def test_new_kinds_of_rows_are_told_by_spelling_alone(tmp_path: Path) -> None:
    """Features of word vectors are no part of the share that was never seen."""
    vectors, before = read_text(written(tmp_path, LINES)), lessons(160)
    profile = Profile.of(before)
    assert profile is not None
    texts = [each.text for each in before[:20]] + ["teal crimson", ""]
    assert profile.unseen(count(texts, vectors)).tolist() == profile.unseen(count(texts)).tolist()
