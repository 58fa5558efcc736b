"""What a run has published: its rows, its files, its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sluice.deployment.standing import FAILED, GOING_ON, WAITING, standing
from sluice.errors import BadRequest
from sluice.files import all_or_none, whole_file, write_whole
from sluice.report.report import render, with_people
from sluice.results.corrections import Corrections
from sluice.results.folder import CERTIFICATE, DRAWS, Kept, give_way
from sluice.results.published import Origin, Published, reading_of
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from sluice.aws.s3 import Store
    from sluice.aws.stack import Stack
    from sluice.deployment.standing import Standing

    class OnDownload(Protocol):
        """Is told how many files of how many bytes come; what it gives takes the bytes that are through."""

        def __call__(self, files: int, size: int, /) -> AbstractContextManager[Callable[[int], None]]: ...


class Outcome(NamedTuple):
    """A run that has published its results, and how it stands."""

    now: Standing
    rows: Published


def outcome(stack: Stack, run: str) -> Outcome:
    """Open what a run has published.

    Raises:
        BadRequest: it has published nothing: it has not ended, waits, failed, or there is no such run.

    """
    now = _ended(stack, run)
    if now.document is None or now.status == FAILED:
        raise BadRequest(
            f"run {run} has published nothing, since it failed: {now.error}; `sluice resume {run}` goes on"
        )
    prefix = f"results/{now.beginning.name}/run_date={now.beginning.date}/{run}-part-"
    rows = Published(stack.results, run, prefix, lambda: _origins(stack, now), now.beginning.task)
    return Outcome(now, rows)


def _origins(stack: Stack, now: Standing) -> Iterator[Origin]:
    key, reading = Keys(now.beginning.judges or now.run).inputs, reading_of(now.beginning.task)
    for frozen in read(Inputs, stack.work.get(key), key).inputs:
        bucket, _, name = frozen.uri.removeprefix("s3://").partition("/")
        yield Origin(stack.bucket(bucket), name, frozen, reading)


def _ended(stack: Stack, run: str) -> Standing:
    now = standing(stack, run)
    if now.status == WAITING:
        raise BadRequest(f"run {run} has sent nothing yet: it waits for `sluice approve {run}`")
    if now.status in GOING_ON:
        raise BadRequest(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    return now


def download(stack: Stack, run: str, out: Path, on_download: OnDownload) -> Standing:
    """Copy a run's Parquet files, run.json and report into a folder, laid out as those of a local run.

    Raises:
        BadRequest: the run has published nothing.

    """
    now, rows = outcome(stack, run)
    with all_or_none(out) as noted:
        with on_download(len(rows.parts), rows.size) as advance:
            page = _report(stack, now)
            if now.document is not None:
                give_way(out, now.document, published=True)
            for key, _ in rows.parts:
                _copy(stack.results, key, noted(out / key), advance)
        write_whole(noted(out / "report.html"), page)
        for name, found in zip((DRAWS, CERTIFICATE), kept(stack, run), strict=True):
            if found is not None:
                write_whole(noted(out / name), found)
        write_whole(noted(out / "run.json"), msgspec.json.encode(now.document))
    return now


def kept(stack: Stack, run: str) -> Kept:
    """Get which rows a run has drawn, and what it promises by them."""
    draws, certificate = (stack.results.find(f"reports/{run}/{name}") for name in (DRAWS, CERTIFICATE))
    return Kept(draws, certificate)


def _copy(store: Store, key: str, path: Path, advance: Callable[[int], None]) -> None:
    """Copy an object into a file, which appears when it is whole."""
    with whole_file(path) as file:
        for block in store.blocks(key):
            file.write(block)
            advance(len(block))


def report(stack: Stack, run: str) -> bytes:
    """Get the report of a run that has ended; that of a run that failed is made here, of what it left behind.

    Raises:
        BadRequest: the run has not ended, or failed before there was anything to tell.

    """
    return _report(stack, _ended(stack, run))


def _report(stack: Stack, now: Standing) -> bytes:
    published = None if now.status == FAILED else stack.results.find(f"reports/{now.run}/report.html")
    if published is None and now.document is None:
        raise BadRequest(f"run {now.run} has no report, since it failed before it had counted its rows: {now.error}")
    if published is not None and now.document is not None:
        corrections = Corrections(stack.results, now.beginning.name)
        return with_people(now.document, corrections) or published
    return published or render(now.document or {}).encode()
