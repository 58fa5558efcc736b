"""How many tokens texts are likely to have, by the scripts of their characters.

The tokenizers of Bedrock's models are not public. `models.yaml` has characters per token as tokenizers that are public
count them; `benchmarks/tokens.py` measures them.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sluice.models.catalog import Tokens

OTHER = "other"
LATIN, MARKED, ENGLISH = "latin", "latin_marked", "english"

# Where the blocks of a script begin, by code point; what lies between belongs to the one before.
_BLOCKS: tuple[tuple[int, str], ...] = (
    (0x0000, LATIN), (0x0080, MARKED), (0x0370, "greek"), (0x0400, "cyrillic"), (0x0530, "armenian"),
    (0x0590, "hebrew"), (0x0600, "arabic"), (0x0700, OTHER), (0x0750, "arabic"), (0x0780, OTHER), (0x08A0, "arabic"),
    (0x0900, "devanagari"), (0x0980, "bengali"), (0x0A00, "gurmukhi"), (0x0A80, "gujarati"), (0x0B00, OTHER),
    (0x0B80, "tamil"), (0x0C00, "telugu"), (0x0C80, "kannada"), (0x0D00, "malayalam"), (0x0D80, "sinhala"),
    (0x0E00, "thai"), (0x0E80, "lao"), (0x0F00, "tibetan"), (0x1000, "myanmar"), (0x10A0, "georgian"),
    (0x1100, "hangul"), (0x1200, "ethiopic"), (0x13A0, OTHER), (0x1780, "khmer"), (0x1800, OTHER),
    (0x1C80, "cyrillic"), (0x1C90, "georgian"), (0x1CC0, OTHER), (0x1E00, MARKED), (0x1F00, "greek"), (0x2000, LATIN),
    (0x2100, OTHER), (0x2D00, "georgian"), (0x2D30, OTHER), (0x2D80, "ethiopic"), (0x2DE0, "cyrillic"),
    (0x2E00, LATIN), (0x2E80, "han"), (0x3040, "kana"), (0x3100, "han"), (0x3130, "hangul"), (0x3190, "han"),
    (0x31F0, "kana"), (0x3200, "han"), (0xA000, OTHER), (0xAC00, "hangul"), (0xD7B0, OTHER), (0xF900, "han"),
    (0xFB00, LATIN), (0xFB1D, "hebrew"), (0xFB50, "arabic"), (0xFE00, OTHER), (0xFE70, "arabic"), (0xFF00, "han"),
    (0xFF66, "kana"), (0xFFA0, "hangul"), (0xFFE0, OTHER), (0x20000, "han"), (0x32000, OTHER),
)  # fmt: skip
_BEGINS = [begin for begin, _ in _BLOCKS]
SCRIPTS = frozenset({*(script for _, script in _BLOCKS), ENGLISH})

NOTABLE = 0.05  # the share of the characters from which a script is worth a word
APART = 1.5  # how far the counts of a script may lie apart before an estimate is called poor

# Words that English is full of, and other languages are not. Tokenizers know English far better than its neighbours.
_ENGLISH = frozenset(
    {
        "the",
        "and",
        "of",
        "that",
        "with",
        "this",
        "you",
        "have",
        "are",
        "from",
        "my",
        "not",
        "for",
        "your",
        "it",
        "they",
        "which",
        "be",
        "by",
        "their",
        "has",
        "shall",
        "was",
        "we",
    }
)
_WORD = re.compile(r"[a-z]+")
_USUAL = 0.15  # the share of these words in English; those of other languages come to less than `_STRAY`
_STRAY = 0.04
_FEW = 12  # words of a text that say nothing alone: it is taken to be like the others


def script_of(character: str) -> str:
    """The script of a character by its block; digits, blanks and punctuation lie in that of Latin."""
    return _BLOCKS[bisect_right(_BEGINS, ord(character)) - 1][1]


def characters_of(texts: Iterable[str]) -> Counter[str]:
    """Count characters by script; digits, blanks and punctuation belong to the script that leads in their text."""
    found: Counter[str] = Counter()
    latin: list[tuple[int, int, int]] = []
    for text in texts:
        scripts = _scripts_of(text)
        found.update(scripts)
        if scripts[LATIN]:
            words = _WORD.findall(text.lower())
            latin.append((scripts[LATIN], len(words), sum(word in _ENGLISH for word in words)))
    in_all = _share(sum(words for _, words, _ in latin), sum(english for _, _, english in latin))
    shares = ((count, in_all if words < _FEW else _share(words, english)) for count, words, english in latin)
    of_english = round(math.fsum(count * share for count, share in shares))
    found.update({ENGLISH: of_english, LATIN: -of_english})
    return +found


def _scripts_of(text: str) -> Counter[str]:
    scripts: Counter[str] = Counter()
    neutral = 0
    for character, count in Counter(text).items():
        script = script_of(character)
        if script == LATIN and not character.isalpha():
            neutral += count
        else:
            scripts[script] += count
    (leading, _), *_ = scripts.most_common(1) or [(LATIN, 0)]
    scripts[LATIN if leading == MARKED else leading] += neutral
    return scripts


def _share(words: int, english: int) -> float:
    """How much of some words is English, by those that only English is full of."""
    return min(1.0, max(0.0, (english / words - _STRAY) / (_USUAL - _STRAY))) if words else 0.0


def tokens_of(characters: Mapping[str, int], figures: Mapping[str, float]) -> float:
    """Tokens of so many characters of each script; a script without a figure counts as `other`."""
    kin = {ENGLISH: LATIN, MARKED: LATIN}
    figure = {
        script: figures.get(script) or figures.get(kin.get(script, OTHER)) or figures[OTHER] for script in characters
    }
    return math.fsum(count / figure[script] for script, count in characters.items())


def estimated_tokens(texts: Iterable[str], figures: Mapping[str, float]) -> float:
    """Tokens of texts together."""
    return tokens_of(characters_of(texts), figures)


def token_range(characters: Mapping[str, int], known: Tokens) -> tuple[float, float]:
    """The fewest and the most tokens that public tokenizers would make of so many characters of each script."""
    most = {script: known.range.get(script, (figure, figure))[0] for script, figure in known.characters.items()}
    fewest = {script: known.range.get(script, (figure, figure))[1] for script, figure in known.characters.items()}
    return tokens_of(characters, fewest), tokens_of(characters, most)


class Poor(NamedTuple):
    """A script of which tokenizers count very different numbers, its share of the characters, and how different."""

    script: str
    share: float
    times: float


def poorly_known(characters: Mapping[str, int], known: Tokens) -> list[Poor]:
    """The scripts that much of some texts is written in and for which an estimate says little, the first ones first."""
    total = sum(characters.values())
    found = []
    for script, count in characters.items():
        low, high = known.range.get(script, (1.0, 1.0))
        if count >= NOTABLE * total and (high >= APART * low or script == OTHER):
            found.append(Poor(script, count / total, high / low))
    return sorted(found, key=lambda poor: -poor.share)
