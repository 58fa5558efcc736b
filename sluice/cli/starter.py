"""`sluice init` without a file: the sample project, for whoever wants to see a run before there are rows."""

from __future__ import annotations

from pathlib import Path

from sluice.cli.exits import ExitCode, print_json
from sluice.errors import BadRequest
from sluice.places import PROJECT

ROWS = Path("tickets.jsonl")
TASK = Path("tasks/tickets.yaml")
SAMPLES = {ROWS: PROJECT / "sample_data" / ROWS, TASK: PROJECT / TASK}


def write_sample(*, force: bool, as_json: bool) -> ExitCode:
    """Write the sample's rows and their task into this folder, and say what to do with them.

    Raises:
        BadRequest: one of the files is there already.

    """
    there = [str(path) for path in SAMPLES if path.exists()]
    if there and not force:
        raise BadRequest(f"{' and '.join(there)} would be written over; --force does it, and FILE names your own rows")
    for path, sample in SAMPLES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.read_bytes())
    if as_json:
        print_json({"path": str(TASK), "name": TASK.stem, "rows": str(ROWS)})
    else:
        print("\n".join(_said()))
    return ExitCode.SUCCEEDED


def _said() -> list[str]:
    name = TASK.stem
    return [
        f"wrote {ROWS}: 2,415 lines, made-up messages to a support team",
        f"wrote {TASK}: the task of giving each to the team that answers it",
        "",
        "Then:",
        f"  sluice check {name} --sample {ROWS}",
        f"  sluice plan {ROWS} --task {name}",
        f"  sluice pilot {ROWS} --task {name} -n 50 --out out/{name}-pilot",
        f"  sluice run {ROWS} --task {name} --out out/{name}",
        "",
        "Of your own rows: sluice init FILE",
    ]
