"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a deployment setting.")
]


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
