"""The ways in which a tier's requests can be sent, beside each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sluice.budget import costs
from sluice.models.pace import OUTPUT_COUNTS
from sluice.runs.state import FrozenTier
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from sluice.models.catalog import Model


def as_if_left_open(tier: FrozenTier, model: Model) -> FrozenTier:
    """The tier as it would be if it left the transport to us; what is known of its pace stays."""
    opened = FrozenTier.of(tier.model_copy(update={"transport": Transport.AUTO}), model)
    return opened.model_copy(update={"pace": tier.pace})


def taken(tier: FrozenTier, load: costs.Load, records: int, jobs: int, least: int) -> Way:
    """How so many records in so many jobs are sent: as the plan of their round says."""
    each = records // max(1, jobs)
    way = costs.expected_way(tier, load, each, least)
    leaves = way is not Way.BATCH and tier.batch and costs.requests_of(each, tier.pack) >= least
    return costs.expected_way(tier, load, records, least) if leaves else way


def compared(tier: FrozenTier, load: costs.Load, records: int) -> list[dict[str, Any]]:
    """What a million of the records cost in each way, and what it needs of the account for so many of them."""
    return [_way(tier, load, way, records or max(1, load.records)) for way in costs.ways_of(tier, load)]


def _way(tier: FrozenTier, load: costs.Load, way: Way, sent: int) -> dict[str, Any]:
    every = max(1, load.records)
    usd, minutes = costs.expected_usd(tier, load, way, every), costs.batch_minutes(tier, sent)
    tokens_in, tokens_out = costs.counted_tokens(tier, load, way, sent)
    calls = way is not Way.BATCH and minutes > 0
    return {
        "way": way.value,
        "usd_per_million": None if usd is None else usd * 1e6 / every,
        "quota_minutes": costs.on_demand_minutes(tier, load, way, sent) if calls else None,
        "needs_tokens_per_minute": math.ceil((tokens_in + OUTPUT_COUNTS * tokens_out) / minutes) if calls else None,
    }
