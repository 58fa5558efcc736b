"""Where rows lie that are to be forgotten: in the results of runs, and in the inputs that these have read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import BadRequest, SluiceError
from sluice.forget.asked import RawRows
from sluice.results.published import INPUT, blocks_of
from sluice.results.view import Look, View
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sluice.forget.asked import Asked
    from sluice.results.published import Origin, Published
    from sluice.task.task import Task

COLUMNS = (
    "source",
    "line",
    "record",
    "id",
    "status",
    "reason",
    "labels",
    "tier",
    "model",
    "score",
    "trail",
    "truncated",
)

Place = tuple[str, int]  # source, line


class GoneRow(msgspec.Struct, frozen=True):
    """A row of the results that is to be forgotten, with what counts it; a rejected one has no record."""

    source: str
    line: int
    record: str | None = None
    id: str | None = None
    status: str = ""
    reason: str | None = None
    labels: list[str] | None = None
    tier: int | None = None
    model: str | None = None
    score: float | None = None
    trail: list[dict[str, Any]] | None = None
    truncated: bool | None = None

    @property
    def place(self) -> Place:
        """Which row of which input it is."""
        return self.source, self.line


class Documents(NamedTuple):
    """Where what tells of a run lies: names of stores and keys."""

    runs: Sequence[tuple[str, str]]  # run.json, and copies of it
    report: tuple[str, str] | None = None
    table: tuple[str, str] | None = None  # its row in the table of runs
    certificates: Sequence[tuple[str, str]] = ()
    draws: Sequence[tuple[str, str]] = ()  # which rows it drew


@dataclass
class RunFiles:
    """A run with the files that hold its rows: `whole` has each row once, `rests` have some of them again."""

    run: str
    document: dict[str, Any]
    whole: Published
    rests: Sequence[Published]
    documents: Documents
    gone: list[GoneRow] = field(default_factory=list)

    @property
    def task(self) -> Task | None:
        """The task as the run had it."""
        return self.whole.task

    @property
    def files(self) -> Iterator[tuple[str, int]]:
        """Keys and sizes of all files."""
        for published in (self.whole, *self.rests):
            yield from published.parts


class Finder:
    """Finds the rows that are meant; `problems` says which inputs could not be looked into, and why."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.problems: dict[str, str] = {}
        self.refused: dict[str, BadRequest] = {}  # by runs that do not have the columns of the condition
        self._scanned: dict[tuple[str, str | None, str], set[int] | None] = {}

    def rows(self, run: RunFiles) -> list[GoneRow]:
        """Find the rows of a run."""
        published = run.whole
        if not published.parts:
            return []
        stored = published.stored.names
        columns = [name for name in COLUMNS if name in stored]
        inputs = [INPUT] if self.asked.texts and INPUT in stored and run.task is not None else []
        raws = RawRows(self.asked, run.task) if inputs and run.task is not None else None
        texts = None if inputs or not self.asked.texts else self._lines_by_text(published)
        found = []
        for batch in self._batches(published, [*columns, *inputs]):
            meant = batch.filter(self.asked.of_ids(batch["id"])) if "id" in columns else batch.slice(0, 0)
            for row in meant.to_pylist():
                if raws is not None and not self.asked.of_text(raws.text((row[INPUT] or "").encode())):
                    continue
                if texts is not None and row["line"] not in texts[row["source"]]:
                    continue
                found.append(GoneRow(**{name: row[name] for name in columns}))
        return found

    def _batches(self, published: Published, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows that meet the condition on columns, which may be of the inputs too."""
        if self.asked.where is None:
            yield from published.batches(Wanted(), columns)
            return
        try:
            view = View(published, Look(columns=columns, where=self.asked.where))
            yield from view.batches()
        except BadRequest as error:
            self.refused[published.run] = error
        else:
            self.problems |= view.source.problems if view.source else {}

    def _lines_by_text(self, published: Published) -> Mapping[str, set[int]]:
        found: defaultdict[str, set[int]] = defaultdict(set)
        for origin in published.origins():
            if published.task is not None:
                found[origin.frozen.uri] |= self.scan(origin, published.task) or set()
        return found

    def scan(self, origin: Origin, task: Task) -> set[int] | None:
        """The lines of an input whose ids and texts meet the conditions; None where it cannot be read."""
        frozen = origin.frozen
        key = (frozen.uri, frozen.version or frozen.etag, task.version)
        if key not in self._scanned:
            self._scanned[key] = self._scan(origin, task)
        return self._scanned[key]

    def _scan(self, origin: Origin, task: Task) -> set[int] | None:
        found: set[int] = set()
        raws, first = RawRows(self.asked, task), 1
        if problem := origin.problem():
            self.problems[origin.frozen.uri] = problem
            return None
        try:
            for block in blocks_of(origin):
                found.update(first + n for n in raws.of(block))
                first += len(block)
        except SluiceError as error:
            self.problems[origin.frozen.uri] = str(error)
            return None
        return found


class Held(NamedTuple):
    """A row that has the record of a forgotten one, and stays."""

    source: str
    line: int
    id: str | None


def held_still(runs: Iterable[RunFiles], records: Iterable[str]) -> dict[str, Held]:
    """Find of each of these records a row that has it and stays, if there is one: what belongs to the record stays."""
    found: dict[str, Held] = {}
    wanted = pa.array(sorted(records), pa.string())
    for run in runs:
        gone = {row.place for row in run.gone}
        names = [
            name for name in ("source", "line", "record", "id") if run.whole.parts and name in run.whole.stored.names
        ]
        for batch in run.whole.batches(Wanted(), names) if "record" in names else ():
            for row in batch.filter(pc.is_in(batch["record"], wanted)).to_pylist():
                if (row["source"], row["line"]) not in gone:
                    found.setdefault(row["record"], Held(row["source"], row["line"], row.get("id")))
    return found
