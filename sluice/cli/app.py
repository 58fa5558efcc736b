"""The command line: the commands in the order in which `sluice --help` lists them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sluice.cli.commands import deployment, here, learning, outcome, quality, setup, stack, tasks

# What a command works on, in the words of its heading.
GROUPS = {
    "On this machine": (tasks, here),
    "On a deployment": (stack, deployment),
    "On a run of either": (outcome, quality, learning),
    "To set up": (setup,),
}


class Grouped(TyperGroup):
    """The commands in groups: whoever has no deployment sees at once which ones are for them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click's way of calling it
        """Write a heading for each group, and its commands in their order."""
        widest = max(map(len, self.commands))
        for heading, modules in GROUPS.items():
            places = {module.__name__ for module in modules}
            found = {name: command for name, command in self.commands.items() if command.callback.__module__ in places}
            rows = [
                (name.ljust(widest), command.get_short_help_str(formatter.width - widest - 6))
                for name, command in found.items()
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Grouped,
    name="sluice",
    help="Classify texts in batches: every row to the cheapest model, only failed answers to a stronger one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (module for modules in GROUPS.values() for module in modules):
    app.add_typer(module.commands)


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
