"""What `--help` says below the options, and what docs/cli.md takes from there."""

from __future__ import annotations

TITLE = "Examples:"


def examples(*lines: str) -> str:
    """Make the end of a command's help: how it is called, a line for each."""
    # A line of \b keeps the lines as they are, which would be filled like a paragraph.
    return "\n".join(["\b", TITLE, *(f"  {line}" for line in lines)])


def examples_in(epilog: str | None) -> list[str]:
    """Take the examples out of the end of a command's help again."""
    lines = (epilog or "").splitlines()
    return [line.strip() for line in lines[lines.index(TITLE) + 1 :]] if TITLE in lines else []
