"""The library of the charts is made once of the package that carries it, and kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sluice.errors import Stop
from sluice.report.vega import BREAKS_HTML, BUNDLED, charts_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache; what another test has read of the library is forgotten, here and behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    charts_library.cache_clear()
    yield tmp_path
    charts_library.cache_clear()


def test_the_library_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run reads the file, and does not need the package's compiler; nothing else is left behind."""
    made = charts_library()
    charts_library.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert charts_library() == made
    assert len(list(cache.rglob("*.js"))) == len([path for path in cache.rglob("*") if path.is_file()]) == 1


def test_without_a_place_to_keep_it_the_library_is_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only home is no reason to fail."""
    (cache / "sluice").write_text("a file where the folder should be")
    assert "vegaEmbed" in charts_library()


@pytest.mark.usefixtures("cache")
def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A synthesis without it stops here, and no deployment comes without charts."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(Stop, match=r"vl-convert-python.*pip install 'sluice-batch\[local\]'"):
        charts_library()


def test_a_functions_own_copy_comes_first(tmp_path: Path) -> None:
    """In a function there is neither the package nor a home."""
    copy = tmp_path / BUNDLED.name
    copy.write_text("// the copy", encoding="utf-8")
    assert charts_library(copy) == "// the copy"


def test_the_library_fits_into_a_page() -> None:
    """Nothing in it ends the script tag around it, or changes when the page is read."""
    script = charts_library().lower()
    assert not [text for text in BREAKS_HTML if text in script]
