"""Tables and fences of Markdown."""

# ruff: noqa: INP001 - beside the pages, not a package
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def fenced(text: str, language: str = "text") -> str:
    """Fence a text."""
    body = "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
    return f"```{language}\n{body}\n```\n"
