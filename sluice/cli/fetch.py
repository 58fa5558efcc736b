"""`sluice results` and `sluice report`: fetch what a run has published."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING

import msgspec

from sluice.cli.exits import ExitCode, UsageError
from sluice.cli.requests import check_out
from sluice.cli.run import show
from sluice.cli.standing import FAILED, GOING_ON, WAITING, standing
from sluice.cli.summary import places_in
from sluice.figures import size
from sluice.report import read_run, render

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.cli.cloud import Cloud
    from sluice.cli.standing import Standing
    from sluice.store import Store


def fetch_results(cloud: Cloud, run: str, out: Path, *, as_json: bool) -> ExitCode:
    """Download a run's Parquet files, run.json and report, laid out as `sluice run` does it."""
    check_out(out)
    now = _ended(cloud, run)
    if now.document is None or now.status == FAILED:
        raise UsageError(
            f"run {run} has published nothing, since it failed: {now.error}; `sluice resume {run}` goes on"
        )
    start = now.beginning
    prefix = f"results/{start.name}/run_date={start.date}/{run}-part-"
    parts = list(cloud.results.keys(prefix))
    _say(f"{len(parts):,} Parquet {'file' if len(parts) == 1 else 'files'}, {size(sum(size_ for _, size_ in parts))}")
    for key, _ in parts:
        download(cloud.results, key, out / key)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(render(now.document), encoding="utf-8")
    (out / "run.json").write_bytes(msgspec.json.encode(now.document))
    show(now.document, places_in(out, read_run(now.document)), as_json=as_json)
    return ExitCode.SUCCEEDED


def fetch_report(cloud: Cloud, run: str, out: Path, *, show_it: bool) -> ExitCode:
    """Download a run's report; that of a run that failed is made here, of what it left behind."""
    now = _ended(cloud, run)
    published = None if now.status == FAILED else cloud.results.find(f"reports/{run}/report.html")
    if published is None and now.document is None:
        raise UsageError(f"run {run} has no report, since it failed before it had counted its rows: {now.error}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(published or render(now.document or {}).encode())
    print(out)
    if show_it:
        webbrowser.open(out.resolve().as_uri())
    return ExitCode.SUCCEEDED


def _ended(cloud: Cloud, run: str) -> Standing:
    now = standing(cloud, run)
    if now.status == WAITING:
        raise UsageError(f"run {run} has sent nothing yet: it waits for `sluice approve {run}`")
    if now.status in GOING_ON:
        raise UsageError(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    return now


def download(store: Store, key: str, path: Path) -> None:
    """Copy an object into a file, which appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("wb") as file:
        for block in store.blocks(key):
            file.write(block)
    unfinished.replace(path)


def _say(text: str) -> None:
    print(f"downloading {text}", file=sys.stderr, flush=True)
