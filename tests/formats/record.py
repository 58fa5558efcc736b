"""Record a run's objects in today's format: `python -m tests.formats.record`.

Once for each format, when `sluice.runs.document.FORMAT` rises; a recording is never made anew, since it stands for the
runs that are under way when a deployment comes.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.runs.document import FORMAT
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine
from tests.harness.stage import make_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.task.task import Task

FOLDER = Path(__file__).parent
SETTINGS = {"min_records_per_job": 4, "max_records_per_job": 8, "span_bytes": 500}
CANCELLED_IN_TURN = 8
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def answer(model: str, text: str) -> str:
    """Every third text is beyond the first tier, every ninth beyond the second too."""
    number = int(text.split()[1])
    if number % 9 == 0 or (number % 3 == 0 and "nova" in model):
        return "I cannot say."
    return json.dumps({"label": "ab"[number % 2], "confidence": "certain"})


def task() -> Task:
    """Two tiers, the second on demand; a retry, a budget, a kept column, an answer that is known."""
    return make_task(
        {"model": "nova-micro", "attempts": 2},
        {"model": "claude-haiku-4-5", "transport": "on_demand"},
        input={"text": "text", "id": "id", "keep": {"n": "int"}, "gold": "gold"},
        budget={"max_usd": 5},
    )


def files() -> dict[str, bytes]:
    """24 rows in two files: a text that repeats, one that is missing, a line that is no JSON."""
    rows: list[dict[str, Any]] = [
        {"text": f"text {n % 20}", "id": f"r{n}", "n": n, "gold": "ab"[n % 2]} for n in range(22)
    ]
    return {"a.jsonl": jsonl(rows[:12]) + b"{\n", "b.jsonl": jsonl([*rows[12:], {"id": "empty"}])}


def machine(faults: FaultPlan | None = None) -> Machine:
    """A deployment in memory, on which recordings are made and taken up again."""
    return Machine(faults or FaultPlan(), answer, SETTINGS)


def record(target: Path) -> None:
    """Write the objects of a run that went through, and of one that was cancelled, resumed and went through."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, faults in (("whole", FaultPlan()), ("cancelled", FaultPlan(cancel=CANCELLED_IN_TURN))):
            made = machine(faults)
            run = made.begin(task(), files())
            made.finish(run)
            _write(archive, name, made)


def _write(archive: zipfile.ZipFile, name: str, made: Machine) -> None:
    """Every object in the order in which it came to be, under `<name>/<bucket>/<key>`."""
    buckets = {key: bucket for bucket, key in made.s3.objects}
    for key in _order(made):
        entry = zipfile.ZipInfo(f"{name}/{buckets[key]}/{key}", LONG_AGO)
        archive.writestr(entry, made.s3.objects[buckets[key], key], zipfile.ZIP_DEFLATED)


def _order(made: Machine) -> Iterator[str]:
    """The keys as they were written; what Bedrock wrote stands before the note that its job has ended."""
    for key in dict.fromkeys(made.s3.writes):
        if key.endswith("/ended.json"):
            out = f"{key.removesuffix('ended.json')}out/"
            yield from (other for _, other in made.s3.objects if other.startswith(out) and other not in made.s3.writes)
        yield key


if __name__ == "__main__":
    place = FOLDER / f"format-{FORMAT}.zip"
    assert not place.exists(), f"{place} stands for the runs of that format, and is never made anew"
    record(place)
