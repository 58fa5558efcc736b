"""The house that the code lives in: every folder on a floor, no circle, no module that nobody reads to its end."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[3]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
MOST_LINES = 400
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
]


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
        path: path.read_text().count("\n")
        for name in (*LINTER["root_packages"], "docs")
        for path in (ROOT / name).rglob("*.py")
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("page", PAGES)
def test_files_and_folders_that_a_page_names_are_there(page: str) -> None:
    """Whoever is sent to a module finds it, also after it has moved."""
    named = re.findall(r"`((?:sluice|infra|lambdas|benchmarks|tests|docs)/[\w./-]*)`", (ROOT / page).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_map_of_changes_leads_to_three_files_at_most() -> None:
    """A change that takes more says that its subject lies in too many places."""
    lines = (ROOT / "CONTRIBUTING.md").read_text().partition("### What to touch")[2].partition("##")[0].splitlines()
    rows = [line for line in lines if line.startswith("| a")]
    assert len(rows) == 12
    assert [row for row in rows if row.count(";") > 2] == []
