"""What a run found, for its report: tables that add up over parts, and a few rows of each kind to look at.

Rows are counted by record at the end of a part, so that a row costs next to nothing. The rows to look at are those
whose records have the smallest keys: keys are hashes, so that is a fair sample, however the rows were cut into parts.
"""

from __future__ import annotations

from collections import Counter
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Outcome, Reason, Status
from sluice.results.examples import ExampleRows, browsed, sampled
from sluice.results.gold import GoldCount
from sluice.results.groups import GroupsCount, GroupTable, add_groups, tell_groups
from sluice.results.merging import in_words
from sluice.rows.record import RAW
from sluice.runs.books import Example, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.results.merging import Joined, Records
    from sluice.task.task import Task

T = TypeVar("T", bound=tuple[Any, ...])

# Reasons of attempts that gave no answer to the task, but a word about it.
NO_ANSWERS = pa.array([Reason.ROUTED, Reason.JUDGE_AGREED, Reason.JUDGE_REFUSED, Reason.JUDGE_UNCLEAR], pa.string())
PAIRS = 2_000  # pairs of answers that a part keeps: two thousand labels have two million, and few of them matter
# Rows in run.json; tiers and labels bound the others.
TOLD = dict.fromkeys(("changes", "looked", "blurs", "mistakes", "said"), 200)
TABLES = {
    "accepted": ("tier", "rows"),
    "labels": ("tier", "label", "rows"),
    "confidence": ("tier", "confidence", "accepted", "rows"),
    "changes": ("first", "final", "rows"),
    "looked": ("first", "records"),
    "blurs": ("first", "final", "records"),
    "known": ("tier", "confidence", "right", "rows"),
    "mistakes": ("known", "given", "rows"),
    "said": ("tier", "reason", "detail", "rows"),
}
SUMS = ("compared", "changed")


def add_up(parts: Iterable[Findings], rows: int) -> Findings:
    """The findings of several parts as those of one of so many rows; each part is let go before the next is taken."""
    tables: dict[str, Counter[tuple[Any, ...]]] = {name: Counter() for name in TABLES}
    sums: Counter[str] = Counter()
    examples: list[Example] = []
    most = browsed(rows)
    groups: dict[str, GroupTable] = {}
    for part in parts:
        for name, table in tables.items():
            table.update({tuple(row[:-1]): row[-1] for row in getattr(part, name)})
        sums.update({name: getattr(part, name) for name in SUMS})
        add_groups(groups, part.groups)
        if part.examples:
            examples = sampled([*examples, *part.examples], most)
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


class FindingsCount:
    """Counts what the rows of a part tell, and keeps some of them."""

    def __init__(self, task: Task, records: Records, rows: int) -> None:
        self.records = records
        self.gold = GoldCount(task)
        self.groups = GroupsCount(task)
        self.examples = ExampleRows(task, records, browsed(rows)) if task.report.examples else None
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
        compared, by_record = self._changes(rows), self._changes(pc.unique(rows))
        changed, blurs = ([pair for pair in pairs if pair[0] != pair[1]] for pairs in (compared, by_record))
        looked: Counter[tuple[str]] = Counter()
        for first, _, records in by_record:
            looked[first,] += records
        return Findings(
            accepted=self._accepted(rows),
            labels=self._labels(rows),
            confidence=self._confidence(rows),
            changes=nsmallest(PAIRS, changed, _by_count),
            compared=sum(count for *_, count in compared),
            changed=sum(count for *_, count in changed),
            looked=_most(looked, PAIRS),
            blurs=nsmallest(PAIRS, blurs, _by_count),
            known=_most(self.gold.compared),
            mistakes=_most(self.gold.mistakes, PAIRS),
            said=self._said(rows),
            groups=self.groups.groups(),
            examples=[] if self.examples is None else self.examples.sampled(),
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
        counted = _counted((self.records.columns["tier"].take(of), pc.list_flatten(labels)), _inside(labels, rows))
        return [found for found in counted if found[0] is not None]  # the others are people's

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
        of_answers = pc.invert(pc.is_in(reason, value_set=NO_ANSWERS))
        there = pc.fill_null(pc.and_(pc.is_valid(detail), of_answers).take(at := _inside(trails, rows)), False)
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
