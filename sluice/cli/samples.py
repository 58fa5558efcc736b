"""The rows of local files, whatever container they stand in, for commands that look at a sample."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.aws.folder import LOCAL, Folder
from sluice.budget.tokens import estimated_tokens
from sluice.cli.csv_guess import LOOKED_AT, guessed_form
from sluice.errors import BadInput
from sluice.forecast.weaknesses import Sample
from sluice.results.gold import known_words
from sluice.rows.containers import Codec, Limits, Reading, Rows, container_of, lines_of_input
from sluice.rows.containers.codecs import opened
from sluice.rows.containers.reading import shown
from sluice.rows.containers.texts import peeked
from sluice.rows.paths import look_up
from sluice.rows.record import Row, RowReader, apart, parse_object
from sluice.runs.settings import Settings
from sluice.runs.state import Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sluice.task.csv_form import CsvForm
    from sluice.task.task import Task

T = TypeVar("T")

WHOLE = Reading()
NAMED = 20  # columns that a message lists
SPREAD_OVER = 200_000  # rows of a long file
FIRST = 1_000  # rows that a sample's fields are told from


@contextmanager
def showing_columns() -> Iterator[None]:
    """Name the columns that a file has where the task's are not among them, for a command that keeps nothing."""
    try:
        yield
    except BadInput as error:
        if not error.columns:
            raise
        names = ", ".join(repr(shown(name)) for name in error.columns[:NAMED])
        more = f" and {len(error.columns) - NAMED:,} more" if len(error.columns) > NAMED else ""
        raise BadInput(f"{error}. It has {names}{more}") from None


def raw_rows(path: Path, reading: Reading = WHOLE) -> Iterator[bytes]:
    """The rows of a file as lines of JSON; what its container could not take apart is among them.

    Raises:
        BadInput: the file cannot be read as rows at all.

    """
    folder, settings = Folder(LOCAL, Path("/")), Settings()
    key = str(path.resolve()).removeprefix("/")
    head = folder.head(key)
    if head is None:
        raise BadInput(f"{path} does not exist")
    container = container_of(str(path), head.size, lambda begin, end: b"".join(folder.blocks(key, begin, end)))
    item = Input(uri=str(path), version=None, etag=head.etag, bytes=head.size, container=str(container))
    limits = Limits(settings.max_row_bytes, settings.max_text_bytes)
    for block in lines_of_input(folder, key, item, 0, head.size, limits, reading):
        yield from (row for line in block for row in apart(line) if row.strip())


def form_of(path: Path) -> CsvForm | None:
    """How a CSV file seems to be written; None where it is as usual, or no CSV."""
    folder, key = Folder(LOCAL, Path("/")), str(path.resolve()).removeprefix("/")
    head = folder.head(key)
    if head is None:
        return None
    container = container_of(str(path), head.size, lambda begin, end: b"".join(folder.blocks(key, begin, end)))
    if container.rows not in (Rows.CSV, Rows.TSV):
        return None
    content = folder.blocks(key)
    if container.codec is not Codec.PLAIN:
        content = opened(container.codec, content, str(path), head.size * 1000 + LOOKED_AT)
    seen, _ = peeked(content, LOOKED_AT)
    return guessed_form(seen, "\t" if container.rows is Rows.TSV else ",", whole=len(seen) < LOOKED_AT)


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that are JSON objects, read as it seems to be written."""
    for raw in raw_rows(path, Reading(csv=form_of(path))):
        row = parse_object(raw)
        if isinstance(row, dict):
            yield row


def spread(rows: Iterable[T], count: int) -> list[T]:
    """Rows from the beginning of many to their end, evenly spread: at least `count`, unless there are fewer.

    A file is often sorted, and its first rows are all of one kind. Of long ones the first `SPREAD_OVER` are looked at.
    """
    held: list[T] = []
    step = 1
    for number, row in enumerate(islice(rows, SPREAD_OVER)):
        if number % step == 0:
            held.append(row)
        if len(held) == 2 * count:
            held, step = held[::2], 2 * step
    return held


def sample_of(task: Task, path: Path, characters_per_token: Mapping[str, float]) -> Sample:
    """What the first rows of a file hold of the fields that a task names."""
    raws = list(islice(raw_rows(path, Reading.of(task)), FIRST))
    rows = [row for raw in raws if isinstance(row := parse_object(raw), dict)]
    given = task.input
    paths = [*given.text, *filter(None, (given.id, given.gold)), *given.keep]
    having = {path: sum(look_up(row, path) is not None for row in rows) for path in paths}
    reader = RowReader(task)
    texts = [read.text for raw in raws if isinstance(read := reader.read(raw), Row)]
    tokens = estimated_tokens(texts, characters_per_token) / len(texts) if texts else 0.0
    gold: dict[str, int] = {}
    for value in _gold_values(rows, given.gold):
        gold[value] = gold.get(value, 0) + 1
    return Sample(len(rows), having, tokens, gold)


def _gold_values(rows: Sequence[dict[str, Any]], path: str | None) -> Iterator[str]:
    for row in rows if path else ():
        yield from known_words(look_up(row, path or "")) or ()
