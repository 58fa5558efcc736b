"""Judging a reply: the objects in it that could answer the task, then labels, confidence, fields, and the task's gates.

Every failure has one reason. Replies are as hostile as rows: whatever they hold ends as a reason, never as an
exception, and a label outside the set is never guessed into it.
"""

from __future__ import annotations

import html
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs
import msgspec

from sluice.answers.objects import Found, ambiguous, lone_object, read_objects, strict
from sluice.answers.requests import STAND_INS
from sluice.reasons import Reason
from sluice.task.answer import Confidence, FieldType
from sluice.task.spelling import Names, plain_form, printable_name, unescaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.task.answer import AnswerField
    from sluice.task.task import Task

STOPPED_SHORT = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_POLICY = frozenset({"content_filtered", "guardrail_intervened", "refusal"})
NOT_CUT = frozenset({Reason.REPLY_EMPTY, Reason.REPLY_AMBIGUOUS})  # reasons that a lack of tokens does not explain
OPENS_LIST = re.compile(r"\[(?!\s*\{)")  # a mark such as [1] that was cut off; behind an answer it says nothing
SHOWN = 80  # characters that are kept of what was said instead of a label
SHOWN_WORDS = 10
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

    `fields` holds the extracted fields as JSON; `detail` what was said instead of a label, or which fields do not fit.
    """

    reason: Reason | None
    labels: tuple[str, ...] | None = None
    confidence: str | None = None
    fields: bytes | None = None
    detail: str | None = None


class Judge:
    """Judges replies of one task."""

    def __init__(self, task: Task, *, by_word: bool = True) -> None:
        self.labels = Names(task.labels)
        self.none = task.none
        self.key = ("labels" if task.many else "label") if task.labels else None
        self.many = task.many
        self.counts = range(task.min_labels, task.max_labels + 1)
        self.confidence = task.answer.confidence
        least = ((task.gates.min_confidence if by_word else None) or Confidence.UNSURE).rank
        self.enough = frozenset(level.value for level in Confidence if level.rank >= least)
        self.levels = [level.value for level in Confidence]
        self.evidence = task.answer.evidence
        self.fields = task.answer.fields
        self.asked = frozenset([self.key] if self.key else self.fields)
        self.choices = {name: Names(map(str, field.enum)) for name, field in self.fields.items() if _is_choice(field)}
        self.copied = frozenset(name for name, field in self.fields.items() if field.type is FieldType.STRING)
        self.rules = [jsonschema_rs.validator_for(rule.json_schema) for rule in task.gates.rules]
        self._always_needs_row = bool(task.answer.evidence or task.gates.rules)
        self.may_need_row = self._always_needs_row or bool(self.copied)
        names = "|".join(map(re.escape, sorted(self.asked)))
        self._speaks_of_asked = re.compile(rf"""(?<!\w)(?:{names})["'\u2019\u201d]?\s*:""").search
        self._remembered: dict[tuple[str, str | None], Verdict] = {}

    def needs_row(self, reply: str) -> bool:
        """Whether the verdict on a reply depends on its text or row: by a gate, or since it may hold our escapes."""
        return self._always_needs_row or (self.may_need_row and ("&" in reply or "\\u0026" in reply))

    def judge(self, reply: str, stop: str | None, text: str = "", row: dict[str, Any] | None = None) -> Verdict:
        """The verdict on one reply. `text` and `row` matter only where `needs_row` says so; else it is remembered."""
        if self.may_need_row and self.needs_row(reply):
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
        alone = lone_object(reply)
        answers = self._answers(reply) if alone is None else strict(reply, alone)
        if isinstance(answers, dict):
            return self._verdict(answers, text, row)
        if isinstance(answers, Reason):
            return Verdict(Reason.REPLY_CUT if stop in STOPPED_SHORT and answers not in NOT_CUT else answers)
        return agreed([self._verdict(answer, text, row) for answer in answers])

    def _answers(self, reply: str) -> list[dict[str, Any]] | Reason:
        """The objects of a reply that could answer the task; where none could, the one that says so best."""
        found = read_objects(reply)
        if isinstance(found, Reason):
            return found
        named = [item for item in found.objects if self._names_asked(item[0])]
        answers = [item for item in named if not self._is_form(item[0])]
        reason = self._unreadable(found, answered=bool(answers))
        if reason is not None:
            return reason
        objects = []
        for value, raw in answers or named[:1] or found.objects[:1]:
            checked = strict(raw, value)
            if isinstance(checked, Reason):
                return checked
            objects.append(checked)
        return objects or without_object(found.prose)

    def _unreadable(self, found: Found, *, answered: bool) -> Reason | None:
        """Why a reply cannot be taken at its objects' word, if so: part of it could say something else."""
        if found.cut and not (answered and OPENS_LIST.match(found.cut)):
            return Reason.REPLY_CUT
        if any(map(self._speaks_of_asked, found.broken)):
            return Reason.REPLY_NOT_JSON
        if any(map(self._names_asked, found.listed)) or (found.listed and not found.objects):
            return Reason.REPLY_NOT_OBJECT
        return Reason.REPLY_AMBIGUOUS if answered and not found.whole else None

    def _names_asked(self, value: dict[str, Any]) -> bool:
        return not self.asked.isdisjoint(value)

    def _is_form(self, value: dict[str, Any]) -> bool:
        """Whether an object only repeats the form of the answer, with the stand-ins of the instructions."""
        for name in self.asked.intersection(value):
            given = value[name]
            items = given if isinstance(given, list) else [given]
            if not items or any(item not in STAND_INS or item in self.labels.names for item in items):
                return False
        return True

    def _verdict(self, answer: dict[str, Any], text: str, row: dict[str, Any] | None) -> Verdict:
        labels, wrong_labels, word = self._labels(answer)
        confidence, wrong_confidence = self._confidence(answer)
        values, wrong_fields = self._fields(answer, text)
        reason = wrong_labels or wrong_confidence
        if reason is None and wrong_fields:
            reason, word = Reason.FIELDS_INVALID, clean(", ".join(wrong_fields))
        if reason is None and self.confidence and confidence not in self.enough:
            reason = Reason.LOW_CONFIDENCE
        if reason is None and self.evidence and not quoted(answer.get("evidence"), text):
            reason = Reason.EVIDENCE_NOT_FOUND
        if reason is None and self.rules and not self._keeps_rules(self._as_stored(answer, labels, values), row):
            reason = Reason.RULE_FAILED
        fields = msgspec.json.encode(values) if self.fields and not wrong_fields else None
        return Verdict(reason, labels, confidence, fields, word)

    def _labels(self, answer: dict[str, Any]) -> tuple[tuple[str, ...] | None, Reason | None, str | None]:
        """The labels, else why there are none, and what was said in their place."""
        if self.key is None:
            return (), None, None
        given = answer.get(self.key)
        if given is None and (self.key not in answer or self.labels.find(None) is None):
            return None, Reason.LABEL_MISSING, None
        items = given if isinstance(given, list) and self.many else [given]
        if self.key in ambiguous(answer):
            return None, Reason.LABEL_UNKNOWN, None
        found = [self.labels.find(item) for item in items]
        labels = tuple(label for label in found if label is not None)
        if len(labels) < len(items):
            strangers = [item for item, label in zip(items, found, strict=True) if label is None]
            return None, Reason.LABEL_UNKNOWN, clean(", ".join(map(_word, strangers[:SHOWN_WORDS])))
        if len(labels) not in self.counts or len(set(labels)) < len(labels):
            return None, Reason.LABELS_COUNT, None
        if self.none in labels and len(labels) > 1:
            return None, Reason.LABELS_CONTRADICT, None
        return labels, None, None

    def _confidence(self, answer: dict[str, Any]) -> tuple[str | None, Reason | None]:
        if not self.confidence:
            return None, None
        given = answer.get("confidence")
        if not isinstance(given, str) or given not in self.levels or "confidence" in ambiguous(answer):
            return None, Reason.CONFIDENCE_INVALID
        return given, None

    def _fields(self, answer: dict[str, Any], text: str) -> tuple[dict[str, Any], list[str]]:
        """The extracted fields, and those that do not fit. One that may be null may be left out, but not all of them.

        A task without labels asks for nothing else, so that an answer that names no field is none.
        """
        if not self.fields:
            return {}, []
        if self.key is None and not self._names_asked(answer):
            return {}, list(self.fields)
        values = {name: self._value(name, answer.get(name), text) for name in self.fields}
        unclear = ambiguous(answer)
        wrong = [name for name, field in self.fields.items() if name in unclear or not fits(field, values[name])]
        return values, wrong

    def _value(self, name: str, value: Any, text: str) -> Any:
        """A value as it is stored: a choice as the task spells it, a copy from the text without our escapes."""
        if name in self.choices:
            return _each(value, lambda item: self.choices[name].find(item) or item)
        return _each(value, lambda item: copied(item, text)) if name in self.copied else value

    def _as_stored(
        self, answer: dict[str, Any], labels: tuple[str, ...] | None, values: dict[str, Any]
    ) -> dict[str, Any]:
        """The answer as rules see it: with labels and fields as they are stored, and all else as it was given."""
        stored = answer | {name: value for name, value in values.items() if name in answer}
        if self.key is not None and labels:
            stored[self.key] = list(labels) if self.many else labels[0]
        return stored

    def _keeps_rules(self, answer: dict[str, Any], row: dict[str, Any] | None) -> bool:
        instance = {"row": row, "answer": dict(answer)}
        try:
            return all(rule.is_valid(instance) for rule in self.rules)
        except (ValueError, OverflowError, RecursionError):  # the row holds what the validator cannot take
            return False


def agreed(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a reply whose objects have these: the worst of them, if they say the same."""
    first, *others = verdicts
    if not others:
        return first
    if any(_said(other) != _said(first) for other in others):
        return Verdict(Reason.REPLY_AMBIGUOUS)
    return min(verdicts, key=_goodness)


def _said(verdict: Verdict) -> tuple[Any, Any]:
    labels = None if verdict.labels is None else frozenset(verdict.labels)
    return labels, None if verdict.fields is None else msgspec.json.decode(verdict.fields)


def _goodness(verdict: Verdict) -> tuple[int, int]:
    """How far an answer came: by the gate that stopped it, then by how sure it was."""
    stopped = len(Reason) if verdict.reason is None else list(Reason).index(verdict.reason)
    return stopped, -1 if verdict.confidence is None else Confidence(verdict.confidence).rank


def without_object(prose: str) -> Reason:
    """Why a reply holds no answer, by what it holds instead of an object."""
    plain = prose.strip().removeprefix("```json").strip("`\n ")
    if REFUSAL.match(plain):
        return Reason.REPLY_REFUSED
    try:
        json.loads(plain)
    except RecursionError:
        return Reason.REPLY_TOO_DEEP
    except ValueError:
        return Reason.REPLY_NOT_JSON
    return Reason.REPLY_NOT_OBJECT


def _is_choice(field: AnswerField) -> bool:
    return bool(field.enum) and field.type is FieldType.STRING


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value, or each element of a list, changed; null stays null."""
    if isinstance(value, list):
        return [change(item) for item in value]
    return None if value is None else change(value)


def _word(item: Any) -> str:
    """What stands in the place of a label, as text."""
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def clean(text: str) -> str:
    """A text on one line without what cannot be printed or turns the direction of others, cut to `SHOWN` characters."""
    shown = " ".join("".join(item if printable_name(item) else " " for item in text[: 10 * SHOWN]).split())
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}\N{HORIZONTAL ELLIPSIS}"


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


def quoted(quote: Any, text: str) -> bool:
    """Whether a quote occurs in the text, but for white space, capitals, forms of characters and escapes of HTML."""
    if not isinstance(quote, str):
        return False
    # Our own escapes are undone once more: of a text that holds escapes itself, its request shows them doubly.
    plain = unescaped(quote)
    quotes = set(map(_folded, {quote, plain, html.unescape(quote), html.unescape(plain)}))
    texts = set(map(_folded, {text, html.unescape(text)}))
    return all(quotes) and any(form in whole for form in quotes for whole in texts)


def copied(value: Any, text: str) -> Any:
    """A value that was copied from a request, as the text has it.

    Our escapes are undone where the text holds the undone value, or where it does not hold the value as it is.
    """
    if not isinstance(value, str) or "&" not in value or (plain := unescaped(value)) == value:
        return value
    whole = _folded(text)
    return plain if _folded(plain) in whole or _folded(value) not in whole else value


def _folded(text: str) -> str:
    return _SPACE.sub(" ", plain_form(text)).strip().casefold()
