from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.budget.tokens import (
    SCRIPTS,
    characters_of,
    estimated_tokens,
    poorly_known,
    script_of,
    token_range,
    tokens_of,
)
from sluice.models.catalog import Catalog

ENGLISH = "The card that you have sent to my old address was not delivered, and they are not at fault for it."
KNOWN = Catalog.load().tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("abcd 12.", 2.0),
        ("Жук", 1.5),
        ("Жук - 12", 4.0),
        ("請求", 2.0),
        ("ありが", 3.0),
        ("café", 1.0),
        ("\N{LARGE RED CIRCLE}", 2.0),
        ("... 12", 1.5),
        ("", 0.0),
    ],
)
def test_tokens_are_estimated_by_script(text: str, tokens: float) -> None:
    """Each script has its own figure; blanks and digits go with their text, and what has no figure is `other`."""
    figures = {"latin": 4.0, "cyrillic": 2.0, "han": 1.0, "kana": 1.0, "other": 0.5}
    assert estimated_tokens([text], figures) == pytest.approx(tokens)
    assert estimated_tokens([text, text], figures) == pytest.approx(2 * tokens)


# The first article of the Universal Declaration of Human Rights, and the tokens that Claude 2's tokenizer makes of it.
FIRST_ARTICLE = [
    (
        (
            "All human beings are born free and equal in dignity and rights. They are "
            "endowed with reason and conscience and should act towards one another in a "
            "spirit of brotherhood."
        ),
        33,
    ),
    (
        (
            "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind "
            "mit Vernunft und Gewissen begabt und sollen einander im Geist der "
            "Brüderlichkeit begegnen."
        ),
        50,
    ),
    (
        (
            "Все люди рождаются свободными и равными в своем достоинстве и правах. Они "  # noqa: RUF001
            "наделены разумом и совестью и должны поступать в отношении друг друга в "
            "духе братства."
        ),
        89,
    ),
    (
        (
            "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 "
            "천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다."
        ),
        95,
    ),
    (
        (
            "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता "
            "प्राप्त है । उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें "
            "भाईचारे के भाव से बर्ताव करना चाहिए ।"
        ),
        201,
    ),
    (
        ("人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。"),
        49,
    ),
]


@pytest.mark.parametrize(("text", "tokens"), FIRST_ARTICLE)
def test_an_estimate_is_near_what_a_tokenizer_counts(text: str, tokens: int) -> None:
    """In any script, the estimate is within half of what the one public tokenizer of its family counts."""
    assert tokens / 1.5 < estimated_tokens([text], KNOWN.characters) < tokens * 1.5


@given(st.characters(codec="utf-8"))
def test_every_character_has_a_script(character: str) -> None:
    """No text is left out of an estimate."""
    assert script_of(character) in SCRIPTS


@given(st.lists(st.text(max_size=30), max_size=4))
def test_every_character_is_counted_once(texts: list[str]) -> None:
    """However letters and marks are shared out, their sum is that of the texts."""
    counts = characters_of(texts)
    assert counts.total() == sum(map(len, texts))
    assert all(count > 0 for count in counts.values())


def test_english_is_known_by_its_words() -> None:
    """English has far more characters to a token than other languages in the same letters."""
    german = "Die Karte, die an meine alte Adresse ging, kam nie an; daran ist hier niemand schuld."
    assert set(characters_of([ENGLISH])) == {"english"}
    assert set(characters_of([german])) == {"latin"}
    assert set(characters_of([ENGLISH, german, german, german])) == {"english", "latin"}


def test_the_range_of_a_count_holds_the_estimate() -> None:
    """What public tokenizers count lies on both sides of the figure that is taken, or on it."""
    for script in KNOWN.characters:
        low, high = token_range({script: 1000}, KNOWN)
        assert low <= tokens_of({script: 1000}, KNOWN.characters) <= high


def test_scripts_that_tokenizers_disagree_on_are_named() -> None:
    """A poor estimate is told with the scripts that make it so; a few foreign words are not worth a word."""
    assert poorly_known(characters_of([ENGLISH * 10 + "Жук"]), KNOWN) == []
    poor = poorly_known(characters_of(["ஒரு அட்டை வரவில்லை", "บัตรไม่มา", ENGLISH]), KNOWN)
    assert [each.script for each in poor] == ["tamil", "thai"]
    assert poor[0].times > 5
