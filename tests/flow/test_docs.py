"""The documentation says what the code does: rendered blocks, task files, links and commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import typer.main
import yaml

from docs.generate import BLOCKS, PAGES, Sample, blocks, steady
from sluice.cli.app import app
from sluice.models.catalog import Catalog
from sluice.models.fitting import check_models
from sluice.task.file import parse_task
from tests.flow.local import ROOT

if TYPE_CHECKING:
    from tests.flow.local import Outcome

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
MARKED = [(page, name) for page, text in TEXTS.items() for name in blocks(text)]
LISTED = [match for text in TEXTS.values() for match in re.findall(r"```yaml\n(name: .*?)```", text, re.DOTALL)]


@pytest.mark.parametrize(("page", "name"), MARKED)
def test_rendered_blocks_are_what_the_code_renders(tickets: Outcome, page: str, name: str) -> None:
    """Command output, rows, prices and references stand there as they come out; `make docs` renews."""
    assert steady(blocks(TEXTS[page])[name]) == steady(BLOCKS[name](Sample(tickets.out)))


def test_every_block_stands_somewhere() -> None:
    """Nothing is rendered for nobody, and no mark is misspelt."""
    assert sorted(name for _, name in MARKED) == sorted(BLOCKS)
    assert sum(text.count("<!-- made:") for text in TEXTS.values()) == len(MARKED)


@pytest.mark.parametrize("listed", LISTED, ids=[text.split("\n", 1)[0] for text in LISTED])
def test_task_files_in_the_pages_can_be_run(listed: str) -> None:
    """A reader who copies one gets a task without a mistake."""
    task = parse_task(yaml.safe_load(listed), "the page's task")
    assert len(check_models(task, Catalog.load(), "us-east-1")) == len(task.answerers)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of a page is a file of the project; so is every test that it names."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[page])
    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]
    missing += [name for name in re.findall(r"`(tests/[\w/.]+)`", TEXTS[page]) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    """Only commands of `sluice` and targets of `make` that exist are named."""
    group: Any = typer.main.get_command(app)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    code = " ".join(re.findall(r"`[^`]+`|^    .+$", TEXTS[page], re.MULTILINE))
    assert set(re.findall(r"sluice ([a-z]+)\b(?! =)", code)) <= set(group.commands)
    assert set(re.findall(r"make ([a-z]+)\b", code)) <= set(targets)


def test_the_picture_needs_nothing_from_outside() -> None:
    """The drawing is sound XML with a title, and names no address but its own name space."""
    text = (ROOT / "docs" / "flow.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None
    assert re.findall(r"https?://[^\"']+", text) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize("page", ["docs/internals/architecture.md", "docs/results.md", "docs/operating.md"])
def test_a_table_tells_of_a_thing_once(page: str) -> None:
    """Two rows about one name say two things sooner or later."""
    found: list[str] = []
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        name = line.split("|")[1].strip() if line.startswith("|") else ""
        if not line.startswith("|"):
            found.clear()
        assert not (name.startswith("`") and name in found), name
        found.append(name)
