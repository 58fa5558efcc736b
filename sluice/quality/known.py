"""Known answers of a run's rows, from its input or from a file that names them, and the rows that they belong to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sluice.errors import BadRequest
from sluice.figures import place
from sluice.quality.evaluation import Answer, Row
from sluice.quality.judged import shown_in
from sluice.reasons import Status
from sluice.results.corrections import Settled
from sluice.results.gold import GoldCount, known_words
from sluice.results.settled import PEOPLE
from sluice.results.wanted import Wanted
from sluice.task.spelling import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sluice.quality.drawn import DrawnRows
    from sluice.results.corrections import Corrections
    from sluice.results.published import Published
    from sluice.task.task import Task

COLUMNS = ("source", "line", "id", "record", "status", "labels", "tier", "model", "score", "trail")
ANSWERS = ("gold", "labels", "label")  # columns of a file that may hold what is known, the first that there is
NOTHING = "(none)"  # a row without a value in a column
Labels = frozenset[str]


class KnownAnswers:
    """What is known of rows, by place and by id; `outside` counts answers that are no label of the task."""

    def __init__(self, task: Task) -> None:
        self.names = Names(task.labels)
        self.by_place: dict[tuple[str, int], Labels] = {}
        self.by_id: dict[str, Labels] = {}
        self.outside = self.given = 0
        self.of_input = False
        self._kept: dict[Labels, Labels] = {}  # each set of labels once, however many rows have it

    def labels(self, value: Any) -> Labels | None:
        """The labels that a known answer stands for; None where it says nothing, or is none of them."""
        words = known_words(value)
        return None if words is None else self.checked({self.names.find(word) for word in words})

    def checked(self, found: set[str | None]) -> Labels | None:
        """The same of what was looked up; None among it is no label."""
        if None in found:
            self.outside += 1
            return None
        self.given += 1
        labels = frozenset(filter(None, found))
        return self._kept.setdefault(labels, labels)

    def drawn(self, source: str, line: int, record: str | None, *, by_run: bool) -> bool:  # noqa: ARG002
        """Whether what is known of a row measures; `by_run`: the run drew it, which says nothing of what a file has."""
        return by_run and self.of_input

    def of(self, source: str, line: int, name: str | None, record: str | None) -> Labels | None:  # noqa: ARG002
        """What is known of a row, by its place or its id."""
        found = self.by_place.get((source, line)) or self.by_place.get((place(source), line))
        return found if found is not None or name is None else self.by_id.get(name)


class SaidAnswers(KnownAnswers):
    """What people have said of rows, where they agree."""

    def __init__(self, task: Task, corrections: Corrections) -> None:
        super().__init__(task)
        self.corrections = corrections

    def of(self, source: str, line: int, name: str | None, record: str | None) -> Labels | None:  # noqa: ARG002
        """What somebody has said of a row, or of its text."""
        settled = self.corrections.of(source, line, record or "")
        if settled is None or settled.conflict or settled.latest.labels is None:
            return None
        return self.checked({self.names.find(label) for label in settled.latest.labels})

    def drawn(self, source: str, line: int, record: str | None, *, by_run: bool) -> bool:  # noqa: ARG002
        """Whether what is known of a row measures: it was itself drawn uniformly of all rows."""
        return Settled(self.corrections.of_row((source, line, record or "")).heads).drawn


def from_corrections(task: Task, published: Published) -> SaidAnswers:
    """Take what people have said of the run's rows for what is known.

    Raises:
        BadRequest: nobody has said anything.

    """
    corrections = published.corrections
    if not len(corrections):
        raise BadRequest("nobody has corrected a row of this task yet: `sluice review` does", "gold")
    return SaidAnswers(task, corrections)


def from_input(task: Task, published: Published) -> KnownAnswers:
    """Read the known answers that a run's input holds.

    Raises:
        BadRequest: the task names none, or the input is gone or has changed.

    """
    known = KnownAnswers(task)
    count = GoldCount(task)
    if count.path is None:
        raise BadRequest("the task names no known answers (input.gold); give a file that has them", "gold")
    known.of_input = True
    for source, line, raw in published.raw_rows():
        found = count.known_answer(raw) if raw else None
        if found is not None and (labels := known.checked(found)) is not None:
            known.by_place[source, line] = labels
    return known


def from_file(task: Task, file: Path) -> KnownAnswers:
    """Read known answers of a CSV, JSON Lines or Parquet file with `id`, or `source` and `line`, and `label`.

    Raises:
        BadRequest: it cannot be read, or lacks a column.

    """
    known = KnownAnswers(task)
    rows = _rows_of(file)
    first = next(rows, None)
    if first is None:
        raise BadRequest(f"{file} has no rows", "gold")
    column = next((name for name in ANSWERS if name in first), None)
    if column is None or not ("id" in first or {"source", "line"} <= first.keys()):
        needed = f"`id`, or `source` and `line`, and one of {', '.join(ANSWERS)}"
        raise BadRequest(f"{file} has the columns {', '.join(first)}; it needs {needed}", "gold")
    number = 0
    for number, row in enumerate(_chained(first, rows), 1):
        labels = known.labels(_listed(row.get(column), known.names))
        if labels is not None:
            _take(known, row, labels, f"{file}, row {number}")
    return known


def _take(known: KnownAnswers, row: dict[str, Any], labels: Labels, where: str) -> None:
    if row.get("source") is not None and row.get("line") is not None:
        try:
            known.by_place[str(row["source"]), int(row["line"])] = labels
        except ValueError:
            raise BadRequest(f"{where}: `line` is no number", "gold") from None
    elif row.get("id") is not None:
        known.by_id[str(row["id"])] = labels


def _chained(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


def _listed(value: Any, names: Names) -> Any:
    """A cell that holds a JSON list of labels as that list; a label that looks like one is a label."""
    if isinstance(value, str) and value.startswith("[") and names.find(value) is None:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, batch by batch."""
    try:
        match file.suffix.lower():
            case ".csv" | ".tsv":
                yield from _csv_rows(file)
            case ".parquet":
                with pq.ParquetFile(file) as opened:
                    for batch in opened.iter_batches(use_threads=False):
                        yield from batch.to_pylist()
            case ".jsonl" | ".ndjson" | ".json":
                with file.open("rb") as lines:
                    for number, line in enumerate(lines, 1):
                        if line.strip():
                            yield _object(line, f"{file}, line {number}")
            case other:
                raise BadRequest(
                    f"{file}: {other or 'a file without an ending'} is none of .csv, .tsv, .jsonl, .parquet"
                )
    except (OSError, pa.ArrowInvalid) as error:
        raise BadRequest(f"{file} cannot be read: {type(error).__name__}", "gold") from error


def _csv_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Every cell as text: an id of digits keeps its zeros."""
    tab = "\t" if file.suffix.lower() == ".tsv" else ","
    parse = pyarrow.csv.ParseOptions(delimiter=tab, newlines_in_values=True)
    names = pyarrow.csv.open_csv(file, parse_options=parse).schema.names
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    with pyarrow.csv.open_csv(file, parse_options=parse, convert_options=convert) as opened:
        for batch in opened:
            yield from batch.to_pylist()


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise BadRequest(f"{where} is no JSON object", "gold")
    return row


def rows_of(published: Published, known: KnownAnswers | None, drawn: DrawnRows, slices: Sequence[str]) -> Iterator[Row]:
    """Yield the rows that models were asked about, each with what is known of it.

    Without `known` answers that is what the last tier says of the drawn rows, which then have what they would have been
    given undrawn: the last tier's own label would agree with itself.
    """
    published.check_columns(slices)
    for batch in published.batches(Wanted(), [*COLUMNS, *(name for name in slices if name not in COLUMNS)]):
        for row in batch.to_pylist():
            if row["status"] == Status.REJECTED.value or row["model"] == PEOPLE:
                continue
            found = _row(row, drawn, slices)
            yield _held_against_oracle(row, found, drawn) if known is None else _held_against(row, found, known)


def _held_against(row: Mapping[str, Any], found: Row, known: KnownAnswers) -> Row:
    place = row["source"], row["line"]
    labels = known.of(*place, row["id"], row["record"])
    return found._replace(known=labels, drawn=known.drawn(*place, row["record"], by_run=found.drawn))


def _held_against_oracle(row: Mapping[str, Any], found: Row, drawn: DrawnRows) -> Row:
    given, tier = found.stands
    return found._replace(known=drawn.oracle(row), given=given, tier=tier)


def _row(row: Mapping[str, Any], drawn: DrawnRows, slices: Sequence[str]) -> Row:
    labels = row["labels"]
    return Row(
        record=row["record"] or "",
        known=None,
        drawn=drawn.measures(row),
        given=None if labels is None else frozenset(labels),
        tier=row["tier"],
        score=row["score"],
        answers=[
            Answer(attempt["tier"], attempt["label"], attempt["confidence"])
            for attempt in row["trail"] or ()
            if attempt["label"] is not None
        ],
        shown=list(shown_in(row["trail"] or ())),
        slices={name: NOTHING if row[name] is None else str(row[name]) for name in slices},
        undrawn=drawn.undrawn(row),
    )
