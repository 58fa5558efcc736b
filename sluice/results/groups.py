"""Labels by kept column and over time: tables that are counted batch by batch, add up over parts, and stay small.

A column has room for `CELLS` cells, whatever stands in it: values beyond are counted together. A value that has a place
keeps it, so that what is counted of it is right. Days become months and years where there are too many of them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sluice.reasons import Status
from sluice.runs.books import Group
from sluice.task.columns import KeepType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.task.task import Task

CELLS = 2_000  # of a column, in the books of a part
LEAST = 40  # values of a column that have a place, whatever the number of labels
COLUMNS = 12  # kept columns that are counted, the first of the task
LONGEST = 60  # characters of a value
VALUES, LABELS, PERIODS = 20, 30, 36  # of a column that run.json names; the rest is counted together
NAMES = 0.1  # of the rows, which the values that are named have at least; else they are names
DAY, MONTH, YEAR = len("2026-11-20"), len("2026-11"), len("2026")
NOT_TEXT = frozenset({KeepType.BOOL, KeepType.DATE, KeepType.TIMESTAMP})
TIMES = frozenset({KeepType.DATE, KeepType.TIMESTAMP})
NUMBERS = frozenset({KeepType.INT, KeepType.DOUBLE})
NONE = ""  # the label of an answer that none fits


class GroupTable:
    """The labels of one column's values."""

    def __init__(self, column: str, kind: str, room: int) -> None:
        self.column, self.kind, self.room = column, kind, room
        self.level = DAY
        self.rows: Counter[str | None] = Counter()
        self.cells: Counter[tuple[str | None, str | None]] = Counter()
        self.beyond: Counter[str | None] = Counter()  # labels of a value for which there was no room
        self.others = 0  # rows of values for which there was none

    def add_rows(self, rows: Iterable[tuple[str | None, int]]) -> None:
        """Count rows of values."""
        is_time = self.kind == "time"
        named = [(self.named(value), count) for value, count in rows] if is_time else rows
        for value, count in sorted(named, key=itemgetter(1), reverse=True):
            if value is None or value in self.rows or len(self.rows) < self.room or (is_time and self._coarser()):
                self.rows[self.named(value)] += count
            else:
                self.others += count

    def add_cells(self, cells: Iterable[tuple[str | None, str | None, int]]) -> None:
        """Count rows of values and labels, once the rows of the values have been counted."""
        for value, label, count in cells:
            cell = self.named(value), label
            if cell in self.cells or (cell[0] in self.rows and len(self.cells) < CELLS):
                self.cells[cell] += count
            elif cell[0] in self.rows:
                self.beyond[cell[0]] += count

    def named(self, value: str | None) -> str | None:
        """A value as it is counted here: of a day the period."""
        return value[: self.level] if value is not None and self.kind == "time" else value

    def has_place_for(self, values: pa.Array) -> pa.Array:
        """Whether each value, which is no time, has a place already."""
        known = pc.is_in(values, value_set=pa.array(list(self.rows), pa.string()))
        return pc.or_(pc.is_null(values), known)

    def _coarser(self) -> bool:
        """Make room by months or years in place of days, if that is possible."""
        while len(self.rows) >= self.room and self.level > YEAR:
            self.cut_to(MONTH if self.level == DAY else YEAR)
        return len(self.rows) < self.room

    def cut_to(self, level: int) -> None:
        """Count by periods that are no shorter than these."""
        self.level = min(self.level, level)
        rows, cells, beyond = self.rows, self.cells, self.beyond
        self.rows, self.cells, self.beyond = Counter(), Counter(), Counter()
        for value, count in rows.items():
            self.rows[self.named(value)] += count
        for value, count in beyond.items():
            self.beyond[self.named(value)] += count
        for (value, label), count in cells.items():
            self.cells[self.named(value), label] += count

    def group(self) -> Group:
        """The table as a part keeps it."""
        return Group(
            column=self.column,
            kind=self.kind,
            level=self.level,
            room=self.room,
            rows=list(self.rows.items()),
            cells=[(*cell, count) for cell, count in self.cells.items()],
            beyond=list(self.beyond.items()),
            others=self.others,
        )


class GroupsCount:
    """Counts the rows of a part by the values of its kept columns, and by label."""

    def __init__(self, task: Task) -> None:
        kept = [each for each in task.input.kept if task.report.examples or each.type in NOT_TEXT][:COLUMNS]
        room = max(LEAST, CELLS // (len(task.labels) + 1))
        self.tables = [GroupTable(each.column, _kind(each.type), room) for each in kept] if task.labels else []

    def add(self, table: pa.Table) -> None:
        """Take rows of the results, without those that were rejected."""
        if not self.tables:
            return
        names = ["status", "labels", *(each.column for each in self.tables)]
        rows = table.select(names).filter(pc.not_equal(table["status"], Status.REJECTED.value)).combine_chunks()
        if not len(rows):
            return
        given = _given(rows["labels"].combine_chunks())
        for each in self.tables:
            values = _words(rows[each.column].combine_chunks(), each.kind)
            if each.kind == "time":
                each.add_rows(_pairs(values))
                each.add_cells(_triples(values.take(given.rows), given.labels))
                continue
            if is_full := len(each.rows) >= each.room:
                placed = each.has_place_for(values)
                each.others += len(values) - pc.sum(placed).as_py()
                each.add_rows(_pairs(values.filter(placed)))
            else:
                each.add_rows(_pairs(values))
            here = (placed if is_full else each.has_place_for(values)).take(given.rows)
            each.add_cells(_triples(values.take(given.rows).filter(here), given.labels.filter(here)))

    def groups(self) -> list[Group]:
        """What was counted."""
        return [each.group() for each in self.tables]


class Given(NamedTuple):
    """Labels, and the row of each; a row that has none stands once, with a null or `NONE`."""

    rows: pa.Array
    labels: pa.Array


def _given(labels: pa.ListArray) -> Given:
    without = pc.fill_null(pc.equal(pc.list_value_length(labels), 0), True)
    bare = pc.indices_nonzero(without).cast(pa.int64())
    none = pc.if_else(pc.is_valid(labels).take(bare), NONE, None).cast(pa.string())
    rows = pc.list_parent_indices(labels).cast(pa.int64())
    return Given(pa.concat_arrays([rows, bare]), pa.concat_arrays([pc.list_flatten(labels), none]))


def _words(values: pa.Array, kind: str) -> pa.Array:
    """Values as text: of a moment its day, of a long text its beginning."""
    if kind == "time":
        return values.cast(pa.date32()).cast(pa.string())
    return pc.utf8_slice_codeunits(values.cast(pa.string()), 0, LONGEST)


def _pairs(values: pa.Array) -> list[tuple[Any, int]]:
    """How often each value stands there."""
    return list(zip(*(column.to_pylist() for column in pc.value_counts(values).flatten()), strict=True))


def _triples(values: pa.Array, labels: pa.Array) -> list[tuple[str | None, str | None, int]]:
    """How often each value stands beside each label."""
    one, other = (pc.dictionary_encode(column, null_encoding="encode") for column in (values, labels))
    width = max(1, len(other.dictionary))
    codes = pc.add(pc.multiply(one.indices.cast(pa.int64()), width), other.indices)
    ones, others = one.dictionary.to_pylist(), other.dictionary.to_pylist()
    return [(ones[code // width], others[code % width], count) for code, count in _pairs(codes)]


def _kind(kind: KeepType) -> str:
    return "time" if kind in TIMES else "number" if kind in NUMBERS else "text"


def add_groups(tables: dict[str, GroupTable], groups: Iterable[Group]) -> None:
    """Add the groups of one part to those of the parts before it."""
    for group in groups:
        table = tables.setdefault(group.column, GroupTable(group.column, group.kind, group.room))
        table.cut_to(group.level)
        table.add_rows(group.rows)
        table.add_cells(group.cells)
        for value, count in group.beyond:
            if table.named(value) in table.rows:
                table.beyond[table.named(value)] += count
        table.others += group.others


def tell_groups(groups: Iterable[Group]) -> list[dict[str, Any]]:
    """`groups` of run.json: those columns whose values gather rows, cut to the most frequent values and labels."""
    return [told for group in groups if (told := _told(group)) is not None]


def _told(group: Group) -> dict[str, Any] | None:
    tables: dict[str, GroupTable] = {}
    add_groups(tables, [group])
    table = tables[group.column]
    while table.kind == "time" and table.level > YEAR and len(table.rows) > PERIODS:
        table.cut_to(MONTH if table.level == DAY else YEAR)
    values = _named(table)
    inside = sum(table.rows[value] for value in values)
    missing = table.rows[None]
    told = table.rows.total() - missing + table.others
    if len(values) < 2 or inside < 2 * sum(table.rows[value] > 0 for value in values) or inside < NAMES * told:
        return None  # one value tells nothing, and values that stand once or twice are names
    labels = _labels(table)
    rest = table.beyond.copy()
    for (value, label), count in table.cells.items():
        rest[value] += count if label is not None and label not in labels else 0
    return {
        "column": table.column,
        "kind": table.kind,
        "values": values,
        "rows": [table.rows[value] for value in values],
        "labels": labels,
        "cells": [[table.cells[value, label] for label in labels] for value in values],
        "other_labels": [rest[value] for value in values],
        "unlabelled": [table.cells[value, None] for value in values],
        "missing": missing,
        "other_values": told - inside,
        "at_least": table.others > 0,
    }


def _named(table: GroupTable) -> list[str]:
    """The values that are named: periods and numbers in their order, others by how many rows have them."""
    found = {value: count for value, count in table.rows.items() if value is not None}
    most = sorted(found, key=lambda value: (-found[value], value))[: PERIODS if table.kind == "time" else VALUES]
    if table.kind == "time":
        return _without_gaps(sorted(most))
    return sorted(most, key=float) if table.kind == "number" else most


def _labels(table: GroupTable) -> list[str]:
    given: Counter[str] = Counter()
    for (_, label), count in table.cells.items():
        if label is not None:
            given[label] += count
    return [label for label, _ in sorted(given.items(), key=lambda item: (-item[1], item[0]))[:LABELS]]


def _without_gaps(periods: list[str]) -> list[str]:
    """Periods in their order, with those between them in which there is no row, unless that makes too many."""
    if len(periods) < 2:
        return periods
    filled = [periods[0]]
    while filled[-1] < periods[-1] and len(filled) <= PERIODS:
        filled.append(_next(filled[-1]))
    return filled if len(filled) <= PERIODS else periods


def _next(period: str) -> str:
    match len(period):
        case length if length == DAY:
            return (dt.date.fromisoformat(period) + dt.timedelta(days=1)).isoformat()
        case length if length == MONTH:
            year, month = divmod(int(period[:YEAR]) * 12 + int(period[YEAR + 1 :]), 12)
            return f"{year:04d}-{month + 1:02d}"
    return f"{int(period) + 1:04d}"
