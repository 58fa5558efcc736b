"""Rows to look at: some of each kind and of each label, as few of a large run as of a small one.

They are those whose records have the smallest keys: keys are hashes, so that is a fair sample of each kind, however the
rows were cut into parts.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Status
from sluice.results.merging import in_words
from sluice.rows.record import KEY, RAW, RowReader
from sluice.runs.books import SHOWN, Example

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.results.merging import Joined, Records
    from sluice.task.task import Task

EXCERPT = 400  # characters of a shown row
BROWSED = 300  # rows to browse, by label; in a run of very many rows, whose parts are many, fewer
LEAST = 60
OF_PARTS = 300_000_000  # rows of a run times rows that each of its parts keeps
EACH = 20  # rows of a label, of a task with few
OTHERS = 6  # of the rows to browse, one in so many is unresolved, and as many were changed by a stronger tier


def browsed(rows: int) -> int:
    """How many rows to browse a run of so many rows keeps."""
    return max(LEAST, min(BROWSED, OF_PARTS // max(rows, 1)))


def sampled(examples: Iterable[Example], most: int) -> list[Example]:
    """Of each kind at most `SHOWN` rows, then up to `most` more to browse: each record once, the smallest keys."""
    unique: dict[str, Example] = {}
    for example in examples:
        unique.setdefault(example.record, example)
    first = _smallest(unique.values(), _kind, SHOWN)
    labels = {example.label for example in unique.values()} or {None}
    accepted = [example for example in unique.values() if example.status == Status.ACCEPTED]
    rest = {
        "labels": nsmallest(most, _smallest(accepted, _label, each_of(len(labels), most)), attrgetter("record")),
        "changed": _smallest(filter(is_changed, accepted), _any, most // OTHERS),
        "open": _smallest((each for each in unique.values() if each.status == Status.UNRESOLVED), _any, most // OTHERS),
    }
    found = {example.record: example for example in first}
    for some in rest.values():
        found |= {example.record: example for example in some}
    return list(found.values())


def each_of(labels: int, most: int) -> int:
    """How many rows of each label there are to browse."""
    return max(1, min(EACH, most // max(labels, 1)))


def _smallest(examples: Iterable[Example], kind: Any, count: int) -> list[Example]:
    kinds: defaultdict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in examples:
        kinds[kind(example)].append(example)
    return [each for name in sorted(kinds) for each in nsmallest(count, kinds[name], attrgetter("record"))]


def _kind(example: Example) -> tuple[str, str]:
    return example.status, str(example.tier) if example.status == Status.ACCEPTED else example.reason or ""


def _label(example: Example) -> tuple[str, str]:
    return "", example.label or ""


def _any(_: Example) -> tuple[str, str]:
    return "", ""


def is_changed(example: Example) -> bool:
    """Whether a stronger tier gave another answer than the first."""
    return example.first is not None and example.first != example.label


class ExampleRows:
    """Keeps some rows of each kind: accepted by each tier, unresolved and rejected for each reason."""

    def __init__(self, task: Task, records: Records, most: int) -> None:
        self.records, self.most = records, most
        self.reader = RowReader(task)
        chosen = [*_chosen(records), *_to_browse(records, most)]
        self.wanted = pc.unique(pa.concat_arrays([pa.array([], pa.int64()), *chosen]))
        self.first_answers: dict[int, str | None] = self._first_answers()
        self.found: list[Example] = []

    def _first_answers(self) -> dict[int, str | None]:
        """What a record had been answered before a later tier settled it, for those that are wanted."""
        first = self.records.firsts
        here = pc.is_in(first.records, value_set=self.wanted)
        return dict(zip(*(column.filter(here).to_pylist() for column in (first.records, first.answers)), strict=True))

    def sampled(self) -> list[Example]:
        """The rows of the part that its books keep."""
        return sampled(self.found, self.most)

    def add(self, lines: Sequence[bytes], joined: Joined) -> None:
        """Take stored rows with their results, in the same order."""
        for row in (*self._of_records(joined.records), *self._of_none(lines, joined)):
            self.found.append(self._example(lines[row], joined, row))

    def _of_records(self, records: pa.Array) -> Iterator[int]:
        """The first row of each wanted record that is met here; then it is wanted no more."""
        met = pc.unique(records.filter(pc.is_in(records, value_set=self.wanted)))
        if len(met):
            self.wanted = self.wanted.filter(pc.invert(pc.is_in(self.wanted, value_set=met)))
            yield from (pc.index(records, record).as_py() for record in met)

    def _of_none(self, lines: Sequence[bytes], joined: Joined) -> Iterator[int]:
        """Rows of which no record was sent: the rejected ones, and those that the run's end left out."""
        unsent = pc.indices_nonzero(pc.equal(joined.records, len(self.records.keys)))
        reasons = joined.table["reason"].combine_chunks().take(unsent)
        for reason in pc.unique(reasons):
            rows = unsent.filter(pc.equal(reasons, reason)).to_pylist()
            yield from nsmallest(SHOWN, rows, lambda row: lines[row][:KEY])

    def _example(self, line: bytes, joined: Joined, row: int) -> Example:
        values: dict[str, Any] = {name: joined.table[name][row].as_py() for name in COPIED}
        rejected = values["status"] == Status.REJECTED
        raw = line[RAW:]
        record = joined.records[row].as_py()
        labels = joined.table["labels"][row].as_py()
        return Example(
            **values,
            record=line[:KEY].decode(),
            label=None if labels is None else ", ".join(labels),
            first=self.first_answers.get(record),
            text=excerpt(raw.decode(errors="replace") if rejected else self.reader.text(raw)),
        )


COPIED = ("status", "reason", "tier", "confidence", "source", "line")


def _chosen(records: Records) -> Iterator[pa.Array]:
    """For each kind the numbers of its records with the smallest keys."""
    status, tier, reason = (records.columns[name].slice(0, len(records.keys)) for name in ("status", "tier", "reason"))
    kinds = pc.if_else(pc.equal(status, Status.ACCEPTED.value), pc.cast(tier, pa.string()), reason)
    for kind in pc.unique(kinds):
        yield _first(records, pc.equal(kinds, kind), SHOWN)


def _to_browse(records: Records, most: int) -> Iterator[pa.Array]:
    """The same of each label, of what is unresolved, and of what a stronger tier changed."""
    count = len(records.keys)
    status, labels = (records.columns[name].slice(0, count) for name in ("status", "labels"))
    yield _first(records, pc.equal(status, Status.UNRESOLVED.value), most // OTHERS)
    words = in_words(labels)
    first = records.firsts
    changed = pc.not_equal(first.answers, words.take(first.records))
    here = pc.is_in(pa.array(range(count), pa.int64()), value_set=first.records.filter(pc.fill_null(changed, False)))
    yield _first(records, here, most // OTHERS)
    found = pc.value_counts(words.drop_null()).to_pylist()
    named = nsmallest(most, found, key=lambda item: (-item["counts"], item["values"]))
    for item in named:
        yield _first(records, pc.equal(words, item["values"]), each_of(len(found), most))


def _first(records: Records, there: pa.Array, count: int) -> pa.Array:
    """The numbers of those records that have the smallest keys."""
    numbers = pc.indices_nonzero(there).cast(pa.int64())
    keys = pa.table({"key": records.keys.take(numbers)})
    return numbers.take(pc.select_k_unstable(keys, k=count, sort_keys=[("key", "ascending")]))


def excerpt(text: str) -> str:
    """The beginning of a text, and an ellipsis where more of it follows."""
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}\N{HORIZONTAL ELLIPSIS}"
