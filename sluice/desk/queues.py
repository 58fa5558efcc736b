"""Which rows are worth a person's time, and all that the desk shows of each.

One pass over the run's rows holds the first few of each queue by a hash of their places, or by their scores; a second
one reads their texts. Memory is bounded by the rows that are shown.
"""

from __future__ import annotations

import heapq
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.figures import place, row_number
from sluice.quality.known import from_input
from sluice.quality.verification import first_label
from sluice.reasons import Status
from sluice.results.source_rows import SourceRows
from sluice.results.view import rank
from sluice.results.wanted import Wanted
from sluice.rows.record import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.quality.known import KnownAnswers
    from sluice.results.corrections import Said
    from sluice.results.published import Published
    from sluice.task.task import Task

COLUMNS = (
    "source",
    "line",
    "id",
    "record",
    "status",
    "reason",
    "labels",
    "confidence",
    "score",
    "tier",
    "trail",
    "run_id",
)
LONGEST = 20_000  # characters of a text; what is behind is counted
OWN = 40  # columns of the row's owner
CELL = 500  # characters of one
EVEN = 0.5  # below it the learned model says rather not
SETTLED = 500  # rows that are settled, to be shown beside those that are like them
QUEUES = {
    "conflict": ("In conflict", "People have said different things, without knowing of each other."),
    "unresolved": ("Unresolved", "No model gave an answer that passed."),
    "learned": ("Against the learned model", "Accepted, with another label than the learned model thinks likely."),
    "gold": ("Against gold", "The answer is another than the known one."),
    "changed": ("Changed", "A stronger tier gave another label than the first."),
    "score": (
        "Lowest scores",
        "From the first tier, and the least likely to be what the strongest would have said.",
    ),
    "uniform": ("Uniform sample", "Drawn uniformly of all rows: the only queue that measures how good the run is."),
}


@dataclass
class Queue:
    """The rows of least order that were offered, at most so many."""

    most: int
    offered: int = 0
    _heap: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)

    def offer(self, order: float, row: dict[str, Any]) -> None:
        """Take a row, unless there are enough before it."""
        self.offered += 1
        entry = (-order, -self.offered, row)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def rows(self) -> list[dict[str, Any]]:
        """The rows, the first in order first."""
        return [row for _, _, row in sorted(self._heap, reverse=True)]


class Desk:
    """What the desk shows of a run: `document` is the page's data."""

    def __init__(self, published: Published, *, limit: int = 500, sample: int = 200, seed: int = 0) -> None:
        if published.task is None:
            raise BadRequest(f"run {published.run} does not tell its task, so that nobody can say what is right")
        self.published = published
        self.task: Task = published.task
        self.seed = seed
        self.queues = {name: Queue(sample if name == "uniform" else limit) for name in QUEUES}
        self.settled = Queue(SETTLED)  # which nobody is asked about: those like them are
        self.gold = self._gold()
        self._fill()

    def _gold(self) -> KnownAnswers | None:
        if not self.task.input.gold or not self.task.labels:
            return None
        try:
            return from_input(self.task, self.published)
        except BadRequest:  # the input is gone or has changed: its texts are missing too, which is said
            return None

    def _fill(self) -> None:
        self.published.corrections.refresh()
        columns = [*COLUMNS, *self.task.answer.fields]
        for batch in self.published.batches(Wanted(), columns):
            changed = Wanted(changed=True).of(batch)
            stronger = set(zip(changed["source"].to_pylist(), changed["line"].to_pylist(), strict=True))
            for row in batch.to_pylist():
                if row["status"] != Status.REJECTED:
                    self._offer(row, changed=(row["source"], row["line"]) in stronger)

    def _offer(self, row: dict[str, Any], *, changed: bool) -> None:
        """Put a row into the queues that it belongs to; what people agree on is left to the sample."""
        order = rank(self.seed, row["source"], row["line"])
        settled = self.published.corrections.of(row["source"], row["line"], row["record"])
        self.queues["uniform"].offer(order, row)
        if settled is not None:
            if settled.conflict:
                self.queues["conflict"].offer(order, row)
            elif self.published.corrections.of_row((row["source"], row["line"], row["record"])).heads:
                self.settled.offer(order, row)
            return
        known = self.gold and self.gold.of(row["source"], row["line"], row["id"], row["record"])
        if row["status"] == Status.UNRESOLVED:
            self.queues["unresolved"].offer(order, row)
        elif known and known != frozenset(row["labels"] or ()):
            self.queues["gold"].offer(order, row)
        if changed:
            self.queues["changed"].offer(order, row)
        likely = chance_of(row)
        if likely is not None and likely < EVEN:
            self.queues["learned"].offer(likely, row)
        if likely is not None and row["tier"] == 0:
            self.queues["score"].offer(likely, row)

    def document(self) -> dict[str, Any]:
        """The page's data: the task's labels and fields, the queues as numbers of rows, the rows."""
        chosen = {name: queue.rows() for name, queue in self.queues.items()}
        known = self.settled.rows()
        rows = {(row["source"], row["line"]): row for queue in (*chosen.values(), known) for row in queue}
        at = {key: number for number, key in enumerate(sorted(rows))}
        drawn = {(row["source"], row["line"]) for row in chosen["uniform"]}
        source = SourceRows(self.published)
        ordered = [rows[key] for key in sorted(rows)]
        shown = [self._shown(row, raw, source, drawn) for row, raw in zip(ordered, source.at(ordered), strict=True)]
        task = self.task
        return {
            "task": task.name,
            "run": self.published.run,
            "drawn_at": f"{self.seed}-{secrets.token_hex(8)}",  # of a page: decisions in a browser belong to it
            "by": None,
            "labels": dict(task.labels),
            "least": task.min_labels,
            "most": task.max_labels,
            "none": task.none,
            "fields": {name: each.schema_property() for name, each in task.answer.fields.items()},
            "queues": [
                {
                    "name": name,
                    "title": title,
                    "about": about,
                    "of": self.queues[name].offered,
                    "rows": [at[row["source"], row["line"]] for row in chosen[name]],
                }
                for name, (title, about) in QUEUES.items()
                if chosen[name]
            ],
            "settled": [at[row["source"], row["line"]] for row in known],
            "rows": shown,
            "problems": sorted(set(source.problems.values())),
        }

    def _shown(
        self, row: Mapping[str, Any], raw: bytes | None, source: SourceRows, drawn: set[tuple[str, int]]
    ) -> dict[str, Any]:
        text = None if raw is None else source.text(raw)
        known = self.gold and self.gold.of(row["source"], row["line"], row["id"], row["record"])
        own = parse_object(raw) if raw is not None else None
        hidden = {*self.task.input.text}
        cells = [(name, value) for name, value in own.items() if name not in hidden] if isinstance(own, dict) else []
        log = self.published.corrections.of_row((row["source"], row["line"], row["record"]))
        return {
            **{name: row[name] for name in COLUMNS if name != "trail"},
            "place": f"{place(row['source'])}, {row_number(row['source'], row['line'])}",
            "text": None if text is None else text[:LONGEST],
            "cut": 0 if text is None else max(0, len(text) - LONGEST),
            "own": [[str(name), _cell(value)] for name, value in cells[:OWN]],
            "trail": row["trail"] or [],
            "given": {name: row[name] for name in self.task.answer.fields},
            "gold": sorted(known) if known else None,
            "drawn": (row["source"], row["line"]) in drawn,
            "said": [told(said) for said in log.heads],
            "seen": log.last,
        }


def chance_of(row: Mapping[str, Any]) -> float | None:
    """How likely the accepted label of a row is by the model that its run has taught; None without such a model.

    The score says how likely the strongest tier gives the first tier's label; so another label has the rest at most.
    """
    first = first_label(row)
    if first is None or row["status"] != Status.ACCEPTED:
        return None
    score: float = row["score"]
    return score if first == ", ".join(row["labels"] or ()) else 1 - score


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL else f"{text[:CELL]}…"


def told(said: Said) -> dict[str, Any]:
    """What somebody said of a row, for the page."""
    what = said.what
    names = ("by", "at", "labels", "fields", "note", "drawn")
    return {"mark": said.mark, **{name: getattr(what, name) for name in names}}
