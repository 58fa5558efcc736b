"""Runs pytest again and again over changed code: a fork for each run, of a process with everything heavy imported.

It imports nothing of Sluice: each fork reads its own. An order is a line of JSON, and so is the answer: the first test
that failed or null, and the tests that took long, which a later order may put behind all others.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import select
import signal
import sys
from typing import Any

HEAVY = (
    *("boto3", "botocore.session", "hypothesis", "jinja2", "jsonschema_rs", "msgspec", "pyarrow.compute", "yaml"),
    *("pyarrow.csv", "pyarrow.dataset", "pyarrow.parquet", "pydantic", "pytest", "rich.console", "rich.table", "typer"),
)
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")


LONG = 0.3  # seconds of a test
ENDLESS = 40.0  # seconds after which a test will never end: the signal ends the process, also in the midst of C


class Failures:
    """Hears of the tests that fail, and of those that take long; runs these last."""

    def __init__(self, last: list[str]) -> None:
        self.first: str | None = None
        self.slow: list[str] = []
        self.last = frozenset(last)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: item.nodeid in self.last)

    def pytest_runtest_logstart(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, ENDLESS)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = report.nodeid
        if report.when == "call" and report.duration > LONG:
            self.slow.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = f"{report.nodeid} cannot be read"


def run(arguments: list[str], last: list[str]) -> tuple[str | None, list[str]]:
    """Run tests in this process; hypothesis looks for a mistake, and not for the smallest."""
    import pytest
    from hypothesis import Phase, settings

    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), deadline=None, derandomize=True)
    settings.load_profile("mutants")
    failures = Failures(last)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = pytest.main([*QUIET, *arguments], plugins=[failures])
    return failures.first or (None if code == 0 else f"pytest ended with {code}"), failures.slow


def forked(arguments: list[str], last: list[str], seconds: float) -> tuple[str | None, list[str]]:
    """The same in a fork, which is ended when its time is up."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        try:
            said = run(arguments, last)
        except BaseException as error:  # noqa: BLE001 - a mutant may raise anything
            said = f"{type(error).__name__}: {error}", []
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(json.dumps(said).encode() + b"\n")
        os._exit(0)
    os.close(theirs)
    ready, _, _ = select.select([ours], [], [], seconds)
    with os.fdopen(ours, "rb") as pipe:
        line = pipe.readline() if ready else b'["the tests took too long", []]'
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    failed, slow = json.loads(line or b'["the process died, or a test never ended", []]')
    return failed, slow


def main() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        sys.stdout.write(json.dumps(forked(order["arguments"], order["last"], order["seconds"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
