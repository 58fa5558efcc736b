"""Asking first who should answer, beside checking what the first one says: `python -m benchmarks.router`.

The same recorded answers are replayed through the real workflow, once in each way, and docs/router.md gets the table.
The recording is made here, from a seed: rows have a difficulty, which decides how often each model is right, how often
the first one says that it is unsure, and, as far as a router can tell, what it calls complex.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sluice
from benchmarks import corpus, report
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sluice.task.task import Task

PAGE = Path(__file__).resolve().parent.parent / "docs" / "router.md"
ROWS = 3_000
LADDER = ("nova-micro", "claude-haiku-4-5")
LABELS = 30
SURE_BUT_WRONG, UNSURE_BUT_RIGHT = 0.4, 0.06  # of the first model's answers: wrong ones it is sure of, right ones not
SHARES = (0.15, 0.3)  # of the rows that a router calls complex
TELLS = {"that cannot tell": 0.0, "that half can": 0.5, "that knows the difficulty": 1.0}


class Way(NamedTuple):
    """A way to run the task; `tells` and `share`: how well a router can tell, and how many rows it calls complex."""

    named: str
    tiers: Sequence[str] = LADDER
    gated: bool = True
    tells: float | None = None
    share: float = 0.0


WAYS = (
    Way("last tier alone", tiers=LADDER[1:]),
    Way("first tier alone, unchecked", tiers=LADDER[:1], gated=False),
    Way("answers checked, no router"),
    *(
        Way(f"router {named}, {share:.0%} complex", gated=False, tells=tells, share=share)
        for share in SHARES
        for named, tells in TELLS.items()
    ),
    Way(f"router {list(TELLS)[1]}, {SHARES[0]:.0%} complex, and answers checked", tells=0.5, share=SHARES[0]),
)


class Row(NamedTuple):
    """A row with what the models were recorded to say of it; `luck` is what a router goes by that cannot tell."""

    text: str
    label: str
    difficulty: float
    luck: float
    first: dict[str, str]
    last: dict[str, str]


def rows_of(count: int) -> list[Row]:
    """So many rows: of the difficulty d the first model is right with 1 - d²/2, the last one with 1 - d/10."""
    dice, labels = random.Random(count), list(task_of(WAYS[0]).labels)

    def said(label: str, right: float) -> tuple[str, bool]:
        is_right = dice.random() < right
        return (label if is_right else dice.choice([each for each in labels if each != label])), is_right

    found = []
    for n in range(count):
        text = f"Message {n}: {' '.join(dice.choices(corpus.WORDS, k=corpus.TEXT_WORDS))}."
        label, hard = dice.choice(labels), dice.random()
        first, right = said(label, 1 - hard**2 / 2)
        last, _ = said(label, 1 - hard / 10)
        doubts = dice.random() < (UNSURE_BUT_RIGHT if right else 1 - SURE_BUT_WRONG)
        answer = {"label": first, "confidence": "unsure" if doubts else "likely"}
        found.append(Row(text, label, hard, dice.random(), answer, {"label": last, "confidence": "likely"}))
    return found


def task_of(way: Way) -> Task:
    """The bench's task, run in this way."""
    document = corpus.bench_task(LABELS).model_dump(mode="json", exclude_unset=True, by_alias=True)
    document["input"] = {"id": "id", "text": "text", "gold": "gold"}
    document["gates"] = {"min_confidence": "likely" if way.gated else "unsure"}
    router: dict[str, Any] = {"router": {}} if way.tells is not None else {}
    tiers = [{"model": name} for name in way.tiers]
    return parse_task(document | {"tiers": tiers} | router, "the task of docs/router.md")


def recording(rows: Sequence[Row], way: Way) -> Iterator[str]:
    """Lines of a recording, for `--answers replay:FILE`: a router's word by what it can tell and by luck."""
    tells = way.tells or 0.0
    seems = [tells * row.difficulty + (1 - tells) * row.luck for row in rows]
    bar = sorted(seems)[round((1 - way.share) * len(rows)) - 1]
    for n, row in enumerate(rows):
        said = {
            LADDER[0]: row.first,
            LADDER[1]: row.last,
            "router": {"label": "complex" if seems[n] > bar else "simple"},
        }
        yield json.dumps({"id": f"r-{n}", "answers": {name: json.dumps(reply) for name, reply in said.items()}})


class Taken(NamedTuple):
    """What one run took, and how many of its rows came out right."""

    sent: int
    last: float
    tokens: int
    usd: float
    right: float


def measure(way: Way, rows: Sequence[Row], directory: Path) -> Taken:
    """Replay it."""
    source, recorded = directory / "rows.jsonl", directory / "recorded.jsonl"
    given = ({"id": f"r-{n}", "text": row.text, "gold": row.label} for n, row in enumerate(rows))
    source.write_text("".join(json.dumps(row) + "\n" for row in given))
    recorded.write_text("".join(line + "\n" for line in recording(rows, way)))
    out = directory / way.named.replace(" ", "-")
    run = sluice.run(source, task_of(way), out=out, answers=f"replay:{recorded}").raise_for_status()
    document: Any = run.summary
    tiers = document["tiers"]
    tokens = sum(tier[name] for tier in tiers for name in ("input_tokens", "output_tokens"))
    asked = sum(tier["sent"] for tier in tiers if tier["model"].endswith("haiku-4-5-20251001-v1:0"))
    right = document["gold"]["right"] / len(rows)
    return Taken(document["records"]["sent"], asked / len(rows), tokens, document["cost_usd"], right)


def table(found: dict[str, Taken]) -> str:
    """A line for each way."""
    alone = found[WAYS[0].named]
    lines = ["| way | questions | rows the last tier is asked about | tokens | USD | of the last tier alone | right |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    lines += [
        f"| {name} | {one.sent:,} | {one.last:.1%} | {one.tokens:,} | {one.usd:.4f} | {one.usd / alone.usd:.2f} "
        f"| {one.right:.1%} |"
        for name, one in found.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Replay, print, and write the table into docs/router.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--dry", action="store_true", help="leave docs/router.md as it is")
    given = parser.parse_args()
    rows = rows_of(given.rows)
    with tempfile.TemporaryDirectory(prefix="sluice-router-") as folder:
        found = {way.named: measure(way, rows, Path(folder)) for way in WAYS}
    print(table(found))
    if not given.dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        said = f"{given.rows:,} rows, {LABELS} described labels, prices of the catalogue; made on {today}."
        report.replace(PAGE, "router", f"{said}\n\n{table(found)}")


if __name__ == "__main__":
    main()
