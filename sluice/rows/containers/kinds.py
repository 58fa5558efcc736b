"""How the rows stand in an object: by its bytes where they tell, else by its suffix."""

from __future__ import annotations

import codecs
import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from sluice.errors import BadInput
from sluice.rows.containers.foreign import refuse_foreign, refuse_utf16
from sluice.rows.containers.layouts import HEAD_BYTES, MOST_HEAD_BYTES, is_document
from sluice.rows.containers.lines import BOM

if TYPE_CHECKING:
    from collections.abc import Callable


class Rows(StrEnum):
    """What a row is."""

    LINES = "lines"
    JSON = "json"
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
SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,9}")
GZIP = b"\x1f\x8b\x08"
ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # a frame, or one to be skipped in front of it
PARQUET = re.compile(rb"PAR1[\x00-\x08\x0b\x0c\x0e-\x1f]")  # a text may begin with PAR1, but not go on so
PARQUET_END = b"PAR1"
MANIFEST = re.compile(r"(?:.*[-_.])?manifest(?:\.csv|\.jsonl?)?", re.IGNORECASE | re.DOTALL)  # as UNLOAD writes
LEAST_HEAD = 1024  # bytes of an object that tell whether it could hold rows
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1d]")


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


def left_out(name: str, head: bytes) -> str | None:
    """Why an object is passed over where a folder or a prefix stands for all below it; None where it can hold rows.

    `name` is what stands behind the folder, `head` how the object begins. A command that names the object itself reads
    it all the same.
    """
    if any(part[:1] in ("_", ".") for part in name.split("/")):
        return "a name that begins with _ or . marks no data"
    last = name.rpartition("/")[2]
    if MANIFEST.fullmatch(last):
        return "a manifest lists other files"
    if (reason := unreadable(name)) is not None:
        return reason
    text = head.removeprefix(BOM).lstrip()
    known = last.lower().endswith(SUFFIXES) or _codec_of(head, None) is not Codec.PLAIN or PARQUET.match(head)
    return None if known or not text or text[:1] in (b"{", b"[", b"\x1e") else "it has no suffix and holds no JSON"


def container_of(name: str, size: int, read: Callable[[int, int], bytes]) -> Container:
    """How the rows stand in an object of `size` bytes, of which `read(begin, end)` gives some.

    Its bytes say whether it is packed or Parquet, whatever it is called; for the rest its suffix does, and CSV is
    never guessed: any text could be some. So every worker and every command decides alike.

    Raises:
        BadInput: it is known to hold no rows as it is.

    """
    head = read(0, min(size, HEAD_BYTES)) if size else b""
    bare = name.lower()
    named = next((codec for suffix, codec in CODECS.items() if bare.endswith(suffix)), None)
    if named is not None:
        bare = bare.rpartition(".")[0]
    rows = next((rows for suffix, rows in ROWS.items() if bare.endswith(suffix)), Rows.LINES)
    codec = Codec.PLAIN if PARQUET.match(head) else _codec_of(head, named)
    if codec is not Codec.PLAIN:
        if rows is Rows.PARQUET:
            raise BadInput(f"{name}: Parquet is compressed in itself; unpack the {codec} around it")
        return Container(rows, codec)
    if rows is not Rows.PARQUET and PARQUET.match(head):
        if read(max(0, size - len(PARQUET_END)), size) != PARQUET_END:
            raise BadInput(f"{name} begins like Parquet and does not end so: it is cut or damaged; write it again")
        return Container(Rows.PARQUET)
    refuse_foreign(head, name)
    if rows is Rows.LINES:
        refuse_utf16(head, name)
        return Container(_lines_or_document(head, name, size, read))
    return Container(rows)


def _codec_of(head: bytes, named: Codec | None) -> Codec:
    """By the first bytes; a name that promises a codec is believed only where no text stands in the object."""
    if head.startswith(GZIP):
        return Codec.GZIP
    if ZSTD.match(head):
        return Codec.ZSTD
    return named if named is not None and not _is_text(head[:LEAST_HEAD]) else Codec.PLAIN


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not BINARY.search(head)


def _lines_or_document(head: bytes, name: str, size: int, read: Callable[[int, int], bytes]) -> Rows:
    """Whether objects stand one a line, for which a long first row takes a longer look."""
    found = is_document(head, name, complete=len(head) == size)
    if found is None and len(head) < size:
        head = read(0, min(size, MOST_HEAD_BYTES))
        found = is_document(head, name, complete=len(head) == size)
    return Rows.JSON if found else Rows.LINES


def rows_inside(head: bytes, name: str, *, complete: bool) -> Rows:
    """Whether the text of a compressed object, which begins so, stands one object a line.

    Raises:
        BadInput: it is known to hold no rows as it is.

    """
    refuse_foreign(head, name, inside=True)
    refuse_utf16(head, name)
    return Rows.JSON if is_document(head, name, complete=complete) else Rows.LINES
