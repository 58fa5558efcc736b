from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# That a test may take: some calls of Playwright wait for ever for a tab that died as it opened.
SECONDS = int(os.environ.get("SLUICE_BROWSER_SECONDS", "120"))


def _browsers() -> list[int]:
    """The Chromium that Playwright's driver has started for this process."""
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    drivers = [word for word in own if b"playwright" in Path(f"/proc/{word}/cmdline").read_bytes()]
    return [int(found) for word in drivers for found in Path(f"/proc/{word}/task/{word}/children").read_text().split()]


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """End the browser of a test that takes too long: what waits for it then fails, and does not hold up all others."""

    def end(*_: object) -> None:
        for process in _browsers():
            os.kill(process, signal.SIGKILL)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium; `.ci/run` installs it, so that only a developer's machine can be without."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()
