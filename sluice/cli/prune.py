"""`sluice prune`: versions of functions that no execution uses are listed, and deleted where that is wanted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from sluice.cli.exits import ExitCode, complain, print_json
from sluice.deployment.upkeep import Versions
from sluice.figures import size

if TYPE_CHECKING:
    from sluice.api.deployment import Deployment
    from sluice.deployment.upkeep import Version


def prune(deployment: Deployment, *, yes: bool, as_json: bool = False) -> ExitCode:
    """List what would go, and delete it with `yes`."""
    versions = Versions(deployment.stack)
    unused = versions.unused()
    if as_json:
        found = [{"function": item.function, "version": item.number, "bytes": item.bytes} for item in unused]
        print_json({"deleted": yes, "versions": found})
    else:
        for item in unused:
            print(f"{item.function}:{item.number}  {size(item.bytes)}  published {item.published:%Y-%m-%d %H:%M} UTC")
    if not unused:
        complain("there is no version of a function that nothing uses")
    elif yes:
        _delete(versions, unused)
    else:
        complain(f"{_amount(unused)}: `sluice prune --yes` deletes them")
    return ExitCode.SUCCEEDED


def offer(deployment: Deployment) -> None:
    """Say behind a deployment what can go, and delete it where somebody at a terminal agrees."""
    versions = Versions(deployment.stack)
    if not (unused := versions.unused()):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        complain(f"{_amount(unused)}: `sluice prune` lists them")
    elif typer.confirm(f"{_amount(unused)}. Delete them?", err=True):
        _delete(versions, unused)


def _delete(versions: Versions, unused: list[Version]) -> None:
    for version in unused:
        versions.delete(version)
    complain(f"{_amount(unused)}: deleted")


def _amount(unused: list[Version]) -> str:
    count = len(unused)
    versions = "1 version of a function" if count == 1 else f"{count:,} versions of functions"
    return f"{versions} ({size(sum(item.bytes for item in unused))} of code), used by no execution"
