from __future__ import annotations

import json

import msgspec
import pytest

from sluice.answers.requests import escape
from sluice.answers.shown import Showing, without_answer
from sluice.local.requests import Request
from sluice.local.sources.judging import JudgingSource
from sluice.local.sources.lexical import LexicalSource
from sluice.local.sources.source import Tiers
from sluice.task.file import parse_task

LABELS = {"billing": "charge invoice refund", "a<b & c": "parcel courier shipping", "other": "anything else"}
TASK = parse_task({"name": "t", "input": {"text": "text"}, "labels": LABELS, "none": "other"}, "t")


@pytest.mark.parametrize(
    ("text", "labels", "word"),
    [
        ("a refund of my charge on the invoice", ("billing",), "right"),
        ("a refund of my charge on the invoice", ("a<b & c",), "wrong"),
        ("the courier lost my parcel in shipping", ("a<b & c",), "right"),
        ("a refund of my charge on the invoice", (), "wrong"),
        ("zzz", ("other",), "right"),
        ("zzz", ("billing",), "unclear"),
    ],
)
def test_the_stand_ins_judge_goes_by_the_words_of_the_text(text: str, labels: tuple[str, ...], word: str) -> None:
    """It reads the text and the answer as they are shown, whatever stands in them."""
    source = JudgingSource(LexicalSource(TASK, Tiers(())))
    shown = Showing(TASK.labels).with_answer(escape(text), labels)
    whole = json.loads(b'"' + shown + b'"')
    asked = Request("r", "judge", f"<text>\n{whole}\n</text>", b"", 50)
    assert msgspec.json.decode(source.answer(asked).text) == {"label": word}
    assert without_answer(shown) == escape(text)
    assert len(shown) - len(escape(text)) <= Showing(TASK.labels).most_bytes(1)
