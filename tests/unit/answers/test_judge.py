from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.answers.judge import MAX_REMEMBERED_REPLY, Judge, Verdict, quoted
from sluice.answers.objects import MAX_REPLY, Found, read_objects
from sluice.reasons import Reason
from sluice.task.file import parse_task
from sluice.task.task import Task

LABELS = ["billing", "technical", "Refund_not_showing_up", "reverted_card_payment?"]
SURE = {"label": "billing", "confidence": "certain"}


def make(**changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": LABELS, **changes}, "t")


PLAIN = Judge(make())
MANY = Judge(make(choose={"min": 1, "max": 2}))


def judge(answer: Any, stop: str | None = "end_turn", judge: Judge = PLAIN, **about: Any) -> Verdict:
    return judge.judge(answer if isinstance(answer, str) else json.dumps(answer), stop, **about)


def with_field(schema: dict[str, Any]) -> Judge:
    return Judge(make(labels={}, answer={"confidence": False, "fields": {"x": schema}}))


def test_a_good_answer_is_accepted_with_what_it_said() -> None:
    """A label of the set and enough confidence are all that a plain task asks for."""
    assert judge(SURE) == Verdict(None, ("billing",), "certain", None)


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_spelled_as_in_the_task(label: str) -> None:
    """Capitals, underscores and question marks belong to a label."""
    assert judge({"label": label, "confidence": "likely"}).labels == (label,)


@pytest.mark.parametrize(
    "label", ["Billing", "refund_not_showing_up", "reverted_card_payment", " billing", "", "billing.", "bill"]
)
def test_a_label_is_never_guessed(label: str) -> None:
    """A label that is only like one of the set is unknown."""
    verdict = judge({"label": label, "confidence": "certain"})
    assert verdict == Verdict(Reason.LABEL_UNKNOWN, None, "certain", None, label.strip())


OBJECT = '{\n    "label": "billing",\n    "confidence": "certain"\n}'


@pytest.mark.parametrize(
    "reply",
    [
        OBJECT,
        f"{OBJECT}\n\nThe customer was charged twice, so {{billing}} is the right team.",
        f"{OBJECT}\n\nExplanation: others, such as {{technical}} or {json.dumps({'name': 'technical'})}, fit less.",
        f"```json\n{OBJECT}\n```",
        f"```\n{OBJECT}\n```\n**Why?** An invoice is named.",
        f"Here is the answer you asked for [1]:\n{OBJECT}\n[1] as instructed",
        f"[Note] the set {{a, b}} was read.\n{OBJECT}",
        f"<answer>{OBJECT}</answer>",
        f"\ufeff{OBJECT}",
        '{"label":"billing","confidence":"certain","why":"said \\"twice\\" {"}',
    ],
)
def test_the_object_counts_whatever_stands_around_it(reply: str) -> None:
    """Prose, fences and marks before and behind the object change nothing."""
    assert judge(reply) == Verdict(None, ("billing",), "certain")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", Reason.REPLY_EMPTY),
        (" \n\t", Reason.REPLY_EMPTY),
        ("I'm sorry, but I can't help with that.", Reason.REPLY_REFUSED),
        ("I cannot classify this message.", Reason.REPLY_REFUSED),
        ("billing", Reason.REPLY_NOT_JSON),
        ("The label is billing (certain).", Reason.REPLY_NOT_JSON),
        ('{"label": "billing", "confidence": NaN}', Reason.REPLY_NOT_JSON),
        ("{'label': 'billing', 'confidence': 'certain'}", Reason.REPLY_NOT_JSON),
        ('{"label": "billing", "confidence": "certain", "n": 1e999}', Reason.REPLY_NOT_JSON),
        ('{"label": "billing", "confidence": "certain", "n": "\\ud83d"}', Reason.REPLY_NOT_JSON),
        ('{"label": "billing", "confidence": "certain", "n": ' + "9" * 5000 + "}", Reason.REPLY_NOT_JSON),
        ('"billing"', Reason.REPLY_NOT_OBJECT),
        ('[{"label": "billing", "confidence": "certain"}]', Reason.REPLY_NOT_OBJECT),
        ('```json\n[{"label": "billing", "confidence": "certain"}]\n```', Reason.REPLY_NOT_OBJECT),
        ('["billing"]', Reason.REPLY_NOT_OBJECT),
        ('{"label": "billing", "confi', Reason.REPLY_CUT),
        ('```json\n{"label": "billing",\n```', Reason.REPLY_CUT),
        ('{"steps": [{"label": "billing", "confidence": "certain"}, {"la', Reason.REPLY_CUT),
        ('[{"label": "billing", "confidence": "certain"}, {"la', Reason.REPLY_CUT),
        ("[" * 100_000, Reason.REPLY_TOO_DEEP),
        ('{"a":' * 20_000, Reason.REPLY_TOO_DEEP),
        ('{"label": "billing", "confidence": "certain", "x": ' + "[" * 300 + "]" * 300 + "}", Reason.REPLY_TOO_DEEP),
        ("{}", Reason.LABEL_MISSING),
        ('{"label": null, "confidence": "certain"}', Reason.LABEL_MISSING),
        ('{"category": "billing", "confidence": 0.95}', Reason.LABEL_MISSING),
        ('{"label": 7, "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ('{"label": ["billing"], "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ('{"label": {"name": "billing"}, "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ('{"label": "billing", "label": "technical", "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ('{"\\u006cabel": "technical", "label": "billing", "confidence": "certain"}', Reason.LABEL_UNKNOWN),
        ('{"label": "billing"}', Reason.CONFIDENCE_INVALID),
        ('{"label": "billing", "confidence": 0.95}', Reason.CONFIDENCE_INVALID),
        ('{"label": "billing", "confidence": "unsure", "confidence": "certain"}', Reason.CONFIDENCE_INVALID),
        ('{"label": "billing", "confidence": "unsure"}', Reason.LOW_CONFIDENCE),
    ],
)
def test_each_failure_has_its_reason(reply: str, reason: Reason) -> None:
    """What is wrong with a reply is told apart, and nothing of it is accepted."""
    assert judge(reply).reason is reason


def test_a_member_that_says_the_same_twice_is_clear() -> None:
    """Only different values of one member are ambiguous."""
    assert judge('{"label": "billing", "label": "billing", "confidence": "certain"}').reason is None


@pytest.mark.parametrize("stop", ["content_filtered", "guardrail_intervened", "refusal"])
def test_a_stop_by_policy_is_a_refusal(stop: str) -> None:
    """What a guardrail wrote in place of the model's reply is no answer."""
    assert judge(SURE, stop).reason is Reason.REPLY_REFUSED


@pytest.mark.parametrize("reply", ["I think the best lab", '{"label": "billing", "confidence": tru'])
def test_a_reply_that_ran_out_of_tokens_is_cut(reply: str) -> None:
    """The stop reason tells a cut reply where its text does not."""
    assert judge(reply, "max_tokens").reason is Reason.REPLY_CUT


def test_a_whole_object_counts_though_the_prose_behind_it_is_cut() -> None:
    """Running out of tokens behind the answer does not make it worse."""
    assert judge(f"{OBJECT}\n\nThe customer was cha", "max_tokens").reason is None


def test_an_escalated_answer_keeps_what_it_said() -> None:
    """A low confidence is kept with the label that it stood beside."""
    assert judge({"label": "technical", "confidence": "unsure"}) == Verdict(
        Reason.LOW_CONFIDENCE, ("technical",), "unsure"
    )


def test_the_least_confidence_is_the_tasks() -> None:
    """min_confidence moves the gate."""
    strict = Judge(make(gates={"min_confidence": "certain"}))
    assert judge({"label": "billing", "confidence": "likely"}, judge=strict).reason is Reason.LOW_CONFIDENCE


def test_confidence_that_was_not_asked_for_is_passed_over() -> None:
    """Without answer.confidence, none is needed and none is kept."""
    assert judge(SURE, judge=Judge(make(answer={"confidence": False}))) == Verdict(None, ("billing",), None)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["billing"], None),
        (["technical", "billing"], None),
        ("billing", None),
        ([], Reason.LABELS_COUNT),
        (["billing", "billing"], Reason.LABELS_COUNT),
        (LABELS[:3], Reason.LABELS_COUNT),
        (["billing", "nothing"], Reason.LABEL_UNKNOWN),
        ([["billing"]], Reason.LABEL_UNKNOWN),
        ([None], Reason.LABEL_UNKNOWN),
        (None, Reason.LABEL_MISSING),
    ],
)
def test_several_labels_are_counted(labels: Any, reason: Reason | None) -> None:
    """choose: {min, max} bounds the number of different labels."""
    assert judge({"labels": labels, "confidence": "certain"}, judge=MANY).reason is reason


def test_several_labels_keep_their_order() -> None:
    """Labels stand as the model gave them."""
    said = {"labels": ["technical", "billing"], "confidence": "certain"}
    assert judge(said, judge=MANY).labels == ("technical", "billing")


def test_none_of_the_labels_may_be_an_answer() -> None:
    """min: 0 accepts an empty list, but not a missing one."""
    any_ = Judge(make(choose={"min": 0, "max": 2}))
    assert judge({"labels": [], "confidence": "certain"}, judge=any_) == Verdict(None, (), "certain")
    assert judge({"confidence": "certain"}, judge=any_).reason is Reason.LABEL_MISSING


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "x"),
        ({"type": "integer"}, 2**63 - 1),
        ({"type": "integer"}, -(2**63)),
        ({"type": "integer"}, 3.0),
        ({"type": "number"}, 10**30),
        ({"type": "boolean"}, False),
        ({"type": ["string", "null"]}, None),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["b"]),
        ({"enum": ["a", "b"]}, "a"),
    ],
)
def test_a_field_of_its_type_is_kept(schema: dict[str, Any], value: Any) -> None:
    """What fits the property's schema and its column is accepted and kept as JSON."""
    verdict = judge({"x": value}, judge=with_field(schema))
    assert (verdict.reason, msgspec.json.decode(verdict.fields or b"")) == (None, {"x": value})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, 1),
        ({"type": "string"}, None),
        ({"type": "integer"}, 2**63),
        ({"type": "integer"}, -(2**63) - 1),
        ({"type": "integer"}, 10**30),
        ({"type": "integer"}, 1e300),
        ({"type": "integer"}, 1.5),
        ({"type": "integer"}, True),
        ({"type": "integer"}, "1"),
        ({"type": "number"}, 10**400),
        ({"type": "number"}, "1"),
        ({"type": "boolean"}, 0),
        ({"type": "array", "items": {"type": "integer"}}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2**70]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["c"]),
        ({"enum": ["a", "b"]}, "c"),
    ],
)
def test_a_field_of_another_type_is_refused(schema: dict[str, Any], value: Any) -> None:
    """What does not fit the schema or a 64-bit column fails as fields_invalid, and nothing of it is kept."""
    assert judge({"x": value}, judge=with_field(schema)) == Verdict(Reason.FIELDS_INVALID, (), None, None, "x")


def test_a_field_that_is_said_twice_is_refused() -> None:
    """Two values for one field leave open which is meant."""
    assert judge('{"x": 1, "x": 2}', judge=with_field({"type": "integer"})).reason is Reason.FIELDS_INVALID


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Qualit\u00e9", "Qualite\u0301"),
        ("credit card", "credit\u00a0card"),
        ("won't fix", "won\u2019t fix"),
        ("R&D", "R&amp;D"),
        ("5", 5),
        ("true", True),
    ],
)
def test_a_label_in_another_form_is_stored_as_the_task_spells_it(label: str, said: Any) -> None:
    """One label or one of several; rules see it so, too."""
    rule: dict[str, Any] = {"properties": {"answer": {"properties": {"label": {"const": label}}}}}
    one = Judge(make(labels=[label, "other"], gates={"rules": [{"name": "r", "schema": rule}]}))
    assert judge({"label": said, "confidence": "certain"}, judge=one) == Verdict(None, (label,), "certain")
    rule = {"properties": {"answer": {"properties": {"labels": {"const": [label]}}}}}
    several = Judge(make(labels=[label, "other"], choose="many", gates={"rules": [{"name": "r", "schema": rule}]}))
    assert judge({"labels": ["other"], "confidence": "certain"}, judge=several).reason is Reason.RULE_FAILED
    assert judge({"labels": [said], "confidence": "certain"}, judge=several).labels == (label,)
    assert judge({"labels": [said, label], "confidence": "certain"}, judge=several).reason is Reason.LABELS_COUNT


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("refund", "refund"),
        (" two\nlines\t", "two lines"),
        ("\u202eevil\x07", "evil"),
        ("x" * 500, "x" * 79 + "\u2026"),
        (7, "7"),
        (["billing"], '["billing"]'),
        ({"name": "caf\u00e9"}, '{"name": "caf\u00e9"}'),
    ],
)
def test_what_was_said_instead_of_a_label_is_kept(said: Any, kept: str) -> None:
    """On one line, without what cannot be printed, and cut."""
    verdict = judge({"label": said, "confidence": "certain"})
    assert (verdict.reason, verdict.detail) == (Reason.LABEL_UNKNOWN, kept)


def test_of_several_labels_the_unknown_ones_are_kept() -> None:
    """Those of the task are no news."""
    said = {"labels": ["billing", "refund", 7], "confidence": "certain"}
    assert judge(said, judge=MANY).detail == "refund, 7"


def test_the_fields_that_do_not_fit_are_named() -> None:
    """All of them, by the names of the task."""
    fields = {"n": {"type": "integer"}, "s": {"type": "string"}, "ok": {"type": ["string", "null"]}}
    picky = Judge(make(answer={"fields": fields}))
    assert judge({**SURE, "n": "1", "ok": "x"}, judge=picky).detail == "n, s"


def test_nothing_fits_beside_a_label_that_fits_contradicts_itself() -> None:
    """Alone it is an answer like any other."""
    picky = Judge(make(choose="many", none="technical"))
    assert judge({"labels": ["technical"], "confidence": "certain"}, judge=picky).labels == ("technical",)
    said = judge({"labels": ["billing", "technical"], "confidence": "certain"}, judge=picky)
    assert (said.reason, said.labels) == (Reason.LABELS_CONTRADICT, None)


COPYING = Judge(make(labels={}, answer={"confidence": False, "fields": {"x": {"type": ["string", "null"]}}}))


@pytest.mark.parametrize(
    ("said", "text", "stored"),
    [
        ("AT&amp;T", "Invoice of AT&T", "AT&T"),
        ("&lt;M4 screws", "parts <M4 screws", "<M4 screws"),
        ("AT&amp;T", "the page says AT&amp;T", "AT&amp;T"),
        ("AT&amp;amp;T", "the page says AT&amp;T", "AT&amp;T"),
        ("AT&amp;T", "AT&T, written AT&amp;T", "AT&T"),
        ("Tom &amp; Jerry", "a mug", "Tom & Jerry"),
        ("at&amp;t", "Invoice of AT&T", "at&t"),
        ("AT&T", "Invoice of AT&T", "AT&T"),
        ("5 &gt; 3", "5 > 3", "5 &gt; 3"),
        (None, "Invoice of AT&T", None),
    ],
)
def test_a_copied_value_is_stored_as_the_text_has_it(said: Any, text: str, stored: Any) -> None:
    """The escapes that the request put there are undone, those of the text stay."""
    reply = json.dumps({"x": said})
    assert COPYING.needs_row(reply) is ("&" in reply)
    verdict = judge(reply, judge=COPYING, text=text)
    assert msgspec.json.decode(verdict.fields or b"") == {"x": stored}


def test_copied_values_of_a_list_are_stored_as_the_text_has_them() -> None:
    """Each by itself; rules see them so, and escapes in JSON's own spelling are escapes too."""
    rule = {"properties": {"answer": {"properties": {"x": {"contains": {"const": "a<b"}}}}}}
    fields = {"x": {"type": "array", "items": {"type": "string"}}}
    made = make(
        labels={}, answer={"confidence": False, "fields": fields}, gates={"rules": [{"name": "r", "schema": rule}]}
    )
    reply = '{"x": ["a\\u0026lt;b", "c", "&amp;"]}'
    verdict = judge(reply, judge=Judge(made), text="a<b c &")
    assert (verdict.reason, msgspec.json.decode(verdict.fields or b"")) == (None, {"x": ["a<b", "c", "&"]})
    assert COPYING.needs_row('{"x": "a\\u0026lt;b"}')


@pytest.mark.parametrize("said", ["R&D", "R&amp;D", "R&amp;D\u200b"])
def test_a_choice_of_a_field_is_read_like_a_label(said: str) -> None:
    """Its values are a closed set too, and stored as the task spells them."""
    picky = with_field({"enum": ["R&D", "Sales"]})
    verdict = judge({"x": said}, judge=picky, text="the text says R&amp;D")
    assert msgspec.json.decode(verdict.fields or b"") == {"x": "R&D"}
    assert judge({"x": "sales"}, judge=picky).reason is Reason.FIELDS_INVALID


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("charged twice", "I was charged  twice."),
        ("pages 3-5 are missing", "pages 3\u20135 are missing"),
        ("the caf\u00e9 was closed", "the cafe\u0301 was closed"),
        ("I don't want it", "I don&#39;t want it"),
        ("Tom & Jerry", "Tom &amp; Jerry mug"),
        ("Tom &amp; Jerry", "Tom &amp; Jerry mug"),
        ("Tom &amp;amp; Jerry", "Tom &amp; Jerry mug"),
        ("no&nbsp;way", "no way"),
        ("cooperation ended", "co\u00adoperation ended"),
        ("it is \u00abbroken\u00bb", 'it is "broken"'),
        ("hello world", "hello\u200b world"),
        ("5 - 3 days", "5 \u2212 3 days"),
        ("CHARGED\ntwice", "I was charged\ttwice."),
        ('it\'s "late"...', "it\u2019s \u201clate\u201d\u2026"),
        ("a &lt; b &amp; c", "if a < b & c then"),
        ("x &lt; y", "HTML has x &lt; y in it"),
    ],
)
def test_a_quote_is_found_in_the_text(quote: str, text: str) -> None:
    """White space, capitals, typographic quotes and our own escapes make no difference."""
    assert quoted(quote, text)


@pytest.mark.parametrize(
    "quote", ["charged thrice", "I was not charged", "", "  ", "\u200b", "&nbsp;", None, 7, ["charged"], {"a": 1}]
)
def test_what_does_not_stand_in_the_text_is_no_evidence(quote: Any) -> None:
    """An invented, empty or missing quote fails the gate."""
    evidence = Judge(make(answer={"evidence": True}))
    verdict = judge({**SURE, "evidence": quote}, judge=evidence, text="I was charged twice.")
    assert verdict.reason is Reason.EVIDENCE_NOT_FOUND


RULE = {
    "if": {"properties": {"answer": {"properties": {"label": {"const": "billing"}}}}},
    "then": {"properties": {"row": {"required": ["amount"]}}},
}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"t": "x", "amount": 3}, None),
        ({"t": "x"}, Reason.RULE_FAILED),
    ],
)
def test_a_rule_sees_the_row_and_the_answer(row: dict[str, Any], reason: Reason | None) -> None:
    """A rule holds the answer against its row."""
    ruled = Judge(make(gates={"rules": [{"name": "has-amount", "schema": RULE}]}))
    assert judge(SURE, judge=ruled, row=row).reason is reason


def test_a_rule_that_is_not_about_the_label_passes() -> None:
    """Only answers that the rule speaks of are held against it."""
    ruled = Judge(make(gates={"rules": [{"name": "has-amount", "schema": RULE}]}))
    assert judge({"label": "technical", "confidence": "certain"}, judge=ruled, row={}).reason is None


@pytest.mark.parametrize("row", [{"a": 10**30}, {"a": float("nan")}, {"a": "\ud800"}])
def test_rows_that_are_hardly_json_reach_no_rule_as_an_exception(row: dict[str, Any]) -> None:
    """Numbers that no validator likes end as a verdict."""
    schema = {"properties": {"row": {"properties": {"a": {"type": "number"}}}}}
    ruled = Judge(make(gates={"rules": [{"name": "r", "schema": schema}]}))
    assert isinstance(judge(SURE, judge=ruled, row=row), Verdict)


def test_a_deep_row_reaches_no_rule_as_an_exception() -> None:
    """A row nested deeper than the validator goes ends as a verdict."""
    row: Any = {}
    for _ in range(800):
        row = {"a": row}
    schema = {"properties": {"row": {"type": "object"}}}
    ruled = Judge(make(gates={"rules": [{"name": "r", "schema": schema}]}))
    assert isinstance(judge(SURE, judge=ruled, row=row), Verdict)


@pytest.mark.parametrize(
    "reply",
    [
        "x" * 5_000_000,
        "{" * 5_000_000,
        '{"a": ' * 1_000_000,
        '{"":"' * 100_000,
        "[1] " * 1_000_000,
        ("[" + "1," * 900 + "x") * 1000,
        '{"label": "billing", "confidence": "certain", "x": "' + "y" * 5_000_000,
    ],
)
def test_a_flood_ends_as_a_reason_at_once(reply: str) -> None:
    """Megabytes of anything cost milliseconds."""
    began = time.perf_counter()
    assert judge(reply).reason is not None
    assert time.perf_counter() - began < 1


def test_the_end_of_a_flood_is_not_read() -> None:
    """An object far behind the beginning is no answer."""
    assert judge("x " * MAX_REPLY + OBJECT).reason is Reason.REPLY_NOT_JSON


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*LABELS, "certain", "likely"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["label", "labels", "confidence", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
objects = st.fixed_dictionaries(
    {"label": st.sampled_from(LABELS) | values},
    optional={"confidence": st.sampled_from(["certain", "likely", "unsure"]) | values, "x": values},
)
replies = (
    st.text()
    | st.text('{}[]":,\\ labetconfidru\n`', max_size=80)
    | values.map(json.dumps)
    | objects.map(json.dumps)
    | st.tuples(st.text(max_size=20), objects.map(json.dumps), st.text(max_size=20)).map("".join)
    | st.tuples(objects.map(json.dumps), st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
)
stops = st.sampled_from(["end_turn", "max_tokens", "content_filtered", "stop_sequence", None, "tool_use"])
judges = st.sampled_from([PLAIN, MANY, with_field({"type": "integer"}), with_field({"type": ["number", "null"]})])


@settings(max_examples=300)
@given(replies, stops, judges)
def test_any_reply_ends_as_a_verdict(reply: str, stop: str | None, judge: Judge) -> None:
    """No reply raises, and an accepted one has labels of the set that stand in the reply."""
    verdict = judge.judge(reply, stop)
    for label in verdict.labels or ():
        assert label in LABELS
        assert label in reply


@settings(max_examples=200)
@given(st.lists(replies, max_size=5), stops)
def test_a_remembered_verdict_is_the_one_that_judging_gives(some: list[str], stop: str | None) -> None:
    """Verdicts do not depend on what was judged before."""
    fresh = Judge(make())
    for reply in [*some, *some]:
        assert fresh.judge(reply, stop) == PLAIN.judge_afresh(reply, stop)


def test_few_verdicts_are_remembered_and_only_those_of_short_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a million different replies take no memory; the others are judged each time."""
    monkeypatch.setattr("sluice.answers.judge.MAX_REMEMBERED", 2)
    judged: list[str] = []

    class Listening(Judge):
        def judge_afresh(self, reply: str, *about: Any) -> Verdict:
            judged.append(reply)
            return super().judge_afresh(reply, *about)

    long = json.dumps(SURE | {"why": "x" * MAX_REMEMBERED_REPLY})
    replies = [long, *(json.dumps(SURE | {"n": number}) for number in range(3))]
    judge = Listening(make())
    for reply in [*replies, *replies]:
        assert judge.judge(reply, "end_turn").labels == ("billing",)
    assert judged == [*replies, long, replies[3]]


@given(objects.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)))
def test_any_object_is_found_again(value: dict[str, Any]) -> None:
    """What a JSON writer wrote is read as the object it was, or refused as a whole."""
    found = read_objects(f"Here: {json.dumps(value)}")
    if isinstance(found, Found):
        assert [item for item, _ in found.objects] == [value]
    else:
        assert found in (Reason.REPLY_NOT_JSON, Reason.REPLY_TOO_DEEP)
