"""What a whole run costs: its tiers, and beside them the router's question and what a judge is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sluice.answers.shown import Showing
from sluice.budget.costs import ESCALATED, ceiling_usd, expected_usd, expected_way
from sluice.runs.accounting import total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.budget.costs import Load
    from sluice.runs.state import FrozenTier
    from sluice.task.task import Task


def router_ceiling_usd(task: Task, tiers: Sequence[FrozenTier], load: Load, min_records: int) -> float | None:
    """What the router costs at most; 0 without one."""
    if task.router is None:
        return 0.0
    return ceiling_usd(task.routing, tiers[0].model_copy(update={"pack": 1}), load.at(0), min_records)


def router_expected_usd(tiers: Sequence[FrozenTier], load: Load, min_records: int) -> float | None:
    """What the router is expected to cost; 0 without one."""
    if load.router is None:
        return 0.0
    first, records = tiers[0].model_copy(update={"pack": 1}), load.sent([1.0] * (len(tiers) - 1))[0]
    way = expected_way(first, load.of_router, records, min_records)
    return expected_usd(first, load.of_router, way, records)


def judge_ceiling_usd(task: Task, judge: FrozenTier | None, load: Load, min_records: int) -> float | None:
    """What the judge costs at most: each answer that may be is shown to it; 0 without one."""
    if judge is None:
        return 0.0
    more, found = Showing(task.labels).most_bytes(max(1, task.max_labels)), list[float | None]()
    for tier in task.judged_tiers:
        here = load.at(tier)
        shown = replace(here.of_judge, most_text_bytes=here.most_text_bytes + here.most_records * more)
        found.append(ceiling_usd(task.judging, judge, shown, min_records))
    return total(found)


def judge_expected_usd(judge: FrozenTier | None, load: Load, counts: Sequence[int], min_records: int) -> float | None:
    """What the judge is expected to cost, when all that tiers with so many records answer passes the other gates."""
    if judge is None:
        return 0.0
    asked, shown = load.of_judge, [records for records in load.shown(counts) if records]
    return total(expected_usd(judge, asked, expected_way(judge, asked, each, min_records), each) for each in shown)


def run_ceiling_usd(
    task: Task, tiers: Sequence[FrozenTier], load: Load, min_records: int, judge: FrozenTier | None = None
) -> float | None:
    """What a run costs at most: every record through every tier, router and judge, and all possible fillers."""
    of_tiers = [ceiling_usd(task, tier, load.at(number), min_records) for number, tier in enumerate(tiers)]
    of_judge = judge_ceiling_usd(task, judge, load, min_records)
    return total([*of_tiers, router_ceiling_usd(task, tiers, load, min_records), of_judge])


def run_expected_usd(
    tiers: Sequence[FrozenTier],
    load: Load,
    min_records: int,
    escalate: float = ESCALATED,
    drawn: int = 0,
    judge: FrozenTier | None = None,
) -> float | None:
    """What a run is expected to cost when this share of each tier's records goes on to the next; no retries.

    A router is asked about all, and taken to leave the first tier what it would have been sent without; so is a judge.
    """
    counts = load.sent([escalate] * (len(tiers) - 1), drawn)
    of_tiers = [
        expected_usd(tier, load, expected_way(tier, load, records, min_records), records)
        for tier, records in zip(tiers, counts, strict=True)
    ]
    of_judge = judge_expected_usd(judge, load, counts, min_records)
    return total([*of_tiers, router_expected_usd(tiers, load, min_records), of_judge])


def all_tiers_usd(
    tiers: Sequence[FrozenTier], load: Load, min_records: int, judge: FrozenTier | None = None
) -> float | None:
    """What a run is expected to cost if no tier but the last settles anything."""
    return run_expected_usd(tiers, load, min_records, escalate=1.0, judge=judge)
