"""What would cost less than what the task says, and what is not known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.budget import costs
from sluice.errors import BadSetting
from sluice.figures import dollars, short_model
from sluice.runs.state import FrozenTier
from sluice.task.tiers import Tier, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.forecast.estimate import Estimate
    from sluice.forecast.parts import TierForecast
    from sluice.models.catalog import Model

CHEAP = "claude-haiku-5-5"  # on demand alone, at a tenth of the price of its forerunners in their class
SECOND = 1  # the tier that is sent what the first could not settle


def cheaper_second_tier(estimate: Estimate, tiers: Sequence[TierForecast]) -> dict[str, Any] | None:
    """The cheap model on demand in place of the second tier, where it is expected to cost less; else None."""
    if len(tiers) <= SECOND or (usd_now := tiers[SECOND].expected_usd) is None:
        return None
    asked, now = estimate.asked, tiers[SECOND]
    try:
        model = asked.catalog.resolve(CHEAP, asked.region)
    except BadSetting:  # not here, or not where texts may travel
        return None
    wanted = asked.task.tiers[SECOND]
    if model.id == now.model or not _fits(estimate, model):
        return None
    tier = Tier(model=CHEAP, transport=Transport.ON_DEMAND, max_tokens=wanted.max_tokens, attempts=wanted.attempts)
    usd = costs.expected_usd(FrozenTier.of(tier, model), estimate.load, Transport.ON_DEMAND, now.records)
    if usd is None or usd >= usd_now:
        return None
    return {
        "tier": SECOND,
        "model": model.id,
        "transport": Transport.ON_DEMAND.value,
        "expected_usd": usd,
        "in_place_of": {"model": now.model, "transport": now.transport, "expected_usd": usd_now},
    }


def _fits(estimate: Estimate, model: Model) -> bool:
    """Whether a model's price and limits hold for what the second tier is sent."""
    task = estimate.asked.task
    most, written = task.input.max_tokens, task.tiers[SECOND].max_tokens
    return (
        most <= (model.priced_to_tokens or most)
        and written <= (model.max_output_tokens or written)
        and most + written <= (model.context_tokens or most + written)
    )


def in_words(offer: dict[str, Any]) -> str:
    """Tell an offer, and what nobody has measured."""
    now = offer["in_place_of"]
    return (
        f"{short_model(offer['model'])} on demand as second tier: {dollars(offer['expected_usd'])} in place of "
        f"{dollars(now['expected_usd'])} ({short_model(now['model'])}, {now['transport'].replace('_', ' ')}). How well "
        "it answers is unmeasured (`sluice pilot` tells for your rows), and it needs on-demand quota (`sluice doctor`)."
    )
