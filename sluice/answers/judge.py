"""Judging a reply: the first JSON object in it, then labels, confidence, fields, and the task's gates.

Every failure has one reason. Replies are as hostile as rows: whatever they hold ends as a reason, never as an
exception, and a label outside the set is never guessed into it.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs
import msgspec

from sluice.reasons import Reason
from sluice.task.answer import Confidence, FieldType

if TYPE_CHECKING:
    from sluice.task.answer import AnswerField
    from sluice.task.task import Task

MAX_REPLY = 100_000  # characters: far beyond any answer asked for, so the rest of a flood is not read
MAX_STARTS = 50  # places at which an object is looked for
MAX_OPENINGS = 200  # braces and brackets of one object: no answer asked for comes near, and the stack stays flat
STOPPED_SHORT = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_POLICY = frozenset({"content_filtered", "guardrail_intervened", "refusal"})
INT64 = range(-(2**63), 2**63)

# Short replies repeat: a task of 77 labels and three levels of confidence has 231 good ones.
MAX_REMEMBERED = 5_000
MAX_REMEMBERED_REPLY = 300

# How models begin when they decline; only a reply without any JSON object is held against it.
REFUSAL = re.compile(
    r"(i['\u2019]m sorry|i am sorry|sorry,|i apologi[sz]e|i can['\u2019]?t|i cannot|i can not|i won['\u2019]?t"
    r"|i will not|i['\u2019]m (not able|unable)|i am (not able|unable)|as an ai|unfortunately, i)",
    re.IGNORECASE,
)


class Verdict(NamedTuple):
    """What came of a reply. `reason` is None when it is accepted; the rest is what it said, as far as it could be read.

    `fields` holds the extracted fields as JSON.
    """

    reason: Reason | None
    labels: tuple[str, ...] | None = None
    confidence: str | None = None
    fields: bytes | None = None


class Judge:
    """Judges replies of one task."""

    def __init__(self, task: Task) -> None:
        self.labels = frozenset(task.labels)
        self.many = task.many
        self.counts = range(task.min_labels, task.max_labels + 1)
        self.confidence = task.answer.confidence
        least = (task.gates.min_confidence or Confidence.UNSURE).rank
        self.enough = frozenset(level.value for level in Confidence if level.rank >= least)
        self.levels = frozenset(level.value for level in Confidence)
        self.evidence = task.answer.evidence
        self.fields = task.answer.fields
        self.rules = [jsonschema_rs.validator_for(rule.json_schema) for rule in task.gates.rules]
        self.needs_row = bool(task.answer.evidence or task.gates.rules)
        self._remembered: dict[tuple[str, str | None], Verdict] = {}

    def judge(self, reply: str, stop: str | None, text: str = "", row: dict[str, Any] | None = None) -> Verdict:
        """The verdict on one reply. `text` and `row` matter only where `needs_row` says so."""
        if self.needs_row:
            return self.judge_afresh(reply, stop, text, row)
        verdict = self._remembered.get((reply, stop))
        if verdict is None:
            verdict = self.judge_afresh(reply, stop)
            if len(reply) <= MAX_REMEMBERED_REPLY and len(self._remembered) < MAX_REMEMBERED:
                self._remembered[reply, stop] = verdict
        return verdict

    def judge_afresh(self, reply: str, stop: str | None, text: str = "", row: dict[str, Any] | None = None) -> Verdict:
        """The same without looking at verdicts on equal replies.

        A whole object counts even when the reply was cut behind it, in the prose that some models add.
        """
        if stop in STOPPED_BY_POLICY:
            return Verdict(Reason.REPLY_REFUSED)
        answer = first_object(reply)
        if isinstance(answer, Reason):
            return Verdict(Reason.REPLY_CUT if stop in STOPPED_SHORT and answer is not Reason.REPLY_EMPTY else answer)
        labels, wrong_labels = self._labels(answer)
        confidence, wrong_confidence = self._confidence(answer)
        fields, wrong_fields = self._fields(answer)
        reason = wrong_labels or wrong_confidence or wrong_fields
        if reason is None and self.confidence and confidence not in self.enough:
            reason = Reason.LOW_CONFIDENCE
        if reason is None and self.evidence and not quoted(answer.get("evidence"), text):
            reason = Reason.EVIDENCE_NOT_FOUND
        if reason is None and not self._keeps_rules(answer, row):
            reason = Reason.RULE_FAILED
        return Verdict(reason, labels, confidence, fields)

    def _labels(self, answer: dict[str, Any]) -> tuple[tuple[str, ...] | None, Reason | None]:
        if not self.labels:
            return (), None
        key = "labels" if self.many else "label"
        given = answer.get(key)
        if given is None:
            return None, Reason.LABEL_MISSING
        items = given if isinstance(given, list) and self.many else [given]
        known = all(isinstance(item, str) and item in self.labels for item in items)
        if not known or key in ambiguous(answer):
            return None, Reason.LABEL_UNKNOWN
        if len(items) not in self.counts or len(set(items)) < len(items):
            return None, Reason.LABELS_COUNT
        return tuple(items), None

    def _confidence(self, answer: dict[str, Any]) -> tuple[str | None, Reason | None]:
        if not self.confidence:
            return None, None
        given = answer.get("confidence")
        if not isinstance(given, str) or given not in self.levels or "confidence" in ambiguous(answer):
            return None, Reason.CONFIDENCE_INVALID
        return given, None

    def _fields(self, answer: dict[str, Any]) -> tuple[bytes | None, Reason | None]:
        """The extracted fields as JSON. A field that may be null may also be left out."""
        if not self.fields:
            return None, None
        values = {name: answer.get(name) for name in self.fields}
        unclear = ambiguous(answer)
        if any(name in unclear or not fits(field, values[name]) for name, field in self.fields.items()):
            return None, Reason.FIELDS_INVALID
        return msgspec.json.encode(values), None

    def _keeps_rules(self, answer: dict[str, Any], row: dict[str, Any] | None) -> bool:
        if not self.rules:
            return True
        instance = {"row": row, "answer": dict(answer)}
        try:
            return all(rule.is_valid(instance) for rule in self.rules)
        except (ValueError, OverflowError, RecursionError):  # the row holds what the validator cannot take
            return False


def first_object(reply: str) -> dict[str, Any] | Reason:
    """The first JSON object of a reply, whatever prose or fences stand around it.

    An object inside a list is one of several answers, and one inside an object that was cut off is no answer of its
    own: neither is taken out.
    """
    text = reply[:MAX_REPLY]
    if not text.strip():
        return Reason.REPLY_EMPTY
    at = 0
    for _ in range(MAX_STARTS):
        start = _START.search(text, at)
        if start is None:
            break
        at = start.end()
        try:
            value, end = _DECODER.raw_decode(text, start.start())
        except RecursionError:
            return Reason.REPLY_TOO_DEEP
        except json.JSONDecodeError as error:
            if _at_end(text, error):
                return Reason.REPLY_CUT
            continue
        except ValueError:  # NaN, Infinity or a number of thousands of digits
            return Reason.REPLY_NOT_JSON
        if isinstance(value, dict):
            return _strict(text[start.start() : end], value)
        if any(isinstance(item, dict) for item in value):
            return Reason.REPLY_NOT_OBJECT
        at = end  # a list of other things, such as the mark [1] in prose
    return _without_object(text)


_START = re.compile(r'\{(?=\s*["}])|\[')  # where an object or a list can begin; prose has other braces too


def _without_object(text: str) -> Reason:
    plain = text.strip().removeprefix("```json").strip("`\n ")
    if REFUSAL.match(plain):
        return Reason.REPLY_REFUSED
    try:
        json.loads(plain)
    except RecursionError:
        return Reason.REPLY_TOO_DEEP
    except ValueError:
        return Reason.REPLY_NOT_JSON
    return Reason.REPLY_NOT_OBJECT


def _at_end(text: str, error: json.JSONDecodeError) -> bool:
    """Whether an object runs to the end of the reply, so that it was cut."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip().removesuffix("```").rstrip())


def _strict(raw: str, value: dict[str, Any]) -> dict[str, Any] | Reason:
    """What the lenient reader took is read again by a strict one, which refuses what cannot be stored."""
    if raw.count("{") + raw.count("[") > MAX_OPENINGS:
        return Reason.REPLY_TOO_DEEP
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return Reason.REPLY_NOT_JSON
    return value


class _Doubled(dict[str, Any]):
    """An object that names some members twice, with different values."""

    names: frozenset[str] = frozenset()


def ambiguous(answer: dict[str, Any]) -> frozenset[str]:
    """The members that an answer gives two different values."""
    return answer.names if isinstance(answer, _Doubled) else frozenset()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = _Doubled(made)
    doubled.names = frozenset(name for name, value in pairs if value is not made[name] and value != made[name])
    return doubled


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)


def fits(field: AnswerField, value: Any) -> bool:
    """Whether an extracted value fits its field and its column: integers have 64 bits, numbers are finite."""
    if not field.admits(value):
        return False
    items = [] if value is None else value if field.array else [value]
    if field.type is FieldType.INTEGER:
        return all(int(item) in INT64 for item in items)
    return field.type is not FieldType.NUMBER or all(_finite(item) for item in items)


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond every float
        return False


_SPACE = re.compile(r"\s+")
_TYPOGRAPHY = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2026": "..."}
)


def quoted(quote: Any, text: str) -> bool:
    """Whether a quote occurs in the text, but for white space, capitals, typographic quotes and our own escapes."""
    if not isinstance(quote, str) or not quote.strip():
        return False
    plain = quote.replace("&lt;", "<").replace("&amp;", "&")
    whole = _folded(text)
    return any(_folded(form) in whole for form in {quote, plain})


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text.translate(_TYPOGRAPHY)).strip().casefold()
