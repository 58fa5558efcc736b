"""What people say of rows: a layer over the results, kept as a log that only grows, beside them.

A log lies under `corrections/<task>/` of the results bucket, or of the folder of local runs, in numbered objects. Each
is written by a conditional write, behind those that its writer has read, so that of two people at the same row the
later always stands behind the earlier. Who has not seen what somebody else has said, and says something else, is in
conflict with it: both are kept until somebody who saw both decides.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.aws.s3 import ahead
from sluice.decoding import decode
from sluice.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.aws.s3 import Store

FORMAT = 1
FOLDER = "corrections"
LINES = 10_000  # of an object
AT_ONCE = 16  # objects that are read

# What stands in the log in place of a line that was taken out, so that each line behind it keeps its place.
TAKEN_OUT = b'{"source":"","line":0,"record":"","by":"","at":"","run":"","withdraws":[0,0]}'

Mark = tuple[int, int]  # the number of the object in the log, and the line in it
Place = tuple[str, int, str]  # source, line, record


class Correction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody says of a row: a line of the log.

    `labels` is empty where no label fits, None where the task has none or `withdraws` names an earlier correction that
    is taken back. `fields` are those that they say, `shown` those that the run had given and that they had before them.
    `question` is a digest of the labels and fields that they could choose from (`sluice/results/settled.py`). `seen` is
    the last correction of the row that whoever says it had seen. `drawn`: the row was drawn uniformly of all rows of
    its run, so that what is said of it measures.
    """

    source: str
    line: int
    record: str
    by: str
    at: str
    run: str
    id: str | None = None
    version: str | None = None
    labels: list[str] | None = None
    fields: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    question: str | None = None
    given: list[str] | None = None
    note: str = ""
    drawn: bool = False
    seen: Mark | None = None
    withdraws: Mark | None = None
    format: int = FORMAT

    @property
    def place(self) -> Place:
        """The row that it is about."""
        return self.source, self.line, self.record

    @property
    def answer(self) -> bytes:
        """What is said, in a form in which equal answers are equal."""
        labels = None if self.labels is None else sorted(self.labels)
        return msgspec.json.encode((labels, self.fields), order="deterministic")


@dataclass(frozen=True, slots=True)
class Said:
    """A correction, and where it stands in the log."""

    mark: Mark
    what: Correction


@dataclass(slots=True)
class RowLog:
    """All that was said of a row, in order."""

    entries: list[Said] = field(default_factory=list)

    @property
    def heads(self) -> list[Said]:
        """What stands: withdrawn by nobody, and followed by nothing of the same person, or of one who had seen it."""
        gone = {said.what.withdraws for said in self.entries}
        found: list[Said] = []
        for said in self.entries:
            if said.what.withdraws is not None or said.mark in gone:
                continue
            seen = said.what.seen or (0, 0)
            found = [head for head in found if head.mark > seen and head.what.by != said.what.by]
            found.append(said)
        return found

    @property
    def last(self) -> Mark | None:
        """The last of all entries, for who says what follows."""
        return self.entries[-1].mark if self.entries else None


@dataclass(frozen=True, slots=True)
class Settled:
    """What stands of a row: one answer, given by one person or several, or answers in conflict."""

    heads: Sequence[Said]

    @property
    def conflict(self) -> bool:
        """Whether people who did not know of each other have said different things."""
        return len({said.what.answer for said in self.heads}) > 1

    @property
    def latest(self) -> Correction:
        """What was said last."""
        return self.heads[-1].what

    @property
    def drawn(self) -> bool:
        """Whether the row was drawn uniformly of all rows."""
        return any(said.what.drawn for said in self.heads)

    @property
    def by(self) -> str:
        """Who said it."""
        return ", ".join(dict.fromkeys(said.what.by for said in self.heads))

    @property
    def note(self) -> str:
        """The notes; of a conflict, who says what."""
        if self.conflict:
            return "; ".join(f"{said.what.by}: {in_words(said.what)}" for said in self.heads)
        return "; ".join(dict.fromkeys(said.what.note for said in self.heads if said.what.note))


def in_words(said: Correction) -> str:
    """Tell an answer in a line."""
    labels = [] if said.labels is None else [", ".join(said.labels) or "none of the labels"]
    return ", ".join(
        [*labels, *(f"{name} {msgspec.json.encode(value).decode()}" for name, value in said.fields.items())]
    )


class Corrections:
    """The corrections of a task, as they lie in a store; `refresh` reads what has come since."""

    def __init__(self, store: Store, task: str) -> None:
        self.store = store
        self.prefix = f"{FOLDER}/{task}/"
        self.rows: dict[Place, RowLog] = {}
        self.by_record: dict[str, list[Place]] = defaultdict(list)
        self._last = 0

    def __len__(self) -> int:
        """How many rows something stands of."""
        return sum(1 for row in self.rows.values() if row.heads)

    def key(self, number: int) -> str:
        """Where an object of the log lies."""
        return f"{self.prefix}{number:08d}.jsonl"

    def refresh(self) -> None:
        """Read what others have written since.

        Raises:
            Stop: the log is damaged, or of a later version.

        """
        begin = self.key(self._last)
        keys = [key for key, _ in self.store.keys(self.prefix) if key > begin and key.endswith(".jsonl")]
        for key, data in zip(keys, ahead(self.store.get, keys, AT_ONCE), strict=True):
            self._take(key, data)

    def _take(self, key: str, data: bytes) -> None:
        try:
            number = int(key.removeprefix(self.prefix).removesuffix(".jsonl"))
            entries = decode(b"[" + b",".join(data.splitlines()) + b"]", list[Correction])
        except (ValueError, msgspec.MsgspecError) as error:
            raise Stop(f"{self.store.uri(key)} is no log of corrections: {error}") from error
        if any(entry.format != FORMAT for entry in entries):
            raise Stop(f"{self.store.uri(key)} was written by a later version: upgrade this one")
        for line, entry in enumerate(entries, 1):
            if entry.place not in self.rows:
                self.rows[entry.place] = RowLog()
                self.by_record[entry.record].append(entry.place)
            self.rows[entry.place].entries.append(Said((number, line), entry))
        self._last = number

    def of_row(self, place: Place) -> RowLog:
        """All that was said of a row itself."""
        return self.rows.get(place) or RowLog()

    def of(self, source: str, line: int, record: str) -> Settled | None:
        """What stands of a row: what was said of itself, else of rows with its text, where these agree."""
        if record not in self.by_record:
            return None
        own = self.of_row((source, line, record)).heads
        if own:
            return Settled(own)
        others = Settled([head for place in self.by_record[record] for head in self.rows[place].heads])
        return others if others.heads and not others.conflict else None

    def add(self, new: Sequence[Correction]) -> list[Said]:
        """Write corrections behind the log, so that they are kept when this returns; with the marks that they got.

        Raises:
            Stop, RetryLater: they could not be written, the first of them or those behind what was written already.

        """
        said: list[Said] = []
        for at in range(0, len(new), LINES):
            said += self._append(new[at : at + LINES])
        return said

    def _append(self, new: Sequence[Correction]) -> list[Said]:
        data = b"".join(msgspec.json.encode(correction) + b"\n" for correction in new)
        while True:
            self.refresh()
            number = self._last + 1
            key = self.key(number)
            if self.store.put_new(key, data):
                self._take(key, data)
                return [Said((number, line), correction) for line, correction in enumerate(new, 1)]

    def conflicts(self) -> Iterator[tuple[Place, Settled]]:
        """Yield the rows about which people disagree."""
        for place, row in self.rows.items():
            settled = Settled(row.heads)
            if settled.heads and settled.conflict:
                yield place, settled
