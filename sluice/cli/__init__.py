"""The command line: `sluice` on the console."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    from sluice.cli.app import app  # noqa: PLC0415 (keeps `import sluice.cli` free of Typer)
    from sluice.cli.exits import output_is_written  # noqa: PLC0415

    with output_is_written():
        app()
