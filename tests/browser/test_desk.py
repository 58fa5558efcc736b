"""The review desk in a real browser: by keys alone, on disk before the next row shows, deaf to what rows say."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sluice.api.review import take_sheet, versions_of
from sluice.desk.page import render
from sluice.desk.queues import Desk
from sluice.desk.server import Decisions, DeskServer
from sluice.results.corrections import Corrections
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.harness.reviewed import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from sluice.results.published import Published

HOSTILE = "</script><script>hit=1</script><img src=x onerror=hit=1> \u202egnp"
TASK: dict[str, Any] = {
    "name": "t",
    "input": {"id": "id", "text": "text"},
    "labels": {"about": "", "odd": "strange ones", "other": HOSTILE},
    "answer": {"fields": {"amount": {"type": "integer"}}},
    "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
}
ROWS = [{"id": f"{n:02}", "text": f"odd {n} {HOSTILE}", HOSTILE: HOSTILE} for n in range(30)]
LABEL = ("about", "odd", "other")


def answer(_model: str, text: str) -> str:
    number = int(text.split()[1])
    return json.dumps({"label": "odd", "confidence": "unsure" if number < 20 else "certain", "amount": number})


@pytest.fixture
def run() -> Published:
    """Thirty rows, twenty of which no model settled; all of them hostile."""
    cloud = Cloud(answer)
    return opened(cloud, cloud.run(parse_task(TASK, "t"), {"a.jsonl": jsonl(ROWS)}))


@contextmanager
def served(run: Published) -> Iterator[DeskServer]:
    desk = Desk(run, sample=10)
    document = desk.document() | {"by": "ann"}
    with DeskServer(document, Decisions(run, desk.task, document, "ann", versions_of(run))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:  # else what fails within waits for it for ever
            server.shutdown()
            thread.join()


@contextmanager
def page_of(browser: Browser, address: str, **more: Any) -> Iterator[tuple[Page, list[str]]]:
    context = browser.new_context(**more)
    page, noise = context.new_page(), []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("response", lambda got: noise.append(f"{got.status}") if got.status >= 400 else None)
    page.goto(address)
    yield page, noise
    context.close()


def settle(page: Page, count: int, begin: int = 0) -> dict[str, str]:
    """Settle rows by keys alone; the labels that were said, by the ids of their rows."""
    said = {}
    for n in range(begin, begin + count):
        name = page.locator("#place").inner_text().split(" · ")[1]
        page.keyboard.type(LABEL[n % 3])
        page.keyboard.press("Enter")
        page.wait_for_function("name => !document.querySelector('#place').textContent.includes(name)", arg=f"· {name}")
        said[name] = LABEL[n % 3]
    return said


def standing(run: Published) -> dict[str | None, tuple[list[str] | None, dict[str, Any], str, bool]]:
    """What stands, as a reader finds it who has just come."""
    log = Corrections(run.store, "t")
    log.refresh()
    heads = [row.heads[-1].what for row in log.rows.values() if row.heads]
    return {what.id: (what.labels, what.fields, what.note, what.drawn) for what in heads}


def labels_of(run: Published) -> dict[str | None, str]:
    return {name: labels[0] for name, (labels, *_) in standing(run).items() if labels}


def test_rows_are_settled_by_keys_alone(browser: Browser, run: Published) -> None:
    """Each is kept when the next one shows; undo takes one back, a note goes along, and no hostile word is obeyed."""
    with served(run) as server, page_of(browser, server.address) as (page, noise):
        assert HOSTILE.replace("\u202e", "\\u202e") in page.locator("#text").inner_text()
        said: dict[str, str] = {}
        for n in range(4):
            said |= settle(page, 1, n)
            assert labels_of(run) == said
        page.keyboard.press("Control+z")
        page.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('3 ')")
        del said[list(said)[-1]]
        assert labels_of(run) == said
        page.keyboard.press("Alt+n")
        page.keyboard.type("look again")
        page.keyboard.press("Escape")
        name = page.locator("#place").inner_text().split(" · ")[1]
        said |= settle(page, 1)
        page.keyboard.press("ArrowLeft")
        assert name in page.locator("#place").inner_text()
        assert page.locator("#note").input_value() == standing(run)[name][2] == "look again"
        page.keyboard.press("Alt+s")
        assert page.evaluate("typeof hit") == "undefined"
        assert page.locator("main img, main script").count() == 0
        assert page.locator("#near li").count() <= 15
        assert noise == []


def kill(page: Page, browser: Browser) -> None:
    """End the processes of all tabs, as a system does that runs out of memory."""
    session = browser.new_browser_cdp_session()

    def renderers() -> set[int]:
        told = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return {process["id"] for process in told if process["type"] == "renderer"}

    killed = renderers()
    with page.expect_event("crash", timeout=5_000):
        for process in killed:
            os.kill(process, signal.SIGKILL)
    end = time.monotonic() + 5
    while killed & renderers() and time.monotonic() < end:  # else the next tab is given one that is dead
        time.sleep(0.02)
    session.detach()


def test_a_killed_tab_loses_nothing(browser: Browser, run: Published) -> None:
    """Whatever was said stands, half of a label is none, and who opens the desk anew goes on behind it."""
    said: dict[str, str] = {}
    for n in range(2):
        with served(run) as server, page_of(browser, server.address) as (page, _):
            assert page.locator("#progress").inner_text() == f"0 of {20 - 2 * n} settled"
            said |= settle(page, 2, n)
            page.keyboard.type("abou")
            kill(page, browser)
        assert labels_of(run) == said


def test_another_persons_word_comes_with_the_next_decision(browser: Browser, run: Published) -> None:
    """Rows that they settled are passed over; who says something else of the same row at the same time is told."""
    with served(run) as server, page_of(browser, server.address) as (page, _):
        names = server.decisions.rows
        queue = Desk(run, sample=10).document()["queues"][0]["rows"]
        other = Decisions(opened_again(run), Desk(run).task, {"rows": names}, "ben", {})
        for row, label in ((queue[0], "about"), (queue[1], "odd")):
            other.take({"row": row, "labels": [label]})
        page.keyboard.type("odd")
        page.keyboard.press("Enter")
        page.wait_for_selector("#wrong:not([hidden])")
        assert "both are kept" in page.locator("#wrong").inner_text()
        assert page.locator("#others p").all_inner_texts() == ["conflict ben: about", "conflict ann: odd"]
        page.keyboard.type("about")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#others').childElementCount === 0")
        assert names[queue[2]]["id"] in page.locator("#place").inner_text()


def test_a_file_gives_the_same_corrections(browser: Browser, run: Published, tmp_path: Path) -> None:
    """What it gives back is taken as what was said to the server; until then, leaving it is warned of."""
    with served(run) as server, page_of(browser, server.address) as (page, _):
        settle(page, 3)
        page.locator("#field-amount").fill("77")
        settle_here(page, "about")
        by_server = standing(run)
    for key in [key for key in run.store.client.objects if key[1].startswith("corrections/")]:  # type: ignore[attr-defined]
        del run.store.client.objects[key]  # type: ignore[attr-defined]
    fresh = opened_again(run)
    file = tmp_path / "review.html"
    file.write_text(render(Desk(fresh, sample=10).document()), encoding="utf-8")
    with page_of(browser, file.as_uri()) as (page, noise):
        settle(page, 3)
        kill(page, browser)
        page = page.context.new_page()  # noqa: PLW2901 - the same file, in another tab
        page.goto(file.as_uri())
        assert page.locator("#progress").inner_text().startswith("3 of 20")
        page.locator("#field-amount").fill("77")
        settle_here(page, "about")
        assert page.locator("#saved").inner_text() == "4 not delivered"
        page.evaluate("delete window.showSaveFilePicker")
        with page.expect_download() as download:
            page.locator("#deliver").click()
        download.value.save_as(tmp_path / "said.jsonl")
        assert page.locator("#saved").inner_text() == "All delivered"
        assert noise == []
    taken = take_sheet(fresh, tmp_path / "said.jsonl", by="ann")
    assert (taken.taken, taken.problems) == (4, [])
    assert standing(fresh) == by_server


def settle_here(page: Page, label: str) -> None:
    page.locator("#search").fill(label)
    name = page.locator("#place").inner_text()
    page.locator("#search").press("Enter")
    page.wait_for_function("name => document.querySelector('#place').textContent !== name", arg=name)


def test_on_a_phone_labels_are_at_hand(browser: Browser, run: Published) -> None:
    """Below the text without scrolling, however long it is; a tap on one settles the row, and no keyboard comes up."""
    phone = {"viewport": {"width": 390, "height": 664}, "is_mobile": True, "has_touch": True}
    with served(run) as server, page_of(browser, server.address, **phone) as (page, noise):
        page.evaluate("document.querySelector('#text').append('long '.repeat(2000))")
        for scrolled in (0, 2000):
            page.evaluate("to => scrollTo(0, to)", scrolled)
            seen = page.locator("#labels li").first.bounding_box(), page.locator("#save").bounding_box()
            assert all(box is not None and 664 / 3 < box["y"] < 664 - box["height"] for box in seen)
        name = page.locator("#place").inner_text()
        page.locator("#labels li", has_text="about").tap()
        page.wait_for_function("name => document.querySelector('#place').textContent !== name", arg=name)
        assert labels_of(run) == {name.split(" · ")[1]: "about"}
        assert page.locator("#place").bounding_box()["y"] >= 0  # type: ignore[index]
        assert page.evaluate("document.activeElement.id") == "row"
        assert not page.locator("#note").is_visible()
        page.locator("#more").tap()
        assert page.locator("#note").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.type("odd")  # with a keyboard of its own
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('2 ')")
        assert noise == []


def opened_again(run: Published) -> Published:
    from dataclasses import fields

    from sluice.results.published import Published as Kind

    return Kind(**{each.name: getattr(run, each.name) for each in fields(run)})


def test_a_desk_without_rows_says_so(browser: Browser, run: Published, tmp_path: Path) -> None:
    """In place of an empty page."""
    document = Desk(run).document() | {"queues": [], "rows": [], "settled": []}
    (tmp_path / "review.html").write_text(render(document), encoding="utf-8")
    with page_of(browser, (tmp_path / "review.html").as_uri()) as (page, noise):
        assert page.get_by_text("There is nothing to review").is_visible()
        assert not page.locator("#row").is_visible()
        assert not page.locator("#decide").is_visible()
        assert noise == []
