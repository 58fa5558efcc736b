"""`sluice results` with a filter or a format: rows of a run, on standard output or into a file."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sluice.cli import formats
from sluice.cli.choices import Format, Shape
from sluice.cli.display import busy, byte_bar
from sluice.cli.exits import ExitCode, complain, reader_may_leave
from sluice.errors import BadRequest
from sluice.files import whole_file
from sluice.reasons import Status
from sluice.results.published import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sluice.results.published import Published

TABLE_ROWS = 20  # of a table without a limit


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says about rows."""

    labels: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    limit: int | None = None
    format: Format | None = None
    shape: Shape | None = None
    out: Path | None = None

    @property
    def as_input(self) -> bool:
        """Whether rows are to be written as they stood in the input."""
        return self.shape is Shape.INPUT

    @property
    def for_rows(self) -> bool:
        """Whether rows are asked for, and not the whole run."""
        return bool(self.labels or self.statuses or self.reasons or self.limit or self.format or self.shape)


def conflict(asked: Asked, folder: Path | None, *, as_json: bool) -> str | None:
    """Say what makes no sense together, and what was meant instead; None when nothing does."""
    if asked.for_rows and as_json:
        return "--json prints run.json; for rows as JSON give --format jsonl"
    if folder is not None and asked.out is not None and not asked.for_rows:
        return f"--out: the run lies in {folder} already; for its rows in a file give --format"
    return None


def hand_out(published: Published, asked: Asked) -> ExitCode:
    """Write the rows that are asked for."""
    _check(asked)
    count = -1  # where the reader leaves early
    if asked.format in (None, Format.TABLE) and not asked.as_input:
        count = _print_table(published, asked)
    else:
        with _target(asked) as out:
            count = _write(published, asked, out)
    if count == 0:
        complain(f"no row of run {published.run} matches")
    return ExitCode.SUCCEEDED


def _check(asked: Asked) -> None:
    if asked.as_input and asked.format not in (None, Format.JSONL):
        raise BadRequest(f"--as input gives lines of JSON, not --format {asked.format}")
    if asked.out is not None and asked.out.is_dir():
        raise BadRequest(f"--out {asked.out} is a folder; rows go to a file")
    if asked.out is not None and not asked.as_input and asked.format in (None, Format.TABLE):
        raise BadRequest("a table is for the eye; for a file give --format csv, jsonl or parquet")


def _wanted(asked: Asked, *, open_rows: bool = False, limit: int | None = None) -> Wanted:
    """Say which rows; rows that go back as input are the unresolved ones where nothing else is said."""
    unsaid = not (asked.labels or asked.statuses or asked.reasons)
    statuses = (Status.UNRESOLVED.value,) if open_rows and unsaid else asked.statuses
    return Wanted(asked.labels, statuses, asked.reasons, asked.limit or limit)


def _print_table(published: Published, asked: Asked) -> int:
    """Print a table, and say when there are more rows than it has."""
    limit = asked.limit or TABLE_ROWS
    rows: list[dict[str, object]] = []
    with byte_bar("reading", published.size) as advance:
        for batch in published.batches(_wanted(asked, limit=limit + 1), formats.SHOWN, advance):
            rows += batch.to_pylist()
    with reader_may_leave():
        formats.print_table(rows[:limit])
    if len(rows) > limit and asked.limit is None:
        complain(f"the first {limit} rows; --limit N shows more, --format csv, jsonl or parquet writes all")
    return len(rows)


def _write(published: Published, asked: Asked, out: IO[bytes]) -> int:
    shown = io.StringIO() if formats.is_terminal(out) else None  # rows and a bar on one terminal would be a mess
    if asked.as_input:
        with busy("reading the rows", shown):
            return _write_inputs(published.input_lines(_wanted(asked, open_rows=True)), out)
    with byte_bar("reading", published.size, shown) as advance:
        batches = published.batches(_wanted(asked), advance=advance)
        match asked.format:
            case Format.CSV:
                return formats.write_csv(batches, published.schema, out)
            case Format.PARQUET:
                return formats.write_parquet(batches, published.schema, out)
            case _:
                return formats.write_jsonl(batches, out)


def _write_inputs(lines: Iterable[bytes], out: IO[bytes]) -> int:
    """Write rows as they stood in the input, say how many were not kept, and return how many there are of both."""
    lost = 0

    def kept() -> Iterator[bytes]:
        nonlocal lost
        for line in lines:
            if line:
                yield line
            else:
                lost += 1

    written = formats.write_lines(kept(), out)
    if lost:
        complain(f"{lost:,} of {written + lost:,} rows were too long to be kept (max_row_bytes), and are left out")
    return written + lost


@contextmanager
def _target(asked: Asked) -> Iterator[IO[bytes]]:
    """Open the file, which stands under its name when it is whole, or standard output."""
    if asked.out is None:
        if asked.format is Format.PARQUET and formats.is_terminal(sys.stdout.buffer):
            raise BadRequest("Parquet is not for a terminal: give --out FILE, or lead it into a file")
        with reader_may_leave():
            yield sys.stdout.buffer
        return
    with whole_file(asked.out) as file:
        yield file
