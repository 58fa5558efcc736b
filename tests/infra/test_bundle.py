from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.options import ROOT
from sluice.vega import charts_library

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 250 * 1024 * 1024
AARCH64 = 183  # of ELF's e_machine


@pytest.fixture(scope="module")
def bundled(tasks: Path) -> Iterator[Path]:
    """A folder with the real code of the functions, packages and all."""
    from infra.bundle import Bundle

    with tempfile.TemporaryDirectory() as folder:
        assert Bundle(packages=True, tasks=tasks).try_bundle(folder)
        yield Path(folder)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_the_code_fits_into_a_function(bundled: Path) -> None:
    """Lambda takes 250 MB unzipped."""
    assert sum(path.stat().st_size for path in _files(bundled)) < LIMIT


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
        "sluice/task.py",
        "sluice/models.yaml",
        "tasks/mails.yaml",
        "boto3/__init__.py",
        "pyarrow/__init__.py",
    ):
        assert (bundled / name).is_file(), name
    assert list(bundled.glob("pyarrow/libarrow_substrait*"))
    for name in ("sluice/local", "sluice/cli", "infra", "pyarrow/tests", "pyarrow/include", "moto"):
        assert not (bundled / name).exists(), name
    assert not list(bundled.rglob("__pycache__"))


def test_the_functions_have_the_library_of_the_reports_charts(bundled: Path) -> None:
    """No function has the package that carries it, so a bundle without it would fail when a run is published."""
    assert (bundled / "sluice" / "vega.js").read_text(encoding="utf-8") == charts_library()
    assert not (bundled / "vl_convert").exists()


def test_tests_and_local_runs_install_nothing(tasks: Path, tmp_path: Path) -> None:
    """Without packages the asset is the project's own code."""
    from infra.bundle import Bundle

    Bundle(packages=False, tasks=tasks).try_bundle(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} <= {"sluice", "lambdas", "tasks", "models.yaml"}
    source = ROOT / "sluice" / "task.py"
    assert (tmp_path / "sluice" / "task.py").read_bytes() == source.read_bytes()


def test_the_assets_name_changes_with_its_content_alone(tasks: Path, tmp_path: Path) -> None:
    """An unchanged deployment uploads nothing; a changed task does."""
    from infra.bundle import Bundle

    before = Bundle(packages=False, tasks=tasks).content_hash()
    assert Bundle(packages=False, tasks=tasks).content_hash() == before
    assert Bundle(packages=True, tasks=tasks).content_hash() != before
    (tmp_path / "mails.yaml").write_text("name: mails\n", encoding="utf-8")
    assert Bundle(packages=False, tasks=tmp_path).content_hash() != before
