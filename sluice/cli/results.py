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
from sluice.cli.workbook import write_workbook
from sluice.errors import BadRequest
from sluice.files import plain, whole_file
from sluice.reasons import Status
from sluice.results.source_rows import TEXT
from sluice.results.view import PLACE, Look, View
from sluice.results.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
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
    confidences: tuple[str, ...] = ()
    tiers: tuple[int, ...] = ()
    changed: bool = False
    columns: tuple[str, ...] = ()
    where: str | None = None
    sample: int | None = None
    seed: int = 0
    text: bool = True
    excel: bool = False

    @property
    def as_input(self) -> bool:
        """Whether rows are to be written as they stood in the input."""
        return self.shape is Shape.INPUT

    @property
    def for_rows(self) -> bool:
        """Whether rows are asked for, and not the whole run."""
        return self.picks or bool(self.shows or self.limit or self.format or self.shape)

    @property
    def picks(self) -> bool:
        """Whether only some of the rows are asked for, whatever their number."""
        return bool(self.labels or self.statuses or self.reasons or self.confidences or self.tiers or self.changed)

    @property
    def shows(self) -> bool:
        """Whether something is said that concerns results alone, and not rows as they stood in the input."""
        return bool(self.columns or self.where is not None or self.sample or not self.text or self.excel)

    def look(self, limit: int | None = None, columns: Sequence[str] | None = None) -> Look:
        """What is to be seen, where nothing else is said with this limit and these columns."""
        return Look(
            _wanted(self, limit=limit), self.columns or columns, self.where, self.sample, self.seed, text=self.text
        )


def conflict(asked: Asked, folder: Path | None, *, as_json: bool) -> str | None:
    """Say what makes no sense together, and what was meant instead; None when nothing does."""
    if asked.for_rows and as_json:
        return "--json prints run.json; for rows as JSON give --format jsonl"
    if folder is not None and asked.out is not None and not asked.for_rows:
        return f"--out: the run lies in {folder} already; for its rows in a file give --format"
    return None


def hand_out(published: Published, asked: Asked) -> ExitCode:
    """Write the rows that are asked for; without any, it is as wrong as another name for what is not there."""
    _check(asked)
    published.check_labels(asked.labels)
    count = -1  # where the reader leaves early
    if asked.format in (None, Format.TABLE) and not asked.as_input:
        count = _print_table(published, asked)
    elif asked.as_input:
        with _target(asked) as out:
            shown = io.StringIO() if formats.is_terminal(out) else None
            with busy("reading the rows", shown):
                count = _write_inputs(published.input_lines(_wanted(asked, open_rows=True)), out)
    else:
        view = View(published, asked.look())
        with _target(asked) as out:
            count = _write(view, asked, out)
        _say_problems(view)
    if count == 0:
        complain(f"no row of run {published.run} matches")
    return ExitCode.USAGE if count == 0 else ExitCode.SUCCEEDED


def _say_problems(view: View) -> None:
    for problem in view.problems:
        complain(f"{plain(problem)}; its text stays empty")


def _check(asked: Asked) -> None:
    if asked.as_input and asked.format not in (None, Format.JSONL):
        raise BadRequest(f"--as input gives lines of JSON, not --format {asked.format}")
    if asked.as_input and asked.shows:
        raise BadRequest(
            "--as input gives rows as they were: --columns, --where, --sample, --no-text, --excel are for results"
        )
    if asked.excel and asked.format is not Format.CSV:
        raise BadRequest("--excel is for --format csv; --format xlsx needs none")
    if asked.out is not None and asked.out.is_dir():
        raise BadRequest(f"--out {asked.out} is a folder; rows go to a file")
    if asked.out is not None and not asked.as_input and asked.format in (None, Format.TABLE):
        raise BadRequest("a table is for the eye; for a file give --format csv, xlsx, jsonl or parquet")


def _wanted(asked: Asked, *, open_rows: bool = False, limit: int | None = None) -> Wanted:
    """Say which rows; rows that go back as input are the unresolved ones where nothing else is said."""
    statuses = (Status.UNRESOLVED.value,) if open_rows and not asked.picks else asked.statuses
    return Wanted(
        asked.labels, statuses, asked.reasons, asked.limit or limit, asked.confidences, asked.tiers, asked.changed
    )


def _print_table(published: Published, asked: Asked) -> int:
    """Print a table, and say when there are more rows than it has."""
    limit = asked.limit or asked.sample or TABLE_ROWS
    rows: list[dict[str, object]] = []
    usual = [name for name in formats.SHOWN if name in (*PLACE, *published.schema.names)]
    view = View(published, asked.look(limit + 1, [*usual, *([TEXT] if asked.text else [])]))
    with byte_bar("reading", published.size) as advance:
        for batch in view.batches(advance):
            rows += batch.to_pylist()
    with reader_may_leave():
        formats.print_table(rows[:limit], asked.columns)
    if len(rows) > limit and asked.limit is None:
        complain(f"the first {limit} rows; --limit N shows more, --format csv, xlsx, jsonl or parquet writes all")
    _say_problems(view)
    return len(rows)


def _write(view: View, asked: Asked, out: IO[bytes]) -> int:
    shown = io.StringIO() if formats.is_terminal(out) else None  # rows and a bar on one terminal would be a mess
    with byte_bar("reading", view.published.size, shown) as advance:
        batches = view.batches(advance)
        match asked.format:
            case Format.CSV:
                return formats.write_csv(batches, view.schema, out, for_excel=asked.excel)
            case Format.XLSX:
                return write_workbook(batches, view.schema, out)
            case Format.PARQUET:
                return formats.write_parquet(batches, view.schema, out)
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
        if asked.format in (Format.PARQUET, Format.XLSX) and formats.is_terminal(sys.stdout.buffer):
            raise BadRequest(f"{asked.format} is not for a terminal: give --out FILE, or lead it into a file")
        with reader_may_leave():
            yield sys.stdout.buffer
        return
    with whole_file(asked.out) as file:
        yield file
