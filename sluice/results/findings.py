"""What a run found, for its report: tables that add up over parts, and a few rows of each kind to look at.

Rows are counted by record at the end of a part, so that a row costs next to nothing. The rows to look at are those
whose records have the smallest keys: keys are hashes, so that is a fair sample, however the rows were cut into parts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Outcome, Reason, Status
from sluice.results.gold import GoldCount
from sluice.results.groups import GroupsCount, GroupTable, add_groups, tell_groups
from sluice.results.merging import in_words
from sluice.rows.record import KEY, RAW, RowReader
from sluice.runs.books import SHOWN, Example, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.results.merging import Joined, Records
    from sluice.task.task import Task

T = TypeVar("T", bound=tuple[Any, ...])

PAIRS = 2_000  # pairs of answers that a part keeps: two thousand labels have two million, and few of them matter
EXCERPT = 400  # characters of a shown row
TOLD = dict.fromkeys(("changes", "mistakes", "said"), 200)  # rows in run.json; tiers and labels bound the others
TABLES = {
    "accepted": ("tier", "rows"),
    "labels": ("tier", "label", "rows"),
    "confidence": ("tier", "confidence", "accepted", "rows"),
    "changes": ("first", "final", "rows"),
    "known": ("tier", "confidence", "right", "rows"),
    "mistakes": ("known", "given", "rows"),
    "said": ("tier", "reason", "detail", "rows"),
}
SUMS = ("compared", "changed")


def add_up(parts: Iterable[Findings]) -> Findings:
    """The findings of several parts as those of one; each part is let go before the next one is taken."""
    tables: dict[str, Counter[tuple[Any, ...]]] = {name: Counter() for name in TABLES}
    sums: Counter[str] = Counter()
    examples: list[Example] = []
    groups: dict[str, GroupTable] = {}
    for part in parts:
        for name, table in tables.items():
            table.update({tuple(row[:-1]): row[-1] for row in getattr(part, name)})
        sums.update({name: getattr(part, name) for name in SUMS})
        add_groups(groups, part.groups)
        if part.examples:
            examples = sampled([*examples, *part.examples])
    listed: dict[str, Any] = {name: _most(table) for name, table in tables.items()}
    listed |= {name: sums[name] for name in SUMS}
    return Findings(**listed, examples=examples, groups=[table.group() for table in groups.values()])


def tell(findings: Findings) -> dict[str, Any]:
    """`findings` of run.json: the tables as lists of named figures, the longer ones cut to their most frequent rows."""
    told = {
        name: [dict(zip(names, row, strict=True)) for row in getattr(findings, name)[: TOLD.get(name)]]
        for name, names in TABLES.items()
    }
    sums = {name: getattr(findings, name) for name in SUMS}
    examples = [msgspec.structs.asdict(example) for example in findings.examples]
    return {**told, **sums, "groups": tell_groups(findings.groups), "examples": examples}


def _most(table: Counter[Any], at_most: int | None = None) -> list[Any]:
    """The rows of a table, the most frequent first; equal ones in the order of their names."""
    ordered = sorted(table.items(), key=lambda item: (-item[1], str(item[0])))
    return [(*names, count) for names, count in ordered[:at_most]]


def sampled(examples: Iterable[Example]) -> list[Example]:
    """At most `SHOWN` rows of each kind, each record once: those with the smallest keys."""
    kinds: defaultdict[tuple[str, str], dict[str, Example]] = defaultdict(dict)
    for example in examples:
        kinds[_kind(example)].setdefault(example.record, example)
    return [
        example for kind in sorted(kinds) for example in nsmallest(SHOWN, kinds[kind].values(), attrgetter("record"))
    ]


def _kind(example: Example) -> tuple[str, str]:
    return example.status, str(example.tier) if example.status == Status.ACCEPTED else example.reason or ""


class FindingsCount:
    """Counts what the rows of a part tell, and keeps some of them."""

    def __init__(self, task: Task, records: Records) -> None:
        self.records = records
        self.gold = GoldCount(task)
        self.groups = GroupsCount(task)
        self.examples = ExampleRows(task, records) if task.report.examples else None
        self.seen: list[pa.Array] = []  # the record of each row

    def add(self, lines: Sequence[bytes], joined: Joined) -> None:
        """Take stored rows with their results, in the same order."""
        self.seen.append(joined.records)
        self.groups.add(joined.table)
        if self.gold.path is not None:
            self.gold.add([line[RAW:] for line in lines], joined.table)
        if self.examples is not None:
            self.examples.add(lines, joined)

    def findings(self) -> Findings:
        """What was found in all rows that were added."""
        rows = self._records_of_rows()
        compared = self._changes(rows)
        changed = [pair for pair in compared if pair[0] != pair[1]]
        return Findings(
            accepted=self._accepted(rows),
            labels=self._labels(rows),
            confidence=self._confidence(rows),
            changes=nsmallest(PAIRS, changed, _by_count),
            compared=sum(count for *_, count in compared),
            changed=sum(count for *_, count in changed),
            known=_most(self.gold.compared),
            mistakes=_most(self.gold.mistakes, PAIRS),
            said=self._said(rows),
            groups=self.groups.groups(),
            examples=[] if self.examples is None else sampled(self.examples.found),
        )

    def _records_of_rows(self) -> pa.Array:
        """The number of each row's record, without the rows of which no record was sent."""
        numbers = pa.concat_arrays([pa.array([], pa.int64()), *self.seen])
        return numbers.filter(pc.less(numbers, len(self.records.keys)))

    def _accepted(self, rows: pa.Array) -> list[tuple[int, int]]:
        accepted = pc.equal(self.records.columns["status"], Status.ACCEPTED.value)
        tier = pc.if_else(accepted, self.records.columns["tier"], None)
        return [found for found in _counted((tier,), rows) if found[0] is not None]

    def _labels(self, rows: pa.Array) -> list[tuple[int, str, int]]:
        labels = self.records.columns["labels"]
        of = pc.list_parent_indices(labels)
        return _counted((self.records.columns["tier"].take(of), pc.list_flatten(labels)), _inside(labels, rows))

    def _confidence(self, rows: pa.Array) -> list[tuple[int, str, bool, int]]:
        trails = self.records.columns["trail"]
        attempts = pc.list_flatten(trails)
        tier, word, outcome = (pc.struct_field(attempts, name) for name in ("tier", "confidence", "outcome"))
        accepted = pc.equal(outcome, Outcome.ACCEPTED.value)
        return [found for found in _counted((tier, word, accepted), _inside(trails, rows)) if found[1] is not None]

    def _said(self, rows: pa.Array) -> list[tuple[int, str, str, int]]:
        """What was said in place of an answer, the most frequent first. Words of models tell of rows, fields do not."""
        trails = self.records.columns["trail"]
        attempts = pc.list_flatten(trails)
        tier, reason, detail = (pc.struct_field(attempts, name) for name in ("tier", "reason", "detail"))
        if self.examples is None:
            detail = pc.if_else(pc.equal(reason, Reason.FIELDS_INVALID.value), detail, None)
        there = pc.fill_null(pc.is_valid(detail).take(at := _inside(trails, rows)), False)
        return nsmallest(PAIRS, _counted((tier, reason, detail), at.filter(there)), _by_count_of_words)

    def _changes(self, rows: pa.Array) -> list[tuple[str, str, int]]:
        """The first answers of records that a later tier settled, beside what it said."""
        first, columns = self.records.firsts, self.records.columns
        last = in_words(columns["labels"].take(first.records))
        later = pc.greater(columns["tier"].take(first.records), first.tiers)
        there = pc.fill_null(pc.and_(later, pc.is_valid(last)), False)
        found = pc.index_in(rows, value_set=first.records.filter(there)).drop_null()
        return _counted((first.answers.filter(there), last.filter(there)), found)


def _by_count(pair: tuple[str, str, int]) -> tuple[int, str, str]:
    return -pair[2], pair[0], pair[1]


def _by_count_of_words(said: tuple[int, str, str, int]) -> tuple[int, str]:
    return -said[3], str(said)


def _inside(lists: pa.ListArray, rows: pa.Array) -> pa.Array:
    """Where the elements of the rows' lists stand among the elements of all lists."""
    places = pa.ListArray.from_arrays(_ends(lists), pa.arange(0, len(pc.list_flatten(lists))))
    return pc.list_flatten(places.take(rows))


def _ends(lists: pa.ListArray) -> pa.Array:
    """Offsets of lists that begin at 0, null ones as empty."""
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0)).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), ends])


def _counted(columns: tuple[pa.Array, ...], at: pa.Array) -> list[Any]:
    """How often each combination of values stands at these places.

    Values are numbered and counted as numbers: Arrow's own grouping takes 150 ms and 44 MB to be imported.
    """
    encoded = [pc.dictionary_encode(column, null_encoding="encode") for column in columns]
    codes = encoded[0].indices.cast(pa.int64())
    for column in encoded[1:]:
        codes = pc.add(pc.multiply(codes, len(column.dictionary)), column.indices)
    values = [column.dictionary.to_pylist() for column in encoded]
    found = pc.value_counts(codes.take(at)).to_pylist()
    return [(*_decoded(item["values"], values), item["counts"]) for item in found]


def _decoded(code: int, values: Sequence[Sequence[Any]]) -> list[Any]:
    found = []
    for unique in reversed(values):
        code, n = divmod(code, len(unique))
        found.append(unique[n])
    return found[::-1]


class ExampleRows:
    """Keeps some rows of each kind: accepted by each tier, unresolved and rejected for each reason."""

    def __init__(self, task: Task, records: Records) -> None:
        self.records = records
        self.reader = RowReader(task)
        self.wanted = pa.concat_arrays([pa.array([], pa.int64()), *_chosen(records)])
        self.first_answers: dict[int, str | None] = self._first_answers()
        self.found: list[Example] = []

    def _first_answers(self) -> dict[int, str | None]:
        """What a record had been answered before a later tier settled it, for those that are wanted."""
        first = self.records.firsts
        here = pc.is_in(first.records, value_set=self.wanted)
        return dict(zip(*(column.filter(here).to_pylist() for column in (first.records, first.answers)), strict=True))

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
        numbers = pc.indices_nonzero(pc.equal(kinds, kind)).cast(pa.int64())
        keys = pa.table({"key": records.keys.take(numbers)})
        yield numbers.take(pc.select_k_unstable(keys, k=SHOWN, sort_keys=[("key", "ascending")]))


def excerpt(text: str) -> str:
    """The beginning of a text, and an ellipsis where more of it follows."""
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}\N{HORIZONTAL ELLIPSIS}"
