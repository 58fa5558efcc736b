"""The rows of local files, whatever container they stand in, for commands that look at a sample."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.aws.folder import LOCAL, Folder
from sluice.budget.tokens import estimated_tokens
from sluice.errors import BadInput
from sluice.forecast.weaknesses import Sample
from sluice.results.gold import known_words
from sluice.rows.containers import HEAD_BYTES, Limits, container_of, lines_of_input
from sluice.rows.paths import look_up
from sluice.rows.record import Row, RowReader, parse_object
from sluice.runs.settings import Settings
from sluice.runs.state import Input

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.task.task import Task

FIRST = 1_000  # rows that a sample's fields are told from


def raw_rows(path: Path) -> Iterator[bytes]:
    """The rows of a file as lines of JSON; what its container could not take apart is among them.

    Raises:
        BadInput: the file cannot be read as rows at all.

    """
    folder, settings = Folder(LOCAL, Path("/")), Settings()
    key = str(path.resolve()).removeprefix("/")
    head = folder.head(key)
    if head is None:
        raise BadInput(f"{path} does not exist")
    container = container_of(str(path), lambda: b"".join(folder.blocks(key, 0, HEAD_BYTES)))
    item = Input(uri=str(path), version=None, etag=head.etag, bytes=head.size, container=str(container))
    limits = Limits(settings.max_row_bytes, settings.max_text_bytes)
    for block in lines_of_input(folder, key, item, 0, head.size, limits):
        yield from (line for line in block if line.strip())


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that are JSON objects."""
    for raw in raw_rows(path):
        row = parse_object(raw)
        if isinstance(row, dict):
            yield row


def sample_of(task: Task, path: Path, characters_per_token: Mapping[str, float]) -> Sample:
    """What the first rows of a file hold of the fields that a task names."""
    raws = list(islice(raw_rows(path), FIRST))
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
