"""The picture of a run: how its rows washed through the tiers, as bands whose widths are numbers of records.

Only geometry and words are made here; `report.html.j2` draws them and its style sheet colours them. All columns are
stacked in the same order, so bands never cross: the stream that goes on on top, what left it later above what left
it earlier, and at the bottom the rows that no model saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.figures import short_model
from sluice.report.drawing import style_of

if TYPE_CHECKING:
    from sluice.results.run_document import Run, RunTier

WIDTH = 1000
TOP = 64  # room for the names above the tiers
STREAM = 210  # height of all rows together
GAP = 36  # between bands, and room for two lines beside each
NODE = 12
LABELS = 220  # room for the words at the right
THINNEST = 1.5  # a band of a single record can still be seen


@dataclass(frozen=True, slots=True)
class Band:
    """A stream from one column to the next ones, as an SVG path."""

    path: str
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class Node:
    """A bar across the stream, with two lines above it."""

    x: float
    y: float
    height: float
    style: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a band ends, with two lines beside it."""

    x: float
    y: float
    height: float
    style: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Flow:
    """The whole picture; `words` says the same in a sentence for those who cannot see it."""

    width: int
    height: float
    bands: list[Band]
    nodes: list[Node]
    outcomes: list[Outcome]
    words: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves the stream: `column` is where (0: before the first tier)."""

    column: int
    count: int
    style: str
    name: str
    detail: str


def draw_flow(run: Run) -> Flow | None:
    """Draw a run, or return None when it has no rows or no tiers to draw."""
    if not run.rows.total or not run.tiers:
        return None
    arriving = count_arriving(run)
    leaving = find_leaving(run, arriving)
    scale = STREAM / max(run.rows.total, 1)
    heights = [max(THINNEST, part.count * scale) for part in leaving]
    step = (WIDTH - LABELS - NODE) / (len(run.tiers) + 1)
    columns = [step * number for number in range(len(run.tiers) + 2)]
    stacks = [_stack(leaving, heights, column) for column in range(len(columns))]
    picture = _Picture(columns, leaving, heights, stacks)
    return Flow(
        width=WIDTH,
        height=max(top + height for top, height in zip(stacks[-1], heights, strict=True)) + GAP / 2,
        bands=[*picture.streams(arriving), *picture.leavings()],
        nodes=picture.nodes(run, arriving),
        outcomes=picture.outcomes(),
        words="; ".join(f"{part.count:,} {part.name} ({part.detail})" for part in reversed(leaving)),
    )


def count_arriving(run: Run) -> list[int]:
    """How many records come as far as each tier, each counted once; some pass it by, on to where they start."""
    counts = [run.records.distinct]
    for tier in run.tiers[:-1]:
        counts.append(min(tier.escalated + tier.bypassed, counts[-1]))
    return counts


def find_leaving(run: Run, arriving: list[int]) -> list[Leaving]:
    """Everything that leaves the stream, from the top of the last column to its bottom; nothing that is 0."""
    parts: list[Leaving] = []
    for index in reversed(range(len(run.tiers))):
        tier = run.tiers[index]
        onward = arriving[index + 1] if index + 1 < len(arriving) else 0
        accepted = min(tier.accepted, arriving[index] - onward)
        name = short_model(tier.model)
        parts += [
            Leaving(index + 1, arriving[index] - onward - accepted, "rest", "unresolved", f"after {name}"),
            Leaving(index + 1, accepted, style_of(index), "accepted", f"from {name}"),
        ]
    rejected = run.rows.rejected + sum(day.rejected for day in run.forgotten)
    parts += [
        Leaving(0, max(run.repeated, 0), "repeats", "repeated rows", "share a record's answer"),
        Leaving(0, run.settled.rows, "repeats", "settled by people", "before any model"),
        Leaving(0, rejected, "rejected", "rejected", "before any model"),
    ]
    return [part for part in parts if part.count > 0]


def _stack(leaving: list[Leaving], heights: list[float], column: int) -> list[float]:
    """Find the top of each band in a column: what has left by then stands apart, the rest is one stream."""
    tops, top = [], float(TOP)
    for index, (part, height) in enumerate(zip(leaving, heights, strict=True)):
        if index and part.column < column:
            top += GAP
        tops.append(top)
        top += height
    return tops


@dataclass(frozen=True, slots=True)
class _Picture:
    columns: list[float]
    leaving: list[Leaving]
    heights: list[float]
    stacks: list[list[float]]

    def streams(self, arriving: list[int]) -> list[Band]:
        """Draw the stream between two columns, as far as it goes."""
        bands = []
        for column, count in enumerate(arriving):
            height = self._stream(column + 1)
            if height:
                edges = [(column, float(TOP)), (column + 1, float(TOP))]
                bands.append(Band(self._path(edges, height), "stream", f"{count:,} records"))
        return bands

    def leavings(self) -> list[Band]:
        """Draw one band for each part, from where it leaves the stream to the end."""
        return [
            Band(
                self._path([(c, self.stacks[c][index]) for c in range(part.column, len(self.columns))], height),
                part.style,
                f"{part.count:,} {part.name}, {part.detail}",
            )
            for index, (part, height) in enumerate(zip(self.leaving, self.heights, strict=True))
        ]

    def nodes(self, run: Run, arriving: list[int]) -> list[Node]:
        """Place the rows, then the tiers."""
        first = Node(0, TOP, sum(self.heights), "rows", f"{run.rows.total:,} rows", _inputs(len(run.inputs)))
        tiers = [
            Node(
                self.columns[index + 1],
                TOP,
                self._stream(index + 1),
                style_of(index),
                short_model(tier.model),
                _sent(tier, count),
            )
            for index, (tier, count) in enumerate(zip(run.tiers, arriving, strict=True))
        ]
        return [first, *tiers]

    def outcomes(self) -> list[Outcome]:
        """Place the ends of all bands."""
        return [
            Outcome(self.columns[-1], top, height, part.style, f"{part.count:,} {part.name}", part.detail)
            for part, top, height in zip(self.leaving, self.stacks[-1], self.heights, strict=True)
        ]

    def _stream(self, column: int) -> float:
        """Measure what is still in the stream at a column."""
        return sum(h for part, h in zip(self.leaving, self.heights, strict=True) if part.column >= column)

    def _path(self, places: list[tuple[int, float]], height: float) -> str:
        """Draw a closed band through (column, top) places, with level ends and soft bends."""
        points = [(self.columns[column] + NODE / 2, top) for column, top in places]
        upper = _bends(points)
        lower = _bends([(x, y + height) for x, y in reversed(points)])
        return f"M{upper}L{lower}Z"


def _bends(points: list[tuple[float, float]]) -> str:
    x, y = points[0]
    path = f"{x:.1f},{y:.1f}"
    for to_x, to_y in points[1:]:
        middle = (x + to_x) / 2
        path += f"C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"
        x, y = to_x, to_y
    return path


def _inputs(count: int) -> str:
    return "1 input" if count == 1 else f"{count:,} inputs"


def _sent(tier: RunTier, arriving: int) -> str:
    arriving -= min(arriving, tier.bypassed)
    if not arriving:
        return "nothing to do"
    again = tier.sent + tier.reused - arriving
    known = f", {tier.reused:,} known" if tier.reused else ""
    return f"{arriving:,} records{known}" + (f", {again:,} sent again" if again > 0 else "")
