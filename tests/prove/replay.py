"""Certified runs over recorded answers of real models, through the real steps: how often the promise is missed.

    python -m tests.prove.replay FILE --first gpt-4o-mini --oracle claude-3-5-sonnet [--seeds 30]

FILE is JSON Lines with `text`, and the label that each model gave under the model's name. Every seed is a run of its
own, with its own draws; each certificate is verified from what the run has published. Behind them the sample is drawn
2,000 times over the stored scores of the last run. What a recording says is about its texts, labels and models alone.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded: its threads wait for each other on a busy machine

import argparse
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sluice.api.quality import verify
from sluice.quality.certificate import Promise, SampledRow, certify
from sluice.results.published import Published
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.prove.redraws import bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.task.task import Task

REDRAWS = 2_000
FIRST, ORACLE = "nova-micro", "claude-haiku-4-5"  # whose places in the catalogue the recorded models take


class Replayed(NamedTuple):
    """One run: rows that were neither drawn nor asked of the oracle, how many of them differ, and what was allowed."""

    accepted: int
    differing: int
    at_most: int
    others: int
    problems: list[str]
    rows: list[dict[str, Any]]


class Recording:
    """Texts with the labels that two models gave them."""

    def __init__(self, path: Path, first: str, oracle: str, known: str) -> None:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self.labels = sorted({row[known] for row in rows})
        self.of = {row["text"].strip(): (row[first], row[oracle]) for row in reversed(rows)}
        self.data = jsonl([{"text": row["text"]} for row in rows])

    def reply(self, model: str, text: str) -> str:
        """What a model said, as a reply."""
        return json.dumps({"label": self.of[text.strip()][ORACLE in model]})

    def task(self, seed: int, quality: dict[str, Any]) -> Task:
        """A task of its own for each seed, since the draws follow from the task."""
        return parse_task(
            {
                "name": "replayed",
                "input": {"text": "text"},
                "labels": self.labels,
                "instructions": f"Replay {seed}.",
                "answer": {"confidence": False},
                "tiers": [{"model": FIRST}, {"model": ORACLE}],
                "quality": quality,
            },
            "the replay",
        )

    def run(self, seed: int, quality: dict[str, Any]) -> Replayed:
        """One certified run."""
        cloud = Cloud(self.reply, {"min_records_per_job": 1})
        summary = cloud.run(self.task(seed, quality), {"a.jsonl": self.data})
        certificate, rows = summary["certificate"], cloud.rows()
        texts = [json.loads(line)["text"] for line in self.data.splitlines()]
        for row in rows:
            row["text"] = texts[row["line"] - 1]
        kept = [row for row in rows if row["status"] == "accepted" and row["tier"] == 0]
        published = Published(cloud.results, summary["run_id"], "results/replayed/", origins=list)
        stored = cloud.results.get(f"reports/{summary['run_id']}/certificate.json")
        return Replayed(
            accepted=len(kept),
            differing=sum(row["label"] != self.of[row["text"].strip()][1] for row in kept),
            at_most=certificate["at_most"],
            others=certificate["population"] - certificate["sample"],
            problems=verify(published, summary, stored)["problems"],
            rows=rows,
        )

    def drawn_again(self, dice: np.random.Generator, rows: Sequence[dict[str, Any]], promise: Promise, n: int) -> float:
        """The share of samples, of the rows that did not teach, by which the promise would have been missed."""
        known = frozenset(self.labels)
        given = [self.of[row["text"].strip()] for row in rows]
        places = [
            None if row["score"] is None else (round(row["score"] * (2**32 - 1)), n) for n, row in enumerate(rows)
        ]
        bad = [first != oracle or oracle not in known for first, oracle in given]
        score = np.array([-1 if place is None else place[0] for place in places])
        wrong, missed = np.array(bad), 0
        for _ in range(REDRAWS):
            sample = dice.choice(len(rows), n, replace=False)
            found = certify(promise, len(rows), [SampledRow(places[at], bad=bad[at]) for at in sample.tolist()])
            above = found.threshold.above if found.threshold else (2**32, 0)
            taken = score >= 0
            if above is not None:
                taken &= (score > above[0]) | ((score == above[0]) & (np.arange(len(rows)) > above[1]))
            taken[sample] = False
            missed += int((taken & wrong).sum()) > found.at_most
        return missed / REDRAWS


def main(words: Sequence[str] | None = None) -> int:
    """Print what was found; 1 where more misses than chance explains, or a certificate that cannot be found again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--known", default="gold", help="the field whose values are the labels")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--train", type=int, default=2_000)
    parser.add_argument("--sample", type=int, default=500)
    given = parser.parse_args(words)
    recording = Recording(given.file, given.first, given.oracle, given.known)
    quality = {"agree": 0.95, "sample": given.sample, "train": given.train}
    missed = failed = 0
    shares = []
    for seed in range(given.seeds):
        found = recording.run(seed, quality)
        missed += found.differing > found.at_most
        failed += bool(found.problems)
        shares.append(found.accepted / found.others)
        print(
            f"seed {seed}: {found.accepted:,} of {found.others:,} rows accepted ({shares[-1]:.3f}), {found.differing} "
            f"differ, {found.at_most} were promised{'; ' + '; '.join(found.problems) if found.problems else ''}",
            flush=True,
        )
    left = [row for row in found.rows if "drawn" not in {step["reason"] for step in row["trail"]}]
    again = recording.drawn_again(np.random.default_rng(2026), left, Promise(Decimal("0.95"), Decimal("0.05")), 500)
    allowed = bound(0.05, REDRAWS)
    print(f"{given.seeds} runs: {missed} missed, mean {np.mean(shares):.3f} accepted, {failed} could not be verified")
    print(f"{REDRAWS:,} samples over the scores of the last run: {again:.4f} missed (bound {allowed:.4f})")
    return int(failed > 0 or missed > max(1, given.seeds // 6) or again > allowed)


if __name__ == "__main__":
    sys.exit(main())
