"""What packs, reuse and texts that repeat save, on runs of this machine: `make costs` writes docs/costs.md.

The same rows go through the real workflow in each way, two nights one after the other, with the stand-in's answers:
tokens are those that it counts, and so are the dollars, at the catalogue's prices. The bills behind them are computed
(`benchmarks/bills.py`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import sluice
from benchmarks import bills, corpus, report
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluice.task.task import Task

PAGE = Path(__file__).resolve().parent.parent / "docs" / "costs.md"
ROWS = 20_000
REPEATED, NEW = 0.3, 0.1  # shares of the rows: texts that came before; of the second night, texts never seen
LABELS = 77
LADDER = ("nova-micro", "claude-haiku-4-5")
PACKS = (5, 10)  # as docs/tasks.md recommends for Nova and for Claude
# A rule that reads the row makes a record of every row, which no text is shared with: what a run would be without.
EACH_ROW = {"rules": [{"name": "each-row", "schema": {"properties": {"row": {"type": "object"}}}}]}


class Variant(NamedTuple):
    """A way to run the task."""

    named: str
    tiers: tuple[str, ...] = LADDER
    packs: tuple[int, ...] = (1, 1)
    shared: bool = False
    reuse: bool = False


PLAIN = Variant("plain")
VARIANTS = (
    PLAIN,
    Variant("deduplicated", shared=True),
    Variant("packed", packs=PACKS),
    Variant("reused", reuse=True),
    Variant("all together", packs=PACKS, shared=True, reuse=True),
    Variant("strongest tier alone", tiers=LADDER[-1:], packs=(1,)),
)


class Night(NamedTuple):
    """What one run took: answers, where a row has one, by the row's number; seconds on the clock and of processors."""

    sent: int
    tokens: int
    usd: float
    seconds: float
    processor: float
    answers: Mapping[int, str | None]


def task_of(variant: Variant) -> Task:
    """The bench's task with 77 labels, run in this way."""
    document = corpus.bench_task(LABELS).model_dump(mode="json", exclude_unset=True, by_alias=True)
    tiers = [{"model": name, "pack": pack} for name, pack in zip(variant.tiers, variant.packs, strict=True)]
    gates = document["gates"] | ({} if variant.shared else EACH_ROW)
    reuse = {"reuse": {"days": 30}} if variant.reuse else {}
    return parse_task(document | {"tiers": tiers, "gates": gates} | reuse, "the task of docs/costs.md")


def nights(rows: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of two nights: of the first, some repeat texts of others; of the second, most stood in the first."""
    dice = random.Random(rows)
    new = (f"Message {n}: {' '.join(dice.choices(corpus.WORDS, k=corpus.TEXT_WORDS))}." for n in range(2 * rows))
    distinct = [next(new) for _ in range(rows - round(REPEATED * rows))]
    texts = distinct + [dice.choice(distinct) for _ in range(rows - len(distinct))]
    first = [{"id": f"r-{n}", "text": text, "customer": "c", "amount": "1"} for n, text in enumerate(texts)]
    dice.shuffle(first)
    fresh = round(NEW * rows)
    second = [*first[fresh:], *({**row, "id": f"{row['id']}-new", "text": next(new)} for row in first[:fresh])]
    return first, second


def processor() -> float:
    """Seconds of processors that this process and those that it has waited for have taken."""
    return sum(
        use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def night(source: Path, task: Task, out: Path) -> Night:
    """Run it."""
    before = processor()
    run = sluice.run(source, task, out=out, answers="standin").raise_for_status()
    taken, document = processor() - before, run.summary
    tokens = sum(tier[name] for tier in document["tiers"] for name in ("input_tokens", "output_tokens"))
    table: Any = run.table(columns=["line", "label"]).to_pydict()
    answers = dict(zip(table["line"], table["label"], strict=True))
    return Night(document["records"]["sent"], tokens, document["cost_usd"], document["seconds"], taken, answers)


def measure(variant: Variant, sources: list[Path], directory: Path) -> list[Night]:
    """Two nights of one way, with one folder."""
    return [night(source, task_of(variant), directory / variant.named.replace(" ", "-")) for source in sources]


def agreement(some: Mapping[int, str | None], plain: Mapping[int, str | None]) -> float:
    """The share of rows with the same label, or with none in both."""
    assert some.keys() == plain.keys(), "rows are missing"
    return sum(label == plain[line] for line, label in some.items()) / len(plain)


HEAD = (
    "| {} | records sent | tokens | of plain | USD | of plain | of the strongest alone | agreement with plain "
    "| seconds (of processors) |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def table(named: str, found: Mapping[str, Night]) -> str:
    """A line for each way to run one night."""
    plain, strongest = found[PLAIN.named], found[VARIANTS[-1].named]
    lines = [
        f"| {name} | {one.sent:,} | {one.tokens:,} | {one.tokens / plain.tokens:.3f} | {one.usd:.4f} "
        f"| {one.usd / plain.usd:.3f} | {one.usd / strongest.usd:.3f} | {agreement(one.answers, plain.answers):.2%} "
        f"| {one.seconds:.0f} ({one.processor:.0f}) |"
        for name, one in found.items()
    ]
    return "\n".join([HEAD.format(named), *lines])


def tables(rows: int, directory: Path) -> str:
    """Run everything."""
    sources = []
    for number, some in enumerate(nights(rows)):
        sources.append(directory / f"night-{number}.jsonl")
        sources[-1].write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in some))
    found = {}
    for variant in VARIANTS:
        found[variant.named] = measure(variant, sources, directory)
        print(
            variant.named, *((one.tokens, f"{one.usd:.4f} USD", f"{one.seconds:.0f} s") for one in found[variant.named])
        )
    named = ("first night", "next night")
    return "\n\n".join(
        table(title, {name: both[number] for name, both in found.items()}) for number, title in enumerate(named)
    )


def main() -> None:
    """Measure, compute, print, and write the tables into docs/costs.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of a night ({ROWS:,})")
    parser.add_argument("--only-bills", action="store_true", help="compute the bills alone, and run nothing")
    parser.add_argument("--dry", action="store_true", help="leave docs/costs.md as it is")
    given = parser.parse_args()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    made = {"story": bills.story(), "certified": bills.certificates()}
    if not given.only_bills:
        with tempfile.TemporaryDirectory(prefix="sluice-costs-") as directory:
            found = tables(given.rows, Path(directory))
        head = f"{given.rows:,} rows a night, on {today}: {report.machine()}, other work beside it."
        made["runs"] = f"{head}\n\n{found}"
    for name, text in made.items():
        print(text)
        if not given.dry:
            report.replace(PAGE, name, f"Prices of {bills.catalog().date}. {text}" if name == "runs" else text)


if __name__ == "__main__":
    main()
