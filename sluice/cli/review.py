"""`sluice review`: what people say of a run's rows."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.api.review import take_sheet
from sluice.cli.exits import ExitCode, complain, print_json
from sluice.errors import BadRequest
from sluice.files import plain

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.api.review import Taken
    from sluice.results.published import Published

SHOWN = 20  # lines that could not be taken; --json has all


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    sheet: Path | None
    column: str | None
    by: str | None
    over: bool = False
    as_json: bool = False

    @property
    def person(self) -> str:
        """Who reviews."""
        if self.by is not None:
            return self.by
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            raise BadRequest("this machine does not know your name: give one", "by") from None


def review_run(published: Published, request: Request) -> ExitCode:
    """Take a sheet."""
    if request.sheet is None:
        raise BadRequest("name the sheet with the right labels", "import")
    taken = take_sheet(published, request.sheet, by=request.person, column=request.column, over=request.over)
    if request.as_json:
        print_json(taken.document())
    else:
        _tell(taken, request.sheet)
    return ExitCode.FAILED if taken.problems else ExitCode.SUCCEEDED


def _tell(taken: Taken, sheet: Path) -> None:
    same = f", {taken.same:,} of them the same as the run's answer" if taken.same else ""
    print(f"{_count(taken.taken, 'correction')} taken{same}")
    if taken.known:
        print(f"{_count(taken.known, 'line')} that you had said before")
    if taken.empty:
        print(f"{_count(taken.empty, 'line')} without a label left out")
    for line, by in taken.conflicts[:SHOWN]:
        complain(f"{plain(sheet)}, line {line}: in conflict, said differently by {plain(by)}; both are kept")
    for line, what in taken.problems[:SHOWN]:
        complain(f"{plain(sheet)}, line {line} {plain(what)}")
    for name, found in (("in conflict", taken.conflicts), ("not taken", taken.problems)):
        if len(found) > SHOWN:
            complain(f"{len(found) - SHOWN:,} more lines {name}; --json has all")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
