"""The code of the functions: this project's modules and their pinned packages for arm64, built without Docker.

There are bundles with Arrow and without, since it is two thirds of the packages and half of the functions never load
it, one with numpy beside it, for what learns and scores, and one with the tasks, for start. Each is the same bytes
wherever it is built: pinned wheels, no caches, no times, no marks of who installed, fixed file modes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

from infra.options import ROOT
from sluice.errors import Stop
from sluice.places import PACKAGE, made, user_cache
from sluice.report.vega import BUNDLED, charts_library
from sluice.runs.inbox import INTAKE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.inbox import Intake

LOCK = ROOT / "requirements-lambda.lock"
SOURCES = (PACKAGE, ROOT / "lambdas")
# What serves one machine stays there: the local runner, what looks at a deployment from outside, and who calls them.
# An installed package has the app inside, too.
LEFT_OUT = tuple(
    PurePosixPath("sluice", name) for name in ("local", "forecast", "deployment", "api", "cli", "_project")
)
# The library of the report's charts, which is no file of the project but made of a package that no function has.
CHARTS = BUNDLED.relative_to(PACKAGE.parent).as_posix()
# The user's own catalogue of models in the working folder, laid over the built-in one.
OWN_MODELS = Path("models.yaml")
# Only at the top: other packages have folders of this name too.
ARROW = ("pyarrow", "pyarrow-*.dist-info", "pyarrow.libs")
NUMPY = ("numpy", "numpy-*.dist-info", "numpy.libs")
# Raise it when the way of installing changes, so that a cached installation is made anew.
FORMAT = 2
PYTHON = "3.13"
# Wheels for an older glibc run on a newer one, and pip must be told of each that it may take.
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
# Never needed at run time, a third of the size. libarrow_substrait stays: pyarrow does not load without it.
NEEDLESS = (
    ".lock",
    "bin",
    "**/__pycache__",
    "**/tests",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pxi",
    # What the installer notes about itself and the place: it would differ from machine to machine.
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_*",
    "pyarrow/include",
    "pyarrow/includes",
    "pyarrow/src",
    "pyarrow/libarrow_flight*",
    "pyarrow/_flight*",
    "pyarrow/libarrow_python_flight*",
)


def function_code(*, packages: Packages, tasks: Path | None, intake: Intake | None = None) -> lambda_.Code:
    """Return the asset with these packages and tasks, if any; CDK makes an asset of the same content once."""
    bundle = Bundle(packages=packages, tasks=tasks, intake=intake)
    options = cdk.BundlingOptions(image=cdk.DockerImage.from_registry("unused"), local=bundle)
    return lambda_.Code.from_asset(
        str(ROOT / "lambdas"),
        bundling=options,
        asset_hash=bundle.content_hash(),
        asset_hash_type=cdk.AssetHashType.CUSTOM,
    )


class Packages(StrEnum):
    """Which of the locked packages a bundle holds; none for tests and local runs."""

    NONE = "none"
    WITHOUT_ARROW = "without Arrow"
    ARROW = "with Arrow"
    ALL = "all"


LEAVES_OUT = {Packages.WITHOUT_ARROW: (*ARROW, *NUMPY), Packages.ARROW: NUMPY, Packages.ALL: ()}


@jsii.implements(cdk.ILocalBundling)
class Bundle:
    """Copies the sources, and the packages from a cache with one folder per state of the lock file."""

    def __init__(self, *, packages: Packages, tasks: Path | None, intake: Intake | None = None) -> None:
        self._packages = packages
        self._tasks = tasks
        # In a file, since the environment of a function has room for 4 KB in all.
        self._intake = None if intake is None else intake.model_dump_json()

    def content_hash(self) -> str:
        """Return the same for the same code and packages, so that an unchanged deployment uploads nothing."""
        digest = hashlib.sha256(f"{self._packages} {_lock_hash()}".encode())
        for place, path in self.sources():
            digest.update(f"{place}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(charts_library().encode())
        digest.update((self._intake or "").encode())
        return digest.hexdigest()

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        """Fill `output_dir`; CDK never falls back to Docker, since this succeeds or raises."""
        target = Path(output_dir)
        if self._packages is not Packages.NONE:
            left_out = shutil.ignore_patterns(*LEAVES_OUT[self._packages])
            shutil.copytree(
                installed_packages(), target, dirs_exist_ok=True, ignore=left_out, copy_function=shutil.copyfile
            )
        for place, path in self.sources():
            copy = target / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        (target / CHARTS).write_text(charts_library(), encoding="utf-8", newline="")
        if self._intake is not None:
            (target / INTAKE_FILE).write_text(self._intake, encoding="utf-8", newline="")
        _fix_modes(target)
        return True

    def sources(self) -> Iterator[tuple[str, Path]]:
        """Yield the project's own files that the functions need, each with its place in the bundle, in stable order."""
        for folder in SOURCES:
            for path in _files(folder):
                place = PurePosixPath(path.relative_to(folder.parent).as_posix())
                if not any(place.is_relative_to(other) for other in LEFT_OUT):
                    yield str(place), path
        if self._tasks is not None:
            for path in _files(self._tasks):
                yield f"tasks/{path.relative_to(self._tasks).as_posix()}", path
            # Which models there are is asked where a task is: a run has both in its own copy.
            if OWN_MODELS.is_file():
                yield OWN_MODELS.name, OWN_MODELS


def _fix_modes(folder: Path) -> None:
    """Let everybody read, as Lambda does under a user of its own, whatever the mask of who builds says."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def installed_packages() -> Path:
    """Return the folder with the locked packages; installed at the first call for a lock file, then found again."""
    target = user_cache() / f"packages-{_lock_hash()[:16]}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=made(target.parent), prefix="packages-") as scratch:
        folder = Path(scratch) / "site"
        _install(folder)
        _strip(folder)
        try:
            folder.rename(target)
        except OSError:
            # Another synthesis was faster; its folder holds the same.
            if not target.exists():
                raise
    return target


def _lock_hash() -> str:
    return hashlib.sha256(f"{FORMAT} {PYTHON} {PLATFORMS} {NEEDLESS}".encode() + LOCK.read_bytes()).hexdigest()


def _install(folder: Path) -> None:
    """Install with uv or, where only pip's own configuration knows the index, with pip.

    Raises:
        Stop: neither could; the message ends with what both said.
    """
    said = ""
    for command in _installers(folder):
        # Both write to stdout what CDK would take for its own output.
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
        if result.returncode == 0:
            return
        said += result.stderr[-1000:]
        shutil.rmtree(folder, ignore_errors=True)
    raise Stop(f"the functions' packages of {LOCK.name} could not be installed:\n{said}")


def _installers(folder: Path) -> Iterator[list[str]]:
    """Yield the commands that could install the locked packages."""
    common = ["--quiet", "--require-hashes", "--only-binary", ":all:", "--target", str(folder), "-r", str(LOCK)]
    common += ["--no-deps", "--python-version", PYTHON]
    uv = ["pip", "install", "--python-platform", "aarch64-manylinux_2_28"]
    yield [sys.executable, "-m", "uv", *uv, *common]
    pip = ["pip", "install", "--disable-pip-version-check", "--implementation", "cp"]
    yield [sys.executable, "-m", *pip, *common, *(part for platform in PLATFORMS for part in ("--platform", platform))]


def _strip(folder: Path) -> None:
    for pattern in NEEDLESS:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
