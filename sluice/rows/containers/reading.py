"""What a task wants of the rows of an object, whatever they stand in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self

from sluice.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sluice.task.csv_form import CsvForm
    from sluice.task.task import Task

SHOWN = 40  # characters of a column's name


class Reading(NamedTuple):
    """The paths of the text, all paths that are read, and the names in rules; `whole`: nothing may be left out.

    Without a task everything is read, and no column has to be there.
    """

    text: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    whole: bool = True
    csv: CsvForm | None = None

    @classmethod
    def of(cls, task: Task) -> Self:
        given = task.input
        paths = (*given.text, *filter(None, (given.id, given.gold)), *given.keep)
        schemas = [*(rule.json_schema for rule in task.gates.rules), *(route.when for route in task.routes)]
        named = {name for schema in schemas for name in _names_in(schema)}
        whole = given.keep_input or task.reads_row or bool(task.routes)
        return cls(given.text, tuple(dict.fromkeys(paths)), frozenset(named), whole, given.csv)


def _names_in(schema: object) -> Iterator[str]:
    """Every name of a property that a schema has."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            yield key
            yield from _names_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _names_in(value)
    elif isinstance(schema, str):
        yield schema


def check_columns(names: Sequence[str], found: Iterable[str], reading: Reading, name: str, hint: str = "") -> None:
    """Make sure that a table has the columns of the text; `found` are all paths that lead to something in it.

    Raises:
        BadInput: one is missing. The message names no column but one that the task could have meant.

    """
    there = set(found)
    missing = next((path for path in reading.text if path not in there), None)
    if missing is None:
        return
    count = f"{len(names):,} {'column' if len(names) == 1 else 'columns'}"
    alike = next((other for other in names if _folded(other) == _folded(missing)), None)
    meant = f"; {shown(alike)!r} differs from it only in case, blanks or marks" if alike is not None else ""
    raise BadInput(f"{name} has no column {missing!r}, which input.text names, among its {count}{meant}{hint}", names)


def check_doubles(names: Sequence[str], reading: Reading, name: str) -> None:
    """Make sure that no two columns have a name that the task reads.

    Raises:
        BadInput: two have; the message names what the task names.

    """
    read = {*reading.paths, *(path.split(".")[0] for path in reading.paths), *reading.named}
    double = next((found for found, count in Counter(names).items() if count > 1 and found in read), None)
    if double is not None:
        raise BadInput(f"{name} has two columns called {double!r}, which the task reads; rename one", names)


def apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that was there before: a JSON object has each name once."""
    taken, found = set(names), []
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        own = name
        while seen[name] > 1 and own in taken:
            own = f"{name}_{seen[name]}"
            seen[name] += own in taken
        taken.add(own)
        found.append(own)
    return found


def shown(name: str) -> str:
    """A column's name as far as it is shown."""
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…"


def _folded(name: str) -> str:
    """A name without what people slip in: case, blanks, accents, dots and dashes."""
    kept = (mark for mark in unicodedata.normalize("NFKD", name) if unicodedata.category(mark)[0] in "LNS")
    return "".join(kept).casefold()
