"""Runs of the synthesized workflow on one local cloud, and what every one of them has to hold to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from sluice.local.answers import Answers
from sluice.local.ledger import FOLDER, INVALID, REFUSED, read_ledgers
from sluice.local.runner import Request, run_in
from sluice.results.table import schema
from sluice.task.columns import BASE_COLUMNS
from sluice.task.file import load_task, parse_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sluice.local.cloud import LocalCloud
    from sluice.task.task import Task

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_data"
TICKETS = SAMPLES / "tickets.jsonl"
FIRST, SECOND = "nova-micro", "claude-haiku-4-5"
LABELS = ["billing", "technical", "other"]

# The task of a test that says nothing else.
PLAIN: dict[str, Any] = {
    "name": "plain",
    "input": {"id": "id", "text": "text", "keep_input": True},
    "labels": LABELS,
    "tiers": [{"model": FIRST}, {"model": SECOND}],
}


@dataclass(frozen=True)
class Outcome:
    """What a run has left behind: run.json, and the rows in the order of the input."""

    task: Task
    out: Path
    run: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        """The rows whose id occurs once, by it."""
        counts = Counter(row["id"] for row in self.rows)
        return {row["id"]: row for row in self.rows if counts[row["id"]] == 1}

    @property
    def decisions(self) -> list[tuple[Any, ...]]:
        """All that is decided about each row: nothing here may differ between two identical runs."""
        names = ("line", "id", "record", "status", "reason", "labels", "confidence", "tier", "attempts", "trail")
        return [tuple(row[name] for name in (*names, "cost_usd")) for row in self.rows]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The rows of one input file."""
        return [row for row in self.rows if row["source"].rsplit("/", 1)[-1] == name]


class Flow:
    """Classifies with a cloud that all tests of a session share."""

    def __init__(self, cloud: LocalCloud, folder: Callable[[], Path]) -> None:
        self.cloud = cloud
        self.folder = folder

    def classify(
        self,
        files: Sequence[Path] | Mapping[str, bytes] | bytes,
        task: Mapping[str, Any] | str = PLAIN,
        *,
        answers: Mapping[str, Any] | None = None,
        settings: Mapping[str, object] | None = None,
        out: Path | None = None,
        faults: Path | None = None,
    ) -> Outcome:
        """Run files, or the bytes of files, to the end, and hold the outcome to what every run promises.

        `answers` are raw replies by the row's id and then by model; without them the stand-in answers.
        """
        folder = self.folder()
        if isinstance(files, bytes):
            files = {"in.jsonl": files}
        paths = [write(folder / name, data) for name, data in files.items()] if isinstance(files, dict) else files
        loaded = load_task(task, ROOT / "tasks") if isinstance(task, str) else parse_task(dict(task), "the test's task")
        source = "standin" if answers is None else f"replay:{record(folder / 'answers.jsonl', answers)}"
        out = out or folder / "out"
        asked = Request(list(paths), loaded, out, Answers.everywhere(source), settings or {}, faults)  # type: ignore[arg-type]
        run = run_in(self.cloud, asked)
        outcome = Outcome(loaded, out, run, read_rows(out, run))
        hold(outcome)
        hold_calls(out)
        return outcome


def write(path: Path, data: bytes) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def record(path: Path, answers: Mapping[str, Any]) -> Path:
    """Write raw replies by id and model as a recording."""
    lines = (json.dumps({"id": id_, "answers": replies}) for id_, replies in answers.items())
    return write(path, "".join(f"{line}\n" for line in lines).encode())


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as lines, with every character as itself."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def numbered(count: int, text: str = "question {} about a charge") -> bytes:
    """So many plain rows with different texts, their ids n0, n1 and so on."""
    return jsonl({"id": f"n{number}", "text": text.format(number)} for number in range(count))


def reply(label: str, confidence: str = "certain") -> str:
    """The reply of a model that does what it is asked."""
    return json.dumps({"label": label, "confidence": confidence})


def read_rows(out: Path, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one run among those of a results folder, in the order of the input."""
    order = {source["uri"]: place for place, source in enumerate(run["inputs"])}
    rows = [
        row
        for path in sorted((out / "results" / run["task"]).glob(f"**/{run['run_id']}-part-*.parquet"))
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    return sorted(rows, key=lambda row: (order[row["source"]], row["line"]))


def hold(outcome: Outcome) -> None:
    """Hold a run to its books: rows once each, by status; labels of the set; a reason where there is no label."""
    run, rows, task = outcome.run, outcome.rows, outcome.task
    statuses = Counter(row["status"] for row in rows)
    assert run["rows"] == {"in": len(rows)} | {s: statuses[s] for s in ("accepted", "unresolved", "rejected")}
    assert len({(row["source"], row["line"]) for row in rows}) == len(rows)
    assert {tuple(row) for row in rows} <= {tuple(schema(task).names)}
    assert tuple(schema(task).names[: len(BASE_COLUMNS)]) == BASE_COLUMNS
    for row in rows:
        assert (row["reason"] is None) == (row["status"] == "accepted")
        assert set(row["labels"] or ()) <= set(task.labels)
        assert row["status"] != "accepted" or row["label"] == (
            row["labels"][0] if task.labels and not task.many else None
        )
        assert row["status"] == "accepted" or row["label"] is None
        assert len(row["trail"] or ()) == (row["attempts"] or 0)
    assert Counter(row["reason"] for row in rows if row["reason"]) == run["reasons"]
    assert sum(tier["answered"] + tier["errored"] + tier["missing"] for tier in run["tiers"]) == run["records"]["sent"]


def hold_calls(out: Path) -> None:
    """Hold the calls of a run to its roles and to the services' models: not one was refused, even if nobody minded."""
    for role, kinds in read_ledgers(out / "logs" / FOLDER).items():
        assert not kinds[REFUSED], role
        assert not kinds[INVALID], role
