"""What comes beside a run's first jobs: those of later rounds, and the router's question about each record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.answers.requests import RequestWriter
from sluice.budget import costs, whole
from sluice.runs import accounting, planning
from sluice.runs.state import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.forecast.texts import Texts
    from sluice.runs.settings import Settings
    from sluice.runs.state import FrozenTier
    from sluice.task.task import Task


def jobs_for(task: Task, settings: Settings, texts: Texts, tier: FrozenTier, records: int) -> int:
    """Count the jobs of a later round, as planning packs them."""
    text = round(texts.bytes / max(1, texts.records) * records)
    marks = [0] * (records // planning.MARK_EVERY + 1)
    pending = [Pending(key="", tier=0, attempt=1, records=records, bytes=text, marks=marks)]
    limits = planning.Limits(settings.max_records_per_job, settings.max_file_bytes)
    return len(planning.pack_pending(pending, limits, RequestWriter(task, tier).constant_bytes))


def with_router(
    task: Task, tiers: Sequence[FrozenTier], load: costs.Load, least: int, first: dict[str, Any]
) -> dict[str, Any]:
    """What the first tier takes, by name, with the router's tokens and dollars; the same without a router."""
    if load.router is None:
        return first
    read, written = load.of_router.expected_tokens(first["records"], tiers[0].token_factor)
    expected = whole.router_expected_usd(tiers, load, least)
    ceiling = whole.router_ceiling_usd(task, tiers, load, least)
    return first | {
        "input_tokens": first["input_tokens"] + read,
        "output_tokens": first["output_tokens"] + written,
        "expected_usd": accounting.total([first["expected_usd"], expected]),
        "ceiling_usd": accounting.total([first["ceiling_usd"], ceiling]),
    }
