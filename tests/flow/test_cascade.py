"""Replies of every kind through the whole workflow: good ones stay, each bad one escalates with its own reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.flow.local import FIRST, LABELS, SECOND, Outcome, jsonl, reply

if TYPE_CHECKING:
    from tests.flow.local import Flow

EACH = 10  # rows of each kind: all kinds together are a batch job in both tiers
GOOD = reply("billing")

ACCEPTED: dict[str, Any] = {
    "bare": GOOD,
    "prose behind": f"{GOOD}\n\nThe customer speaks of a charge, so {{billing}} fits best.",
    "prose before": f"Here is my answer:\n{GOOD}",
    "fenced": f"```json\n{GOOD}\n```",
    "fenced, then prose": f"```\n{GOOD}\n```\nLet me know if you need more.",
    "spread over lines": json.dumps(json.loads(GOOD), indent=4),
    "further members": json.dumps({"thought": "a charge", "label": "billing", "confidence": "likely", "n": [1, 2]}),
    "one above the scale's least": reply("billing", "likely"),
    "whole, then cut": {"text": f"{GOOD} Because the", "stop_reason": "max_tokens"},
}
# The reason code of each, and the label that stands in the trail.
ESCALATED: dict[str, tuple[Any, str, str | None]] = {
    "unknown label": (reply("refunds"), "label_unknown", None),
    "nearly a label": (reply("Billing"), "label_unknown", None),
    "label with a space": (reply("billing "), "label_unknown", None),
    "two labels": (json.dumps({"label": ["billing", "other"], "confidence": "certain"}), "label_unknown", None),
    "label twice": ('{"label": "billing", "label": "other", "confidence": "certain"}', "label_unknown", None),
    "no label": ('{"confidence": "certain"}', "label_missing", None),
    "null as label": ('{"label": null, "confidence": "certain"}', "label_missing", None),
    "empty": ("", "reply_empty", None),
    "white space": (" \n\t ", "reply_empty", None),
    "plain text": ("The answer is billing.", "reply_not_json", None),
    "the bare label": ("billing", "reply_not_json", None),
    "a JSON string": ('"billing"', "reply_not_object", None),
    "a number": ("3", "reply_not_object", None),
    "a list": (f"[{GOOD}]", "reply_not_object", None),
    "cut": ({"text": '{"label": "billing", "confi', "stop_reason": "max_tokens"}, "reply_cut", None),
    "cut without a word of it": ('{"label": "bill', "reply_cut", None),
    "unsure": (reply("billing", "unsure"), "low_confidence", "billing"),
    "no confidence": ('{"label": "billing"}', "confidence_invalid", "billing"),
    "a number as confidence": ('{"label": "billing", "confidence": 0.9}', "confidence_invalid", "billing"),
    "refusal": ("I'm sorry, but I can't help with that request.", "reply_refused", None),
    "filtered": ({"text": "", "stop_reason": "content_filtered"}, "reply_refused", None),
    "guardrail": ({"text": GOOD, "stop_reason": "guardrail_intervened"}, "reply_refused", None),
}
# Replies that break parsers rather than rules.
HOSTILE: dict[str, tuple[Any, str]] = {
    "brackets": ("[" * 100_000, "reply_too_deep"),
    "braces": ('{"label":' * 50_000, "reply_too_deep"),
    "deep beside the label": (
        '{"label": "billing", "confidence": "certain", "x": ' + "[" * 900 + "]" * 900 + "}",
        "reply_too_deep",
    ),
    "NaN": ('{"label": NaN, "confidence": "certain"}', "reply_not_json"),
    "NaN beside the label": ('{"label": "billing", "confidence": "certain", "score": NaN}', "reply_not_json"),
    "infinite": ('{"label": "billing", "confidence": "certain", "score": -Infinity}', "reply_not_json"),
    "lone surrogate": ('{"label": "\\ud800", "confidence": "certain"}', "reply_not_json"),
    "surrogate beside the label": (
        '{"label": "billing", "confidence": "certain", "why": "\\udfff"}',
        "reply_not_json",
    ),
    "30 digits as label": (f'{{"label": {"9" * 30}, "confidence": "certain"}}', "label_unknown"),
    "5,000 digits": (f'{{"label": {"9" * 5_000}, "confidence": "certain"}}', "reply_not_json"),
    "NUL": ('{"label": "billing\x00", "confidence": "certain"}', "reply_not_json"),
    "escaped NUL": ('{"label": "billing\\u0000", "confidence": "certain"}', "label_unknown"),
    "a megabyte of prose": ("word " * 200_000, "reply_not_json"),
    "a megabyte as label": (f'{{"label": "{"x" * 1_000_000}", "confidence": "certain"}}', "reply_cut"),
    "a megabyte before the answer": ("word " * 200_000 + GOOD, "reply_not_json"),
    "a forged record": (
        '{"recordId": "x", "modelOutput": {"label": "billing"}}\n{"recordId": "y"}',
        "label_missing",
    ),
    "line separators": ("\u2028\u0085\u2029", "reply_empty"),
}


def whole(text: Any) -> Any:
    """Keep the stand-in from cutting a long reply: its tokens are stated."""
    return {"text": text, "output_tokens": 9} if isinstance(text, str) and len(text) > 300 else text


def replayed(flow: Flow, kinds: dict[str, Any], each: int) -> Outcome:
    """Each kind as the first tier's reply to so many rows; the second tier says technical."""
    ids = {f"{kind} {number}": said for kind, said in kinds.items() for number in range(each)}
    rows = jsonl({"id": id_, "text": f"my question about {id_}"} for id_ in ids)
    answers = {id_: {FIRST: whole(said), SECOND: reply("technical", "likely")} for id_, said in ids.items()}
    return flow.classify(rows, answers=answers)


def of_kind(outcome: Outcome, kind: str) -> list[dict[str, Any]]:
    return [row for row in outcome.rows if row["id"].rpartition(" ")[0] == kind]


@pytest.fixture(scope="module")
def judged(flow: Flow) -> Outcome:
    kinds = ACCEPTED | {kind: said for kind, (said, _, _) in ESCALATED.items()}
    return replayed(flow, kinds, EACH)


@pytest.fixture(scope="module")
def hostile(flow: Flow) -> Outcome:
    return replayed(flow, {kind: said for kind, (said, _) in HOSTILE.items()}, each=6)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_good_answer_is_taken_whatever_stands_around_it(judged: Outcome, kind: str) -> None:
    """The first tier's label stands, after one attempt."""
    rows = of_kind(judged, kind)
    assert [(row["label"], row["tier"], row["attempts"], row["reason"]) for row in rows] == [
        ("billing", 0, 1, None)
    ] * 10


@pytest.mark.parametrize("kind", ESCALATED)
def test_a_bad_answer_escalates_with_its_own_reason(judged: Outcome, kind: str) -> None:
    """The second tier's label stands, and the trail tells what the first one said and why it was not taken."""
    _, reason, label = ESCALATED[kind]
    rows = of_kind(judged, kind)
    assert len(rows) == EACH
    for row in rows:
        first, second = row["trail"]
        assert (row["label"], row["confidence"], row["tier"]) == ("technical", "likely", 1)
        assert (first["outcome"], first["reason"], first["label"]) == ("escalated", reason, label)
        assert (second["outcome"], second["reason"], second["label"]) == ("accepted", None, "technical")
        assert (first["tier"], second["tier"], second["round"]) == (0, 1, 1)


def test_each_kind_of_bad_answer_has_a_code_of_its_own() -> None:
    """Nine codes tell the kinds apart."""
    assert len({reason for _, reason, _ in ESCALATED.values()}) == 9


def test_escalations_are_one_batch_of_the_second_tier(judged: Outcome) -> None:
    """All that failed goes on together, and the books of both tiers say so."""
    first, second = judged.run["tiers"]
    assert (first["sent"], first["accepted"], first["escalated"]) == (310, 90, 220)
    assert (second["sent"], second["accepted"], second["transport"]) == (220, 220, "batch")
    assert judged.run["labels"] == {"billing": 90, "technical": 220}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_reply_ends_as_a_reason(hostile: Outcome, kind: str) -> None:
    """It never ends a job, and never becomes a label."""
    rows = of_kind(hostile, kind)
    assert len(rows) == 6
    for row in rows:
        assert row["status"] == "accepted"
        assert row["label"] == "technical"
        assert row["trail"][0]["outcome"] == "escalated"
        assert row["trail"][0]["reason"] == HOSTILE[kind][1]


def test_rows_that_no_tier_answers_keep_every_reason(flow: Flow) -> None:
    """After the last tier a row is unresolved: without a label, with the last reason, and the trail has both."""
    rows = jsonl({"id": f"r{number}", "text": f"text {number}"} for number in range(3))
    answers = {
        "r0": {FIRST: reply("nothing of this"), SECOND: reply("billing", "unsure")},
        "r1": {FIRST: "", SECOND: "no idea"},
        "r2": {FIRST: reply("other"), SECOND: reply("other")},
    }
    outcome = flow.classify(rows, answers=answers)
    assert [(row["status"], row["reason"], row["label"]) for row in outcome.rows] == [
        ("unresolved", "low_confidence", None),
        ("unresolved", "reply_not_json", None),
        ("accepted", None, "other"),
    ]
    trails = [[(tried["outcome"], tried["reason"], tried["label"]) for tried in row["trail"]] for row in outcome.rows]
    assert trails[0] == [("escalated", "label_unknown", None), ("unresolved", "low_confidence", "billing")]
    assert trails[1] == [("escalated", "reply_empty", None), ("unresolved", "reply_not_json", None)]


def test_rows_of_one_text_are_paid_for_once(flow: Flow) -> None:
    """Twins share the answer of their first row; tokens and cost stand on that one alone, so that sums hold."""
    texts = ["same", "same", "another", "same"]
    rows = jsonl({"id": f"r{number}", "text": text} for number, text in enumerate(texts))
    answers = {"r0": {FIRST: "", SECOND: reply("billing")}, "r2": {FIRST: reply("technical")}}
    outcome = flow.classify(rows, answers=answers)
    assert [row["label"] for row in outcome.rows] == ["billing", "billing", "technical", "billing"]
    assert [row["input_tokens"] > 0 for row in outcome.rows] == [True, False, True, False]
    assert sum(row["cost_usd"] for row in outcome.rows) == pytest.approx(outcome.run["cost_usd"])
    assert outcome.run["records"] == {"distinct": 2, "sent": 3, "shared_rows": 3}
    assert set(LABELS) >= set(outcome.run["labels"])
