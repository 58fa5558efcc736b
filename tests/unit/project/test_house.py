"""The house that the code lives in: every folder on a floor, no circle, no module that nobody reads to its end."""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[3]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
MOST_LINES = 400


def floors() -> set[str]:
    """Everything that the contract of `make check` puts on a floor."""
    contract = next(item for item in LINTER["contracts"] if item["id"] == "floors")
    return {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}


def test_every_folder_stands_on_a_floor() -> None:
    """A folder that the contract does not name could import whatever it likes."""
    rooms = (path for path in (ROOT / "sluice").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
    names = {f"sluice.{path.stem}" for path in rooms} - {"sluice.__init__", "sluice.__main__"}
    assert names <= floors()


def test_no_module_imports_itself_through_others() -> None:
    """A package whose `__init__` takes from its modules what these take from it is a circle too."""
    graph = grimp.build_graph(*LINTER["root_packages"], cache_dir=None)
    left = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while free := {module for module, imported in left.items() if not imported & left.keys()}:
        for module in free:
            del left[module]
    assert not left


def test_no_module_is_too_long_to_be_read() -> None:
    """One subject to a module; what grows beyond that holds a second one."""
    lengths = {
        path: path.read_text().count("\n") for name in LINTER["root_packages"] for path in (ROOT / name).rglob("*.py")
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > MOST_LINES} == {}
