"""Names of files as they can be shown, and files that are written whole or not at all.

A full disk or Ctrl-C leaves nothing that looks like a result.
"""

from __future__ import annotations

import hashlib
import unicodedata
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control and format characters, bytes that were no UTF-8, line ends


def plain(name: object) -> str:
    """A name of a file or a task on one line: what would not be seen, or would end the line, stands as its escape."""
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in UNSEEN else letter
        for letter in str(name)
    )


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when it is whole, in a folder that may be new; else nothing stays.

    Raises:
        OSError: it cannot be written; the error names the file, which a full disk's own does not.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # its folder may be what could not be made
            unfinished.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears under its name when it is whole."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def all_or_none(root: Path) -> Iterator[Callable[[Path], Path]]:
    """Take back, when anything fails, each new file that was written, and the folders below `root` left empty then.

    Every path goes through the callable before it is written.
    """
    new: list[Path] = []

    def noted(path: Path) -> Path:
        if not path.exists():
            new.append(path)
        return path

    try:
        yield noted
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if not folder.is_relative_to(root) or folder == root:
                    break
                with suppress(OSError):  # it holds something else
                    folder.rmdir()
        raise


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
