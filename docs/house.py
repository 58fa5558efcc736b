"""The layout of the code, told from the contract of `make check`, the packages' docstrings and the files themselves."""

# ruff: noqa: INP001 - beside the pages, not a package
from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 5


class Room(NamedTuple):
    """A folder or a module on a floor: what it holds in a sentence, and its modules by their lengths."""

    place: str
    holds: str
    modules: dict[str, int]


def floors() -> list[list[Room]]:
    """Every floor from the top down."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(item["layers"] for item in contracts if item["id"] == "floors")
    return [[_room(name.strip()) for name in layer.split("|")] for layer in layers]


def _room(module: str) -> Room:
    place = ROOT / module.replace(".", "/")
    head = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    files = sorted(place.rglob("*.py")) if place.is_dir() else [head]
    lengths = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8").count("\n") for file in files}
    doc = ast.get_docstring(ast.parse(head.read_text(encoding="utf-8"))) or ""
    shown = str(place.relative_to(ROOT)) + ("/" if place.is_dir() else ".py")
    return Room(shown, doc.split("\n\n")[0].replace("\n", " "), lengths)


def rows() -> list[tuple[str, str, str, str]]:
    """A line for each room: its floor, its place, what it holds, its size. Sizes age until something else changes."""
    told, found = [], floors()
    for number, floor in enumerate(found):
        for room in floor:
            count = len(room.modules)
            size = f"{count} module{'s' * (count > 1)}, {sum(room.modules.values()):,} lines"
            told.append((str(len(found) - 1 - number), f"`{room.place}`", room.holds, size))
    return told


def longest() -> str:
    """The longest modules, in a sentence."""
    modules = {name: lines for floor in floors() for room in floor for name, lines in room.modules.items()}
    listed = sorted(modules, key=lambda name: -modules[name])[:LONGEST]
    return f"The longest modules: {', '.join(f'`{name}` ({modules[name]} lines)' for name in listed)}.\n"
