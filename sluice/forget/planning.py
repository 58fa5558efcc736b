"""From the rows that are meant to the work that takes them out of every place, in order."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.reuse import read_chunks
from sluice.errors import Stop
from sluice.forget import work
from sluice.forget.documents import certificate_without, draws_without, groups_without, run_without
from sluice.forget.doing import count_journal, count_rows
from sluice.forget.finding import Finder, held_still
from sluice.forget.said import lines_instead
from sluice.quality.lessons import unpack_lessons
from sluice.results.corrections import Corrections
from sluice.runs.document import read
from sluice.runs.drawn import Certificate, Draws
from sluice.runs.keys import LEARNED, LESSONS, REPLIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluice.aws.s3 import Store
    from sluice.forget.asked import Asked
    from sluice.forget.finding import RunFiles
    from sluice.results.corrections import Correction

COPIES = (
    "copies that somebody has made: backups, downloads, exports, sheets and pages of `sluice review`, mails with "
    "examples; samples that were labelled before a run (`samples/`), and models of `sluice learn`: teach them again"
)


@dataclass
class Site:
    """Where everything lies that belongs together: `stores` by name, those of results and of kept replies among them.

    `journal` is the key of the replies that a folder keeps, where there is one.
    """

    stores: Mapping[str, Store]
    results: str
    replies: str
    runs: Sequence[RunFiles]
    journal: str | None = None
    tasks: set[str] = field(default_factory=set)
    leftovers: Sequence[str] = ()  # of runs that were killed, in the store of the results

    @property
    def home(self) -> Store:
        """Where protocols are kept."""
        return self.stores[self.results]


@dataclass
class Found:
    """What would be done, and what is told of it: rows by run, places by kind, what goes with it, what cannot be."""

    pieces: list[work.AnyPiece] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    texts: int = 0
    places: Counter[str] = field(default_factory=Counter)
    withdrawn: list[str] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)

    def add(self, kind: str, count: int, piece: work.AnyPiece) -> None:
        """Take a piece of work, which is about so many things of a kind."""
        self.pieces.append(piece)
        self.places[kind] += count

    def work(self, asked: Asked, *, by: str, at: str) -> work.Work:
        """Make the list that is written down, with the protocol of it."""
        protocol = work.Protocol(
            at=at,
            by=by,
            found_by=asked.words(),
            rows=sum(self.rows.values()),
            texts=self.texts,
            runs=self.rows,
            removed=dict(self.places),
            withdrawn=self.withdrawn,
            not_reached=self.not_reached,
        )
        return work.Work(protocol=protocol, pieces=self.pieces)


class Planner:
    """Finds what is meant at a site, and what has to be done about it; `beyond` looks at what a site alone has."""

    def __init__(self, site: Site, asked: Asked, day: str, beyond: Callable[[Planner], None] | None = None) -> None:
        self.site, self.asked, self.day, self.beyond = site, asked, day, beyond
        self.finder = Finder(asked)
        self.found = Found()

    def plan(self) -> Found:
        """Look at every place.

        Raises:
            BadRequest: the condition is none on the columns of any run.
            Stop, RetryLater: a store cannot be read.

        """
        runs, found = self.site.runs, self.found
        for run in runs:
            run.gone = self.finder.rows(run)
        if self.finder.refused and not any(run.gone for run in runs):
            raise next(iter(self.finder.refused.values()))
        self.logs = [self._log(task) for task in sorted(self.site.tasks)]
        gone = {row.record for run in runs for row in run.gone if row.record}
        entries = (said.what for log in self.logs for row in log.rows.values() for said in row.entries)
        said = {entry.record for entry in entries if entry.record and self._by_id(entry)}
        self.held = held_still(runs, gone | said)
        self.records = (gone | said) - set(self.held)
        found.rows = {run.run: len(run.gone) for run in runs if run.gone}
        found.texts = len(gone)
        # Results come last but for what is told of them: by them it is found again what a row's other places are.
        self._replies()
        self._lessons()
        self._journal()
        self._corrections()
        if self.beyond is not None:
            self.beyond(self)
        for run in runs:
            if run.gone:
                self._run(run)
            else:
                self._taught(run)
        if self.site.leftovers and found.pieces:
            piece = work.Remove(store=self.site.results, keys=list(self.site.leftovers))
            found.add("leftovers of killed runs", len(self.site.leftovers), piece)
        found.not_reached += [f"{uri} could not be looked into: {why}" for uri, why in self.finder.problems.items()]
        found.not_reached += [f"run {run} has not the columns of the condition" for run in self.finder.refused]
        if found.pieces:
            found.not_reached += [*self._examples(), COPIES]
        return found

    def _run(self, run: RunFiles) -> None:
        """The files of a run, then what tells of it."""
        gone = {row.place for row in run.gone}
        self.found.places["rows of results"] += len(gone)
        for key, _ in run.files:
            if count_rows(self.site.home, key, gone):
                self.found.add("files of results", 1, work.TakeRows(at=(self.site.results, key), rows=sorted(gone)))
        told = run_without(run.document, run.gone, self.day, groups_without(run))
        runs, report, table, certificates, draws = run.documents
        document = msgspec.Raw(msgspec.json.encode(told))
        self.found.add("runs told anew", 1, work.Retell(document=document, runs=list(runs), report=report, table=table))
        for store, key in certificates:
            if (data := self.site.stores[store].find(key)) is not None:
                before = read(Certificate, data, key)
                after = certificate_without(before, run.document, run.whole, run.gone, self.held)
                piece = work.Replace(at=(store, key), text=after.write().decode())
                self.found.add("certificates", 1, piece)
        for store, key in draws:
            if (data := self.site.stores[store].find(key)) is not None:
                left = draws_without(read(Draws, data, key), run.document, gone, self.records)
                self.found.add("draws", 1, work.Replace(at=(store, key), text=left.write().decode()))

    def _taught(self, run: RunFiles) -> None:
        """What a run has drawn also names the records of earlier runs that taught its model."""
        for store, key in run.documents[-1]:
            if (data := self.site.stores[store].find(key)) is not None:
                before = read(Draws, data, key)
                left = draws_without(before, run.document, (), self.records)
                if left != before:
                    self.found.add("draws", 1, work.Replace(at=(store, key), text=left.write().decode()))

    def _replies(self) -> None:
        """Replies that later runs may use, in objects by hash range."""
        store, records = self.site.stores[self.site.replies], {record.encode() for record in self.records}
        for task in sorted(self.site.tasks):
            for key in self._kept_of(task) if records else ():
                here = {record for chunk in read_chunks(store.blocks(key)) for record in chunk.keys} & records
                if here:
                    taken = sorted(record.decode() for record in here)
                    piece = work.TakeReplies(at=(self.site.replies, key), records=taken)
                    self.found.add("kept replies", len(here), piece)

    def _kept_of(self, task: str) -> Iterator[str]:
        """Where a task's replies lie; an earlier version took `_` for the end of its name when it merged them."""
        short, more, _ = task.partition("_")
        for prefix in (f"{task}/", *[f"{short}_merged-"] * bool(more)):
            yield from (key for key, _ in self.site.stores[self.site.replies].keys(f"{REPLIES}/{prefix}"))

    def _lessons(self) -> None:
        """What runs keep to teach later ones: it goes as a whole, since the next run keeps the like."""
        store = self.site.stores[self.site.replies]
        for task in sorted(self.site.tasks) if self.records else ():
            for key, _ in store.keys(f"{LEARNED}/{task}/"):
                if key.endswith(LESSONS) and self._teaches(store, key):
                    self.found.add("lessons of runs", 1, work.Remove(store=self.site.replies, keys=[key]))

    def _teaches(self, store: Store, key: str) -> bool:
        try:
            kept = unpack_lessons(store.get(key), key)
        except Stop as error:
            self.finder.problems[store.uri(key)] = str(error)
            return False
        return any(lesson.key in self.records for lesson in kept.records)

    def _journal(self) -> None:
        """Replies that a folder keeps of servers: known by the hashes of their texts, where these are the records'."""
        key = self.site.journal
        rows = [(run, row) for run in self.site.runs for row in run.gone]
        if key is None or not rows:
            return
        unsure = any(row.truncated or run.task is None or run.task.reads_row for run, row in rows)
        records = None if unsure else sorted(self.records)
        if count := count_journal(self.site.home, key, records):
            self.found.add(
                "replies of the journal", count, work.TakeJournal(at=(self.site.results, key), records=records)
            )
            if unsure:
                self.found.withdrawn.append("all replies of the journal go, since they do not say whose they are")

    def _corrections(self) -> None:
        """What people said of rows and texts that go; each line that is left keeps its number."""
        gone = {(row.source, row.line, row.record or "") for run in self.site.runs for row in run.gone}

        def goes(said: Correction) -> bool:
            return said.place in gone or said.record in self.records or self._by_id(said)

        for log in self.logs:
            for key, lines in lines_instead(log, goes, self.held).items():
                self.found.add("corrections", len(lines), work.TakeLines(at=(self.site.results, key), lines=lines))

    def _log(self, task: str) -> Corrections:
        log = Corrections(self.site.home, task)
        log.refresh()
        return log

    def _by_id(self, said: Correction) -> bool:
        """Whether a correction is about a row of the person that no run has any more."""
        return said.id in self.asked.ids and self.asked.where is None and not self.asked.texts

    def _examples(self) -> Iterator[str]:
        for task in {run.document["task"] for run in self.site.runs if self.asked.texts and self._in_task(run)}:
            yield f"the task {task} has such a text in its own words or examples: take it out of the task file"

    def _in_task(self, run: RunFiles) -> bool:
        return self.asked.of_text(msgspec.json.encode(run.document.get("definition") or {}).decode())


def in_inputs(runs: Sequence[RunFiles]) -> Mapping[str, int]:
    """How many forgotten rows each input has, by the most that a run has found in it."""
    most: defaultdict[str, int] = defaultdict(int)
    for run in runs:
        for item in run.document["inputs"]:
            place = str(item.get("path") or item["uri"])
            most[place] = max(most[place], sum(row.source == item["uri"] for row in run.gone))
    return {place: count for place, count in most.items() if count}
