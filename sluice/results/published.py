"""The rows that a run has published, wherever they lie: in a deployment's bucket, or in a folder of this machine.

They are read batch by batch, through ranged reads: neither a file nor a run is ever held whole.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.errors import BadInput, BadRequest
from sluice.results.corrections import Corrections
from sluice.results.layer import LAYER, layer_of, needs
from sluice.results.wanted import Wanted
from sluice.rows.containers import Limits, Reading, lines_of_input
from sluice.rows.containers.columnar import RangedFile
from sluice.rows.record import OVERSIZE, BrokenRow, apart
from sluice.runs.settings import Settings
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sluice.aws.s3 import Store
    from sluice.runs.state import Input
    from sluice.task.task import Task

BATCH_ROWS = 10_000  # of a filter: as merge writes them
INPUT = "input"  # the column that holds the whole row, where the task keeps it
KEEP = "with `input.keep_input: true` in its task a run keeps its rows"
NO_LIMIT = 10**15  # of the text of an input: it has been read before


class Origin(NamedTuple):
    """Where an input lies that a run has read, and what keeps its rows from being read there again, if anything."""

    store: Store
    key: str
    frozen: Input
    reading: Reading
    problem: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Published:
    """The rows of one run.

    `origins` finds its inputs, which are not needed for anything else; `definition` is the run's task, as its document
    has it, None in older ones.
    """

    store: Store
    run: str
    prefix: str
    origins: Callable[[], Iterable[Origin]]
    definition: Mapping[str, Any] | None = None

    @cached_property
    def parts(self) -> list[tuple[str, int]]:
        """Keys and sizes of the Parquet files, in order."""
        return [(key, size) for key, size in self.store.keys(self.prefix) if f"/{self.run}-part-" in key]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.parts)

    @cached_property
    def corrections(self) -> Corrections:
        """What people have said of the task's rows."""
        found = Corrections(self.store, self.prefix.split("/")[1])
        found.refresh()
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns: those of the files, and of corrections where there are any; `BadRequest` without files."""
        return self.offered if self.corrections.rows else self.stored

    @cached_property
    def offered(self) -> pa.Schema:
        """All columns that may be asked for: those of corrections too, before there are any.

        A column that a task itself keeps under such a name stays what it is.
        """
        taken = {name.casefold() for name in self.stored.names}
        added = [field for field in LAYER if field.name not in taken and "record" in taken]
        return pa.schema([*self.stored, *added])

    @cached_property
    def stored(self) -> pa.Schema:
        """The columns of the files; `BadRequest` when these are gone."""
        if not self.parts:
            raise BadRequest(f"there are no results of run {self.run}: nothing lies under {self.prefix}")
        with parquet_at(self.store, *self.parts[0]) as opened:
            return opened.schema_arrow

    def batches(
        self, wanted: Wanted, columns: Sequence[str] | None = None, advance: Callable[[int], None] = lambda _size: None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are meant, in the files' order, with these columns or all.

        `advance` is told the size of each file that is through.
        """
        if not self.parts:
            return
        asked = self.schema.names if columns is None else list(columns)
        made = [name for name in asked if name not in self.stored.names]
        left = NO_LIMIT if wanted.limit is None else wanted.limit
        read = [name for name in asked if name not in made] + list(wanted.needs)
        read += needs(self.stored.names, self._field_names) if made else []
        for part in self.parts:
            with parquet_at(self.store, *part) as opened:
                for batch in opened.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(read)), use_threads=False):
                    found = wanted.of(batch).slice(0, left)
                    left -= found.num_rows
                    if found.num_rows:
                        yield self._with_layer(found, asked, made)
                    if not left:
                        return
            advance(part[1])

    def _with_layer(self, batch: pa.RecordBatch, asked: Sequence[str], made: Sequence[str]) -> pa.RecordBatch:
        """The columns that are asked for, some of them made of corrections."""
        if not made:
            return batch.select(asked)
        layer = layer_of(batch, self.corrections)
        return pa.record_batch(
            [layer[name] if name in made else batch[name] for name in asked],
            schema=pa.schema([self.offered.field(name) for name in asked]),
        )

    @property
    def _field_names(self) -> list[str]:
        return [] if self.task is None else list(self.task.answer.fields)

    def table(self, wanted: Wanted, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows that are meant into memory.

        Raises:
            BadRequest: a column that the results do not have.

        """
        self.check_columns(columns)
        schema = self.schema if columns is None else pa.schema([self.offered.field(name) for name in columns])
        return pa.Table.from_batches(self.batches(wanted, columns), schema)

    @cached_property
    def task(self) -> Task | None:
        """The run's task; None where its document does not say."""
        return parse_task(dict(self.definition), "the run's task") if self.definition else None

    def check_labels(self, labels: Iterable[str]) -> None:
        """Refuse a label that the run's task does not have.

        Raises:
            BadRequest: with the labels that there are.

        """
        if self.task is None:
            return
        for label in labels:
            if label not in self.task.labels:
                known = ", ".join(self.task.labels)
                raise BadRequest(f"{label} is no label of the task {self.task.name}; there are: {known}", "label")

    def check_columns(self, columns: Sequence[str] | None) -> None:
        """Refuse a column that the results do not have."""
        for name in columns or ():
            if name not in self.offered.names:
                known = ", ".join(self.schema.names)
                raise BadRequest(f"{name} is no column of the results; there are: {known}", "columns")

    def input_lines(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the rows that are meant as they stood in the input, as lines of JSON without the line's end.

        A row that was too long to be kept is an empty line, which no row is.
        They come from the column `input` where there is one, else from the inputs themselves.

        Raises:
            BadRequest: the inputs are needed, and are gone or have changed.

        """
        if INPUT in self.stored.names:
            for batch in self.batches(wanted, [INPUT]):
                yield from pc.fill_null(pc.cast(batch[INPUT], pa.binary()), b"").to_pylist()
            return
        places = self._places(wanted)
        for origin in self.origins() if places else ():
            if lines := places.get(origin.frozen.uri):
                if problem := origin.problem():
                    raise BadRequest(f"{problem}; {KEEP}")
                yield from _lines_at(origin, lines)

    @property
    def runs(self) -> list[str]:
        """The ids of the runs that have rows here."""
        return [self.run]

    def origins_by_run(self) -> Iterator[tuple[str, Origin]]:
        """Yield the inputs, each with the run whose rows it holds."""
        for origin in self.origins():
            yield self.run, origin

    def raw_rows(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield source, line and raw row of all rows that were kept; `input_lines` tells where from, and its errors."""
        if INPUT in self.stored.names:
            for batch in self.batches(Wanted(), ["source", "line", INPUT]):
                raws = pc.fill_null(pc.cast(batch[INPUT], pa.binary()), b"").to_pylist()
                yield from zip(batch["source"].to_pylist(), batch["line"].to_pylist(), raws, strict=True)
            return
        places = self._places(Wanted())
        for origin in self.origins():
            if lines := places.get(origin.frozen.uri):
                if problem := origin.problem():
                    raise BadRequest(f"{problem}; {KEEP}")
                for line, raw in zip(sorted(lines), _lines_at(origin, lines), strict=False):
                    yield origin.frozen.uri, line, raw

    def _places(self, wanted: Wanted) -> dict[str, array[int]]:
        """Numbers of the lines that are meant, by input: eight bytes for each."""
        found: dict[str, array[int]] = defaultdict(lambda: array("q"))
        for batch in self.batches(wanted, ["source", "line"]):
            for uri in pc.unique(batch["source"]).to_pylist():
                lines = batch["line"].filter(pc.equal(batch["source"], uri))
                found[uri].frombytes(lines.to_numpy(zero_copy_only=False).tobytes())
        return found


def parquet_at(store: Store, key: str, size: int) -> pq.ParquetFile:
    """Open a Parquet file of a store, to be read by ranges."""

    def read(begin: int, end: int) -> bytes:
        return store.read_range(key, begin, end - begin)

    return pq.ParquetFile(pa.PythonFile(RangedFile(read, size), mode="r"), pre_buffer=False)


def _lines_at(origin: Origin, numbers: array[int]) -> Iterator[bytes]:
    """Yield the lines of an input that have these numbers, in the order of the input."""
    wanted, at, begin = sorted(numbers), 0, 1
    try:
        for lines in blocks_of(origin):
            while at < len(wanted) and wanted[at] < begin + len(lines):
                yield lines[wanted[at] - begin]
                at += 1
            begin += len(lines)
            if at == len(wanted):
                return
    except BadInput as error:
        raise BadRequest(f"{error}; {KEEP}") from error


def blocks_of(origin: Origin) -> Iterator[list[bytes]]:
    """Yield the lines of an input as lists in order; one that is too long is empty, one that is no row is its text."""
    limits = Limits(Settings().max_row_bytes, NO_LIMIT)
    frozen = origin.frozen
    for block in lines_of_input(origin.store, origin.key, frozen, 0, frozen.bytes, limits, origin.reading):
        yield [_kept(row) for line in block for row in apart(line)]


def _kept(line: bytes) -> bytes:
    kept = b"" if line is OVERSIZE else line
    return kept.text if isinstance(kept, BrokenRow) else kept


def reading_of(task: dict[str, Any] | None) -> Reading:
    """What the inputs of a run were read for, as whole rows; older documents do not say."""
    if not task:
        return Reading()
    return Reading.of(parse_task(task, "the run's task"))._replace(whole=True)


def why(document: Mapping[str, Any]) -> str | None:
    """Say why a run failed or accepted nothing; None where it did neither."""
    if cause := document.get("cause"):
        return f"{cause['rows']:,} rows are {cause['reason']}: {cause['likely']}".rstrip(": ")
    error: str | None = document.get("error")
    return error
