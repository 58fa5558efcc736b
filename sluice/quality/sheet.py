"""A sheet with the right labels of some rows, as people fill it in: read, checked line by line, matched with a run.

A line names its row by `id`, by `source` and `line`, or by `file` and `row` as `sluice results` writes them. What
cannot be taken is named by its line, with what would do; the other lines are taken.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import defaultdict
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from sluice.errors import BadRequest
from sluice.figures import shown_line
from sluice.quality.workbook import cells_of
from sluice.results.wanted import Wanted
from sluice.task.spelling import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sluice.results.corrections import Mark
    from sluice.results.published import Published
    from sluice.task.task import Task

ANSWERS = ("corrected_label", "corrected_labels", "right", "gold", "label", "labels")  # the first that the sheet has
FIELD = "corrected_{}"  # the column of an extracted field
NOTES = ("corrected_note", "note")
TOO_MANY = ""  # no column is called so
CELL = 1_000_000  # characters
READ = ("source", "line", "id", "record", "status", "reason", "labels", "run_id")


class Row(NamedTuple):
    """A row of a run that a line is about, and what the run had given it."""

    source: str
    line: int
    id: str | None
    record: str
    labels: list[str] | None
    run: str
    fields: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a sheet that says something that can be taken."""

    number: int
    name: tuple[object, ...]  # of the row: (id,), (source, line), or ("file", file, row)
    labels: list[str] | None
    fields: dict[str, Any]
    note: str
    drawn: bool = False  # these three of a file that the desk gave back
    seen: Mark | None = None
    at: str | None = None

    @property
    def of_desk(self) -> bool:
        """Whether the desk has written it, on which the row stood beside it."""
        return self.at is not None


@dataclass
class Sheet:
    """What a sheet says, line by line; `problems` are sentences, each with the line that it is about."""

    lines: list[Line] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    empty: int = 0

    def refuse(self, line: int, why: str) -> None:
        """Leave a line out, and say why."""
        self.problems.append((line, why))


class Wrong(Exception):
    """A line cannot be taken."""


class SheetReader:
    """Reads the sheets of a task, and checks what is said of a row."""

    def __init__(self, task: Task, column: str | None = None) -> None:
        self.task = task
        self.names = Names(task.labels)
        self.column = column

    def read(self, file: Path, runs: Sequence[str]) -> Sheet:
        """Read a sheet; a line that names another run than these is left out.

        Raises:
            BadRequest: it is no sheet, or has no column that it needs.

        """
        sheet = Sheet()
        column, checked = None, False
        seen: dict[tuple[object, ...], int] = {}
        for number, row in rows_of(file):
            if not checked:
                column, checked = self._column(file, row), True
            try:
                line = self._line(number, row, column, runs)
            except Wrong as wrong:
                sheet.refuse(number, str(wrong))
                continue
            if line is None:
                sheet.empty += 1
            elif (before := seen.setdefault(line.name, number)) != number:
                sheet.refuse(number, f"says something of the row of line {before} again")
            else:
                sheet.lines.append(line)
        return sheet

    def _column(self, file: Path, row: Mapping[str, Any]) -> str | None:
        """The column of the right label; None for a task without labels."""
        if not ("id" in row or {"source", "line"} <= row.keys() or {"file", "row"} <= row.keys()):
            raise BadRequest(
                f"{file} names no rows: it needs the column id, or source and line, or file and row", "import"
            )
        fields = [FIELD.format(name) for name in self.task.answer.fields]
        if not self.task.labels:
            if not any(name in row for name in fields):
                raise BadRequest(f"{file} has none of the columns {', '.join(fields)}", "import")
            return None
        wanted = ANSWERS if self.column is None else (self.column,)
        column = next((name for name in wanted if name in row), None)
        if column is None:
            raise BadRequest(f"{file} has no column of right labels: it needs one of {', '.join(wanted)}", "import")
        return column

    def _line(self, number: int, row: Mapping[str, Any], column: str | None, runs: Sequence[str]) -> Line | None:
        if TOO_MANY in row:
            raise Wrong(row[TOO_MANY])
        value = None if column is None else row.get(column)
        fields = self.fields(row)
        if _nothing(value) and not fields:
            return None
        if not _nothing(run := row.get("run_id")) and str(run) not in runs:
            raise Wrong(f"is about another run than {', '.join(runs)}")
        labels = None if column is None else self.labels(value)
        note = next((str(row[name]) for name in NOTES if not _nothing(row.get(name))), "")
        return Line(number, _name(row), labels, fields, note, **_of_the_desk(row))

    def labels(self, value: object) -> list[str]:
        """The labels that a cell stands for; `Wrong` where no row could have them."""
        if _nothing(value):
            raise Wrong("has fields and no label")
        words = _listed(value, self.names)
        if not isinstance(words, list):
            words = [words]
        found = [self._label(word) for word in words]
        if len(set(found)) < len(found):
            raise Wrong("names a label twice")
        least, most = self.task.min_labels, self.task.max_labels
        if not least <= len(found) <= most:
            span = f"{least}" if least == most else f"{least} to {most}"
            raise Wrong(f"has {len(found)} labels, and a row of this task has {span}")
        if self.task.none in found and len(found) > 1:
            raise Wrong(f"has {self.task.none} beside another label, which says that none fits")
        return [label for label in self.task.labels if label in found]

    def _label(self, word: object) -> str:
        found = self.names.find(word)
        if found is None and isinstance(word, str):
            found = self.names.find(word.strip().removeprefix("'"))
        if found is not None:
            return found
        near = get_close_matches(str(word).strip().casefold(), [label.casefold() for label in self.task.labels], 1)
        meant = next((label for label in self.task.labels if near and label.casefold() == near[0]), None)
        raise Wrong(
            f"has a label that the task does not have: did you mean {meant}?"
            if meant
            else f"has a label that the task does not have; there are: {', '.join(self.task.labels)}"
        )

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The extracted fields that a row's cells hold; `Wrong` where one does not fit."""
        found = {}
        for name, field_ in self.task.answer.fields.items():
            column = FIELD.format(name)
            if column in row and not _nothing(row[column]):
                value = row[column]
                if not field_.admits(value):
                    value = _decoded(value)
                if not field_.admits(value):
                    kind = f"a list of {field_.type}" if field_.array else str(field_.type)
                    allowed = f", one of {', '.join(map(str, field_.enum))}" if field_.enum else ""
                    raise Wrong(f"has no value for {name} in {column}: it takes {kind}{allowed}")
                found[name] = value
        return found


def _of_the_desk(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of the desk says beside the answer: when, having seen what, and whether the row was drawn."""
    found: dict[str, Any] = {"drawn": str(row.get("drawn")).strip().casefold() == "true"}
    match row.get("seen"):
        case [int(number), int(line)]:
            found["seen"] = (number, line)
    try:
        found["at"] = (
            dt.datetime.fromisoformat(str(row.get("at"))).astimezone(dt.UTC).isoformat(timespec="milliseconds")
        )
    except ValueError:
        return found
    return found


def _nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _decoded(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _listed(value: object, names: Names) -> object:
    """A cell that holds a JSON list as that list; a label that looks like one is a label."""
    looks = isinstance(value, str) and value.strip().startswith("[") and names.find(value) is None
    return _decoded(value) if looks else value


def _name(row: Mapping[str, Any]) -> tuple[object, ...]:
    """What a line calls its row: its place, if it says one, else its id."""
    for source, line in (("source", "line"), ("file", "row")):
        if not _nothing(row.get(source)) and not _nothing(row.get(line)):
            try:
                number = int(str(row[line]))
            except ValueError:
                raise Wrong(f"has no number in the column {line}") from None
            return (str(row[source]), number) if source == "source" else ("file", str(row[source]), number)
    if _nothing(row.get("id")):
        raise Wrong("names no row: it has neither an id nor a place")
    return (str(row["id"]),)


def rows_of(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a CSV, TSV, xlsx or JSON Lines file with the lines at which they stand.

    Raises:
        BadRequest: it is another kind of file, or cannot be read.

    """
    try:
        match file.suffix.lower():
            case ".csv" | ".tsv" | ".txt":
                yield from _csv_rows(file)
            case ".jsonl" | ".ndjson" | ".json":
                yield from _json_rows(file)
            case ".xlsx":
                yield from _named(file, cells_of(file))
            case ".xls" | ".ods" as kind:
                raise BadRequest(f"{file}: save the {kind} as CSV (in Excel: CSV UTF-8), and give that", "import")
            case other:
                raise BadRequest(
                    f"{file}: {other or 'a file without an ending'} is none of .csv, .tsv, .xlsx, .jsonl", "import"
                )
    except UnicodeDecodeError:
        raise BadRequest(f"{file} is no UTF-8: save it as UTF-8 (in Excel: CSV UTF-8)", "import") from None
    except csv.Error as error:
        raise BadRequest(f"{file} is no CSV: {error}", "import") from None
    except OSError as error:
        raise BadRequest(f"{file} cannot be read: {error.strerror}", "import") from error


def _csv_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a sheet with a header, between commas, semicolons or tabs, whichever its header has most of."""
    csv.field_size_limit(CELL)
    with file.open(encoding="utf-8-sig", newline="") as text:
        first = text.readline()
        while first.strip() and first.count('"') % 2:
            more = text.readline()
            if not more:
                break
            first += more
        if not first.lower().startswith("sep="):  # a line of Excel's, above the header
            text.seek(0)
        separator = max(",;\t", key=first.count) if not first.lower().startswith("sep=") else first[4:5]
        reader = csv.reader(text, delimiter=separator, strict=True)
        yield from _named(file, _numbered(reader))


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the line at which it begins."""
    begin = reader.line_num + 1
    for cells in reader:
        yield begin, cells
        begin = reader.line_num + 1


def _named(file: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows by the names of the header, which is the first of them; empty ones are passed over."""
    _, header = next(rows, (0, []))
    if not header:
        raise BadRequest(f"{file} is empty", "import")
    names = [name.strip() for name in header]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"{file} has two columns that are called {twice}", "import")
    for number, cells in rows:
        if any(cell.strip() for cell in cells):
            row: dict[str, Any] = dict(zip(names, cells, strict=False))
            if any(cell.strip() for cell in cells[len(names) :]):
                row[TOO_MANY] = f"has {len(cells)} cells under a header of {len(names)}: quote what has a separator"
            yield number, row


def _json_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise BadRequest(f"{file}, line {number} is no JSON object", "import")
            yield number, row


def matched(published: Published, sheet: Sheet) -> list[tuple[Line, Row]]:
    """Find the rows that a sheet's lines are about; those of which there is none, or no one row, are refused.

    One pass over the run's rows, of which those that are meant are held.
    """
    wanted: dict[tuple[object, ...], Line] = {line.name: line for line in sheet.lines}
    plain = {(str(line.name[0]).removeprefix("'"),): line for line in sheet.lines if len(line.name) == 1}
    found: dict[int, list[Row]] = defaultdict(list)
    rejected: dict[int, str] = {}
    fields = () if published.task is None else tuple(published.task.answer.fields)
    for batch in published.batches(Wanted(), [*READ, *fields]):
        for row in batch.to_pylist():
            lines = [wanted.get(name) for name in _names_of(row)]
            lines.append(plain.get((row["id"],)) if (row["id"],) not in wanted else None)
            for line in {line.number: line for line in lines if line is not None}.values():
                if row["status"] == "rejected":
                    rejected[line.number] = row["reason"]
                else:
                    place = (row["source"], row["line"], row["id"], row["record"], row["labels"], row["run_id"])
                    found[line.number].append(Row(*place, {name: row[name] for name in fields}))
    return _paired(sheet, found, rejected)


def _names_of(row: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """All names that a line may have for a row; a file by its whole name, or any end of it."""
    uri, line = row["source"], row["line"]
    if row["id"] is not None:
        yield (row["id"],)
    parts = uri.removeprefix("s3://").split("/")
    yield uri, line
    for begin in range(1, len(parts)):
        name = "/".join(parts[begin:])
        yield name, line
        yield "file", name, shown_line(uri, line)


def _paired(sheet: Sheet, found: Mapping[int, list[Row]], rejected: Mapping[int, str]) -> list[tuple[Line, Row]]:
    pairs: list[tuple[Line, Row]] = []
    taken: dict[tuple[str, int], int] = {}
    for line in sheet.lines:
        rows = found.get(line.number, [])
        if len(rows) == 1:
            before = taken.setdefault((rows[0].source, rows[0].line), line.number)
            if before == line.number:
                pairs.append((line, rows[0]))
            else:
                sheet.refuse(line.number, f"says something of the row of line {before} again")
        elif rows:
            sheet.refuse(line.number, f"names {len(rows):,} rows: give source and line (or file and row) instead")
        elif line.number in rejected:
            sheet.refuse(
                line.number, f"is about a row that was rejected ({rejected[line.number]}), which has no answer"
            )
        else:
            sheet.refuse(line.number, "names a row that the run does not have")
    return pairs
