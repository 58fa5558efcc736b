"""How the rows stand in an object: by its suffix, else by its first bytes."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from sluice.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable


class Rows(StrEnum):
    """What a row is."""

    LINES = "lines"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


class Codec(StrEnum):
    """What lies around the rows."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"


class Container(NamedTuple):
    """How the rows stand in an object, as `lines` or `csv+gzip` in a run's inputs."""

    rows: Rows
    codec: Codec = Codec.PLAIN

    @classmethod
    def parse(cls, name: str) -> Self:
        rows, _, codec = name.partition("+")
        return cls(Rows(rows), Codec(codec or Codec.PLAIN))

    def __str__(self) -> str:
        return self.rows if self.codec is Codec.PLAIN else f"{self.rows}+{self.codec}"

    @property
    def whole(self) -> bool:
        """Only plain lines can be read from any place; all else is read from its beginning by one worker."""
        return self != Container(Rows.LINES)

    @property
    def packed(self) -> bool:
        """The object's size does not say how much text is in it."""
        return self.codec is not Codec.PLAIN or self.rows is Rows.PARQUET


ROWS = {
    ".jsonl": Rows.LINES,
    ".ndjson": Rows.LINES,
    ".json": Rows.LINES,
    ".csv": Rows.CSV,
    ".tsv": Rows.TSV,
    ".parquet": Rows.PARQUET,
}
CODECS = {".gz": Codec.GZIP, ".zst": Codec.ZSTD, ".zstd": Codec.ZSTD}
SUFFIXES = (*ROWS, *CODECS)
HEAD_BYTES = 4
MAGIC = {
    b"\x1f\x8b": Container(Rows.LINES, Codec.GZIP),
    b"\x28\xb5\x2f\xfd": Container(Rows.LINES, Codec.ZSTD),
    b"PAR1": Container(Rows.PARQUET),
}


SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,9}")


def unreadable(name: str) -> str | None:
    """Why the name of an object says that it holds no rows; None where its suffix is known, or where it has none."""
    bare = name.rpartition("/")[2].lower()
    codec = next((suffix for suffix in CODECS if bare.endswith(suffix)), "")
    bare = bare.removesuffix(codec)
    found = bare[bare.rfind(".") :] if "." in bare else ""
    if codec and found == ".parquet":
        return f"it ends in {found}{codec}: Parquet is compressed in itself; unpack it"
    if found in ROWS or not SUFFIX.fullmatch(found):
        return None
    return f"it ends in {found}{codec}; rows are read from {', '.join(ROWS)}, also behind them {', '.join(CODECS)}"


def container_of(name: str, head: Callable[[], bytes]) -> Container:
    """By suffix, else by the first bytes, else lines. CSV is never guessed: any text could be some.

    Raises:
        BadInput: a Parquet file inside a compressed stream, which cannot be read from its end.

    """
    bare = name.lower()
    codec = next((codec for suffix, codec in CODECS.items() if bare.endswith(suffix)), None)
    if codec is not None:
        bare = bare.rpartition(".")[0]
    rows = next((rows for suffix, rows in ROWS.items() if bare.endswith(suffix)), None)
    if rows is Rows.PARQUET and codec is not None:
        raise BadInput(f"{name}: Parquet is compressed in itself; unpack the {codec} around it")
    if rows is None and codec is None:
        first = head()
        return next((found for magic, found in MAGIC.items() if first.startswith(magic)), Container(Rows.LINES))
    return Container(rows or Rows.LINES, codec or Codec.PLAIN)
