"""`sluice forget`: a person's rows are found, shown as counts, and taken out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from sluice.api.forget import forget_deployed, forget_in
from sluice.cli.calls import person
from sluice.cli.exits import ExitCode, complain, print_json
from sluice.files import plain
from sluice.forget.asked import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sluice.api.deployment import Deployment
    from sluice.api.forget import Forgetting


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    ids: Sequence[str] = ()
    where: str | None = None
    texts: Sequence[str] = ()
    yes: bool = False
    by: str | None = None
    as_json: bool = False

    @property
    def asked(self) -> Asked:
        """Which rows are meant."""
        return Asked.of(self.ids, self.where, self.texts)


def forget_here(folder: Path, request: Request) -> ExitCode:
    """Find a person's rows in a folder, and take them out where that is wanted."""
    return _forget(forget_in(folder, request.asked), request, f"{folder}/")


def forget_there(deployment: Deployment, task: str | None, request: Request) -> ExitCode:
    """Find a person's rows in a deployment, and take them out where that is wanted."""
    found = forget_deployed(deployment, request.asked, task)
    return _forget(found, request, deployment.stack.results.uri(""))


def _forget(forgetting: Forgetting, request: Request, home: str) -> ExitCode:
    found = forgetting.found
    by = person(request.by)
    if forgetting.unfinished is not None:
        before = forgetting.unfinished.protocol
        complain(f"the forgetting that {plain(before.by)} began on {before.at[:10]} had broken off; it is ended now")
    if not request.as_json:
        _tell(forgetting)
    agreed = bool(found.pieces) and (request.yes or _agrees(request))
    protocol = forgetting.do(by) if agreed else None
    if request.as_json:
        told = {"rows": sum(found.rows.values()), "texts": found.texts, "runs": found.rows, "places": found.places}
        lists = {"withdrawn": found.withdrawn, "not_reached": found.not_reached}
        print_json({"forgotten": agreed, "protocol": protocol, **told, **lists})
    elif agreed:
        print(f"forgotten; the protocol is {plain(home)}{protocol}")
    elif found.pieces:
        complain("nothing was changed: --yes takes them out")
    return ExitCode.SUCCEEDED if found.pieces else ExitCode.USAGE


def _agrees(request: Request) -> bool:
    """Ask, where somebody sits at a terminal."""
    if request.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm("Take them out? Nothing brings them back.", err=True)


def _tell(forgetting: Forgetting) -> None:
    """Show how much lies where, and what cannot be reached."""
    found = forgetting.found
    if not found.pieces:
        complain("no row meets this; nothing is to be forgotten")
    for run, rows in found.rows.items():
        print(f"{rows:>9,}  rows of {run}")
    for kind, count in found.places.items():
        print(f"{count:>9,}  {kind}")
    for line in found.withdrawn:
        print(line)
    if found.not_reached:
        print("not reached:")
    for line in found.not_reached:
        print(f"  {plain(line)}")
