"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.errors import BadRequest
from sluice.local.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable

RegionOption = Annotated[
    str,
    typer.Option("--region", metavar="REGION", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="For models' ids."),
]
CallsRegionOption = Annotated[
    str,
    typer.Option(
        "--region",
        metavar="REGION",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="For models' ids, and where AWS is called.",
    ),
]
EnvOption = Annotated[
    str, typer.Option("--env", metavar="NAME", envvar="SLUICE_ENV", help="The deployment's environment.")
]
StackRegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="REGION",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="The stack's Region; else the profile's own.",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="A profile of your AWS settings; else the environment's."),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `sluice runs` lists it.")]
RunOrFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, as `sluice runs` lists it, or the folder of a local run.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON document, and nothing else, on standard output.")
]
AnswersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--answers",
        metavar="SOURCE",
        help=f"{SOURCES}; TIER=SOURCE for one tier, judge=SOURCE. Without it the servers of models.yaml, else standin.",
    ),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a deployment setting.")
]


def named(lists: Iterable[str] | None) -> tuple[str, ...]:
    """Names that are given with commas between them, or one by one."""
    return tuple(name.strip() for names in lists or () for name in names.split(",") if name.strip())


def _tasks_here(begun: str) -> list[str]:
    """Complete a task's name from the folder tasks."""
    return sorted(file.stem for file in Path("tasks").glob("*.yaml") if file.stem.startswith(begun))


TaskOption = Annotated[
    str,
    typer.Option(
        "--task",
        "-t",
        metavar="NAME|PATH",
        help="A task in tasks/, or its file.",
        autocompletion=_tasks_here,
    ),
]


def parse_settings(pairs: Iterable[str]) -> dict[str, object]:
    """Split KEY=VALUE pairs; the last of a key counts."""
    settings: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadRequest(f"{pair}: a setting is given as KEY=VALUE", "set")
        settings[key.strip()] = value.strip()
    return settings
