"""Results as people look at them: with the file's own name and row, the text, their own columns; picked and drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from sluice.errors import BadRequest
from sluice.figures import shown_line
from sluice.results.conditions import rows_where
from sluice.results.published import INPUT
from sluice.results.source_rows import TEXT, SourceRows
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sluice.results.published import Published

PLACE = {"file": pa.string(), "row": pa.int64()}
INSIDE = ("source", "line")  # what stands in their place in the results
MADE = {**PLACE, TEXT: pa.string()}
FIRST = ("file", "row", "id", "status", "label", "confidence", "reason")
DRAWN, TURN = "drawn", "turn"


@dataclass(frozen=True)
class Look:
    """What is to be seen of a run's rows.

    `columns` are all where none are named. `sample` rows are drawn uniformly of those that are meant: the same ones by
    the same seed, however the rows lie in files. The limit of `wanted` counts what is left after that.
    """

    wanted: Wanted = field(default_factory=Wanted)
    columns: Sequence[str] | None = None
    where: str | None = None
    sample: int | None = None
    seed: int = 0
    text: bool = True


class View:
    """The rows of a run as people look at them; `problems` says of which inputs the text cannot be had any more."""

    def __init__(self, published: Published, look: Look) -> None:
        if look.sample is not None and look.sample < 1:
            raise BadRequest(f"{look.sample} is no number of rows: give 1 or more", "sample")
        published.check_labels(look.wanted.labels)
        self.published = published
        self.look = look
        self.source = SourceRows(published) if look.text else None
        self.stored = {field.name: field.type for field in published.schema}
        self.offered = published.offered.names
        self.columns = self._columns()
        if look.where is not None and not look.where.strip():
            raise BadRequest("an empty condition picks nothing: leave it out", "where")

    @property
    def problems(self) -> list[str]:
        """Why there is no text of some inputs, a sentence each."""
        return [] if self.source is None else sorted(set(self.source.problems.values()))

    @cached_property
    def own(self) -> dict[str, tuple[str, pa.DataType]]:
        """The columns of the inputs that are not in the results already: the name of each here, its field and type."""
        if self.source is None:
            return {}
        taken = {name.casefold() for name in (*self.stored, *PLACE, TEXT)}
        task = self.published.task
        copied: set[str | None] = set()
        if task is not None:
            copied = {task.input.id, *(kept.path for kept in task.input.kept)}
        copied |= {TEXT} if self._text_fields == [TEXT] else set()
        found = {}
        for field_, kind in self.source.own().items():
            if field_ in copied:
                continue
            name = field_
            while name.casefold() in taken:
                name = f"input_{name}"
            taken.add(name.casefold())
            found[name] = (field_, kind)
        return found

    @property
    def _text_fields(self) -> list[str]:
        return list(self.published.task.input.text) if self.published.task else []

    @property
    def _is_own(self) -> bool:
        """Whether the text is one of the inputs' own columns already."""
        return self._text_fields in [[field_] for field_, _ in self.own.values()]

    @property
    def known(self) -> list[str]:
        """All columns, in the order in which they are shown."""
        stored = [name for name in self.stored if name not in INSIDE]
        first = [name for name in FIRST if name in PLACE or name in self.stored]
        text = [TEXT] if self.source is not None and TEXT not in self.stored else []
        return [*first, *text, *self.own, *(name for name in stored if name not in first)]

    def _columns(self) -> list[str]:
        """The columns that are asked for, or all; the text as a column of its own only where no other is it."""
        if self.look.columns is None:
            return [name for name in self.known if name != TEXT or name in self.stored or not self._is_own]
        at_hand = {*self.offered, *PLACE, *([TEXT] if self.source else [])}
        for name in self.look.columns:
            if name not in at_hand and name not in self.own:
                known = ", ".join([*self.known, *INSIDE])
                raise BadRequest(f"{name} is no column; there are: {known}", "columns")
        return list(self.look.columns)

    @cached_property
    def _made(self) -> pa.Schema:
        """The columns that are made of each batch: those that are shown, and those that pick."""
        names = [*self.columns]
        if self.look.where is not None:
            asked = self.look.where.casefold()
            names += [name for name in (*self.known, *INSIDE) if name.casefold() in asked]
        if self.look.sample is not None:
            names += INSIDE
        return pa.schema([self._field(name) for name in dict.fromkeys(names)])

    def _field(self, name: str) -> pa.Field:
        if name in self.offered:
            return self.published.offered.field(name)
        return pa.field(name, MADE[name] if name in MADE else self.own[name][1])

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that are shown."""
        return pa.schema([self._made.field(name) for name in self.columns])

    def batches(self, advance: Callable[[int], None] = lambda _size: None) -> Iterator[pa.RecordBatch]:
        """Yield the rows, up to 10,000 at a time."""
        late = self.look.where is not None or self.look.sample is not None
        wanted = replace(self.look.wanted, limit=None) if late else self.look.wanted
        rows = self._completed(wanted, advance)
        if self.look.where is not None:
            rows = rows_where(self.look.where, self._made, rows, [*self.known, *INSIDE])
        if self.look.sample is not None:
            rows = drawn(rows, self._made, self.look.sample, self.look.seed)
        for batch in first_rows(rows, self.look.wanted.limit):
            yield batch.select(self.columns)

    def _completed(self, wanted: Wanted, advance: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        """Yield rows with all columns that are made."""
        made = self._made.names
        made_here = [name for name in made if name not in self.offered]
        own = {name: self.own[name] for name in made_here if name not in MADE}
        joins = bool(own) or TEXT in made_here
        read = [*(name for name in made if name in self.offered), *INSIDE, "run_id"]
        read += [INPUT] if joins and self.source is not None and self.source.kept else []
        for batch in self.published.batches(wanted, list(dict.fromkeys(read)), advance):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns |= self._places(batch)
            if joins and self.source is not None:
                columns |= {name: found for name, found in self.source.columns(batch, own).items() if name in made_here}
            yield pa.record_batch([columns[name] for name in made], schema=self._made)

    def _places(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        uris, lines = batch["source"].to_pylist(), batch["line"].to_pylist()
        names = {uri: self._file(uri) for uri in set(uris)}
        rows = [shown_line(uri, line) for uri, line in zip(uris, lines, strict=True)]
        return {"file": pa.array([names[uri] for uri in uris], pa.string()), "row": pa.array(rows, pa.int64())}

    def _file(self, uri: str) -> str:
        """The name of a file as its owner knows it: without the bucket, and the task's folder in it."""
        name = uri.removeprefix("s3://").partition("/")[2] or uri
        task = self.published.task
        return name.removeprefix(f"{task.name}/") if task is not None else name.rpartition("/")[2]


def first_rows(batches: Iterable[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """Yield the first rows, at most so many."""
    for batch in batches:
        if limit is None:
            yield batch
            continue
        if batch.num_rows:
            yield batch.slice(0, limit)
        limit -= min(limit, batch.num_rows)
        if not limit:
            return


def drawn(batches: Iterable[pa.RecordBatch], schema: pa.Schema, count: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Draw rows uniformly: those of the smallest hashes of seed and place, in their order; no more are ever held."""
    ranked = schema.append(pa.field(DRAWN, pa.uint64())).append(pa.field(TURN, pa.int64()))
    held, seen = ranked.empty_table(), 0
    for batch in batches:
        ranks = [rank(seed, *place) for place in zip(*(batch[name].to_pylist() for name in INSIDE), strict=True)]
        turns = pa.array(range(seen, seen + batch.num_rows), pa.int64())
        columns = [*batch.columns, pa.array(ranks, pa.uint64()), turns]
        seen += batch.num_rows
        held = pa.concat_tables([held, pa.table(columns, schema=ranked)])
        if held.num_rows > count:
            held = held.take(pc.select_k_unstable(held.select([DRAWN]), k=count, sort_keys=[(DRAWN, "ascending")]))
    order = pc.sort_indices(held[TURN])
    yield from held.take(order).combine_chunks().select(schema.names).to_batches(10_000)


def rank(seed: int, source: str, line: int) -> int:
    """A row's place in a uniform draw: a hash of seed and place."""
    return int.from_bytes(blake2b(f"{seed}\n{source}\n{line}".encode(), digest_size=8).digest())
