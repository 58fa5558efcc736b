"""`sluice results` and `sluice report`: fetch what a run has published."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING

import msgspec

from sluice.cli.display import byte_bar
from sluice.cli.exits import ExitCode, UsageError, print_json
from sluice.cli.published import Origin, Published, read_document
from sluice.cli.requests import check_out
from sluice.cli.run import show
from sluice.cli.standing import FAILED, GOING_ON, WAITING, standing
from sluice.cli.summary import places_in
from sluice.figures import size
from sluice.forecast.files import whole_file
from sluice.report.report import render
from sluice.results.run_document import read_run
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sluice.aws.s3 import Store
    from sluice.cli.cloud import Cloud
    from sluice.cli.standing import Standing


def fetch_results(cloud: Cloud, run: str, out: Path, *, as_json: bool) -> ExitCode:
    """Download a run's Parquet files, run.json and report, laid out as `sluice run` does it."""
    check_out(out)
    now = _published(cloud, run)
    assert now.document is not None
    start = now.beginning
    prefix = f"results/{start.name}/run_date={start.date}/{run}-part-"
    parts = list(cloud.results.keys(prefix))
    whole = sum(size_ for _, size_ in parts)
    _say(f"{len(parts):,} Parquet {'file' if len(parts) == 1 else 'files'}, {size(whole)}")
    with byte_bar("downloading", whole) as advance:
        for key, _ in parts:
            download(cloud.results, key, out / key, advance)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_bytes(_report(cloud, now))
    (out / "run.json").write_bytes(msgspec.json.encode(now.document))
    show(now.document, places_in(out, read_run(now.document)), as_json=as_json)
    return ExitCode.SUCCEEDED


def fetch_report(cloud: Cloud, run: str, out: Path, *, show_it: bool, as_json: bool = False) -> ExitCode:
    """Download a run's report; that of a run that failed is made here, of what it left behind."""
    now = _ended(cloud, run)
    report = _report(cloud, now)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(report)
    return _hand_over(out, show_it=show_it, as_json=as_json)


def _report(cloud: Cloud, now: Standing) -> bytes:
    """Get the published report, or make one of what a failed run left behind."""
    published = None if now.status == FAILED else cloud.results.find(f"reports/{now.run}/report.html")
    if published is None and now.document is None:
        raise UsageError(f"run {now.run} has no report, since it failed before it had counted its rows: {now.error}")
    return published or render(now.document or {}).encode()


def _hand_over(report: Path, *, show_it: bool, as_json: bool) -> ExitCode:
    """Tell where a report lies, and show it if that is asked for."""
    if as_json:
        print_json({"path": str(report.resolve())})
    else:
        print(report)
    if show_it:
        webbrowser.open(report.resolve().as_uri())
    return ExitCode.SUCCEEDED


def published(cloud: Cloud, run: str) -> Published:
    """Open the rows of a run that has been published; `UsageError` when it has not."""
    now = _published(cloud, run)
    folder = f"results/{now.beginning.name}/run_date={now.beginning.date}/"
    return Published(cloud.results, run, f"{folder}{run}-part-", lambda: _origins(cloud, now))


def _origins(cloud: Cloud, now: Standing) -> Iterator[Origin]:
    key = Keys(now.beginning.judges or now.run).inputs
    for frozen in read(Inputs, cloud.work.get(key), key).inputs:
        bucket, _, name = frozen.uri.removeprefix("s3://").partition("/")
        yield Origin(cloud.bucket(bucket), name, frozen)


def _published(cloud: Cloud, run: str) -> Standing:
    now = _ended(cloud, run)
    if now.document is None or now.status == FAILED:
        raise UsageError(
            f"run {run} has published nothing, since it failed: {now.error}; `sluice resume {run}` goes on"
        )
    return now


def _ended(cloud: Cloud, run: str) -> Standing:
    now = standing(cloud, run)
    if now.status == WAITING:
        raise UsageError(f"run {run} has sent nothing yet: it waits for `sluice approve {run}`")
    if now.status in GOING_ON:
        raise UsageError(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    return now


def show_folder(folder: Path, *, as_json: bool) -> ExitCode:
    """Show the summary of the run that lies in a folder."""
    document = read_document(folder)
    show(document, places_in(folder, read_run(document)), as_json=as_json)
    return ExitCode.SUCCEEDED


def show_report(folder: Path, out: Path | None = None, *, show_it: bool, as_json: bool = False) -> ExitCode:
    """Print where the report of the run in a folder lies, or the copy of it that is asked for."""
    report = folder / "report.html"
    if not report.is_file():
        raise UsageError(
            f"there is no report in {folder}; name the folder that `sluice run` was given as --out, "
            "or a run by its id, as `sluice runs` lists it"
        )
    if out is not None:
        with whole_file(out) as copy:
            copy.write(report.read_bytes())
    return _hand_over(out or report, show_it=show_it, as_json=as_json)


def download(store: Store, key: str, path: Path, advance: Callable[[int], None]) -> None:
    """Copy an object into a file, which appears when it is whole."""
    with whole_file(path) as file:
        for block in store.blocks(key):
            file.write(block)
            advance(len(block))


def _say(text: str) -> None:
    print(f"downloading {text}", file=sys.stderr, flush=True)
