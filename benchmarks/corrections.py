"""What corrections change for rows that nobody corrected: `python -m benchmarks.corrections ANSWERS`.

It replays product titles with what two models answered, and what is right (Applied-AI-Research-Lab, 2025, doi
10.1016/j.nlp.2025.100142, MIT), a JSON Lines file with `text`, `gold` and a member for each model, which is named on
the command line. A run is begun, a person who knows what is right settles so many rows, as the desk's queues offer them
or drawn uniformly, and the next run of the same rows follows in each case, through the real workflow.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import tempfile
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import sluice
from benchmarks import report
from benchmarks.learned import CHEAP, ORACLE, rows_of
from sluice.desk.queues import QUEUES, Desk
from sluice.quality.intervals import NORMAL_95
from sluice.quality.paired import Difference, difference
from sluice.results.corrections import Correction
from sluice.results.folder import in_folder
from sluice.results.settled import PEOPLE, question_of
from sluice.results.wanted import Wanted
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.task.task import Task

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results.md"
PRICED = ("nova-micro", "claude-haiku-4-5")  # whose prices stand for those of the two models that answered
COLUMNS = ("source", "line", "id", "record", "labels", "model", "cost_usd")
DRAWN, QUEUED, NOBODY = "drawn uniformly", "as the queues offer them", "none"
TRAIN, LEAST = 600, 0.8
HEAD = (
    "| draw | rows that the person settles | of them were wrong | right, of all rows | USD of the next run "
    "| right, of rows that nobody settled | USD of these |\n|--:|---|--:|--:|--:|--:|--:|"
)


class Title(NamedTuple):
    """A text, what is right, and what two models said of it."""

    text: str
    gold: str
    first: str
    last: str


class Next(NamedTuple):
    """The run that follows: whether each row is right, by id, what it cost, and what all of them did."""

    right: dict[str, bool]
    usd: dict[str, float]
    total: float


class Arm(NamedTuple):
    """Rows that were settled, how many of them had been wrong, and what followed."""

    settled: set[str]
    wrong: int
    after: Next


def titles_of(path: Path) -> list[Title]:
    """The titles of a file, each text once."""
    by_first = {row.text: row.first or "" for row in rows_of(path, ORACLE, CHEAP)}
    gold = {row.text: row.truth for row in rows_of(path, "gold")}
    return [Title(row.text, gold[row.text], by_first[row.text], row.truth) for row in rows_of(path, ORACLE, CHEAP)]


def task_of(titles: Sequence[Title], draw: int) -> Task:
    """A task in which the score of the first answers decides; each draw has other train rows."""
    labels = sorted({title.gold for title in titles})
    document: dict[str, Any] = {
        "name": "titles",
        "input": {"id": "id", "text": "text"},
        "instructions": f"Say to which category the product belongs. Draw {draw}.",
        "labels": labels,
        "tiers": [{"model": name} for name in PRICED],
        "gates": {"min_score": LEAST},
        "train": TRAIN,
    }
    return parse_task(document, "the task of docs/results.md")


def write(titles: Sequence[Title], directory: Path) -> tuple[Path, Path]:
    """The rows, and the recording of what is answered."""
    source, recorded = directory / "titles.jsonl", directory / "recorded.jsonl"
    with source.open("w", encoding="utf-8") as rows, recorded.open("w", encoding="utf-8") as answers:
        for n, title in enumerate(titles):
            said = {name: _said(label) for name, label in zip(PRICED, (title.first, title.last), strict=True)}
            rows.write(json.dumps({"id": f"t-{n}", "text": title.text}) + "\n")
            answers.write(json.dumps({"id": f"t-{n}", "answers": said}) + "\n")
    return source, recorded


def _said(label: str) -> str:
    return json.dumps({"label": label, "confidence": "likely"})


def queued(desk: Desk) -> Iterator[dict[str, Any]]:
    """The desk's rows, one queue behind the other; a row that several of them have comes once."""
    seen: set[str] = set()
    for row in chain.from_iterable(desk.queues[name].rows() for name in QUEUES if name != "uniform"):
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row


def settle(folder: Path, truth: Mapping[str, str], count: int, *, uniform: bool, seed: int) -> tuple[set[str], int]:
    """Let a person say what is right of so many rows; which they are, and how many had been wrong."""
    published = in_folder(folder)
    desk = Desk(published, limit=count, sample=count, seed=seed)
    rows = list(islice(desk.queues["uniform"].rows() if uniform else queued(desk), count))
    question = question_of(desk.task)
    published.corrections.add(
        [
            Correction(
                **{name: row[name] for name in ("source", "line", "record", "id")},
                labels=[truth[row["id"]]],
                question=question,
                drawn=uniform,
                by="gold",
                at="2026-11-28T10:00:00+00:00",
                run=published.run,
            )
            for row in rows
        ]
    )
    return {row["id"] for row in rows}, sum((row["labels"] or [""])[0] != truth[row["id"]] for row in rows)


def read(folder: Path, truth: Mapping[str, str]) -> Next:
    """Read what came of a run."""
    right, usd, people = dict[str, bool](), dict[str, float](), 0
    for batch in in_folder(folder).batches(Wanted(), COLUMNS):
        for row in batch.to_pylist():
            right[row["id"]] = row["labels"] == [truth[row["id"]]]
            usd[row["id"]] = row["cost_usd"]
            people += row["model"] == PEOPLE
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert people == document["settled"]["rows"]
    return Next(right, usd, document["cost_usd"])


def measure(titles: Sequence[Title], count: int, draw: int, directory: Path) -> dict[str, Arm]:
    """One draw: a run, then the next one in each case."""
    task, (source, recorded) = task_of(titles, draw), write(titles, directory)
    truth = {f"t-{n}": title.gold for n, title in enumerate(titles)}

    def run(folder: Path) -> None:
        sluice.run(source, task, out=folder, answers=f"replay:{recorded}").raise_for_status()

    before = directory / "before"
    run(before)
    found = {NOBODY: Arm(set(), 0, read(before, truth))}
    for name in (DRAWN, QUEUED):
        folder = directory / name.replace(" ", "-")
        shutil.copytree(before, folder)
        settled, wrong = settle(folder, truth, count, uniform=name == DRAWN, seed=draw)
        run(folder)
        found[name] = Arm(settled, wrong, read(folder, truth))
    return found


def untouched(found: Mapping[str, Arm]) -> list[str]:
    """The rows that nobody settled in any case."""
    gone = set().union(*(arm.settled for arm in found.values()))
    return [name for name in found[NOBODY].after.right if name not in gone]


def lines_of(draw: int, found: Mapping[str, Arm]) -> Iterator[str]:
    """A line for each case; where none are settled it is the run before, which has chosen what the queues offer."""
    left = untouched(found)
    for name, (settled, wrong, after) in found.items():
        everywhere = f"{sum(after.right.values()) / len(after.right):.1%} | {after.total:.4f}"
        there = f"{sum(after.right[row] for row in left) / len(left):.1%} | {sum(after.usd[row] for row in left):.4f}"
        of = f"{wrong:,} of {len(settled):,} | {everywhere} | {there}" if settled else f" | {everywhere} |  | "
        yield f"| {draw} | {name} | {of} |"


def apart(found: Mapping[str, Arm]) -> str:
    """How far the two are apart on rows that nobody settled: what is right and what it costs, with intervals by row."""
    left, (first, second) = untouched(found), (found[DRAWN].after, found[QUEUED].after)
    right = _difference(left, first.right, second.right)
    costs = np.array([second.usd[row] - first.usd[row] for row in left])
    of, within = sum(first.usd[row] for row in left), NORMAL_95 * costs.std(ddof=1) * len(left) ** 0.5
    low, high = ((costs.sum() + sign * within) / of for sign in (-1, 1))
    points = [f"{100 * each:+.2f}" for each in (right.value, right.low, right.high)]
    return f"{points[0]} ({points[1]} to {points[2]}) | {costs.sum() / of:+.1%} ({low:+.1%} to {high:+.1%})"


def _difference(left: Sequence[str], first: Mapping[str, bool], second: Mapping[str, bool]) -> Difference:
    records = np.arange(len(left), dtype=np.uint64)
    one, other = (np.array([each[row] for row in left]) for each in (first, second))
    return difference(records, one, other)


APART = "| draw | as the queues offer them, against drawn uniformly: right, points | bill |\n|--:|--:|--:|"


def main() -> None:
    """Measure, print, and write the tables into docs/results.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrections")
    parser.add_argument("answers", type=Path, metavar="ANSWERS")
    parser.add_argument("--settled", type=int, default=300, help="rows that the person settles")
    parser.add_argument("--draws", type=int, default=3, help="draws of train rows")
    parser.add_argument("--dry", action="store_true", help="leave docs/results.md as it is")
    given = parser.parse_args()
    titles = titles_of(given.answers)
    lines, pairs = [HEAD], [APART]
    for draw in range(1, given.draws + 1):
        with tempfile.TemporaryDirectory() as directory:
            found = measure(titles, given.settled, draw, Path(directory))
        lines += lines_of(draw, found)
        pairs.append(f"| {draw} | {apart(found)} |")
        print("\n".join([*lines, *pairs]), flush=True)
    if not given.dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        head = (
            f"Measured on {today} on {len(titles):,} product titles: `{CHEAP}` first (at the price of {PRICED[0]}), "
            f"`{ORACLE}` last (at that of {PRICED[1]}), {TRAIN} train rows, `min_score` {LEAST}."
        )
        report.replace(PAGE, "corrections", "\n\n".join([head, "\n".join(lines), "\n".join(pairs)]))


if __name__ == "__main__":
    main()
