"""The commands and their options. What they do is imported when they are called, so that `--help` stays quick."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations)
from typing import Annotated

import typer

app = typer.Typer(
    name="sluice",
    help="Classify texts in batches: every row to the cheapest model, only failed answers to a stronger one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RegionOption = Annotated[
    str,
    typer.Option("--region", metavar="REGION", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="For models' ids."),
]
TaskOption = Annotated[str, typer.Option("--task", "-t", metavar="NAME|PATH", help="A task in tasks/, or its file.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"sluice {version('sluice')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="JSON Lines, CSV or Parquet files, plain or packed; a folder means those in it."
        ),
    ],
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results, run.json and report go.")],
    answers: Annotated[
        str,
        typer.Option(metavar="SOURCE", help="standin, replay:FILE, openai:URL#MODEL or bedrock."),
    ] = "standin",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a deployment setting.")
    ] = None,
    region: RegionOption = "us-east-1",
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan of faults to lay over the run (YAML).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print run.json on standard output, and nothing else.")] = False,
) -> None:
    """Run the deployed workflow over files, on this machine.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage or a bad task, 3 cancelled, 4 over a limit.
    """
    from sluice.cli.run import Request, run_files  # noqa: PLC0415

    request = Request(inputs, task, out, answers, settings or [], region, faults, json)
    raise typer.Exit(run_files(request))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the task file, for editors."""
    from sluice.cli.tasks import print_schema  # noqa: PLC0415

    raise typer.Exit(print_schema())


@app.command()
def check(
    task: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A task in tasks/, or its file.")],
    region: RegionOption = "us-east-1",
) -> None:
    """Validate a task file, and show the request that a row becomes.

    Exit codes: 0 the task can be run, 2 it has mistakes.
    """
    from sluice.cli.tasks import check_task  # noqa: PLC0415

    raise typer.Exit(check_task(task, region))
