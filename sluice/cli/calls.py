"""How a command is run: on this machine, or on a deployed stack."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import typer

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.api.deployment import Deployment
    from sluice.cli.exits import ExitCode


def here(command: Callable[[], ExitCode]) -> typer.Exit:
    """Run a command that needs no deployment; the exit that it comes to."""
    from sluice.cli.exits import concluded  # noqa: PLC0415

    return typer.Exit(concluded(command))


def in_cloud(place: tuple[str, str | None, str | None], command: Callable[[Deployment], ExitCode]) -> typer.Exit:
    """Run a command on a deployed stack, given by its environment, Region and profile; the exit that it comes to."""
    from sluice.api.deployment import Deployment  # noqa: PLC0415
    from sluice.cli.exits import concluded  # noqa: PLC0415

    name, region, profile = place
    return typer.Exit(concluded(lambda: command(Deployment(name, region=region, profile=profile))))


def person(by: str | None) -> str:
    """Who does something: the name that is given, else the one on this machine.

    Raises:
        BadRequest: there is none.

    """
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise BadRequest("this machine does not know your name: give one", "by") from None
