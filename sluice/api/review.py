"""What people say of a run's rows, taken from a sheet."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.quality.sheet import Sheet, SheetReader, matched
from sluice.results.corrections import Correction, RowLog, Settled
from sluice.results.settled import question_of

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.quality.sheet import Line, Row
    from sluice.results.published import Published


@dataclass
class Taken:
    """What came of a sheet: how many lines were taken, and which were not, each with its line and why."""

    taken: int = 0
    known: int = 0  # said before by the same person
    same: int = 0  # taken, and the same as the run's own answer
    empty: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    conflicts: list[tuple[int, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The same for `--json`."""
        told = {name: getattr(self, name) for name in ("taken", "known", "same", "empty")}
        lists = {"problems": self.problems, "conflicts": self.conflicts}
        return told | {name: [{"line": line, "what": what} for line, what in found] for name, found in lists.items()}


def take_sheet(published: Published, file: Path, *, by: str, column: str | None = None, over: bool = False) -> Taken:
    """Take the right labels of a run's rows from a sheet, behind what was said of them before.

    Args:
        published: the run's rows.
        file: CSV, TSV or JSON Lines with `id`, or `source` and `line`, or `file` and `row`, and the right label.
        by: who says so.
        column: the column of the right label; else the first of corrected_label, right, gold, label that there is.
        over: that the sheet was made by somebody who knows what others have said of these rows, and decides.

    Raises:
        BadRequest: the file is no sheet, or its run's task is not known.
        Stop, RetryLater: the corrections could not be written.

    """
    if published.task is None:
        raise BadRequest(f"run {published.run} does not tell its task, so that no label can be checked")
    if not by.strip():
        raise BadRequest("nobody is no one who could say so: give a name", "by")
    sheet = SheetReader(published.task, column).read(file, published.runs)
    pairs = matched(published, sheet)
    versions, question = versions_of(published), question_of(published.task)
    log = published.corrections
    log.refresh()
    taken = Taken(empty=sheet.empty, problems=_in_order(sheet))
    new: list[Correction] = []
    for line, row in pairs:
        before = log.of_row((row.source, row.line, row.record))
        version = versions.get((row.run, row.source))
        made = correction_of(line, row, by, version, before if over else None, question)
        if _said(before, made):
            taken.known += 1
            continue
        taken.same += made.labels is not None and row.labels is not None and set(made.labels) == set(row.labels)
        new.append(made)
    numbers = {(row.source, row.line): line.number for line, row in pairs}
    for said in log.add(new):
        taken.taken += 1
        standing = Settled(log.of_row(said.what.place).heads)
        if standing.conflict:
            taken.conflicts.append((numbers[said.what.place[:2]], standing.by))
    return taken


def correction_of(
    line: Line, row: Row, by: str, version: str | None, seen: RowLog | None, question: str | None = None
) -> Correction:
    """A line of a sheet as a line of the log. On the desk its extracted fields stood beside it."""
    return Correction(
        source=row.source,
        version=version,
        line=row.line,
        id=row.id,
        record=row.record,
        labels=line.labels,
        fields=line.fields,
        given=row.labels,
        shown=dict(row.fields) if line.of_desk else {},
        question=question,
        by=by,
        at=line.at or dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        drawn=line.drawn,
        note=line.note,
        run=row.run,
        seen=line.seen if seen is None else seen.last,
    )


def versions_of(published: Published) -> dict[tuple[str, str], str | None]:
    """The version of each input's object as its run had frozen it, or its entity tag in a bucket without versions."""
    return {
        (run, origin.frozen.uri): origin.frozen.version or origin.frozen.etag or None
        for run, origin in published.origins_by_run()
    }


def _said(before: RowLog, made: Correction) -> bool:
    """Whether the same person's same answer stands already, and nobody's other beside it."""
    heads = before.heads
    return any(said.what.by == made.by for said in heads) and {said.what.answer for said in heads} == {made.answer}


def _in_order(sheet: Sheet) -> list[tuple[int, str]]:
    return sorted(sheet.problems)
