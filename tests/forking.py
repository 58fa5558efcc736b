"""Runs pytest again and again over changed code: a fork for each run, of a process with everything heavy imported.

It imports nothing of Sluice: each fork reads its own. An order is a line of JSON, and so is the answer: the first test
that failed, or null.
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


class Failures:
    """Hears of the tests that fail."""

    def __init__(self) -> None:
        self.first: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = f"{report.nodeid} cannot be read"


def run(arguments: list[str]) -> str | None:
    """Run tests in this process; hypothesis looks for a mistake, and not for the smallest."""
    import pytest
    from hypothesis import Phase, settings

    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), deadline=None, derandomize=True)
    settings.load_profile("mutants")
    failures = Failures()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = pytest.main([*QUIET, *arguments], plugins=[failures])
    return failures.first or (None if code == 0 else f"pytest ended with {code}")


def forked(arguments: list[str], seconds: float) -> str | None:
    """The same in a fork, which is ended when its time is up."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        try:
            os.write(theirs, json.dumps(run(arguments)).encode())
        except BaseException as error:  # noqa: BLE001 - a mutant may raise anything
            os.write(theirs, json.dumps(f"{type(error).__name__}: {error}").encode())
        os._exit(0)
    os.close(theirs)
    ready, _, _ = select.select([ours], [], [], seconds)
    said = os.read(ours, 1 << 16) if ready else b'"the tests never ended"'
    os.close(ours)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    answer: str | None = json.loads(said or b'"the process died"')
    return answer


def main() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        sys.stdout.write(json.dumps(forked(order["arguments"], order["seconds"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
