"""Labels by kept column and over time, as tables whose cells are shaded: a number stands in each, and its share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.results.run_findings import Group

HEAD = 8  # labels beside each other, which a sheet of paper has room for; a folded table has the others
MOST_LABELS = 30  # that run.json names
DARKEST = 45  # percent of colour in a cell: what stands in it has to stay readable
SPANS = {len("2026-11-20"): "day", len("2026-11"): "month", len("2026"): "year"}


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows of a value with a label; `share` of the value's rows, `heat` in percent of colour."""

    count: int
    share: str = ""
    heat: int = 0


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A value, how many rows have it, and its cells."""

    name: str
    rows: int
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Heat:
    """A table of labels by the values of a column; `more`: the labels that have no column in it, for a folded one."""

    name: str
    title: str
    first: str
    about: str
    head: Sequence[str]
    rows: Sequence[HeatRow]
    note: str
    more: Sequence[str]
    all_rows: Sequence[HeatRow]

    @property
    def words(self) -> str:
        """What it shows, for whoever does not see it."""
        return f"{self.title}: rows of each label, and their share"


def heats(groups: Sequence[Group]) -> list[Heat]:
    """Make the tables: those over time first."""
    return [_heat(group, number) for number, group in enumerate(sorted(groups, key=lambda each: each.kind != "time"))]


def _heat(group: Group, number: int) -> Heat:
    some = min(len(group.labels), HEAD if len(group.labels) > HEAD + 1 else HEAD + 1)
    left = [sum(cells[some:]) + other for cells, other in zip(group.cells, group.other_labels, strict=True)]
    head = list(group.labels[:some])
    columns = [[cells[n] for cells in group.cells] for n in range(some)]
    if any(left):
        head.append("other labels")
        columns.append(left)
    if any(group.unlabelled):
        head.append("no label")
        columns.append(list(group.unlabelled))
    span = SPANS.get(len(group.values[0])) if group.kind == "time" and group.values else None
    return Heat(
        name=f"group-{number}",
        title=f"Labels by {span} ({group.column})" if span else f"Labels by {group.column}",
        about=f"How many rows each label has, and its share of {f'the {span}' if span else 'that value'}'s rows: "
        "the stronger the colour, the larger.",
        first=span.capitalize() if span else group.column,
        head=head,
        rows=_rows(group, columns),
        note=_note(group),
        more=group.labels if len(group.labels) > some else (),
        all_rows=_rows(group, [[cells[n] for cells in group.cells] for n in range(len(group.labels))]),
    )


def _rows(group: Group, columns: Sequence[Sequence[int]]) -> list[HeatRow]:
    """Rows of a table: the largest share in it is the darkest."""
    shares = [[column[at] / rows if rows else 0.0 for column in columns] for at, rows in enumerate(group.rows)]
    most = max((share for row in shares for share in row), default=0) or 1
    return [
        HeatRow(
            value or "(empty)",
            rows,
            [
                Cell(column[at], f"{share:.0%}" if share >= 0.005 else "<1%", round(DARKEST * share / most))
                for column, share in zip(columns, row, strict=True)
            ],
        )
        for at, (value, rows, row) in enumerate(zip(group.values, group.rows, shares, strict=True))
    ]


def _note(group: Group) -> str:
    """What is not in the table."""
    parts = []
    if group.other_values:
        parts.append(f"{_rows_have(group.other_values)} other values")
    if group.missing:
        parts.append(f"{_rows_have(group.missing)} none")
    told = f"{'; '.join(parts)}. " if parts else ""
    least = "The column has more values than are counted singly: numbers are at least these. " if group.at_least else ""
    return f"{told}{least}".strip()


def _rows_have(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
