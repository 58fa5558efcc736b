"""Judging an answer: the first JSON object of a reply, its labels, its fields, the task's gates.

Replies are as hostile as rows. Whatever a model returns ends as an accepted answer or as one reason; a label outside
the set is never guessed into it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs
import msgspec

from sluice.reasons import Reason
from sluice.task import Confidence, FieldType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.task import AnswerField, Task

MAX_REPLY = 100_000  # characters: far beyond any answer asked for, so the rest of a flood is not read
MAX_STARTS = 20  # an object is looked for behind this many opening braces
STOPPED_SHORT = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_POLICY = frozenset({"content_filtered", "guardrail_intervened", "refusal"})
INT64 = range(-(2**63), 2**63)

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
        self.labels = {label: (label,) for label in task.labels}
        self.many = task.many
        self.counts = range(task.min_labels, task.max_labels + 1)
        self.confidence = task.answer.confidence
        self.enough = {
            level.value for level in Confidence if level.rank >= (task.gates.min_confidence or Confidence.UNSURE).rank
        }
        self.levels = set(Confidence)
        self.evidence = task.answer.evidence
        self.fields = task.answer.fields
        self.rules = [jsonschema_rs.validator_for(rule.json_schema) for rule in task.gates.rules]
        self.needs_row = bool(task.answer.evidence or task.gates.rules)
        simple = bool(self.labels) and not (self.many or self.fields or self.needs_row)
        self._decode = msgspec.json.Decoder(_Simple).decode if simple else None

    def judge(self, reply: str, stop: str | None, text: str = "", row: dict[str, Any] | None = None) -> Verdict:
        """The verdict on one reply. `text` and `row` matter only where `needs_row` says so."""
        if self._decode is not None and stop == "end_turn":
            try:
                answer = self._decode(reply)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                pass
            else:
                labels = self.labels.get(answer.label)
                sure = answer.confidence in self.enough if self.confidence else answer.confidence is None
                # A label that is named twice could be two labels: the careful way decides.
                if labels is not None and sure and reply.count('"label"') == 1:
                    return Verdict(None, labels, answer.confidence)
        return self._judge_carefully(reply, stop, text, row)

    def _judge_carefully(self, reply: str, stop: str | None, text: str, row: dict[str, Any] | None) -> Verdict:
        if stop in STOPPED_BY_POLICY:
            return Verdict(Reason.REPLY_REFUSED)
        answer = first_object(reply)
        if isinstance(answer, Reason):
            return Verdict(Reason.REPLY_CUT if stop in STOPPED_SHORT and answer is not Reason.REPLY_EMPTY else answer)
        labels = self._labels(answer)
        said, reason = (None, labels) if isinstance(labels, Reason) else (labels, None)
        confidence = answer.get("confidence") if self.confidence else None
        known = confidence if isinstance(confidence, str) and confidence in self.levels else None
        if reason is None and stop in STOPPED_SHORT and not self.labels:
            reason = Reason.REPLY_CUT
        if reason is None and self.confidence and known is None:
            reason = Reason.CONFIDENCE_INVALID
        fields = self._fields(answer)
        if reason is None and fields is None:
            reason = Reason.FIELDS_INVALID
        if reason is None and self.confidence and known not in self.enough:
            reason = Reason.LOW_CONFIDENCE
        if reason is None:
            reason = self._gates(answer, text, row)
        return Verdict(reason, said, known, fields if self.fields else None)

    def _labels(self, answer: dict[str, Any]) -> tuple[str, ...] | Reason:
        if not self.labels:
            return ()
        given = answer.get("labels" if self.many else "label")
        if given is None:
            return Reason.LABEL_MISSING
        items = given if isinstance(given, list) and self.many else [given]
        if not all(isinstance(item, str) and item in self.labels for item in items):
            return Reason.LABEL_UNKNOWN
        if len(items) not in self.counts or len(set(items)) < len(items):
            return Reason.LABELS_COUNT
        return tuple(items)

    def _fields(self, answer: dict[str, Any]) -> bytes | None:
        """The extracted fields as JSON, None when one does not fit."""
        values = {name: answer.get(name) for name in self.fields}
        if not all(fits(field, values[name]) for name, field in self.fields.items()):
            return None
        return msgspec.json.encode(values)

    def _gates(self, answer: dict[str, Any], text: str, row: dict[str, Any] | None) -> Reason | None:
        if self.evidence and not quoted(answer.get("evidence"), text):
            return Reason.EVIDENCE_NOT_FOUND
        instance = {"row": row, "answer": answer}
        try:
            passed = all(rule.is_valid(instance) for rule in self.rules)
        except (ValueError, OverflowError, RecursionError):  # a value that the validator cannot hold
            passed = False
        return None if passed else Reason.RULE_FAILED


class _Simple(msgspec.Struct):
    """The answer of the commonest kind of task; decoded in one go, other members are passed over."""

    label: str
    confidence: str | None = None


def first_object(reply: str) -> dict[str, Any] | Reason:
    """The first JSON object of a reply, whatever prose or fences stand around it."""
    text = reply[:MAX_REPLY]
    if not text.strip():
        return Reason.REPLY_EMPTY
    start, cut = text.find("{"), False
    if start < 0 or text.lstrip().startswith("["):
        return _without_object(text)
    for _ in range(MAX_STARTS):
        try:
            value, end = _DECODER.raw_decode(text, start)
        except _DoubleKeyError:
            return Reason.LABEL_UNKNOWN
        except RecursionError:
            return Reason.REPLY_TOO_DEEP
        except json.JSONDecodeError as error:
            # An object that runs to the end of the reply is cut; what stands inside it is no answer of its own.
            cut = _at_end(text, error)
        except ValueError:  # NaN, Infinity or a number of thousands of digits
            return Reason.REPLY_NOT_JSON
        else:
            return _strict(text[start:end], value)
        start = -1 if cut else text.find("{", start + 1)
        if start < 0:
            break
    return Reason.REPLY_CUT if cut else _without_object(text)


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
    return error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip().removesuffix("```").rstrip())


def _strict(raw: str, value: dict[str, Any]) -> dict[str, Any] | Reason:
    """What the lenient reader took is read again by a strict one, which refuses what cannot be stored."""
    try:
        msgspec.json.decode(raw)
    except RecursionError:
        return Reason.REPLY_TOO_DEEP
    except (msgspec.MsgspecError, UnicodeError):
        return Reason.REPLY_NOT_JSON
    return value


class _DoubleKeyError(ValueError):
    """An answer names its label twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for name in ("label", "labels"):
            if len({json.dumps(value) for key, value in pairs if key == name}) > 1:
                raise _DoubleKeyError(name)
    return made


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def fits(field: AnswerField, value: Any) -> bool:
    """Whether an extracted value fits its field and its column."""
    if not field.admits(value):
        return False
    if field.type is FieldType.INTEGER and value is not None:
        return all(int(item) in INT64 for item in (value if field.array else [value]))
    return True


_SPACE = re.compile(r"\s+")
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u2026", "''\"\".")


def quoted(quote: Any, text: str) -> bool:
    """Whether a quote occurs in the text; white space, typographic quotes and our own escapes do not matter."""
    if not isinstance(quote, str) or not quote.strip():
        return False
    plain = quote.replace("&lt;", "<").replace("&amp;", "&")
    return any(_folded(form) in _folded(text) for form in (quote, plain))


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text.translate(_QUOTES)).strip().casefold()


def label_of(labels: Sequence[str] | None, *, many: bool) -> str | None:
    """The single label of an answer, None for a list of them."""
    return labels[0] if labels and not many else None
