"""What only a deployment has: versions of inputs, what runs worked with, and the answers to queries."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sluice.aws.versions import versions
from sluice.errors import SluiceError
from sluice.forget import work
from sluice.forget.cleaning import object_id, obstacle
from sluice.results.published import Origin, reading_of
from sluice.rows.containers import Reading, container_of
from sluice.runs.document import read
from sluice.runs.inbox import SUBMITTED, claim_key, is_aside, marker_key
from sluice.runs.keys import REQUESTS, Keys
from sluice.runs.settled import read_settled
from sluice.runs.state import Input, Inputs
from sluice.runs.taught import Taught
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from sluice.aws.s3 import Store
    from sluice.aws.versions import Version
    from sluice.forget.planning import Planner

INCOMING, WORK, RESULTS = "incoming", "work", "results"
QUERIES = "athena/"
LISTED = 20  # objects that are named; the others are counted
CLAIMS_LAST = 30  # days, at the least: a version that is younger and has no claim was taken by no run
# What a run keeps that is neither rows nor keys: how it began, what it came to, how it was gone on with.
LASTING = re.compile(
    r"start\.json|inputs\.json|plan\.json|run\.json|forgotten\.json|resumed/.*|"
    r"end-\d+/(?:end|cancel|approval|published)\.json"
)
NOT_HERE = (
    "e-mails and events, which hold no text; CloudWatch's logs, which hold none either and expire; access logs, which "
    "name objects alone"
)


class WorkOf(NamedTuple):
    """A run that the work bucket still knows; `published`: its results are among those that were looked through."""

    run: str
    task: Mapping[str, Any]
    published: bool


@dataclass
class Beyond:
    """Plans for what a deployment has beside results; `runs` are all of the tasks, none of which goes on."""

    runs: Sequence[WorkOf]

    def __call__(self, planner: Planner) -> None:
        """Add the pieces: inputs first, then what runs worked with."""
        self.planner, self.stores = planner, planner.site.stores
        self.work, self.incoming = self.stores[WORK], self.stores[INCOMING]
        self.frozen = {known.run: list(self._frozen(known.run)) for known in self.runs}
        self.tasks = {str(known.task["name"]): known.task for known in self.runs}
        self.tasks |= {run.document["task"]: run.document["definition"] for run in planner.site.runs}
        self.read = {(i["uri"], i.get("version")) for run in planner.site.runs for i in run.document["inputs"]}
        held = self._lines()
        self._clean(held)
        gone = {run.run for run in planner.site.runs if run.gone}
        for known in self.runs:
            unread = {(item.uri, item.version) for item in self.frozen[known.run]} & held.keys()
            if known.run in gone or (unread and not known.published):
                self._withdraw(known.run)
            else:
                self._settled(known.run)
                self._forget_taught(known.run)
        if planner.found.pieces or gone:
            self._queries()
            planner.found.not_reached.append(NOT_HERE)

    def _frozen(self, run: str) -> Iterator[Input]:
        key = Keys(run).inputs
        data = self.work.find(key)
        if data is not None:
            yield from read(Inputs, data, key).inputs

    def _lines(self) -> dict[tuple[str, str | None], set[int]]:
        """Lines by address and version: those of the rows that runs have found, and what else meets the conditions."""
        found: defaultdict[tuple[str, str | None], set[int]] = defaultdict(set)
        for run in self.planner.site.runs:
            frozen = {item["uri"]: item.get("version") for item in run.document["inputs"]}
            for row in run.gone:
                found[row.source, frozen.get(row.source)].add(row.line)
        asked, unread = self.planner.asked, Counter[str]()
        for version, task in self._versions():
            uri = self.incoming.uri(version.key)
            if asked.where is None:
                if lines := self._scanned(version, task):
                    found[uri, version.version] |= lines
            elif self._unread(version) and (not (asked.ids or asked.texts) or self._scanned(version, task)):
                unread[uri] += 1
        if unread:
            self.planner.found.not_reached.append(_not_looked_into(unread))
        return dict(found)

    def _unread(self, version: Version) -> bool:
        """Whether no run whose rows are looked through has read a version that may hold rows."""
        below, uri = version.key.partition("/")[2], self.incoming.uri(version.key)
        return bool(version.size) and not is_aside(below) and (uri, version.version) not in self.read

    def _versions(self) -> Iterator[tuple[Version, Mapping[str, Any]]]:
        """The versions below the tasks' folders, and uploads that their runs have read, each with the latest task."""
        for name, task in self.tasks.items():
            yield from ((version, task) for version in versions(self.incoming, f"{name}/"))
        for version in versions(self.incoming, SUBMITTED):
            if (of := self._read_by(self.incoming.uri(version.key))) is not None:
                yield version, of

    def _read_by(self, uri: str) -> Mapping[str, Any] | None:
        """The task of the latest run that has read an object."""
        return next(
            (known.task for known in reversed(self.runs) if any(item.uri == uri for item in self.frozen[known.run])),
            None,
        )

    def _reading(self, uri: str, key: str) -> Reading:
        """How an object is read: by the task of its run, else by that of its folder."""
        task = self._read_by(uri) or self.tasks.get(key.partition("/")[0])
        return reading_of(dict(task)) if task else Reading()

    def _scanned(self, version: Version, task: Mapping[str, Any]) -> set[int] | None:
        try:
            container = self._container(version)
        except SluiceError as error:
            self.planner.finder.problems[self.incoming.uri(version.key)] = str(error)
            return None
        frozen = Input(
            uri=self.incoming.uri(version.key),
            version=version.version,
            etag=version.etag,
            bytes=version.size,
            container=container,
        )
        origin = Origin(self.incoming, version.key, frozen, reading_of(dict(task)))
        return self.planner.finder.scan(origin, parse_task(dict(task), "the run's task"))

    def _container(self, version: Version) -> str:
        def part(begin: int, end: int) -> bytes:
            return b"".join(self.incoming.blocks(version.key, begin, end, version.version))

        return str(container_of(version.key, version.size, part))

    def _clean(self, held: Mapping[tuple[str, str | None], set[int]]) -> None:
        """Rows leave the newest version of an object; older ones go whole, since nobody is shown them any more."""
        found = self.planner.found
        bucket = self.incoming.uri("")
        for (uri, number), lines in held.items():
            key = uri.removeprefix(bucket)
            if not uri.startswith(bucket):
                found.not_reached.append(f"{uri} has {len(lines):,} of these rows, in a bucket of your own")
                continue
            version = next((v for v in versions(self.incoming, key) if (v.key, v.version) == (key, number)), None)
            if version is None:
                continue
            container, reading = self._container(version), self._reading(uri, key)
            why = obstacle(self.incoming, key, version, container, reading, lines) if version.newest else None
            if why is not None:
                found.not_reached.append(
                    f"{uri} has {len(lines):,} of these rows, and none can be taken out of it here: {why}. Put it "
                    "there without them, and begin this again"
                )
                continue
            piece = work.CleanInput(
                at=(INCOMING, key),
                version=version.version,
                container=container,
                lines=sorted(lines),
                newest=version.newest,
                runs=self._readers(uri, number),
                work=WORK,
                waits=self._waits(version),
                text=reading.text,
                csv=None if reading.csv is None else reading.csv.model_dump(mode="json"),
            )
            found.add("versions of inputs" if version.newest else "older versions of inputs", 1, piece)

    def _readers(self, uri: str, version: str | None) -> list[str]:
        """The runs that have read a version, those among them whose working files have expired."""
        published = {run.run: run.document["inputs"] for run in self.planner.site.runs}
        told = {
            run
            for run, items in published.items()
            if any((i["uri"], i.get("version")) == (uri, version) for i in items)
        }
        frozen = [run for run, items in self.frozen.items() if any(_is(item, uri, version) for item in items)]
        return [*sorted(told.difference(frozen)), *frozen]

    def _waits(self, version: Version) -> bool:
        """Whether a version may yet become a run's: it waits in the inbox, or its event may still be under way."""
        id_ = object_id(self.incoming, version.key, version.version)
        if self.work.exists(claim_key(id_)):
            return False
        head = self.incoming.head(version.key, version.version)
        age = (
            dt.date.fromisoformat(self.planner.day) - dt.datetime.fromisoformat(head.modified).date() if head else None
        )
        young = age is not None and age.days < CLAIMS_LAST
        return young or self.work.exists(marker_key(version.key.partition("/")[0], id_))

    def _forget_taught(self, run: str) -> None:
        """Take from what taught a run's model the records of other runs that are forgotten."""
        key = Keys(run).taught
        if (data := self.work.find(key)) is not None:
            before = read(Taught, data, key)
            keys = [record for record in before.keys if record not in self.planner.records]
            if keys != before.keys:
                text = msgspec.structs.replace(before, keys=keys).write().decode()
                self.planner.found.add("what taught runs", 1, work.Replace(at=(WORK, key), text=text))

    def _withdraw(self, run: str) -> None:
        """Take away what a run worked with: it has texts, keys and hashes in dozens of forms that hang together."""
        found, keys = self.planner.found, Keys(run)
        told = msgspec.json.encode({"day": self.planner.day}).decode()
        found.add("runs closed", 1, work.Replace(at=(WORK, keys.forgotten), text=told))
        gone = [key for key, _ in self.work.keys(f"{keys.root}/") if not LASTING.fullmatch(key[len(keys.root) + 1 :])]
        gone += [key for key, _ in self.work.keys(f"{REQUESTS}/{run}/")]
        learned = keys.learned in gone
        found.add("objects that runs worked with", len(gone), work.Remove(store=WORK, keys=gone))
        found.withdrawn.append(
            f"run {run} can be neither resumed nor judged again{', and the model that it had taught is gone' * learned}"
        )

    def _settled(self, run: str) -> None:
        """What people had said of the texts, as a run had it that has read none of them."""
        key = Keys(run).settled
        data = self.work.find(key)
        here = {record.record for record in read_settled(data or b"")} & self.planner.records
        if here:
            piece = work.TakeSettled(at=(WORK, key), records=sorted(here))
            self.planner.found.add("answers that were settled before a run", len(here), piece)

    def _queries(self) -> None:
        keys = [key for key, _ in self.work.keys(QUERIES)]
        if keys:
            self.planner.found.add("answers to queries in Athena", len(keys), work.Remove(store=WORK, keys=keys))


def _not_looked_into(unread: Mapping[str, int]) -> str:
    """Tell of the versions of objects on which a condition could not be tried."""
    more = f" and {len(unread) - LISTED:,} more objects" if len(unread) > LISTED else ""
    return (
        f"{sum(unread.values()):,} versions of inputs were read by no run whose results are there, so that the "
        f"condition could not be tried on them: look with --id or --text-contains into "
        f"{', '.join(list(unread)[:LISTED])}{more}"
    )


def _is(item: Input, uri: str, version: str | None) -> bool:
    return (item.uri, item.version) == (uri, version)


def documents_in(store: Store, run: str) -> list[tuple[str, str]]:
    """Where copies of run.json lie in the work bucket."""
    keys = (key for key, _ in store.keys(f"{Keys(run).root}/") if key.endswith(("/run.json", "/published.json")))
    return [(WORK, key) for key in keys]
