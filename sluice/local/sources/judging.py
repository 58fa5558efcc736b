"""The stand-in's judge: it goes by the words of the text, like the stand-in, and errs now and then.

It is no model and proves nothing about one. It calls an answer right that its own words speak for, unclear where none
of them speaks for anything (but then the label `none` is right), and all else wrong. All of it depends on the text, the
answer and the model alone.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING

from sluice.answers.shown import CLOSE_ANSWER, OPEN_ANSWER
from sluice.local.sources.lexical import CLOSE, OPEN, below
from sluice.local.sources.source import Reply
from sluice.task.judge import RIGHT, UNCLEAR, WRONG

if TYPE_CHECKING:
    from sluice.local.requests import Request
    from sluice.local.sources.lexical import LexicalSource

ERRS = 0.03  # the share of its words that are wrong
ENOUGH = 0.6  # of the best label's weight, which another has to have to be right, too


class JudgingSource:
    """Says of a text and the labels that it was given whether its words speak for them."""

    concurrency = 1

    def __init__(self, words: LexicalSource) -> None:
        self.words, self.name = words, words.name
        self.number = {label: n for n, label in enumerate(words.labels)}

    def answer(self, request: Request, run: str | None = None) -> Reply:  # noqa: ARG002  the same in every run
        """Look at one answer."""
        whole = request.text.removeprefix(OPEN).removesuffix(CLOSE)
        text, _, answer = whole.partition(OPEN_ANSWER)
        chance = blake2b(whole.encode(errors="replace") + request.model.encode(), digest_size=8).digest()
        word = self._word(text, self._given(answer.removesuffix(CLOSE_ANSWER)))
        if below(chance[0:4], ERRS):
            word = (RIGHT, WRONG, UNCLEAR)[chance[4] % 3]
        return Reply(json.dumps({"label": word}))

    def _given(self, answer: str) -> list[int]:
        """The labels that an answer names, by number."""
        found = []
        for line in answer.replace("&lt;", "<").replace("&amp;", "&").split("\n"):
            try:
                name, _ = json.JSONDecoder().raw_decode(line)
            except ValueError:
                continue
            found += [self.number[name]] if isinstance(name, str) and name in self.number else []
        return found

    def _word(self, text: str, given: list[int]) -> str:
        scores = self.words.score(text.encode(errors="replace"))
        if not scores:  # the stand-in takes the label for what fits none of the others
            return RIGHT if given == [self.words.fallback] else UNCLEAR
        enough = ENOUGH * max(scores.values())
        return RIGHT if given and all(scores.get(n, 0.0) >= enough for n in given) else WRONG
