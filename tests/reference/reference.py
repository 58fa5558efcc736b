"""What becomes of each row, in memory, by docs/tasks.md, docs/results.md and docs/internals/architecture.md."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("unsure", "likely", "certain")
KINDS: dict[str, Any] = {"string": str, "boolean": bool, "integer": (int, float), "number": (int, float)}


@dataclass(frozen=True)
class Came:
    text: str = ""
    stop: str = "end_turn"
    tokens: tuple[int, int] = (0, 0)
    fault: str | None = None


@dataclass
class Answer:
    reason: str | None
    labels: list[str] | None = None
    confidence: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Record:
    text: str
    row: dict[str, Any]
    first: tuple[str, int]
    rows: int = 0
    answer: Answer = field(default_factory=lambda: Answer(None))
    trail: list[dict[str, Any]] = field(default_factory=list)
    shown: Counter[tuple[str, ...]] = field(default_factory=Counter)
    bought: dict[str, Any] = field(default_factory=lambda: {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0})


Task = Mapping[str, Any]
Model = Callable[[int, str, int], Came]  # of tier, text and attempt
Word = Callable[[str, tuple[str, ...], int], Came]  # of text, labels that it is shown with, and sending of the two
Prices = Sequence[
    tuple[float, float]
]  # USD of a token in and of one out, as it is sent, by tier; a judge's behind them
# What a judge is asked, as a task.
ASKED: dict[str, Any] = {"labels": ["right", "wrong", "unclear"], "choose": (1, 1, False)}
ASKED |= {"answer": {"confidence": False, "evidence": False, "fields": {}}}
ASKED |= {"gates": {"rules": [], "min_confidence": None}}


def decide(task: Task, files: Mapping[str, bytes], model: Model, word: Word, prices: Prices) -> list[dict[str, Any]]:
    """The decision on each row of the files, in order."""
    records: dict[Any, Record] = {}
    rows: list[tuple[tuple[str, int], str | None, Any]] = []
    looks_at_row = any('"row"' in json.dumps(rule["schema"]) for rule in task["gates"]["rules"])
    for name, data in files.items():
        for line, raw, row in csv_rows(data) if name.endswith(".csv") else json_rows(data):
            reason, text = (row, "") if isinstance(row, str) else read_text(task, row)
            key = (text, raw) if looks_at_row else text
            if reason is None:
                records.setdefault(key, Record(text, row, (name, line))).rows += 1
            rows.append(((name, line), reason, key))
    for record in records.values():
        settle(task, record, model, word, prices)
    return [decision(place, reason, None if reason else records[key]) for place, reason, key in rows]


def csv_rows(data: bytes) -> list[tuple[int, Any, Any]]:
    head, *rest = csv.reader(io.StringIO(data.decode(), newline=""))
    rows = [(cells, {name: cell or None for name, cell in zip(head, cells, strict=False)}) for cells in rest if cells]
    return [(n, str(row), row if len(cells) == len(head) else "row_not_csv") for n, (cells, row) in enumerate(rows, 1)]


def json_rows(data: bytes) -> list[tuple[int, Any, Any]]:
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [(n, line, json_row(line)) for n, line in enumerate(lines, 1) if line]


def json_row(line: bytes) -> Any:
    try:
        row = json.loads(line.decode())
    except ValueError as error:
        return "row_not_utf8" if isinstance(error, UnicodeDecodeError) else "row_not_json"
    return row if isinstance(row, dict) else "row_not_object"


def read_text(task: Task, row: dict[str, Any]) -> tuple[str | None, str]:
    text = row.get(task["input"]["text"])
    if not isinstance(text, str):
        return ("text_missing" if text is None else "text_not_string"), ""
    too_long = len(text.encode()) > 4 * task["input"]["max_tokens"]
    return ("text_too_long" if too_long else None if text.strip() else "text_empty"), text


def settle(task: Task, record: Record, model: Model, word: Word, prices: Prices) -> None:
    for tier, asked in enumerate(task["tiers"]):
        for attempt in range(1, asked["attempts"] + 1):
            came = model(tier, record.text, attempt)
            record.answer = answer = Answer(came.fault) if came.fault else judge(task, came.text, came.stop, record)
            buy(record, came, prices[tier])
            again = came.fault not in {None, "record_refused"} and attempt < asked["attempts"]
            last = "escalated" if tier + 1 < len(task["tiers"]) else "unresolved"
            outcome = "accepted" if answer.reason is None else "retried" if again else last
            record.trail.append(step := {"tier": tier, "outcome": outcome, "reason": answer.reason})
            if answer.reason is None and task["gates"].get("judge"):
                answer.reason = step["reason"] = ask_judge(task, record, tier, word, prices[-1])
                step["outcome"] = "accepted" if answer.reason is None else last
            if answer.reason is None:
                return
            if not again:
                break


def buy(record: Record, came: Came, price: tuple[float, float]) -> None:
    record.bought["input_tokens"] += came.tokens[0]
    record.bought["output_tokens"] += came.tokens[1]
    record.bought["cost_usd"] += came.tokens[0] * price[0] + came.tokens[1] * price[1]


def ask_judge(task: Task, record: Record, tier: int, word: Word, price: tuple[float, float]) -> str | None:
    """Why the answer does not stand; the words stand in the trail behind it."""
    most, reason = task["gates"]["judge"]["attempts"], None
    for attempt in range(1, most + 1):
        labels = tuple(record.answer.labels or ())
        record.shown[labels] += 1
        came = word(record.text, labels, record.shown[labels])
        buy(record, came, price)
        said = Answer(None) if came.fault else judge(ASKED, came.text, came.stop, record)
        reason = came.fault or ("judge_unclear" if said.reason else WORDS[(said.labels or ["unclear"])[0]])
        again = came.fault not in {None, "record_refused"} and attempt < most
        last = "escalated" if tier + 1 < len(task["tiers"]) else "unresolved"
        outcome = "retried" if again else last if reason else "accepted"
        record.trail.append({"tier": tier, "outcome": outcome, "reason": reason or "judge_agreed"})
        if not again:
            break
    return reason


WORDS = {"right": None, "wrong": "judge_refused", "unclear": "judge_unclear"}


def judge(task: Task, text: str, stop: str, record: Record) -> Answer:
    if stop == "content_filtered" or not text.strip():
        return Answer("reply_refused" if text.strip() else "reply_empty")
    text, found, at = re.sub(r"<thinking>.*?(</thinking>|$)", "", text, flags=re.DOTALL), [], 0
    while begin := re.compile(r'\{\s*"').search(text, at):
        try:
            value, at = json.JSONDecoder().raw_decode(text, begin.start())
        except ValueError:
            return Answer("reply_cut")
        found.append(value)
    if not found:
        cut, declined = stop == "max_tokens", text.startswith("I'm sorry")
        return Answer("reply_cut" if cut else "reply_refused" if declined else "reply_not_json")
    answers = [read(task, one, record) for one in found if "label" in one or "labels" in one]
    if any((one.labels, one.fields) != (answers[0].labels, answers[0].fields) for one in answers):
        return Answer("reply_ambiguous")
    ranked = sorted(answers, key=lambda one: LEVELS.index(one.confidence) if one.confidence in LEVELS else -1)
    return ranked[0] if ranked else read(task, found[0], record)


def read(task: Task, found: Mapping[str, Any], record: Record) -> Answer:
    answer = Answer(None)
    wrong = [check(task, found, answer) for check in (read_labels, read_rest)]
    answer.reason = next(filter(None, wrong), None) or at_the_gates(task, found, answer, record)
    return answer


def read_labels(task: Task, found: Mapping[str, Any], answer: Answer) -> str | None:
    least, most, many = task["choose"]
    labels = found.get("labels") if many else [found["label"]] if "label" in found else None
    if labels is None:
        return "label_missing"
    if any(label not in task["labels"] for label in labels):
        return "label_unknown"
    answer.labels = labels
    return None if least <= len(labels) <= most and len(set(labels)) == len(labels) else "labels_count"


def read_rest(task: Task, found: Mapping[str, Any], answer: Answer) -> str | None:
    answer.confidence = found.get("confidence") if task["answer"]["confidence"] else None
    if task["answer"]["confidence"] and answer.confidence not in LEVELS:
        return "confidence_invalid"
    for name, asked in task["answer"]["fields"].items():
        value: Any = found.get(name)
        kinds = {asked["type"]} if isinstance(asked["type"], str) else {*asked["type"]}
        kind = next(iter(kinds - {"null"}))
        good = isinstance(value, KINDS[kind]) and isinstance(value, bool) == (kind == "boolean")
        good = good and not (kind == "integer" and value % 1) and value in asked.get("enum", [value])
        if not (good or (value is None and "null" in kinds)):
            return "fields_invalid"
        answer.fields[name] = value
    return None


def at_the_gates(task: Task, found: Mapping[str, Any], answer: Answer, record: Record) -> str | None:
    least = LEVELS.index(task["gates"]["min_confidence"] or "likely")
    if answer.confidence is not None and LEVELS.index(answer.confidence) < least:
        return "low_confidence"
    if task["answer"]["evidence"] and found["evidence"] not in record.text:
        return "evidence_not_found"
    return (
        None
        if all(holds(rule["schema"], {"row": record.row, "answer": found}) for rule in task["gates"]["rules"])
        else "rule_failed"
    )


def holds(schema: Mapping[str, Any], value: Any) -> bool:
    if "if" in schema and holds(schema["if"], value) and not holds(schema["then"], value):
        return False
    if value != schema.get("const", value) or (isinstance(value, int) and value > schema.get("maximum", value)):
        return False
    parts = schema.get("properties", {})
    return all(holds(part, value[name]) for name, part in parts.items() if name in value)


def decision(place: tuple[str, int], reason: str | None, record: Record | None) -> dict[str, Any]:
    """What stands in a row's columns; what a record took stands at its first row alone."""
    row: dict[str, Any] = {"source": place[0], "line": place[1], "status": "rejected", "reason": reason, "attempts": 0}
    row |= {"labels": None, "confidence": None, "tier": None, "shared": False, "trail": [], "fields": {}}
    row |= {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    if record is None:
        return row
    answer, steps = record.answer, record.trail
    row |= {"status": "unresolved", "reason": answer.reason, "tier": steps[-1]["tier"], "trail": steps}
    row |= {"attempts": len(steps), "shared": record.rows > 1, **(record.bought if record.first == place else {})}
    if answer.reason is None:
        row |= {"labels": answer.labels, "confidence": answer.confidence, "fields": answer.fields, "status": "accepted"}
    return row
