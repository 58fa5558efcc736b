"""What an object seems to be that holds no rows as it is, and the command that makes rows of it.

Known by its first bytes, whatever it is called: a header that begins with PK, or a text that begins with BZh, is none
of these.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sluice.errors import BadInput

TAR_AT = 257
UTF16 = 64  # bytes in which every other one is nothing
FEWEST = 4  # characters that tell UTF-16 without a mark from a few odd bytes: the shortest table has as many
SPREADSHEET = "open it in a spreadsheet program and save it as CSV UTF-8"


class Foreign(NamedTuple):
    """A kind of file: how its bytes begin, what it is called, and what to do."""

    magic: re.Pattern[bytes]
    what: str
    mend: str


def _kind(magic: bytes, what: str, mend: str) -> Foreign:
    return Foreign(re.compile(magic, re.DOTALL), what, mend)


KINDS = (
    _kind(rb"PK\x03\x04.{0,4000}(?:xl/|\[Content_Types\]\.xml)", "an Excel workbook (.xlsx)", SPREADSHEET),
    _kind(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "a zip archive", "unpack it: unzip FILE"),
    _kind(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.xls, .doc)", SPREADSHEET),
    _kind(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", "packed with bzip2", "unpack it: bunzip2 -k FILE"),
    _kind(rb"\xfd7zXZ\x00", "packed with xz", "unpack it: xz -dk FILE"),
    _kind(rb"\x04\x22\x4d\x18", "packed with lz4", "unpack it: lz4 -d FILE"),
    _kind(rb"\xff\x06\x00\x00sNaPpY", "packed with Snappy", "unpack it: snzip -dk FILE"),
    _kind(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x FILE"),
    _kind(rb"Rar!\x1a\x07", "a RAR archive", "unpack it: unrar x FILE"),
    _kind(rb".{257}ustar[\x00 ]", "a tar archive", "unpack it: tar -xf FILE"),
    _kind(rb"Obj\x01", "Avro", "write it as Parquet or JSON Lines"),
    _kind(rb"ORC[\x00-\x1f\x7f-\xff]", "ORC", "write it as Parquet or JSON Lines"),
    _kind(rb"ARROW1\x00\x00", "an Arrow file (Feather)", "write it as Parquet"),
    _kind(rb"PARE.{3}\x00", "encrypted Parquet", "write it without encryption"),
    _kind(rb"SQLite format 3\x00", "an SQLite database", "export it: sqlite3 -header -csv FILE 'select …' > NEW.csv"),
    _kind(rb"%PDF-\d", "a PDF file", "take its text out first"),
    _kind(rb"\s*<(?:\?xml|!DOCTYPE|html)\b", "XML or HTML", "write it as JSON Lines or CSV"),
    _kind(rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "UTF-32", "write it again: iconv -f UTF-32 -t UTF-8 FILE > NEW"),
)
PACKED = (
    _kind(rb"\x1f\x8b\x08", "packed with gzip a second time", "unpack it once: gunzip -c FILE > NEW.gz"),
    _kind(rb"\x28\xb5\x2f\xfd", "packed with zstd inside", "unpack it once: zstd -dc FILE > NEW.zst, or gunzip -c"),
    _kind(rb"PAR1[\x00-\x1f\x7f-\xff]", "Parquet inside", "unpack it: Parquet is compressed in itself"),
)


def refuse_foreign(head: bytes, name: str, *, inside: bool = False) -> None:
    """Refuse what is known to hold no rows; `inside` a compressed stream nothing else may be packed.

    Raises:
        BadInput: with what the object seems to be and the command that mends it.

    """
    found = next((kind for kind in (*KINDS, *(PACKED if inside else ())) if kind.magic.match(head)), None)
    if found is not None:
        raise BadInput(f"{name} seems to be {found.what}, which is not read; {found.mend}")


def refuse_utf16(head: bytes, name: str, mend: str = "") -> None:
    """Refuse UTF-16, with a byte order mark or without.

    Raises:
        BadInput: with the encoding and what to do.

    """
    if (encoding := utf16_of(head)) is not None:
        command = f"write it again: iconv -f {encoding} -t UTF-8 FILE > NEW"
        raise BadInput(f"{name} seems to be {encoding}, and UTF-8 is read; {mend}{command}")


def utf16_of(head: bytes) -> str | None:
    """The form of UTF-16 that a text seems to be in; most of the first characters of any text are ASCII's.

    A mark alone is not enough: two letters of Latin-1 look like it. Rows have quotes, commas or line ends in any
    language, each of which is a zero byte beside another in UTF-16.
    """
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and (b"\0" in head or len(head) == len(b"\xff\xfe")):
        return "UTF-16"
    even, odd = head[:UTF16:2], head[1:UTF16:2]
    if len(odd) < FEWEST:
        return None
    for nothing, something, name in ((odd, even, "UTF-16LE"), (even, odd, "UTF-16BE")):
        if 2 * nothing.count(0) > len(nothing) and not something.count(0):
            return name
    return None
