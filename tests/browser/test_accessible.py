"""The report and the review desk before axe-core: no violation, in light and dark; focus is seen, nothing moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluice.report.report import render
from sluice.task.file import parse_task
from tests.browser.test_desk import ROWS, TASK, answer, page_of, served
from tests.harness.drive import Cloud, jsonl
from tests.harness.npm import installed
from tests.harness.reviewed import opened
from tests.harness.runs import changed

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

AXE = "axe-core@4.10.3"
LOOK = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(found => found.nodes
    .map(node => [found.id, node.target, ...node.any, ...node.all, ...node.none].map(each => each.message ?? each)))"""
MOVES = """() => [...document.querySelectorAll("*")].map(each => [each, getComputedStyle(each)])
    .filter(([_, style]) => parseFloat(style.transitionDuration) || style.animationName !== "none")
    .map(([each]) => each.outerHTML.slice(0, 80))"""
UNSEEN = """() => { const at = document.activeElement, style = getComputedStyle(at);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth);
    return at === document.body || seen ? null : at.outerHTML.slice(0, 80) }"""

SHARE = {"label": "billing", "given": 4, "share": 0.5, "low": 0.3, "high": 0.7, "plain": True}


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's script: a page's policy does not keep out what a browser's tools run."""
    return (installed(AXE) / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def problems(page: Page, axe: str, stops: int) -> list[str]:
    """What axe finds in both schemes, what moves for those who want rest, and stops of the keyboard without a mark."""
    page.evaluate(axe)
    found: list[str] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += [f"{scheme}: {each}" for each in page.evaluate(LOOK)]
    found += page.evaluate(MOVES)
    for _ in range(stops):
        page.keyboard.press("Tab")
        found += [unseen] if (unseen := page.evaluate(UNSEEN)) else []
    return found


def test_a_report_is_for_everybody(browser: Browser, axe: str, tmp_path: Path) -> None:
    """With all its sections, and with all that is folded open."""
    file = tmp_path / "report.html"
    run = changed(answers="standin", warnings=["x"], status="over_limit", labels={f"label {n}": n for n in range(20)})
    run["label_shares"] = {"rows": 9, "drawn": 9, "records": 9, "oracle": "claude", "labels": [SHARE]}
    run["findings"] |= {"blurs": [{"first": "billing", "final": "other", "records": 20}]}
    run["findings"]["examples"][0] |= {"text": "a long text\n" * 30}
    file.write_text(render(run), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert problems(page, axe, 12) == []
    page.close()


def test_the_desk_is_for_everybody(browser: Browser, axe: str) -> None:
    """As it opens, at the first row that is to be settled; and on a phone, with all that unfolds there."""
    cloud = Cloud(answer)
    run = opened(cloud, cloud.run(parse_task(TASK, "t"), {"a.jsonl": jsonl(ROWS)}))
    with served(run) as server, page_of(browser, server.address) as (page, _):
        assert problems(page, axe, 12) == []
        page.set_viewport_size({"width": 390, "height": 844})
        page.locator("#more").click()
        assert problems(page, axe, 12) == []
