"""What people said of rows that are to be forgotten: it goes, but for what they agreed upon of a text that stays."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from sluice.results.corrections import TAKEN_OUT, Said, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sluice.forget.finding import Held
    from sluice.results.corrections import Correction, Corrections, Mark

Lines = dict[int, str]  # of an object of the log, by their numbers from 1, with what stands in their place


def lines_instead(log: Corrections, goes: Callable[[Correction], bool], held: Mapping[str, Held]) -> dict[str, Lines]:
    """What stands in the log in the place of lines that go, by the key of the object.

    They are taken out. Of a text that another row has (`held`), one line says of that row what stood of the text, so
    that later runs go by what they went by before: nothing where it was taken back, or where people disagreed.
    """
    gone = [said for row in log.rows.values() for said in row.entries if goes(said.what)]
    instead: dict[Mark, str] = {said.mark: TAKEN_OUT.decode() for said in gone}
    for record in sorted({said.what.record for said in gone} & held.keys()):
        instead.update(_moved(log, record, held[record], instead.keys() & _marks(log, record)))
    found: dict[str, Lines] = {}
    for (number, line), text in sorted(instead.items()):
        found.setdefault(log.key(number), {})[line] = text
    return found


def _marks(log: Corrections, record: str) -> set[Mark]:
    return {said.mark for said in _entries(log, record)}


def _entries(log: Corrections, record: str) -> Iterator[Said]:
    for place in log.by_record[record]:
        yield from log.rows[place].entries


def _moved(log: Corrections, record: str, held: Held, gone: set[Mark]) -> dict[Mark, str]:
    """The one line that is left of those that go, if there is one that has to be."""
    standing = [head for place in log.by_record[record] for head in log.rows[place].heads]
    if not standing or Settled(standing).conflict:
        return {}
    said = max(standing, key=attrgetter("mark"))
    stays = {head.what.question for head in standing if head.mark not in gone}
    if said.mark not in gone or said.what.question in stays:
        return {}  # of a row that stays the same is said
    # An object may speak of a row once: by its number alone SQL knows what was said first.
    taken = {entry.mark[0] for entry in log.of_row((held.source, held.line, record)).entries}
    free = [mark for mark in gone if mark[0] not in taken]
    if not free:
        return {}
    moved = msgspec.structs.replace(
        said.what,
        source=held.source,
        line=held.line,
        id=held.id,
        version=None,
        note="",
        drawn=False,
        seen=None,
    )
    return {max(free): msgspec.json.encode(moved).decode()}
