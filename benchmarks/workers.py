"""Pieces of work, each in a process of its own, and what they took."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

MEMORY = Path("/dev/shm")  # where Linux keeps files in memory
ROOM = 6000  # bytes that a row takes in a measured run, from its input to its outputs


class Took(NamedTuple):
    """What the workers of a step took together, and the memory of the largest: peak, and its imports' share."""

    rows: int
    wall: float
    cpu: float
    peak: float
    imports: float


def work(directory: Path, what: str, *numbers: int) -> dict[str, Any]:
    """Run one piece of work in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.work", str(directory), what, *map(str, numbers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    measure: dict[str, Any] = json.loads(done.stdout)
    return measure


def workers(directory: Path, what: str, places: list[tuple[int, ...]]) -> Took:
    """Run all workers of a step, one after the other."""
    found = [work(directory, what, *place) for place in places]
    largest = max(found, key=lambda measure: measure["peak"] - measure["imports"])
    rows, wall, cpu = (sum(measure[name] for measure in found) for name in ("result", "wall", "cpu"))
    return Took(rows, wall, cpu, largest["peak"], largest["imports"])


def items(directory: Path, pattern: str) -> list[dict[str, Any]]:
    """The items of a map, as the workflow reads them."""
    path = next((directory / "work" / "runs").glob(f"*/{pattern}"))
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def room_for(rows: int) -> Path | None:
    """Memory, if a run has room there. On a disk the work of earlier writes falls on whoever writes next."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > rows * ROOM else None
