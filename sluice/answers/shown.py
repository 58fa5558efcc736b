"""Answers as a judge is shown them: behind their text, between tags of their own.

The whole stands as one text in a request, so that jobs, packs and what is sent again treat it like any other. `<` in a
text or a label is escaped, so neither can open or close a tag, and what is shown can be taken off again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import escape
from sluice.task.labels import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OPEN_ANSWER, CLOSE_ANSWER = "\n<answer>\n", "\n</answer>"
NO_LABEL = "(none of the labels)"
_OPENS, _CLOSES = (msgspec.json.encode(tag)[1:-1] for tag in (OPEN_ANSWER, CLOSE_ANSWER))


class Showing:
    """Writes answers of one task behind their texts."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.told = labels
        self.written: dict[tuple[str, ...], bytes] = {}

    def with_answer(self, escaped: bytes, labels: tuple[str, ...]) -> bytes:
        """A text, escaped as in a request, with the labels that it was given and what they mean."""
        answer = self.written.get(labels)
        if answer is None:
            answer = self.written[labels] = _OPENS + escape(self._lines(labels)) + _CLOSES
        return escaped + answer

    def most_bytes(self, most_labels: int) -> int:
        """How many bytes an answer of at most so many labels adds to a text, at most."""
        sizes = sorted((len(escape(self._lines([name]))) for name in self.told), reverse=True)[:most_labels]
        longest = max(sum(sizes) + 2 * len(sizes), len(NO_LABEL))
        return len(_OPENS) + longest + len(_CLOSES)

    @property
    def usual_bytes(self) -> int:
        """The same of one label, on average."""
        sizes = [len(escape(self._lines([name]))) for name in self.told]
        return len(_OPENS) + sum(sizes) // max(1, len(sizes)) + len(_CLOSES)

    def _lines(self, labels: Iterable[str]) -> str:
        told = ((name, described(self.told.get(name, ""))) for name in labels)
        lines = [json.dumps(name, ensure_ascii=False) + (f": {text}" if text else "") for name, text in told]
        return "\n".join(lines) or NO_LABEL


def without_answer(escaped: bytes) -> bytes:
    """A text as it was before an answer was shown with it."""
    return escaped.partition(_OPENS)[0]
