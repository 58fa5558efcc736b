"""The figures as the table of docs/internals/performance.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parent.parent / "docs" / "internals" / "performance.md"
BASELINES = {"partition": "plain loop", "prepare": "plain loop", "check": "bare decode", "merge": "vectorised join"}


class Figure(NamedTuple):
    """One step at one size: rows/s and MB/s of input per processor second; memory in MB."""

    step: str
    rows: int
    rate: float
    megabytes: float
    wall: float
    beyond: float
    imports: float
    baseline: float
    baseline_peak: float


HEAD = (
    "| step | rows | rows/s | MB/s | peak MB beyond imports (imports) | baseline | its rows/s (peak MB) | ratio "
    "| time per row, against 100,000 rows |\n|---|--:|--:|--:|--:|---|--:|--:|--:|"
)


def table(figures: list[Figure]) -> str:
    """A line per step and size, the sizes of a step below each other."""
    middle = {figure.step: figure.rate for figure in figures if figure.rows == 100_000}
    steps = list(dict.fromkeys(figure.step for figure in figures))
    ordered = sorted(figures, key=lambda figure: (steps.index(figure.step), figure.rows))
    return "\n".join([HEAD, *(_line(figure, middle.get(figure.step)) for figure in ordered)])


def _line(figure: Figure, middle: float | None) -> str:
    growth = f"{middle / figure.rate:.2f}" if middle else ""
    return (
        f"| {figure.step} | {figure.rows:,} | {figure.rate:,.0f} | {figure.megabytes:,.0f} "
        f"| {figure.beyond:,.0f} ({figure.imports:,.0f}) | {BASELINES[figure.step]} "
        f"| {figure.baseline:,.0f} ({figure.baseline_peak:,.0f}) | {figure.rate / figure.baseline:.2f} | {growth} |"
    )


def machine() -> str:
    """Cores and processor, without a name of the host."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        model = found[1] if found else model
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def peaks(found: dict[int, dict[str, float]]) -> str:
    """A line per step, a column per size."""
    steps = list(dict.fromkeys(step for of_size in found.values() for step in of_size))
    head = "| peak MB beyond imports | " + " | ".join(f"{rows:,} rows" for rows in found) + " |"
    lines = [
        f"| {step} | " + " | ".join(f"{of_size[step]:,.0f}" for of_size in found.values()) + " |" for step in steps
    ]
    return "\n".join([head, "|---|" + "--:|" * len(found), *lines])


def write(figures: list[Figure], found: dict[int, dict[str, float]], planned: str, files: str) -> None:
    """Put the tables between the page's markers; `files` says where those of the runs stood."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    parts = [f"Measured on {today}: {machine()}, files {files}.", table(figures), peaks(found), planned]
    replace(PAGE, "bench", "\n\n".join(parts))


def replace(page: Path, name: str, text: str) -> None:
    """Put a text between the markers `name` of a page."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    assert found, f"{page} has no marker {begin}"
    assert ended, f"{page} has no marker {end}"
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
