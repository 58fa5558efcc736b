"""What the fields of a sample hold: which is the text, and which the id."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEEPEST = 3  # names of a path
LONGEST_ID = 64
NEARLY = 0.98  # of the rows have a value of their own in a field that is called like an id
TEXTS = ("text", "body", "message", "content", "review", "comment", "description", "question", "document", "abstract")
TITLES = ("subject", "title", "headline", "summary")
IDS = re.compile(r"(.*[_.-])?(id|key|uuid|guid|number|no|nr)", re.IGNORECASE)


@dataclass(slots=True)
class Column:
    """What a field holds in the rows that were looked at."""

    strings: int = 0
    others: int = 0
    characters: int = 0
    longest: int = 0
    values: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.strings + self.others

    @property
    def mean(self) -> float:
        return self.characters / self.strings if self.strings else 0.0

    @property
    def distinct(self) -> bool:
        """Whether no value occurs twice."""
        return len(self.values) == self.rows


@dataclass(frozen=True, slots=True)
class Guess:
    """Fields, and why each was chosen."""

    text: list[str]
    why_text: str
    id: str | None
    why_id: str


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """The fields of the rows by their dotted paths, in the order in which they occur."""
    found: dict[str, Column] = {}
    for row in rows:
        for path, value in _leaves(row):
            column = found.setdefault(path, Column())
            column.values[str(value)] += 1
            if isinstance(value, str):
                column.strings += 1
                column.characters += len(value)
                column.longest = max(column.longest, len(value.encode(errors="replace")))
            else:
                column.others += 1
    return found


def _leaves(row: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The values of a row with the paths that a task can name."""
    for name, value in row.items():
        path = (*above, name)
        if not name.isprintable() or not name or value is None:
            continue
        if isinstance(value, dict):
            if len(path) < DEEPEST:
                yield from _leaves(value, path)
        else:
            yield ".".join(path), value


def guess_fields(columns: Mapping[str, Column], rows: int, gold: str | None) -> Guess:
    """The text, with a title if there is one beside it, and the id.

    Raises:
        BadRequest: no field holds texts.

    """
    texts = {path: column for path, column in columns.items() if column.strings and path != gold}
    if not texts:
        raise BadRequest("no field of the rows holds text; name a file of rows with a text in each")
    body = max(texts, key=lambda path: _weight(path, texts[path], rows))
    column = texts[body]
    why = f"the longest texts, {column.mean:,.0f} characters on average in {column.strings:,} of {rows:,} rows"
    titles = [path for path in texts if last_name(path) in TITLES and path != body]
    if titles:
        why += f"; {titles[0]} stands above it by its name"
    text = [*titles[:1], body]
    ids = {path: other for path, other in columns.items() if path not in (*text, gold) and _can_be_id(other, rows)}
    named = [path for path in ids if IDS.fullmatch(last_name(path))]
    if named:
        return Guess(text, why, named[0], f"its name, and no value occurs twice in {rows:,} rows")
    if ids:
        return Guess(text, why, next(iter(ids)), f"no value occurs twice in {rows:,} rows")
    for path, other in columns.items():
        if path not in (*text, gold) and IDS.fullmatch(last_name(path)) and _is_nearly_id(other, rows):
            return Guess(
                text, why, path, f"its name; but {_repeated(other, rows)}: make sure that you can tell them apart"
            )
    return Guess(text, why, None, "no field has a value of its own in every row")


def _weight(path: str, column: Column, rows: int) -> float:
    """How much a field looks like the text: long, in most rows, of many values, with a telling name."""
    variety = len(column.values) / max(1, column.rows)
    named = 2.0 if last_name(path) in TEXTS else 1.0
    return column.mean * column.strings / max(1, rows) * variety * named


def last_name(path: str) -> str:
    return path.rsplit(".", 1)[-1].casefold()


def _can_be_id(column: Column, rows: int) -> bool:
    return column.rows == rows and column.distinct and _is_short(column)


def _is_nearly_id(column: Column, rows: int) -> bool:
    return len(column.values) >= NEARLY * rows and _is_short(column)


def _is_short(column: Column) -> bool:
    return all(len(value) <= LONGEST_ID and value.isprintable() and " " not in value for value in column.values)


def _repeated(column: Column, rows: int) -> str:
    missing, twice = rows - column.rows, column.rows - len(column.values)
    told = [f"{missing:,} have none"] * bool(missing) + [f"{twice:,} repeat another's value"] * bool(twice)
    return f"of {rows:,} rows {' and '.join(told)}"
