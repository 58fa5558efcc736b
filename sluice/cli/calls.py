"""How a command is run: on this machine, or on a deployed stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.cli.cloud import Cloud
    from sluice.cli.exits import ExitCode


def here(command: Callable[[], ExitCode]) -> typer.Exit:
    """Run a command that needs no deployment; the exit that it comes to."""
    from sluice.cli.cloud import concluded  # noqa: PLC0415

    return typer.Exit(concluded(command))


def in_cloud(place: tuple[str, str | None, str | None], command: Callable[[Cloud], ExitCode]) -> typer.Exit:
    """Run a command on a deployed stack, given by its environment, Region and profile; the exit that it comes to."""
    from sluice.cli.cloud import Cloud, Place, concluded  # noqa: PLC0415

    return typer.Exit(concluded(lambda: command(Cloud.at(Place(*place)))))
