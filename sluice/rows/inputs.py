"""Which files are meant as inputs, and what they are called where they are uploaded."""

from __future__ import annotations

import logging
import os
import unicodedata
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import BadRequest
from sluice.files import plain
from sluice.rows.containers import LEAST_HEAD, left_out
from sluice.rows.containers.kinds import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

S3 = "s3://"
SHOWN = 10  # names of files that were left out for one reason
log = logging.getLogger("sluice")
BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})  # in a name: control characters, bytes that are no UTF-8, line ends


def in_s3(name: str) -> bool:
    """Whether an input is an object or a prefix of S3."""
    return name.startswith(S3)


def find_inputs(names: Iterable[str | Path]) -> list[Path]:
    """List the files that names and folders mean, each once; a folder stands for the files below it, sorted.

    Raises:
        BadRequest: one of them is not there, cannot be read, breaks a line, or is a folder without such a file.

    """
    found: dict[Path, Path] = {}
    for name in names:
        for file in _files(Path(name)):
            if any(unicodedata.category(letter) in BREAKING for letter in file.name):
                raise BadRequest(
                    f"{plain(file)}: the name holds a line end, another control character or a byte that is no UTF-8, "
                    "which S3 and tables of results cannot carry; rename the file"
                )
            found.setdefault(file.resolve(), file)
    return list(found.values())


def find_all(names: Iterable[str | Path]) -> list[str]:
    """List the files that paths mean, and behind them the URIs of S3 as they are.

    Raises:
        BadRequest: a path that cannot be an input.

    """
    given = [str(name) for name in names]
    remote = [name for name in given if in_s3(name)]
    return [*map(str, find_inputs(name for name in given if not in_s3(name))), *remote]


def _files(place: Path) -> Iterable[Path]:
    if place.is_dir():
        found, passed = _below(place)
        for line in listed(passed):
            log.warning("%s: %s", plain(place), line)
        if not found:
            raise BadRequest(
                f"{plain(place)} holds no file that could hold rows, as one that ends in {', '.join(ROWS)}"
            )
        return found
    if not place.exists():
        raise BadRequest(f"{plain(place)} does not exist")
    if not place.is_file():
        raise BadRequest(f"{plain(place)} is neither a file nor a folder")
    try:
        place.open("rb").close()
    except OSError as error:
        raise BadRequest(f"{plain(place)} cannot be read: {error.strerror}") from None
    return [place]


def _below(place: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """The files below a folder that can hold rows, in order, and why the others are left out."""
    found, passed = [], []
    for file in sorted(file for file in place.rglob("*") if file.is_file()):
        name = file.relative_to(place).as_posix()
        try:
            with file.open("rb") as content:
                reason = left_out(name, content.read(LEAST_HEAD))
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
        if reason is None:
            found.append(file)
        else:
            passed.append((name, reason))
    return found, passed


def listed(passed: Sequence[tuple[str, str]]) -> list[str]:
    """What is said of files that were left out: each reason with the first names, so that nothing is silent."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in passed:
        by_reason.setdefault(reason, []).append(name)
    return [
        f"left out {', '.join(map(plain, names[:SHOWN]))}"
        + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        + f": {reason}"
        for reason, names in by_reason.items()
    ]


def names(files: Sequence[Path]) -> Iterator[str]:
    """A key for each file: its base name, with as many folders before it as tell it from others that share the name."""
    paths = [Path(os.path.abspath(file)).parts[1:] for file in files]  # noqa: PTH100 (links keep their names)
    alike: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        alike.setdefault(path[-1], []).append(path)
    for path in paths:
        others = [other for other in alike[path[-1]] if other != path]
        depth = 1 + max((in_common(path, other) for other in others), default=0)
        yield "/".join(path[-depth:])


def in_common(path: Sequence[str], other: Sequence[str]) -> int:
    """How many of the last parts of two paths are the same."""
    pairs = zip(reversed(path), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
