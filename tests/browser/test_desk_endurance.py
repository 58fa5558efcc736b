"""The desk for as long as a person works: `make desk` settles 200 rows at their pace and kills 1,000 tabs.

The gate does the same, a few times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from sluice.desk.page import render
from sluice.desk.queues import Desk
from sluice.task.file import parse_task
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.test_desk import HOSTILE, LABEL, TASK, answer, kill, labels_of, page_of, served, settle
from tests.harness.drive import Cloud, jsonl
from tests.harness.reviewed import opened

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from sluice.results.published import Published

KILLS = int(os.environ.get("SLUICE_DESK_KILLS", "3"))
ROWS = int(os.environ.get("SLUICE_DESK_ROWS", "8"))
AT_PACE = "SLUICE_DESK_ROWS" in os.environ  # of a person: 200 rows in ten minutes
SECONDS = 600.0
READS, THINKS = (0.6, 1.8), (0.1, 0.4)  # seconds for a row, and before Enter
TYPES = (0.06, 0.16)  # from key to key
MANY = 10_000
MOST_ELEMENTS, MOST_MS = 200, 50.0
SCRIPT = {"EvaluateScript", "EventDispatch", "FunctionCall", "RunMicrotasks", "TimerFire", "v8.compile"}


@pytest.fixture(scope="module")
def run() -> Published:
    """Rows that no model settled, as many as are needed; all of them hostile."""
    count = max(2 * ROWS, 3 * KILLS)
    rows = [{"id": f"{n:05}", "text": f"odd {n % 20} {n} {HOSTILE}"} for n in range(count)]
    cloud = Cloud(answer)
    return opened(cloud, cloud.run(parse_task(TASK, "t"), {"a.jsonl": jsonl(rows)}))


def name_of(page: Page) -> str:
    return page.locator("#place").inner_text().split(" · ")[1]


def kept(run: Published) -> dict[str, str]:
    return {str(name): label for name, label in labels_of(run).items()}


def test_rows_are_settled_at_a_persons_pace(browser: Browser, run: Published) -> None:
    """By keys alone, each kept when the next one shows; 200 of them take less than ten minutes."""
    dice, waits, said = random.Random(1), list[float](), dict[str, str]()
    pause = time.sleep if AT_PACE else lambda _seconds: None
    with served(run) as server, page_of(browser, server.address) as (page, noise):
        begin = time.monotonic()
        for n in range(ROWS):
            name, label = name_of(page), LABEL[n % 3]
            pause(dice.uniform(*READS))
            for letter in label[: dice.randint(2, len(label))]:
                page.keyboard.type(letter)
                pause(dice.uniform(*TYPES))
            pause(dice.uniform(*THINKS))
            at = time.monotonic()
            page.keyboard.press("Enter")
            page.wait_for_function(
                "name => !document.querySelector('#place').textContent.includes(name)", arg=f"· {name}"
            )
            waits.append(time.monotonic() - at)
            said[name] = label
            assert labels_of(run)[name] == label
        took = time.monotonic() - begin
        assert 1 <= page.locator("#alike li").count() <= 3, "settled rows that are like it stand beside a row"
        assert HOSTILE.replace("\u202e", "\\u202e") in page.locator("#alike p").first.inner_text()
        assert noise == []
    assert {name: labels_of(run)[name] for name in said} == said
    assert not AT_PACE or took < SECONDS
    median, most = (1000 * each for each in (statistics.median(waits), max(waits)))
    print(f"{ROWS} rows in {took:.0f} s; the next one after {median:.0f} ms, at most {most:.0f}")  # noqa: T201


def test_a_tab_that_is_killed_at_any_moment_loses_nothing(browser: Browser, run: Published) -> None:
    """Also amid keeping: of what the page had gone on from all is kept, of the row under way all or nothing."""
    dice, said = random.Random(2), kept(run)
    for _ in range(KILLS):
        with served(run) as server, page_of(browser, server.address) as (page, _):
            said |= settle(page, dice.randint(0, 2), dice.randint(0, 2))
            name, label = name_of(page), dice.choice(LABEL)
            page.keyboard.type(label)
            page.locator("#save").dispatch_event("click")
            time.sleep(dice.uniform(0, 0.03))
            kill(page, browser)
        found = kept(run)
        assert found.get(name, label) == label
        assert {key: what for key, what in found.items() if key != name} == said
        said = found


def test_a_browser_that_is_killed_when_the_page_says_saved_has_saved(browser: Browser, run: Published) -> None:
    """All that it said is in the log: the page says so only behind the server's answer."""
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=list(FLAGS))
    with served(run) as server:
        page = own.new_page()
        page.goto(server.address)
        said = settle(page, 2)
        assert page.locator("#saved").inner_text() == "All saved"
        told = own.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        for process in told:
            os.kill(process["id"], signal.SIGKILL)
    assert labels_of(run).items() >= said.items()


def test_ten_thousand_rows_are_as_light_as_ten(browser: Browser, run: Published, tmp_path: Path) -> None:
    """At most 200 elements of rows stand in the page, and no task of its script takes 50 ms of the processor."""
    document = Desk(run, sample=10).document()
    row = document["rows"][0] | {"said": []}
    said = {"mark": [1, 1], "by": "ann", "at": "", "labels": ["odd"], "fields": {}, "note": "", "drawn": False}
    document["rows"] = [
        {
            **row,
            "line": n,
            "id": f"{n:05}",
            "text": f"{n} {'abcdefg'[n % 7]} {row['text']}",
            "said": [said] * (n >= MANY),
        }
        for n in range(MANY + 150)
    ]
    document["queues"] = [{**document["queues"][0], "of": MANY, "rows": list(range(MANY))}]
    document["settled"] = list(range(MANY, MANY + 150))
    (tmp_path / "review.html").write_text(render(document), encoding="utf-8")
    with page_of(browser, (tmp_path / "review.html").as_uri()) as (page, noise):
        most = 0
        assert page.locator("#alike li").count() == 3, "also of many settled rows the like ones are found"
        browser.start_tracing(page=page, categories=["devtools.timeline"])
        for n in range(120):
            page.keyboard.press("ArrowRight")
            if n % 10 == 0:
                most = max(most, page.locator("#near li, #row li, #alike li").count())
                page.mouse.wheel(0, 400)
        page.locator("#search").press("Enter")
        page.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('1 of 10,000')")
        trace = json.loads(browser.stop_tracing())
        assert name_of(page) == "00121"
        assert noise == []
    assert 0 < most <= MOST_ELEMENTS
    assert tasks_of(trace)[-1] < MOST_MS


def tasks_of(trace: dict[str, Any]) -> list[float]:
    """Milliseconds of processor time of the tasks of the page's script, the shortest first."""
    found = [each["tdur"] / 1000 for each in trace["traceEvents"] if each["name"] in SCRIPT and "tdur" in each]
    assert len(found) > 100, "the trace holds the page's script"
    return sorted(found)
