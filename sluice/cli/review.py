"""`sluice review`: what people say of a run's rows."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.api.review import take_sheet, versions_of
from sluice.cli.calls import person
from sluice.cli.exits import ExitCode, complain, print_json
from sluice.desk.page import render
from sluice.desk.queues import Desk
from sluice.desk.server import Decisions, DeskServer
from sluice.errors import BadRequest
from sluice.files import plain, write_whole

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
    file: Path | None = None
    limit: int = 500
    sample: int = 200
    seed: int = 0
    show_it: bool = True

    @property
    def person(self) -> str:
        """Who reviews."""
        return person(self.by)


def review_run(published: Published, request: Request) -> ExitCode:
    """Take a sheet, write the desk as a file, or serve it until Ctrl-C."""
    if request.sheet is not None and request.file is not None:
        raise BadRequest("--import takes decisions, --file writes the page for them: give one of both", "file")
    if request.sheet is not None:
        return _take(published, request.sheet, request)
    if request.as_json:
        raise BadRequest("--json belongs to --import; `sluice results --format jsonl` has the corrections", "json")
    desk = Desk(published, limit=request.limit, sample=request.sample, seed=request.seed)
    document = desk.document()
    for problem in document["problems"]:
        complain(f"{plain(problem)}; its texts cannot be shown")
    if request.file is not None:
        write_whole(request.file, render(document).encode())
        print(request.file)
        complain("it holds rows as they are: give it to nobody who may not see them")
        return ExitCode.SUCCEEDED
    return _serve(published, desk, document, request)


def _serve(published: Published, desk: Desk, document: dict[str, Any], request: Request) -> ExitCode:
    decisions = Decisions(published, desk.task, document, request.person, versions_of(published))
    with DeskServer(document | {"by": request.person}, decisions) as server:
        print(server.address, flush=True)
        complain("each decision is kept as it is made; Ctrl-C ends this")
        if request.show_it:
            webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    print(f"{_count(decisions.taken, 'decision')} kept")
    return ExitCode.SUCCEEDED


def _take(published: Published, sheet: Path, request: Request) -> ExitCode:
    taken = take_sheet(published, sheet, by=request.person, column=request.column, over=request.over)
    if request.as_json:
        print_json(taken.document())
    else:
        _tell(taken, sheet)
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
