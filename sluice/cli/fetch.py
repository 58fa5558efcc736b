"""`sluice results` and `sluice report`: fetch what a run has published, or show what lies in a folder."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.api.local import open_run
from sluice.cli.display import byte_bar
from sluice.cli.exits import ExitCode, print_json
from sluice.cli.run import show
from sluice.cli.summary import places_in
from sluice.deployment.standing import STAMP
from sluice.errors import BadRequest
from sluice.figures import size
from sluice.files import write_whole
from sluice.report.report import with_people
from sluice.results.folder import in_folder, read_document
from sluice.results.run_document import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.api.deployment import Deployment
    from sluice.api.local import Run


def folder_of(name: str) -> Path | None:
    """Take a command's RUN for the folder of a local run, unless it is a run's id, which no folder is taken for."""
    return None if "/" not in name and STAMP.search(name) else Path(name)


def fetch_results(deployment: Deployment, run: str, out: Path, *, as_json: bool) -> ExitCode:
    """Download a run's Parquet files, run.json and report, laid out as `sluice run` does it."""
    return _shown(deployment.run(run).download(out, on_download=downloading), as_json=as_json)


@contextmanager
def downloading(files: int, whole: int) -> Iterator[Callable[[int], None]]:
    """Show what comes, and how far that is."""
    text = f"{files:,} Parquet {'file' if files == 1 else 'files'}, {size(whole)}"
    print(f"downloading {text}", file=sys.stderr, flush=True)
    with byte_bar("downloading", whole) as advance:
        yield advance


def show_folder(folder: Path, *, as_json: bool) -> ExitCode:
    """Show the summary of the run that lies in a folder."""
    return _shown(open_run(folder), as_json=as_json)


def _shown(run: Run, *, as_json: bool) -> ExitCode:
    show(run.summary, places_in(run.out, read_run(run.summary)), as_json=as_json)
    return ExitCode.SUCCEEDED


def fetch_report(deployment: Deployment, run: str, out: Path, *, show_it: bool, as_json: bool = False) -> ExitCode:
    """Download a run's report; that of a run that failed is made here, of what it left behind."""
    report = deployment.run(run).report()
    write_whole(out, report)
    return hand_over(out, show_it=show_it, as_json=as_json)


def show_report(folder: Path, out: Path | None = None, *, show_it: bool, as_json: bool = False) -> ExitCode:
    """Print where the report of the run in a folder lies, or the copy that is asked for, with what people have said."""
    report = folder / "report.html"
    if not report.is_file():
        raise BadRequest(
            f"there is no report in {folder}; name the folder that `sluice run` was given as --out, "
            "or a run by its id, as `sluice runs` lists it"
        )
    told = (folder / "run.json").is_file()
    page = with_people(read_document(folder), in_folder(folder).corrections) if told else None
    if out is not None or page is not None:
        write_whole(out or report, page or report.read_bytes())
    return hand_over(out or report, show_it=show_it, as_json=as_json)


def hand_over(report: Path, *, show_it: bool, as_json: bool) -> ExitCode:
    """Tell where a report lies, and show it if that is asked for."""
    if as_json:
        print_json({"path": str(report.resolve())})
    else:
        print(report)
    if show_it:
        webbrowser.open(report.resolve().as_uri())
    return ExitCode.SUCCEEDED
