"""What a user should know before a run is bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.figures import dollars, short_model
from sluice.forecast.weaknesses import weaknesses
from sluice.models.catalog import profile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.forecast.estimate import Estimate, Forecast


def warnings_of(made: Forecast, estimate: Estimate) -> Iterator[str]:
    """What a user should know before the run is bought."""
    asked = estimate.asked
    yield from (str(weakness) for weakness in weaknesses(asked.task, estimate.models))
    yield from _too_long(estimate)
    if made.budget is not None and made.expected_usd is not None and made.expected_usd > made.budget["max_usd"]:
        yield f"budget.max_usd: {dollars(made.budget['max_usd'])} is below the expected {dollars(made.expected_usd)}"
    for tier, frozen in zip(made.tiers, asked.task.tiers, strict=True):
        if tier.cheapest is not None and tier.records and tier.cheapest != tier.transport:
            wanted, cheap = (name.replace("_", " ") for name in (frozen.transport, tier.cheapest))
            yield f"tiers: {short_model(tier.model)} is sent {wanted}; {cheap} would be cheaper"
    yield from _leaving(made, asked.region)


def _too_long(estimate: Estimate) -> Iterator[str]:
    """Texts that do not fit into a model's context with the instructions and the answer."""
    load, texts = estimate.load, estimate.texts
    per_byte = load.text_tokens / texts.bytes if texts.bytes else 0.0
    for tier, model in zip(estimate.opened.start.tiers, estimate.models, strict=True):
        if model.context_tokens is None:
            continue
        room = model.context_tokens - load.prompt_tokens - tier.max_tokens
        count = sum(number for length, number in texts.lengths.items() if length * per_byte > room)
        if count:
            limit = f"{model.context_tokens:,} tokens of {model.name}"
            what = "text is" if count == 1 else "texts are"
            yield f"input.max_tokens: {count:,} {what} too long, with the instructions, for the {limit}"


def _leaving(made: Forecast, region: str) -> Iterator[str]:
    """Profiles by which texts may leave the Region, each once."""
    profiles: dict[str, list[str]] = {}
    for tier in made.tiers:
        if (profile := profile_of(tier.model)) is not None:
            profiles.setdefault(profile, []).append(short_model(tier.model))
    for profile, models in profiles.items():
        where = "any Region" if profile == "global" else f"any Region of {profile}"
        yield f"texts may leave {region}: the profile {profile} of {', '.join(models)} sends them to {where}"
