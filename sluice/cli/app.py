"""The command line: the commands in the order in which `sluice --help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.commands import deployment, here, outcome, quality, setup, stack, tasks

app = typer.Typer(
    name="sluice",
    help="Classify texts in batches: every row to the cheapest model, only failed answers to a stronger one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (tasks, here, stack, deployment, outcome, quality, setup):
    app.add_typer(group.commands)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        from sluice.extras import DISTRIBUTION  # noqa: PLC0415

        typer.echo(f"sluice {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
