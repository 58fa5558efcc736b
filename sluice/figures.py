"""How amounts, shares, times and names are written for people: in the report and in the terminal alike."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

UNKNOWN = "unknown"
NONE = "\N{EN DASH}"
SHEET = re.compile(r"\.(csv|tsv)(\.(gz|zst|zstd))?$", re.IGNORECASE)


def dollars(amount: float | None) -> str:
    """Write an amount with two places, a small one with three significant digits; None is unknown, never 0."""
    if amount is None:
        return UNKNOWN
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}"
    digits = f"{amount:.{2 - math.floor(math.log10(abs(amount)))}f}".rstrip("0")
    return f"${digits}" if len(digits.partition(".")[2]) > 1 else f"${amount:.2f}"


def percent(part: float, whole: float) -> str:
    """Write a share; little is not shown as 0%, nor less than all as 100%."""
    if not whole:
        return NONE
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1%"
    if 99.9 < share < 100:
        return "> 99.9%"
    return f"{share:.0f}%" if share.is_integer() else f"{share:.1f}%"


def duration(seconds: float | None) -> str:
    """Write a duration in at most two units."""
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole / 86400:.1f} days"


def size(count: int | None) -> str:
    """Write a number of bytes in the unit that suits it."""
    if count is None:
        return NONE
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" or amount >= 99.5 else f"{amount:.1f} {units[0]}"


def dearer(times: float) -> str:
    """Say how an amount compares with another, of which it is `times` as much."""
    if times <= 1:
        return f"{percent(1 - times, 1)} less"
    return f"{percent(times - 1, 1)} more" if times < 2 else f"{times:,.1f} times as much".replace(".0 ", " ")


def short_model(model: str) -> str:
    """Name a model as people do: without Region, provider, date and version."""
    name = model.rsplit("/", 1)[-1]
    name = re.sub(r"^([a-z-]{2,8}\.)?[a-z0-9]+\.(?=[a-z])", "", name)
    return re.sub(r"(-\d{8})?(-v\d+(:\w+)*)?$", "", name) or model


def moment(stamp: str | None) -> str:
    """Write an ISO time in short, in UTC; what is no time stays as it is."""
    if not stamp:
        return NONE
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return (when.astimezone(UTC) if when.tzinfo else when).strftime("%Y-%m-%d %H:%M:%S")


def elapsed(begin: str | None, end: str | None) -> str:
    """Write the time between two ISO times; a dash when one is missing or they stand the wrong way round."""
    try:
        seconds = (datetime.fromisoformat(end or "") - datetime.fromisoformat(begin or "")).total_seconds()
    except (ValueError, TypeError):
        return NONE
    return duration(seconds) if seconds >= 0 else NONE


def visible(text: str) -> str:
    """Show control characters as signs: a browser would drop them, or obey them."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda match: _sign(ord(match[0])), text)


def _sign(code: int) -> str:
    return chr(0x2421 if code == 0x7F else 0x2400 + code)  # Unicode's pictures of control characters


def place(uri: str) -> str:
    """Name an input by its last part, as people do."""
    return uri.rstrip("/").rsplit("/", 1)[-1] or uri


def row_number(uri: str, line: int) -> str:
    """Write a row's place as its owner's program shows it: an editor's line, a spreadsheet's row below its header."""
    return f"{row_word(uri)} {shown_line(uri, line):,}"


def shown_line(uri: str, line: int) -> int:
    """The number of a row as its owner's program counts; the column `line` counts data rows alone in CSV."""
    return line + 1 if SHEET.search(uri) else line


def row_word(uri: str) -> str:
    """What a place in such a file is called."""
    return "row" if SHEET.search(uri) or uri.lower().endswith(".parquet") else "line"
