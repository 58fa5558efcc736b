"""The default answers: a small classifier by words, which is wrong, unsure and malformed now and then.

It is no model and proves nothing about one. It makes a run without an account show what a run shows: most rows settled
by the first tier, some escalated with every kind of reason, stronger tiers better than weaker ones. All of it depends
on the text and the model alone, so that two runs agree.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sluice.local.sources.source import Reply
from sluice.task.answer import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sluice.local.requests import Request
    from sluice.local.sources.source import Tiers
    from sluice.task.answer import AnswerField
    from sluice.task.task import Task

SPACE = bytes(
    ord(" ") if n < 128 and not chr(n).isalnum() else ord(chr(n).lower()) if n < 128 else n for n in range(256)
)
NAME_WEIGHT, DESCRIPTION_WEIGHT, EXAMPLE_WEIGHT = 3.0, 2.0, 1.5
READ_BYTES = 4000  # of a text; a label shows early or not at all
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
OPEN, CLOSE = "<text>\n", "\n</text>"


@dataclass(frozen=True)
class Weakness:
    """Of a tier: the shares of its answers that are malformed, unsure and wrong."""

    malformed: float
    unsure: float
    wrong: float


TIERS = (Weakness(0.03, 0.08, 0.04), Weakness(0.006, 0.02, 0.01), Weakness(0.002, 0.005, 0.004))


class LexicalSource:
    """Labels by the words that a text shares with names, descriptions and examples."""

    name = "standin"
    concurrency = 1

    def __init__(self, task: Task, tiers: Tiers) -> None:
        self.task = task
        self.tiers = tiers
        self.labels = list(task.labels)
        self.words = weigh(task)
        self.fallback = self.labels.index(task.none) if task.none in self.labels else None
        self.plain = bool(self.labels) and not (task.many or task.answer.fields or task.answer.evidence)
        sure = ("certain", "likely", "unsure") if task.answer.confidence else (None,) * 3
        self.ready = [[form(label, level) for level in sure] for label in self.labels] if self.plain else []

    def answer(self, request: Request, run: str | None = None) -> Reply:  # noqa: ARG002  the same in every run
        """Classify one text, with the weaknesses of the request's tier."""
        text = request.text.removeprefix(OPEN).removesuffix(CLOSE)
        data = text.encode(errors="replace")
        chance = blake2b(data + request.model.encode(), digest_size=16).digest()
        weakness = TIERS[min(self.tiers.find(request.model), len(TIERS) - 1)]
        unsure = below(chance[0:4], weakness.unsure)
        chosen = self._choose(data, chance, below(chance[4:8], weakness.wrong))
        level = 2 if unsure else chance[12] & 1
        reply = self.ready[chosen[0]][level] if self.plain else self._form(text, chosen, level, chance)
        if below(chance[8:12], weakness.malformed):
            reply = MALFORMED[chance[13] % len(MALFORMED)](reply)
        return Reply(reply)

    def _choose(self, data: bytes, chance: bytes, wrong: bool) -> list[int]:
        """The labels of a text, best first."""
        if not self.labels:
            return []
        scores = self.score(data)
        if wrong:
            return [chance[14] % len(self.labels)]
        if not scores:
            return [self.fallback if self.fallback is not None else chance[14] % len(self.labels)]
        best = max(scores, key=scores.__getitem__)
        if not self.task.many:
            return [best]
        enough = 0.6 * scores[best]
        ranked = sorted((label for label, score in scores.items() if score >= enough), key=lambda n: -scores[n])
        return ranked[: self.task.max_labels]

    def score(self, data: bytes) -> dict[int, float]:
        """What the words of a text say for each label that they speak for."""
        scores: dict[int, float] = {}
        words = self.words
        for word in dict.fromkeys(data[:READ_BYTES].translate(SPACE).split()):  # a set has another order each time
            found = words.get(word)
            if found is not None:
                for label, weight in found:
                    scores[label] = scores.get(label, 0.0) + weight
        return scores

    def _form(self, text: str, chosen: list[int], level: int, chance: bytes) -> str:
        answer: dict[str, Any] = {}
        if self.labels:
            names = [self.labels[n] for n in chosen]
            while len(names) < self.task.min_labels:
                names.append(next(label for label in self.labels if label not in names))
            answer = {"labels": names} if self.task.many else {"label": names[0]}
        if self.task.answer.confidence:
            answer["confidence"] = ("certain", "likely", "unsure")[level]
        original = text.replace("&lt;", "<").replace("&amp;", "&")
        if self.task.answer.evidence:
            answer["evidence"] = quote(original)
        for name, field in self.task.answer.fields.items():
            answer[name] = fill(field, original, chance)
        return json.dumps(answer, ensure_ascii=False)


def weigh(task: Task) -> dict[bytes, list[tuple[int, float]]]:
    """For each word the labels that it speaks for, and how much: the rarer among the labels, the more."""
    weights: dict[bytes, dict[int, float]] = defaultdict(dict)
    names = {label: n for n, label in enumerate(task.labels)}

    def take(words: Iterable[bytes], label: int, weight: float) -> None:
        for word in words:
            weights[word][label] = max(weight, weights[word].get(label, 0.0))

    for label, description in task.labels.items():
        take(split(label.replace("_", " ")), names[label], NAME_WEIGHT)
        take(split(description), names[label], DESCRIPTION_WEIGHT)
    for example in task.examples:
        for label in example.labels:
            take(split(" ".join(example.text.values())), names[label], EXAMPLE_WEIGHT)
    total = max(2, len(names))
    return {
        word: [(label, weight * math.log(1 + total / len(labels))) for label, weight in labels.items()]
        for word, labels in weights.items()
        if len(word) > 2
    }


def split(text: str) -> set[bytes]:
    """The words of a text and their plain plural or singular."""
    words = set(text.encode().translate(SPACE).split())
    return words | {word[:-1] for word in words if word.endswith(b"s")} | {word + b"s" for word in words}


def form(label: str, level: str | None) -> str:
    """The answer to a task that asks for one label."""
    answer = {"label": label} if level is None else {"label": label, "confidence": level}
    return json.dumps(answer, ensure_ascii=False)


def below(chance: bytes, share: float) -> bool:
    """Whether four random bytes fall into a share."""
    return int.from_bytes(chance, "big") < share * 2**32


def quote(text: str) -> str:
    """A few words that stand in the text."""
    line = next((part for part in text.splitlines() if part.strip()), text)
    line = line.partition(": ")[2] or line
    return " ".join(line.split(" ")[:8]).strip()


def fill(field: AnswerField, text: str, chance: bytes) -> Any:
    """A value that an answer field admits, taken from the text where it has one."""
    if field.enum:
        named = [choice for choice in field.enum if str(choice).lower() in text.lower()]
        value = named[0] if named else field.enum[chance[15] % len(field.enum)]
    else:
        value = found_in(text, field.type, chance)
    if value is None and field.nullable:
        return None
    value = 0 if value is None else value
    return [value] if field.array else value


def found_in(text: str, kind: FieldType, chance: bytes) -> Any:
    """What a text says for a type: its first number, its first words; None for a number that is not there."""
    match kind:
        case FieldType.BOOLEAN:
            return bool(chance[15] & 1)
        case FieldType.STRING:
            return quote(text)
    number = NUMBER.search(text)
    if number is None:
        return None
    value = float(number.group().replace(",", "."))
    return int(value) if kind is FieldType.INTEGER else value


def _cut(reply: str) -> str:
    return reply[: max(1, len(reply) // 2)]


MALFORMED: tuple[Callable[[str], str], ...] = (
    _cut,
    lambda _: "",
    lambda _: "It is hard to say without knowing more about the customer.",
    lambda _: "I'm sorry, but I can't help with that.",
    lambda reply: reply.replace('": "', '": "un', 1),
    lambda reply: f"```json\n{reply}\n```",
    lambda reply: f"{reply}\n\nI chose this because the text speaks of it.",
)
