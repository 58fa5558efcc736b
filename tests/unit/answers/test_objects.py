"""Which of a reply's objects are its answer, among drafts, corrections, examples and prose."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.answers.judge import Judge
from sluice.answers.objects import PART, THINKING
from sluice.reasons import Reason
from sluice.task.file import parse_task


def make(**changes: Any) -> Judge:
    base = {"name": "t", "input": {"text": "t"}, "labels": ["billing", "technical", "other"]}
    return Judge(parse_task({**base, **changes}, "t"))


PLAIN = make()
DRAFT = '{"label": "billing", "confidence": "likely"}'
FINAL = '{"label": "technical", "confidence": "certain"}'
NAMES = {"type": ["string", "null"]}
EXTRACTION = make(labels={}, answer={"confidence": False, "fields": {"name": NAMES, "city": NAMES}})


@pytest.mark.parametrize(
    "reply",
    [
        f"<thinking>{DRAFT}</thinking>{FINAL}",
        f"<thinking>At first {DRAFT}, but no.</thinking>\n```json\n{FINAL}\n```",
        f"<THINKING>{DRAFT}</Thinking>{FINAL}",
        f"< think >{DRAFT}</ think >{FINAL}",
        f"<thinking budget='>' depth=2 note=\"a < b\">{DRAFT}</thinking>{FINAL}",
        f"<thinking about=the user's text>{DRAFT}</thinking>{FINAL}",
        f"<seed:think>{DRAFT}</seed:think>{FINAL}",
        f"<chain_of_thought>{DRAFT}</chain_of_thought>{FINAL}",
        f"<innerMonologue>{DRAFT}</innerMonologue>{FINAL}",
        f"<|thinking|>{DRAFT}<|/thinking|>{FINAL}",
        f"\u25c1think\u25b7{DRAFT}\u25c1/think\u25b7{FINAL}",
        f"[THINK]{DRAFT}[/THINK]{FINAL}",
        f"<scratchpad>{DRAFT}<reflection>{DRAFT}</reflection>{DRAFT}</scratchpad>{FINAL}",
        f"<thinking>{DRAFT}<thinking>{DRAFT}</thinking>{DRAFT}</thinking>{FINAL}",
        f"<reasoning>{DRAFT}</reasoning>{FINAL}<reflection>Was it {DRAFT}?</reflection>",
        f"{FINAL}<thinking>or {DRAFT}?",
        f"maybe {DRAFT}</think>{FINAL}",
        f'maybe {{"label": billing or other?}} {DRAFT}</thinking>{FINAL}',
        f'<thinking>the text says {{"quote": "</thinking>"}} so {DRAFT}</thinking>{FINAL}',
        f'<thinking>{{"label": "bil</thinking>{FINAL}',
        f"<thinking>{DRAFT}{PART}</thinking>{FINAL}",
        f"<thinking/>{FINAL}",
        f"<thinkpad>{FINAL}",
    ],
)
def test_thinking_in_tags_is_no_answer(reply: str) -> None:
    """Whatever the tag is called and wherever it stands, only what is outside counts."""
    assert PLAIN.judge(reply, "end_turn").labels == ("technical",)


@pytest.mark.parametrize("name", sorted(THINKING))
def test_every_name_of_thinking_is_known(name: str) -> None:
    """A draft between such tags is none, whether the answer agrees with it or not."""
    assert PLAIN.judge(f"<{name}>{DRAFT}</{name}>{FINAL}", "end_turn").labels == ("technical",)


@pytest.mark.parametrize(
    "reply",
    [
        f"<thinking>{DRAFT}",
        f"<thinking>{DRAFT}</think>{FINAL}",
        f"<thinking>{DRAFT}<thinking>so</thinking>{FINAL}",
        f"{DRAFT}</thinking>",
        f"<thinking>{DRAFT}{PART}{FINAL}",
    ],
)
def test_a_tag_that_is_not_closed_ends_the_reply(reply: str) -> None:
    """What is left of the reply may be a draft to its end."""
    assert PLAIN.judge(reply, "end_turn").reason is Reason.REPLY_NOT_JSON
    assert PLAIN.judge(reply, "max_tokens").reason is Reason.REPLY_CUT


def test_tags_inside_a_string_are_data() -> None:
    """An answer may quote them, alone or among prose."""
    reply = json.dumps({"label": "technical", "confidence": "certain", "why": "<thinking> </think> <draft>"})
    assert PLAIN.judge(reply, "end_turn").labels == ("technical",)
    assert PLAIN.judge(f"Here: {reply} Done.", "end_turn").labels == ("technical",)


@pytest.mark.parametrize(
    "reply",
    [
        f"{DRAFT}\n\nWait. Corrected answer:\n{FINAL}",
        f"```json\n{DRAFT}\n```\nOn reflection:\n```json\n{FINAL}\n```",
        f"Example of the form: {DRAFT}\nAnswer: {FINAL}",
        f"{DRAFT}{PART}{FINAL}",
        f"{DRAFT} {DRAFT} {FINAL}",
        f'{{"label": null}} {FINAL}',
        f'{{"label": "Technical", "confidence": "certain"}} {FINAL}',
        f"{FINAL} " + "[1] " * 6000,
        f"{FINAL} " + "x" * 100_000,
    ],
)
def test_answers_that_differ_are_no_answer(reply: str) -> None:
    """Nobody can tell which of them was meant, or what stands in the part that is not read."""
    verdict = PLAIN.judge(reply, "end_turn")
    assert (verdict.reason, verdict.labels) == (Reason.REPLY_AMBIGUOUS, None)
    assert PLAIN.judge(reply, "max_tokens").reason is Reason.REPLY_AMBIGUOUS


@pytest.mark.parametrize(
    ("reply", "confidence", "reason"),
    [
        (f"{FINAL} {FINAL}", "certain", None),
        (f'{FINAL} {{"label": "technical", "confidence": "likely"}}', "likely", None),
        (f'{{"label": "technical", "confidence": "unsure"}} {FINAL}', "unsure", Reason.LOW_CONFIDENCE),
        (f'{FINAL} {{"label": "technical"}}', None, Reason.CONFIDENCE_INVALID),
        (f'{FINAL} {{"confidence": "unsure", "why": "no label here"}}', "certain", None),
        (f'{{"label": "<label>", "confidence": "<certain, likely or unsure>"}} {FINAL}', "certain", None),
        (f'{{"properties": {{"label": {{"type": "string"}}}}}} {FINAL}', "certain", None),
        (f"{{}} {FINAL}", "certain", None),
        (f'[{{"step": 1}}, {{"step": 2}}] {FINAL}', "certain", None),
        (f"{{note: none}} {{a, b}} {{{{x}}}} {FINAL}", "certain", None),
        (f"{FINAL} as [1", "certain", None),
    ],
)
def test_answers_that_agree_are_one(reply: str, confidence: str | None, reason: Reason | None) -> None:
    """The lowest confidence counts, a missing one as the lowest; objects that name no label are no answers."""
    verdict = PLAIN.judge(reply, "end_turn")
    assert (verdict.labels, verdict.confidence, verdict.reason) == (("technical",), confidence, reason)


def test_the_fields_of_answers_have_to_agree_too() -> None:
    """A label that is said twice alike, beside another amount, leaves open which one is meant."""
    judge = make(answer={"confidence": False, "fields": {"n": {"type": ["integer", "null"]}}})
    assert judge.judge('{"label": "other", "n": 1} {"label": "other", "n": 1.0}', None).reason is None
    for other in ('{"label": "other", "n": 2}', '{"label": "other"}', '{"label": "other", "n": "1"}'):
        assert judge.judge(f'{{"label": "other", "n": 1}} {other}', None).reason is Reason.REPLY_AMBIGUOUS


def test_several_labels_agree_as_a_set() -> None:
    """Their order is not what makes an answer another one."""
    judge = make(choose="many", answer={"confidence": False})
    both = '{"labels": ["other", "billing"]} {"labels": ["billing", "other"]}'
    assert judge.judge(both, None).reason is None
    assert judge.judge(both + '{"labels": ["other"]}', None).reason is Reason.REPLY_AMBIGUOUS


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (f'{{"label": "billing", "confidence": "likely",}} {FINAL}', Reason.REPLY_NOT_JSON),
        (f"{{'label': 'billing', 'confidence': 'likely'}} {FINAL}", Reason.REPLY_NOT_JSON),
        (f"{FINAL} {{label: billing}}", Reason.REPLY_NOT_JSON),
        (f'{{"steps": [{DRAFT}], "label": technical}}', Reason.REPLY_NOT_JSON),
        (f'{{"draft": {DRAFT}, "label": "technical" and so on', Reason.REPLY_NOT_JSON),
        (f"[{DRAFT},]", Reason.REPLY_NOT_JSON),
        (f"[{DRAFT}] {FINAL}", Reason.REPLY_NOT_OBJECT),
        (f"{FINAL} [{FINAL}, {DRAFT}]", Reason.REPLY_NOT_OBJECT),
        (f'{FINAL} Or rather {{"label": "bil', Reason.REPLY_CUT),
        (f'{FINAL} [{{"label": "bil', Reason.REPLY_CUT),
        (f'{{"answer": {FINAL}}}', Reason.LABEL_MISSING),
        (f'{{"label": "tech{PART}nical", "confidence": "certain"}}', Reason.REPLY_NOT_JSON),
        (f'{{"label": "technical",{PART}"confidence": "certain"}}', Reason.REPLY_NOT_JSON),
        (f'{FINAL}{PART}{{"label": "tech', Reason.REPLY_CUT),
        ('{"label": "<label>", "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ("<thinking>I'm sorry</thinking> So it is.", Reason.REPLY_NOT_JSON),
        ("<thinking>Hm.</thinking> I'm sorry, I cannot.", Reason.REPLY_REFUSED),
    ],
)
def test_what_could_be_an_answer_and_cannot_be_read_is_not_passed_over(reply: str, reason: Reason) -> None:
    """A broken, listed, cut or wrapped answer is none, and its parts are not taken for one."""
    assert PLAIN.judge(reply, "end_turn").reason is reason


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"Name": "Alex", "City": "Bonn"}', Reason.FIELDS_INVALID),
        ('{"error": "cannot read"}', Reason.FIELDS_INVALID),
        ("{}", Reason.FIELDS_INVALID),
        ('{"result": {"name": "Alex", "city": "Bonn"}}', Reason.FIELDS_INVALID),
        ('{"name": "<string>"} {"name": "Alex"}', None),
        ('{"name": "Alex"}', None),
        ('{"name": null}', None),
        ('{"name": "Alex"} {"name": "Alex", "city": "Bonn"}', Reason.REPLY_AMBIGUOUS),
        ('<thinking>Nothing yet: {}</thinking>{"name": "Alex", "city": "Bonn"}', None),
        ('{"thought": "a name"} {"name": "Alex"}', None),
    ],
)
def test_an_extraction_names_at_least_one_field(reply: str, reason: Reason | None) -> None:
    """Fields that may be null can be left out, but not all of them at once."""
    assert EXTRACTION.judge(reply, "end_turn").reason is reason


@pytest.mark.parametrize(
    "piece",
    [
        '<a "',
        "<think",
        "{a",
        '{"a',
        "{'label':",
        "[[",
        "<thinking>",
        "</thinking>",
        '{"label": "x"}',
        '[{"a":',
        "<b>",
        PART,
    ],
)
def test_a_flood_of_brackets_and_tags_is_read_at_once(piece: str) -> None:
    """A hundred thousand characters of anything cost milliseconds, and are no answer."""
    began = time.process_time()
    assert PLAIN.judge(piece * (200_000 // len(piece)) + FINAL, "end_turn").reason is not None
    assert time.process_time() - began < 1


tags = st.sampled_from(["thinking", "think", "Reasoning", "scratch_pad"])
prose = st.text("so, {}'1<>/.\n", max_size=12).filter(lambda text: "{" not in text.replace("{}", ""))
said = st.sampled_from([DRAFT, FINAL]) | prose
thoughts = st.tuples(tags, st.lists(said, max_size=3).map(" ".join)).map(lambda it: ("", f"<{it[0]}>{it[1]}</{it[0]}>"))
outside = said.map(lambda text: (text, text))


@settings(max_examples=300)
@given(st.lists(thoughts | outside, max_size=8))
def test_what_is_outside_of_thinking_decides(segments: list[tuple[str, str]]) -> None:
    """Accepted is what the answers outside say in common, whatever was thought and said in between."""
    answers = {text for text, _ in segments if text in (DRAFT, FINAL)}
    verdict = PLAIN.judge(" ".join(whole for _, whole in segments), "end_turn")
    expected = {DRAFT: ("billing",), FINAL: ("technical",)}[answers.pop()] if len(answers) == 1 else None
    assert verdict.labels == expected
