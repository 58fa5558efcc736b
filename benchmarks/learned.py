"""What a learned model and its scores are worth, and what they take: `python -m benchmarks.learned`.

It measures on two public sets, each a JSON Lines file that is named on the command line. **Banking77** (I. Casanueva
and others, 2020; PolyAI-LDN/task-specific-datasets on GitHub, CC BY 4.0), its train and its test rows as `text` and
`label`: the known labels are the teacher, and the model answers by itself. **Product titles** with what four models
answered (Applied-AI-Research-Lab, 2025, doi 10.1016/j.nlp.2025.100142, MIT), as `text`, `gold` and a member for each
model: a cascade of two of them is replayed.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded; a Lambda of this size has one core

import argparse
import datetime as dt
import json
import resource
import time
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks import report
from benchmarks.scaling import SLOWER, prices
from sluice.quality.certificate import Promise, SampledRow, certify
from sluice.quality.learned import learn, write
from sluice.quality.lessons import Lesson, Source, Teacher
from sluice.quality.score import FirstAnswer, as_stored, fit_score, tie

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.quality.learned import Learned
    from sluice.quality.score import Score

PAGE = Path(__file__).resolve().parent.parent / "docs" / "quality.md"
SAMPLES, SAMPLE = 20, 500  # samples to each draw of train rows, and rows of a sample
AGREE = Promise(Decimal("0.95"), Decimal("0.05"))
CHEAP, ORACLE = "gpt-4o-mini", "claude-3-5-sonnet"
AT_ONCE = 2048  # texts, as the step scores them
LONG = 140  # characters
MEMORY = 1769  # MB of the Lambda that scores: one core (infra/functions.py)
MANY = 150  # labels
READING = 16e-6  # seconds a row on one core, of the step's rows and answers: measured in memory over 20,000 rows

HEAD = (
    "| labels | seconds to teach 10,000 rows and fit the score | rows/s scored, Banking77's texts | at 140 characters "
    "| peak MB of the process | MB of the file | USD of Lambda, a million rows of 140 characters |"
)

Place = tuple[int, int]


class Row(NamedTuple):
    """A text, what the teacher says, and what a first tier said: None where that is the model itself."""

    key: str
    text: str
    truth: str
    first: str | None = None


def rows_of(path: Path, truth: str, first: str | None = None) -> list[Row]:
    """The rows of a file, of each text the first."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {
        line["text"]: Row(key_of(line["text"]), line["text"], line[truth], line[first] if first else None)
        for line in reversed(lines)
    }
    return list(found.values())[::-1]


def key_of(text: str) -> str:
    """As long as a record's key."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def teacher_of(labels: Iterable[str]) -> Teacher:
    """Somebody with these labels."""
    return Teacher("teacher", "", tuple(sorted(labels)))


def lessons_of(rows: Sequence[Row]) -> list[Lesson]:
    """Rows that were drawn uniformly."""
    return [Lesson(row.key, row.text, (row.truth,), Source.ORACLE, 1) for row in rows]


def settled(places: Sequence[Place | None], bad: Sequence[bool], seed: int) -> float:
    """The share of a population that need not go on, by the rule; the mean over samples."""
    dice, shares = np.random.default_rng(seed), []
    for _ in range(SAMPLES):
        drawn = set(dice.choice(len(places), SAMPLE, replace=False).tolist())
        found = certify(AGREE, len(places), [SampledRow(places[at], bad=bad[at]) for at in drawn])
        assert found.threshold is not None
        accepted = sum(found.threshold.accepts(place) for at, place in enumerate(places) if at not in drawn)
        shares.append(accepted / (len(places) - SAMPLE))
    return float(np.mean(shares))


def alone(train: Sequence[Row], test: Sequence[Row], count: int, seed: int) -> float:
    """What a model settles by itself that some of the train rows have taught."""
    chosen = np.random.default_rng(seed).choice(len(train), min(count, len(train)), replace=False)
    model, _ = learn(lessons_of([train[at] for at in chosen]), teacher_of({row.truth for row in train}))
    answers = model.answer([row.text for row in test])
    scores = as_stored(np.array([sure for _, sure in answers])).tolist()
    places = [(score, tie(row.key)) for score, row in zip(scores, test, strict=True)]
    return settled(places, [labels != (row.truth,) for (labels, _), row in zip(answers, test, strict=True)], seed)


def cascade(rows: Sequence[Row], labels: set[str], count: int, seed: int) -> dict[str, float]:
    """What the score of a first tier's answers accepts, beside a hash alone and the record of the label alone.

    An answer that is no label of the task is invalid: it is never accepted, and teaches nothing.
    """
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    train, rest = [rows[at] for at in order[:count]], [rows[at] for at in order[count:]]
    model, drawn = learn(lessons_of([row for row in train if row.truth in labels]), teacher_of(labels))
    answers = {row.key: FirstAnswer((row.first or "",)) for row in rows if row.first in labels}
    score = fit_score(model, drawn, answers)
    valid = [row for row in rest if row.key in answers]
    given = [answers[row.key] for row in valid]
    by = {
        "by hash alone": np.zeros(len(valid)),
        "by the label's record alone": 1 / (1 + np.exp(-score.records.facts(given)[:, 0])),
        "by the score": score.of(model, [row.text for row in valid], given),
    }
    bad = [row.first != row.truth for row in rest]
    found = {}
    for name, scores in by.items():
        stored = dict(zip([row.key for row in valid], as_stored(scores).tolist(), strict=True))
        places = [(stored[row.key], tie(row.key)) if row.key in stored else None for row in rest]
        found[name] = settled(places, bad, seed)
    return found


def rate(model: Learned, score: Score, texts: list[str], label: str) -> float:
    """Texts a second of one core that are scored, of the fastest of three turns."""
    took = []
    for _ in range(3):
        began = time.process_time()
        for at in range(0, len(texts), AT_ONCE):
            some = texts[at : at + AT_ONCE]
            as_stored(score.of(model, some, [FirstAnswer((label,), "likely")] * len(some)))
        took.append(time.process_time() - began)
    return len(texts) / min(took)


def split(rows: Sequence[Row]) -> list[Row]:
    """10,000 rows with 150 labels: 75 of the set's, each parted in two by the parity of a text's hash."""
    names = sorted({row.truth for row in rows})[: MANY // 2]
    kept = [row for row in rows if row.truth in names]
    more = [row._replace(text=f"{row.text} again", key=key_of(row.key)) for row in kept]
    return [row._replace(truth=f"{row.truth} {int(row.key, 16) % 2}") for row in (kept + more)[:10_000]]


class Taken(NamedTuple):
    """What a model takes: its labels, seconds to teach, MB of the whole process, texts a second, MB of its file."""

    labels: int
    seconds: float
    peak: float
    short: float
    long: float
    file: float


def taken(rows: Sequence[Row], texts: list[str]) -> Taken:
    """Teach and score, on one core; the memory is that of the process so far."""
    began = time.process_time()
    model, drawn = learn(lessons_of(rows), teacher_of({row.truth for row in rows}))
    score = fit_score(model, drawn, {row.key: FirstAnswer((row.truth,), "likely") for row in rows})
    seconds = time.process_time() - began
    joined = " ".join(texts)
    long = [joined[at : at + LONG] for at in range(0, len(joined) - LONG, LONG)]
    short, longer = (rate(model, score, some, rows[0].truth) for some in (texts, long))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Taken(len(model.labels), seconds, peak, short, longer, len(write(model)) / 1e6)


def lambda_dollars(rows_a_second: float) -> float:
    """USD of a million rows in the Lambda that reads and scores them, at the pace that scaling.py takes it to have."""
    return 1e6 * (1 / rows_a_second + READING) * SLOWER * MEMORY / 1024 * prices()["lambda_gb_second"]


def told(found: Sequence[float]) -> str:
    """A mean, with its least and its most."""
    return f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def quality(train: Sequence[Row], test: Sequence[Row], rows: Sequence[Row], labels: set[str], draws: int) -> list[str]:
    """A line for each way to settle."""
    lines = [
        "| what is settled at 95% agreement | train rows | share: mean of the draws (least to most) |",
        "|---|--:|--:|",
    ]
    for count in (2_000, 10_000):
        found = [alone(train, test, count, seed) for seed in range(draws)]
        lines.append(f"| Banking77, by the model alone | {count:,} | {told(found)} |")
    replayed = [cascade(rows, labels, 2_000, seed) for seed in range(draws)]
    return lines + [
        f"| product titles, {name} | 2,000 | {told([each[name] for each in replayed])} |" for name in replayed[0]
    ]


def speed(train: Sequence[Row], test: Sequence[Row]) -> list[str]:
    """A line for each number of labels."""
    lines = [HEAD, "|--:|--:|--:|--:|--:|--:|--:|"]
    for rows in (split(train), train):
        found = taken(rows, [row.text for row in test])
        lines.append(
            f"| {found.labels} | {found.seconds:.0f} | {found.short:,.0f} | {found.long:,.0f} | {found.peak:,.0f} "
            f"| {found.file:.0f} | {lambda_dollars(found.long):.4f} |"
        )
    return lines


def main() -> None:
    """Measure, print, and write the tables into docs/quality.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned")
    parser.add_argument("--banking", type=Path, nargs=2, required=True, metavar=("TRAIN", "TEST"))
    parser.add_argument("--products", type=Path, required=True, metavar="ANSWERS")
    parser.add_argument("--draws", type=int, default=5, help="draws of train rows")
    parser.add_argument("--dry", action="store_true", help="leave docs/quality.md as it is")
    given = parser.parse_args()
    train, test = (rows_of(path, "label") for path in given.banking)
    products = rows_of(given.products, ORACLE, CHEAP)
    labels = {row.truth for row in rows_of(given.products, "gold")}
    took = speed(train, test)  # first: memory is that of the process so far
    print("\n".join(took), flush=True)
    worth = quality(train, test, products, labels, given.draws)
    print("\n".join(worth), flush=True)
    if not given.dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        head = f"Measured on {today}: {report.machine()}, numpy {np.__version__}, one thread; {given.draws} draws."
        report.replace(PAGE, "learned", "\n\n".join([head, "\n".join(worth), "\n".join(took)]))


if __name__ == "__main__":
    main()
