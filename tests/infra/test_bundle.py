from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.options import ROOT, Options
from sluice.report.vega import charts_library
from sluice.runs.inbox import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator

MiB = 1024 * 1024
LIMIT = 250 * MiB
SMALL = 80 * MiB
AARCH64 = 183  # of ELF's e_machine


@pytest.fixture(scope="module")
def bundled(tasks: Path) -> Iterator[Path]:
    """A folder with the real code of the functions, packages and all."""
    from infra.bundle import Bundle, Packages

    with tempfile.TemporaryDirectory() as folder:
        assert Bundle(packages=Packages.ALL, tasks=tasks).try_bundle(folder)
        yield Path(folder)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _contents(folder: Path) -> dict[str, tuple[int, str]]:
    """What a zip of the folder holds: mode and hash of each file by its place."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in _files(folder)
    }


def test_the_code_fits_into_a_function(bundled: Path) -> None:
    """Lambda takes 250 MB unzipped."""
    assert _size(bundled) < LIMIT


def test_functions_without_arrow_carry_none(bundled: Path, tasks: Path, tmp_path: Path) -> None:
    """The small bundle has neither Arrow nor numpy, a third of the size of all; the middle one has Arrow alone."""
    from infra.bundle import Bundle, Packages

    Bundle(packages=Packages.WITHOUT_ARROW, tasks=tasks).try_bundle(str(tmp_path))
    missing = _contents(bundled).keys() - _contents(tmp_path).keys()
    assert missing
    assert {place.split("/")[0].split("-")[0] for place in missing} <= {
        "pyarrow",
        "pyarrow.libs",
        "numpy",
        "numpy.libs",
    }
    assert not (tmp_path / "pyarrow").exists()
    assert _size(tmp_path) < SMALL
    Bundle(packages=Packages.ARROW, tasks=tasks).try_bundle(str(tmp_path / "middle"))
    assert (tmp_path / "middle" / "pyarrow").is_dir()
    assert not (tmp_path / "middle" / "numpy").exists()


def test_the_same_inputs_make_the_same_bytes(bundled: Path, tasks: Path, tmp_path: Path) -> None:
    """Installed anew, by a user with another mask: nothing in the bundle tells when, where or by whom."""
    from infra import bundle

    before = os.umask(0o077)
    try:
        bundle._install(tmp_path / "site")
        bundle._strip(tmp_path / "site")
        bundle.Bundle(packages=bundle.Packages.NONE, tasks=tasks).try_bundle(str(tmp_path / "site"))
    finally:
        os.umask(before)
    assert _contents(tmp_path / "site") == _contents(bundled)


def test_packages_are_built_for_the_functions_processor(bundled: Path) -> None:
    """Every library of the bundle is for arm64, and every extension for this Python or any."""
    libraries = [path for path in _files(bundled) if ".so" in path.suffixes]
    assert any("pyarrow" in path.parts for path in libraries)
    for path in libraries:
        with path.open("rb") as file:
            assert int.from_bytes(file.read(20)[18:], "little") == AARCH64, path
    extensions = [path.name for path in libraries if "cpython-" in path.name]
    assert all("cpython-313-aarch64" in name for name in extensions)


def test_the_bundle_holds_what_steps_need_and_not_what_serves_one_machine(bundled: Path, tasks: Path) -> None:
    """The library, the handlers, the tasks and boto3; no local runner, command line, cache or tests."""
    for name in (
        "sluice/task/task.py",
        "sluice/models/models.yaml",
        "tasks/mails.yaml",
        "boto3/__init__.py",
        "pyarrow/__init__.py",
    ):
        assert (bundled / name).is_file(), name
    assert list(bundled.glob("pyarrow/libarrow_substrait*"))
    rooms = ("local", "forecast", "deployment", "api", "cli")
    for name in (*(f"sluice/{room}" for room in rooms), "infra", "pyarrow/tests", "pyarrow/include", "moto"):
        assert not (bundled / name).exists(), name
    assert not list(bundled.rglob("__pycache__"))


def test_the_functions_have_the_library_of_the_reports_charts(bundled: Path) -> None:
    """No function has the package that carries it, so a bundle without it would fail when a run is published."""
    program = (
        f"import sys; sys.path.insert(0, {str(bundled)!r}); "
        "from sluice.report.vega import charts_library; print(len(charts_library()))"
    )
    # Without the packages of this machine, among them the one that makes the library.
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(charts_library())
    assert not (bundled / "vl_convert").exists()


def test_tests_and_local_runs_install_nothing(tasks: Path, tmp_path: Path) -> None:
    """Without packages the asset is the project's own code."""
    from infra.bundle import Bundle, Packages

    Bundle(packages=Packages.NONE, tasks=tasks).try_bundle(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} <= {"sluice", "lambdas", "tasks", "models.yaml"}
    place = "sluice/task/task.py"
    assert (tmp_path / place).read_bytes() == (ROOT / place).read_bytes()


def test_the_list_of_the_intake_comes_with_the_code(tasks: Path, tmp_path: Path) -> None:
    """However many sources there are: an environment has room for 4 KB. Another list is another asset."""
    from infra.bundle import Bundle, Packages

    sources = [{"bucket": f"bucket-of-somebody-else-{n:03d}", "prefix": "in/", "task": "mails"} for n in range(100)]
    intake = Options.parse({"schedules": {"mails": "off"}, "source_buckets": sources}).intake
    made = Bundle(packages=Packages.NONE, tasks=tasks, intake=intake)
    made.try_bundle(str(tmp_path))
    assert Intake.of(tmp_path) == intake
    assert made.content_hash() != Bundle(packages=Packages.NONE, tasks=tasks, intake=Intake()).content_hash()
    assert Intake.of(tmp_path / "elsewhere") == Intake()


def test_the_assets_name_changes_with_its_content_alone(tasks: Path, tmp_path: Path) -> None:
    """An unchanged deployment uploads nothing; a changed task does, and each set of packages is an asset of its own."""
    from infra.bundle import Bundle, Packages

    names = [Bundle(packages=packages, tasks=tasks).content_hash() for packages in Packages]
    assert names == [Bundle(packages=packages, tasks=tasks).content_hash() for packages in Packages]
    assert len(set(names)) == len(Packages)
    (tmp_path / "mails.yaml").write_text("name: mails\n", encoding="utf-8")
    assert Bundle(packages=Packages.NONE, tasks=tmp_path).content_hash() not in names
