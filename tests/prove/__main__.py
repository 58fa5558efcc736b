"""`make prove`: the promises of certificates, intervals and alarms, simulated; ends with 1 where one does not hold."""

from __future__ import annotations

import datetime as dt
import sys
import textwrap
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks import report
from sluice.quality.alarm import LIMIT, evidence
from sluice.quality.certificate import Promise
from sluice.quality.intervals import share_of_clusters
from tests.prove.known import WORLDS
from tests.prove.known import redraw as known_redraw
from tests.prove.redraws import (
    Cell,
    bound,
    by_chance,
    by_key,
    by_ranks,
    by_tie_hash,
    one_per_text,
    redraw,
    worst_case,
)
from tests.prove.worlds import TEXTS, Score, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

REPEATS = 2_000
KNOWN_REPEATS = 400
DELTA = Decimal("0.05")
BOUND = bound(float(DELTA), REPEATS)
SIZES = ((20_000, 200), (20_000, 500), (20_000, 1_000), (1_000, 500))
ACCURACIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
KEPT = (Decimal("0.90"), Decimal("0.95"), Decimal("0.98"))
USEFUL = dict(zip(KEPT, (0.90, 0.85, 0.75), strict=True))  # of the best possible

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "quality.md"
HEAD = (
    "| N | n | T | worst case, exactly | most misses in {kinds} kinds of rows | accepted by a continuous score |\n"
    "|--:|--:|--:|--:|--:|--:|"
)


class Finding(NamedTuple):
    """Whether something held, in words; `figure` is what the page tells of it, `line` its line of the table there."""

    held: bool
    what: str
    figure: float = 0.0
    line: str = ""


def cells(dice: np.random.Generator) -> Iterator[Finding]:
    """No kind of population is promised more than it keeps."""
    for (rows, drawn), kept in product(SIZES, KEPT):
        promise = Promise(kept, DELTA)
        exact = worst_case(rows, drawn, promise)
        yield Finding(exact <= DELTA, f"N {rows:,}, n {drawn:,}, T {kept}: worst case {float(exact):.5f}")
        shares, accepted = [], 0.0
        for score, trouble in product(Score, Trouble):
            cell = Cell(rows, drawn, promise, score, trouble)
            way = by_ranks if rows <= 1_000 and trouble is Trouble.TEXTS else by_chance  # ranks take ten times as long
            found = redraw(dice, cell, REPEATS, way)
            shares.append(found.missed / found.repeats)
            if (score, trouble) == (Score.CONTINUOUS, Trouble.NONE):
                accepted = found.accepted
            what = f"  {score}, {trouble}: {shares[-1]:.4f} missed, {found.accepted:.3f} of the rows accepted"
            yield Finding(shares[-1] <= BOUND, what)
        line = f"| {rows:,} | {drawn:,} | {kept} | {float(exact):.4f} | {max(shares):.4f} | {accepted:.2f} |"
        yield Finding(held=True, what=f"  most misses: {max(shares):.4f}", line=line)


def useful(dice: np.random.Generator) -> Iterator[Finding]:
    """Not too little is accepted."""
    for kept, asked in USEFUL.items():
        found = redraw(dice, Cell(20_000, 500, Promise(kept, DELTA), Score.CONTINUOUS, Trouble.NONE), REPEATS)
        what = f"T {kept}: {found.of_best:.3f} of the best possible (asked {asked})"
        yield Finding(found.of_best >= asked, what, found.of_best)
    found = redraw(dice, Cell(20_000, 500, Promise(KEPT[1], DELTA), Score.WORDS, Trouble.NONE), REPEATS)
    what = f"three words with ties broken: {found.accepted:.3f} of all rows (asked 0.44)"
    yield Finding(found.accepted >= 0.44, what, found.accepted)


def broken(dice: np.random.Generator) -> Iterator[Finding]:
    """Draws that are broken on purpose are seen to miss."""
    ways = (
        (by_key, Score.UNINFORMATIVE, Trouble.TEXTS),
        (one_per_text, Score.CONTINUOUS, Trouble.HARD),
        (by_tie_hash, Score.WORDS, Trouble.TEXTS),
    )
    for way, score, trouble in ways:
        found = redraw(dice, Cell(20_000, 500, Promise(KEPT[1], DELTA), score, trouble), REPEATS, way)
        share = found.missed / found.repeats
        yield Finding(share > BOUND, f"{way.__name__}, {score}: {share:.3f} missed, as it has to", share)


def covering(dice: np.random.Generator) -> Iterator[Finding]:
    """Intervals cover, where each row has a text of its own and where 30% of the rows come from 60 texts."""
    for repeated, accuracy, drawn in product((0.0, 0.3), ACCURACIES, (100, 200, 500, 1_000, 2_000)):
        held = sum(covers(dice, accuracy, drawn, repeated) for _ in range(REPEATS)) / REPEATS
        what = f"accuracy {accuracy}, n {drawn:,}, {repeated:.0%} repeated: covered in {held:.4f}"
        yield Finding(held >= 0.93, what, held)


def covers(dice: np.random.Generator, accuracy: float, drawn: int, share: float) -> bool:
    """Whether the interval of one sample holds the accuracy; rows of a text are right or wrong together."""
    repeated = dice.multinomial(dice.binomial(drawn, share), np.full(TEXTS, 1 / TEXTS))
    single = drawn - int(repeated.sum())
    count = dice.binomial(single, accuracy) + repeated[dice.random(TEXTS) < accuracy].sum()
    found = share_of_clusters(int(count), [*[1] * single, *repeated[repeated > 0].tolist()])
    return found.low <= accuracy <= found.high


def known(dice: np.random.Generator) -> Iterator[Finding]:
    """Against what people say neither promise is missed more often than it says."""
    for world in WORLDS:
        found = known_redraw(dice, world, KNOWN_REPEATS)
        most = bound(float(DELTA), KNOWN_REPEATS)
        told = f"worse {found.worse_missed:.4f} missed, accuracy {found.accuracy_missed:.4f}"
        kept = max(found.worse_missed, found.accuracy_missed) <= most
        what = f"N {world.rows:,}, right {world.first} and {world.oracle}: {told}, {found.accepted:.3f} accepted"
        yield Finding(kept, what, max(found.worse_missed, found.accuracy_missed))


def quiet(dice: np.random.Generator) -> Iterator[Finding]:
    """False alarms are 3,650 runs apart in the mean."""
    for at_most, rows in ((0.02, 300), (0.08, 100), (0.08, 300), (0.2, 300)):
        factors = np.array([evidence(k, rows, at_most) for k in range(rows + 1)])
        values, waited, runs = np.zeros(400), np.zeros(400), 0
        while not waited.all():
            runs += 1
            values = np.minimum((values + 1) * factors[dice.binomial(rows, at_most, 400)], 1e30)
            waited[(waited == 0) & (values >= LIMIT)] = runs
        mean = float(waited.mean())
        yield Finding(mean >= LIMIT, f"at most {at_most} of {rows}: {mean:,.0f} runs to a false alarm", mean)


def told(found: dict[str, list[Finding]]) -> str:
    """What docs/quality.md tells."""
    figures = {part: [finding.figure for finding in findings] for part, findings in found.items()}
    lines = [finding.line for finding in found["cells"] if finding.line]
    best = ", ".join(f"{figure:.2f} at {kept}" for figure, kept in zip(figures["useful"], KEPT, strict=False))
    texts, rows, ties = figures["broken"]
    head = (
        f"Simulated on {dt.datetime.now(dt.UTC).date()}, {REPEATS:,} samples a cell, at `delta` {DELTA}; chance "
        f"explains misses up to {BOUND:.4f}."
    )
    more = (
        f"Of what the best possible threshold would accept, a certificate accepts {best} (N 20,000, n 500); three "
        f"words with ties broken settle {figures['useful'][-1]:.2f} of all rows at 0.95. Draws by text would miss in "
        f"{texts:.0%}, one row of each text in {rows:.0%}, draws by the hash that breaks ties in {ties:.0%}. The "
        f"intervals of `sluice evaluate` cover in {min(figures['covering']):.4f} of the samples or more, in each of "
        f"{len(figures['covering'])} cells, and an audit gives a false alarm once in {min(figures['quiet']):,.0f} runs "
        "at most, in the mean."
    )
    return "\n\n".join(
        [head, "\n".join([HEAD.format(kinds=len(Score) * len(Trouble)), *lines]), textwrap.fill(more, 120)]
    )


def main() -> int:
    """Print what each part found, write it into docs/quality.md, and count what did not hold."""
    found: dict[str, list[Finding]] = {}
    for part in (useful, broken, covering, known, quiet, cells):
        print((part.__doc__ or "").strip())
        for finding in part(np.random.default_rng(2026)):
            found.setdefault(part.__name__, []).append(finding)
            print(f"  {'' if finding.held else 'FAILED: '}{finding.what}", flush=True)
    failed = sum(not finding.held for findings in found.values() for finding in findings)
    print(f"{failed} failed" if failed else "all held")
    if not failed:
        report.replace(PAGE, "proved", told(found))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
