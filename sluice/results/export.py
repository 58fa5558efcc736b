"""A run's answers as data for others: to fine-tune a student by the strongest tier, or as known answers.

The format is that of Bedrock's model customization for text: a line of JSON for each record with `schemaVersion`
`bedrock-conversation-2024`, `system` and `messages` (Amazon Nova user guide, "Preparing data for fine-tuning
understanding models", read 2026-11-28). The student is taught the very request that a run would make.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.answers.requests import CLOSE, OPEN, system_prompt
from sluice.errors import BadRequest
from sluice.reasons import Status
from sluice.results.source_rows import TEXT
from sluice.results.view import Look, View
from sluice.results.wanted import Wanted
from sluice.rows.record import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.results.published import Published
    from sluice.task.task import Task

SCHEMA = "bedrock-conversation-2024"
LEAST, MOST = (
    100,
    20_000,
)  # records that are recommended at least, and allowed at most, training and validation together
MOST_TOKENS = 32_000  # of one record
MOST_BYTES = 1_000_000_000  # of a file
TIMES = 10  # at most so many times the records of the rarest label has the most frequent one
# Words that a training job refuses wherever they stand in a prompt.
FORBIDDEN = re.compile(r"(?:User|Bot|Assistant|System):|<image>|<video>|\[EOS\]")


class Chosen(msgspec.Struct, frozen=True, order=True):
    """A record that may be written, ranked by a hash of its key, so that a draw is uniform and repeats itself."""

    rank: int
    record: str
    text: str
    answer: str


class Draw:
    """Keeps the lowest ranks of each label, and never more than `most` records in all: the fullest label gives way."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: dict[str, dict[str, Chosen]] = {}
        self._heaps: dict[str, list[tuple[int, str]]] = {}
        self._below: dict[str, int] = {}  # the rank of what had to give way: nothing at or above it comes back

    def add(self, label: str, chosen: Chosen) -> bool:
        """Take a record; whether as many as before are kept, since it or another gives way."""
        if chosen.rank >= self._below.get(label, chosen.rank + 1):
            return True
        self.kept.setdefault(label, {})[chosen.record] = chosen
        heapq.heappush(self._heaps.setdefault(label, []), (-chosen.rank, chosen.record))
        if sum(map(len, self._heaps.values())) <= self.most:
            return False
        fullest = max(self._heaps, key=lambda name: len(self._heaps[name]))
        rank, record = heapq.heappop(self._heaps[fullest])
        del self.kept[fullest][record]
        self._below[fullest] = -rank
        return True


@dataclass
class Made:
    """What was written, by label, and what was left out and why."""

    training: int = 0
    validation: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


class FineTuning:
    """Draws the records of a fine-tuning: in memory are the drawn ones alone."""

    def __init__(self, published: Published, *, most: int = MOST, validation: float = 0.1, seed: int = 0) -> None:
        if published.task is None:
            raise BadRequest(f"run {published.run} does not say what its task was")
        self.published, self.task, self.most, self.share, self.seed = published, published.task, most, validation, seed
        if self.task.answer.evidence:
            raise BadRequest("the task asks for evidence, which results do not hold: leave answer.evidence out")
        if not 0 < most <= MOST:
            raise BadRequest(f"{most} records: a training job takes 1 to {MOST:,}", "most")
        if not 0 <= validation <= 0.5:
            raise BadRequest(f"{validation} is no share for validation: 0 to 0.5", "validation")
        self.prompt = system_prompt(self.task)
        if found := FORBIDDEN.search(self.prompt):
            raise BadRequest(f"the instructions hold {found[0]}, which training jobs refuse: word them otherwise")
        self.made = Made()

    def draw(self) -> tuple[Iterator[bytes], Iterator[bytes]]:
        """The lines for training and for validation, each in an order that says nothing of the rows'."""
        draw = Draw(self.most)
        for row in self._rows():
            label = ", ".join(row["labels"] or ["(none)"])
            found = self._chosen(row, draw.kept.get(label, {}))
            if found is not None:
                self.made.left_out["beyond the number of records"] += draw.add(label, found)
        return self._split({label: sorted(found.values()) for label, found in draw.kept.items()})

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Accepted rows of the last tier with their text; those that people disagree with are left out."""
        last = len(self.task.tiers) - 1
        columns = ["source", "line", "record", "labels", "confidence", "truncated", TEXT, *self.task.answer.fields]
        view = View(self.published, Look(Wanted(statuses=(Status.ACCEPTED.value,), tiers=(last,)), columns))
        for batch in view.batches():
            yield from batch.to_pylist()
        self.made.warnings += view.problems

    def _chosen(self, row: dict[str, Any], known: dict[str, Chosen]) -> Chosen | None:
        record, text = row["record"], row[TEXT]
        settled = self.published.corrections.of(row["source"], row["line"], record)
        why = None
        if text is None or row["truncated"]:
            why = "without their whole text"
        elif record in known:
            why = "repeats of a text"
        elif settled is not None and (settled.conflict or settled.latest.labels != row["labels"]):
            why = "disputed by a correction"
        elif FORBIDDEN.search(text):
            why = "with a word that training jobs refuse"
        elif len(self.prompt.encode()) + len(text.encode()) > MOST_TOKENS * BYTES_PER_TOKEN:
            why = f"above {MOST_TOKENS:,} tokens"
        if why:
            self.made.left_out[why] += 1
            return None
        digest = blake2b(f"{self.seed} {record}".encode(), digest_size=8).digest()
        return Chosen(int.from_bytes(digest, "big"), record, text, answer_of(self.task, row))

    def _split(self, found: dict[str, list[Chosen]]) -> tuple[Iterator[bytes], Iterator[bytes]]:
        """Balance the labels, and part each of them alike into training and validation."""
        found = {label: listed for label, listed in found.items() if listed}
        cap = TIMES * min(map(len, found.values()), default=0)
        training: list[Chosen] = []
        validation: list[Chosen] = []
        for label, listed in found.items():
            self.made.left_out["for the balance of labels"] += max(0, len(listed) - cap)
            kept = listed[:cap]
            held = int(len(kept) * self.share)
            validation += kept[:held]
            training += kept[held:]
            self.made.labels[label] = len(kept)
        self.made.left_out = +self.made.left_out
        self.made.training, self.made.validation = len(training), len(validation)
        if self.made.training < LEAST:
            self.made.warnings.append(f"{self.made.training:,} records to train on: {LEAST} or more are recommended")
        return self._lines(training, "training"), self._lines(validation, "validation")

    def _lines(self, chosen: Sequence[Chosen], name: str) -> Iterator[bytes]:
        """The lines of one file, one after the other."""
        size = 0
        for each in sorted(chosen):
            line = conversation(self.prompt, each.text, each.answer)
            if (size := size + len(line)) > MOST_BYTES:
                raise BadRequest(f"{name} comes to more than {MOST_BYTES:,} bytes, which a file may have: lower --most")
            yield line


def answer_of(task: Task, row: dict[str, Any]) -> str:
    """The answer as the student should give it, in the form that the instructions ask for."""
    answer: dict[str, Any] = {}
    if task.labels:
        answer |= {"labels": row["labels"]} if task.many else {"label": row["labels"][0]}
    if task.answer.confidence:
        answer["confidence"] = row["confidence"]
    answer |= {name: row[name] for name in task.answer.fields}
    return msgspec.json.encode(answer).decode()


def conversation(prompt: str, text: str, answer: str) -> bytes:
    """A line of training data: instructions, the text between its tags as in a request, and the answer."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    messages = [
        {"role": "user", "content": [{"text": f"{OPEN}{escaped}{CLOSE}"}]},
        {"role": "assistant", "content": [{"text": answer}]},
    ]
    return msgspec.json.encode({"schemaVersion": SCHEMA, "system": [{"text": prompt}], "messages": messages}) + b"\n"


def gold_lines(published: Published) -> Iterator[bytes]:
    """Accepted answers of the last tier as known ones, as `sluice evaluate` reads them: source, line, id, gold."""
    task = published.task
    if task is None or not task.labels:
        raise BadRequest("known answers are labels, and the task has none")
    wanted = Wanted(statuses=(Status.ACCEPTED.value,), tiers=(len(task.tiers) - 1,))
    for batch in published.batches(wanted, ["source", "line", "id", "record", "labels"]):
        for row in batch.to_pylist():
            settled = published.corrections.of(row["source"], row["line"], row.pop("record"))
            if settled is not None and (settled.conflict or settled.latest.labels != row["labels"]):
                continue
            labels = row.pop("labels")
            yield msgspec.json.encode({**row, "gold": labels if task.many else labels[0]}) + b"\n"


def total_left_out(made: Made) -> Iterable[tuple[str, int]]:
    """Why rows were left out, and how many, the most first."""
    return made.left_out.most_common()
