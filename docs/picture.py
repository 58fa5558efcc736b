"""Take the README's picture of a report anew, of a run of the sample: `python docs/picture.py`. It needs Chromium."""

# ruff: noqa: INP001 - a script beside its pages, not a package
from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sluice.local.runner import run_local
from sluice.task.file import load_task

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1240, 1430  # from the title to the labels by column


def take(report: Path) -> None:
    """Look at a report as a browser shows it at first."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        page.screenshot(path=PICTURE)
        opened.close()


def main() -> None:
    """Run the sample and take the picture."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        task = load_task("tickets", ROOT / "tasks")
        run_local(inputs=[ROOT / "sample_data" / "tickets.jsonl"], task=task, out=Path(folder))
        take(Path(folder) / "report.html")


if __name__ == "__main__":
    main()
