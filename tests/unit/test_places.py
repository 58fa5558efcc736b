"""What is made goes to the user's cache, and nothing of the working folder is taken for the app."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sluice.errors import Stop
from sluice.places import PROJECT, made, user_cache


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME comes first; else it is where the system keeps caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "sluice"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache() == tmp_path / ".cache" / "sluice"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert user_cache() == tmp_path / "Library" / "Caches" / "sluice"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert user_cache() == tmp_path / "Local" / "sluice" / "cache"


def test_a_cache_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    """A worker without a home gets a sentence, not a traceback."""
    (tmp_path / "file").touch()
    assert made(tmp_path / "new" / "folder").is_dir()
    with pytest.raises(Stop, match=r"the cache folder .*file/sluice cannot be written; set XDG_CACHE_HOME"):
        made(tmp_path / "file" / "sluice")


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some schedulers run their workers."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Stop, match="XDG_CACHE_HOME"):
        user_cache()


def test_the_app_of_a_checkout_is_the_checkout() -> None:
    """The template of a checkout is made of what lies there, not of a copy."""
    assert Path(__file__).parents[2] == PROJECT
    assert (PROJECT / "app.py").is_file()
