"""`python -m benchmarks.startup`: what a function carries, and how long its handler takes to import.

The table of docs/internals/performance.md is written anew. An import is timed in a fresh process, without the packages
that are here and not in a function; it is compared with a bare `import boto3`, since seconds depend on the machine: a
function has less of a processor, and compiles what it imports. Processor time counts, which other work on the machine
does not lengthen; all take turns, and the median of each counts.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import machine
from infra.bundle import Bundle, Packages
from infra.functions import ROOMS
from infra.options import ROOT

PAGE = ROOT / "docs" / "internals" / "performance.md"
BLOCK = re.compile(r"(<!-- startup -->\n).*?(<!-- /startup -->)", re.DOTALL)
TURNS = 5
MiB = 1024 * 1024
BARE = "boto3"
# Packages of this machine that libraries use where they find them.
ABSENT = ("numpy", "pandas", "rich", "zstandard", "orjson")
PROGRAM = f"""
import sys, time
sys.modules.update(dict.fromkeys({ABSENT}))
begun = time.process_time()
import {{module}}
print(time.process_time() - begun)
"""
VARIABLES = ("AWS_REGION", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "SLUICE_ENVIRONMENT")


def seconds(module: str) -> float:
    """Import a module in a fresh process; the processor time that it took."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        env={**os.environ, **dict.fromkeys(VARIABLES, "any")},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def imports() -> dict[str, float]:
    """The median time of each handler's import, and of the bare one."""
    modules = {BARE: BARE, **{step: f"lambdas.{step}" for step in ROOMS}}
    for module in modules.values():
        seconds(module)  # compiles it, once for all turns
    taken: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(TURNS):
        for name, module in modules.items():
            taken[name].append(seconds(module))
    return {name: statistics.median(turns) for name, turns in taken.items()}


def size(packages: Packages) -> float:
    """The unzipped size of a bundle in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        Bundle(packages=packages, tasks=ROOT / "tasks").try_bundle(folder)
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / MiB


def table(times: dict[str, float], sizes: dict[bool, float]) -> str:
    """Lay out the page's block."""
    bare = f"A bare `import boto3` takes {times[BARE] * 1000:.0f} ms of a processor there."
    lines = [
        f"Measured on {dt.datetime.now(dt.UTC).date()}: {machine()}. {bare}\n",
        "| function | unzipped size, MiB | import, ms of a processor | as many times a bare `import boto3` |",
        "|---|--:|--:|--:|",
    ]
    for step, room in ROOMS.items():
        ratio = times[step] / times[BARE]
        lines.append(f"| {step} | {sizes[room.arrow]:.0f} | {times[step] * 1000:.0f} | {ratio:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and rewrite the page's block."""
    sizes = {True: size(Packages.ALL), False: size(Packages.WITHOUT_ARROW)}
    block = table(imports(), sizes)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda match: match[1] + block + match[2], page), encoding="utf-8")
    sys.stdout.write(block)


if __name__ == "__main__":
    main()
