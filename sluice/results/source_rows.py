"""Rows as they stood in a run's inputs, for whoever looks at results: their text, and their owner's own columns.

They come from the column `input` where the task keeps it, else from the inputs themselves as the run had frozen them.
What has changed since is named, and its rows stay empty.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sluice.errors import SluiceError
from sluice.results.published import INPUT, blocks_of
from sluice.results.wanted import Wanted
from sluice.rows.record import RowReader, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sluice.results.published import Origin, Published

TEXT = "text"
MOST_OWN = 1_000  # columns: rows whose fields' names are data would make a column of each
INT64 = range(-(2**63), 2**63)


class SourceRows:
    """Gives the rows of results as they stood in the input: memory stays flat where they come in the inputs' order."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self.kept = INPUT in published.stored.names
        self.problems: dict[str, str] = {}  # why an input's rows cannot be had, by its address
        self._reader = None if published.task is None else RowReader(published.task)
        self._cursor: Cursor | None = None

    @cached_property
    def _origins(self) -> dict[tuple[str, str], Origin]:
        return {(run, origin.frozen.uri): origin for run, origin in self.published.origins_by_run()}

    def columns(self, batch: pa.RecordBatch, own: dict[str, tuple[str, pa.DataType]]) -> dict[str, pa.Array]:
        """Make the column `text` of a batch, and own ones: by the name they get, the field and the type of each."""
        raws = self.raws(batch)
        rows = [None if raw is None else parse_object(raw) for raw in raws] if own else []
        found = {TEXT: pa.array([None if raw is None else self.text(raw) for raw in raws], pa.string())}
        for name, (field, kind) in own.items():
            values = [row.get(field) if isinstance(row, dict) else None for row in rows]
            found[name] = pa.array([_stored(value, kind) for value in values], kind)
        return found

    def text(self, raw: bytes) -> str:
        """The text of a row as the models saw it; of one that cannot be read, the row."""
        try:
            return raw.decode(errors="replace") if self._reader is None else self._reader.text(raw)
        except ValueError:
            return raw.decode(errors="replace")

    def raws(self, batch: pa.RecordBatch) -> list[bytes | None]:
        """The rows of a batch as they stood in the input; None of what cannot be had."""
        if self.kept:
            return [None if text is None else text.encode() for text in batch[INPUT].to_pylist()]
        places = defaultdict(list)
        for number, row in enumerate(batch.select(["run_id", "source", "line"]).to_pylist()):
            places[row["run_id"], row["source"]].append((row["line"], number))
        raws: list[bytes | None] = [None] * len(batch)
        for place, wanted in places.items():
            for number, raw in self._of_input(place, sorted(wanted)):
                raws[number] = raw
        return raws

    def at(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """Some rows, of which `run_id`, `source` and `line` are known, as they stood in the input: one pass over it."""
        if not rows:
            return []
        if not self.kept:
            columns = ("run_id", "source", "line")
            return self.raws(pa.RecordBatch.from_pylist([{name: row[name] for name in columns} for row in rows]))
        found: dict[tuple[str, int], bytes | None] = dict.fromkeys((row["source"], row["line"]) for row in rows)
        for batch in self.published.batches(Wanted(), ["source", "line", INPUT]):
            keys = zip(batch["source"].to_pylist(), batch["line"].to_pylist(), strict=True)
            found |= {key: raw for key, raw in zip(keys, self.raws(batch), strict=True) if key in found}
        return [found[row["source"], row["line"]] for row in rows]

    def _of_input(self, place: tuple[str, str], wanted: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        uri = place[1]
        if uri in self.problems:
            return
        try:
            if self._cursor is None or self._cursor.place != place or self._cursor.begin > wanted[0][0]:
                self._cursor = Cursor(place, self._opened(place))
            for line, number in wanted:
                yield number, self._cursor.line(line)
        except (SluiceError, StopIteration) as error:
            self._cursor = None
            self.problems[uri] = str(error) or f"{uri} has fewer rows than the run has read"

    def _opened(self, place: tuple[str, str]) -> Iterator[list[bytes]]:
        origin = self._origins.get(place)
        problem = f"{place[1]} is none of the run's inputs" if origin is None else origin.problem()
        if origin is None or problem:
            raise SluiceError(problem)
        return blocks_of(origin)

    def own(self) -> dict[str, pa.DataType]:
        """Find the fields of all rows, in the order in which they are met, and the type of column for each."""
        kinds: dict[str, set[type]] = {}
        for raw in self._all():
            row = parse_object(raw)
            for field, value in row.items() if isinstance(row, dict) else ():
                if field in kinds or len(kinds) < MOST_OWN:
                    kinds.setdefault(field, set()).add(_kind(value))
        return {field: _column_type(found - {type(None)}) for field, found in kinds.items()}

    def _all(self) -> Iterator[bytes]:
        if self.kept:
            for batch in self.published.batches(Wanted(), [INPUT]):
                yield from (text.encode() for text in batch[INPUT].to_pylist() if text)
            return
        for place, origin in self._origins.items():
            try:
                for block in self._opened(place):
                    yield from block
            except SluiceError as error:
                self.problems[origin.frozen.uri] = str(error)


class Cursor:
    """Reads an input forwards; a line behind the one that was asked for last needs a new one."""

    def __init__(self, place: tuple[str, str], blocks: Iterator[list[bytes]]) -> None:
        self.place = place
        self.begin = 1  # the number of the first line in hand
        self._lines: list[bytes] = []
        self._blocks = blocks

    def line(self, number: int) -> bytes:
        """The line of this number; `StopIteration` behind the end."""
        while number >= self.begin + len(self._lines):
            self.begin += len(self._lines)
            self._lines = next(self._blocks)
        return self._lines[number - self.begin]


def _kind(value: Any) -> type:
    return str if isinstance(value, int) and value not in INT64 else type(value)


def _column_type(kinds: Iterable[type]) -> pa.DataType:
    match set(kinds):
        case found if found == {bool}:
            return pa.bool_()
        case found if found == {int}:
            return pa.int64()
        case found if found and found <= {int, float}:
            return pa.float64()
        case _:
            return pa.string()


def _stored(value: Any, kind: pa.DataType) -> Any:
    """A field's value as its column takes it: a text as it is, in a column of texts any other as its JSON."""
    if value is None or (isinstance(value, str) and kind == pa.string()):
        return value
    if kind == pa.string():
        return msgspec.json.encode(value).decode()
    return float(value) if kind == pa.float64() else value
