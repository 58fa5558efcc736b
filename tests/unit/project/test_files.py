"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sluice.files import all_or_none, whole_file, write_whole

if TYPE_CHECKING:
    from pathlib import Path

# Files may have 1,000 bytes: what a full disk does, without one.
CROWDED = """
import resource, sys
from pathlib import Path
from sluice.files import all_or_none, write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
out = Path(sys.argv[1])
with all_or_none(out) as noted:
    write_whole(noted(out / "results/a/first.parquet"), bytes(900))
    write_whole(noted(out / "kept.json"), bytes(900))
    write_whole(noted(out / "results/a/second.parquet"), bytes(2000))
"""


def break_off(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"aft")
        raise KeyboardInterrupt


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    """Until then it has another name, and its folder may be new."""
    path = tmp_path / "a" / "b"
    with whole_file(path) as file:
        file.write(b"x")
        assert not path.exists()
    assert path.read_bytes() == b"x"
    assert [found.name for found in path.parent.iterdir()] == ["b"]


def test_what_breaks_off_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    """Whatever the reason, and nothing beside it."""
    write_whole(tmp_path / "a", b"before")
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "a")
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"before"]


def test_a_full_disk_is_told_by_the_name_of_the_file(tmp_path: Path) -> None:
    """The system's own error of a write names none."""
    with pytest.raises(OSError, match="No space") as failed, whole_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert failed.value.filename == str(tmp_path / "a")


def test_of_files_that_belong_together_none_stays_when_one_fails(tmp_path: Path) -> None:
    """Nor a folder that was made for them; what was there before does, as it was."""
    (tmp_path / "kept.json").write_bytes(b"earlier")
    (tmp_path / "other").mkdir()
    done = subprocess.run([sys.executable, "-c", CROWDED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "File too large: '" + str(tmp_path / "results/a/second.parquet") in done.stderr
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["kept.json", "other"]


def test_files_that_all_were_written_stay(tmp_path: Path) -> None:
    """Nothing is taken back where nothing failed."""
    with all_or_none(tmp_path) as noted:
        write_whole(noted(tmp_path / "a/b"), b"1")
    assert (tmp_path / "a/b").read_bytes() == b"1"
