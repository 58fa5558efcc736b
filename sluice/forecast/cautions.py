"""What a user should know before a run is bought."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from sluice.budget.tokens import poorly_known
from sluice.figures import dollars, percent, short_model
from sluice.forecast.floors import too_small
from sluice.forecast.survey import refusals, sentences
from sluice.forecast.weaknesses import weaknesses
from sluice.models.catalog import OF_ONES_OWN_MAKING, profile_of
from sluice.task.tiers import Transport, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.forecast.estimate import Estimate, Forecast
    from sluice.forecast.parts import TierForecast
    from sluice.models.catalog import Tokens
    from sluice.task.task import Task

SCRIPTS_NAMED = 5


def warnings_of(made: Forecast, estimate: Estimate) -> Iterator[str]:
    """What a user should know before the run is bought."""
    asked = estimate.asked
    yield from estimate.opened.start.warnings
    yield from (str(weakness) for weakness in weaknesses(asked.task, estimate.models))
    yield from sentences(made.found, {kept.path: kept.type for kept in asked.task.input.kept})
    yield from _too_long(estimate)
    yield from _unused_routes(made)
    yield from poor_estimates(estimate.characters, asked.catalog.tokens)
    yield from _dearer(made)
    yield from behind_learned(asked.task, made.tiers, made.escalate)
    if made.budget is not None and made.expected_usd is not None and made.expected_usd > made.budget["max_usd"]:
        yield f"budget.max_usd: {dollars(made.budget['max_usd'])} is below the expected {dollars(made.expected_usd)}"
    for tier, frozen in zip(made.tiers, asked.task.tiers, strict=True):
        if tier.cheapest is not None and tier.records and tier.cheapest != tier.way:
            yield f"tiers: {short_model(tier.model)} is sent {_sent(tier, frozen.transport)}"
    for frozen in asked.task.tiers:
        if OF_ONES_OWN_MAKING.search(frozen.model):
            yield f"tiers: {frozen.model} is a custom model: it is called on demand, and has no price in batch"
    yield from too_small(made.floors)
    yield from _leaving(made, asked.region)
    yield from _ending(estimate)


def sample_cautions(made: Forecast, estimate: Estimate) -> list[str]:
    """What a run would find in the rows of a sample that its owner should know."""
    asked = estimate.asked
    return [
        *refusals(made.found),
        *sentences(made.found, {kept.path: kept.type for kept in asked.task.input.kept}),
        *_too_long(estimate),
        *poor_estimates(estimate.characters, asked.catalog.tokens),
    ]


def _sent(tier: TierForecast, wanted: Transport) -> str:
    """How a tier is sent though another way costs less, and what would change that."""
    cheap = Way(tier.cheapest or tier.way)
    if wanted is not Transport.AUTO:
        return f"{wanted.value.replace('_', ' ')}; {cheap.words} would be cheaper"
    (found,) = (each for each in tier.ways if each["way"] == cheap)
    sentence = f"{Way(tier.way).words}; {cheap.words} would be cheaper"
    needed = f"{found['needs_tokens_per_minute'] or 0:,} tokens a minute"
    if found["quota_minutes"] is None:
        return f"{sentence}, and is taken where the account's quota is known to be {needed} or more"
    return f"{sentence}, but the account's quotas on demand would make it slower: it takes {needed}"


def _too_long(estimate: Estimate) -> Iterator[str]:
    """Texts that do not fit into a model's context with the instructions and the answer."""
    load, texts = estimate.load, estimate.texts
    per_byte = load.text_tokens / texts.bytes if texts.bytes else 0.0
    rooms = [
        None if model.context_tokens is None else model.context_tokens - load.prompt_tokens - tier.max_tokens
        for tier, model in zip(estimate.opened.start.tiers, estimate.models, strict=True)
    ]
    for number, (room, model) in enumerate(zip(rooms, estimate.models, strict=True)):
        if room is None or model.context_tokens is None:
            continue
        count = sum(number for length, number in texts.lengths.items() if length * per_byte > room)
        if count:
            limit = f"{model.context_tokens:,} tokens of {model.name}"
            what = "text is" if count == 1 else "texts are"
            later = (
                any(other is None or other > room for other in rooms[number + 1 :]) and not estimate.asked.task.drawn
            )
            told = "; those that fit into a later tier's go there instead" if later else ""
            yield f"input.max_tokens: {count:,} {what} too long, with the instructions, for the {limit}{told}"


def _unused_routes(made: Forecast) -> Iterator[str]:
    """Routes that take no row: perhaps the field is called otherwise, or a number stands there as text."""
    good = made.rows - sum(made.rejected.values())
    for route in made.routes if good else ():
        if not route["rows"]:
            yield (
                f"routes.{route['route']}: takes none of the {good:,} rows that can be sent; names and types have to "
                "be as in the rows (cells of CSV are text)"
            )


def poor_estimates(characters: Mapping[str, int], known: Tokens) -> Iterator[str]:
    """Tell of texts in scripts of which tokenizers count very different numbers of tokens."""
    if poor := poorly_known(characters, known):
        scripts = ", ".join(f"{percent(each.share, 1)} {each.script}" for each in poor[:SCRIPTS_NAMED])
        yield (
            f"tokens: the estimate is poor for these texts ({scripts} of the characters): public tokenizers differ by "
            f"up to {max(each.times for each in poor):.1f} times there. The highest counts are taken; `sluice "
            "pilot` finds out"
        )


def _dearer(made: Forecast) -> Iterator[str]:
    """Say when the tiers before the last are likely to cost more than they spare."""
    alone = made.strongest["batch_usd"] if made.strongest["batch_usd"] is not None else made.strongest["on_demand_usd"]
    if len(made.tiers) > 1 and alone is not None and made.expected_usd is not None and made.expected_usd > alone:
        yield (
            f"tiers: if {percent(made.escalate, 1)} of a tier's records go on, all tiers together cost "
            f"{dollars(made.expected_usd)}, and {short_model(made.strongest['model'])} alone {dollars(alone)}: a first "
            "tier that settles next to nothing only costs"
        )


def behind_learned(task: Task, tiers: Sequence[TierForecast], escalate: float) -> Iterator[str]:
    """Say when what a learned tier passes on costs less without the models between it and the last one.

    What it passes on is the same with them and without, so that it need not be known how much that is.
    """
    between = tiers[1:-1]
    each = [tier.expected_usd / tier.records if tier.expected_usd and tier.records else None for tier in tiers[1:]]
    costs = [usd for usd in each if usd is not None]
    if not task.tiers[0].is_learned or not between or len(costs) < len(each):
        return
    names = " and ".join(short_model(tier.model) for tier in between)
    last = short_model(tiers[-1].model)
    here = sum(usd * escalate**number for number, usd in enumerate(costs))
    if here > costs[-1]:
        yield (
            f"tiers: learned and {last} alone are expected to cost less: for 1,000 records that learned passes on, "
            f"{names} and {last} take {dollars(1000 * here)} if {percent(escalate, 1)} go on, {last} alone "
            f"{dollars(1000 * costs[-1])}; leave {names} out"
        )
    elif len(between) == 1:
        share = percent(costs[0] / costs[-1], 1)
        yield (
            f"tiers: {names} costs {share} of what {last} does for a record: leave it out if it settles less than that "
            f"of what learned passes on, the hard rows; then learned and {last} alone cost less"
        )


def _leaving(made: Forecast, region: str) -> Iterator[str]:
    """Profiles by which texts may leave the Region, each once."""
    profiles: dict[str, list[str]] = {}
    for tier in made.tiers:
        if (profile := profile_of(tier.model)) is not None:
            profiles.setdefault(profile, []).append(short_model(tier.model))
    for profile, models in profiles.items():
        where = "any Region" if profile == "global" else f"any Region of {profile}"
        yield f"texts may leave {region}: the profile {profile} of {', '.join(models)} sends them to {where}"


def _ending(estimate: Estimate) -> Iterator[str]:
    """Models that are at the end of their lives, or may be soon, each once."""
    today = dt.date.fromisoformat(estimate.opened.start.date)
    known = {model.name: model.lifecycle for model in estimate.models if model.lifecycle is not None}
    yield from (f"tiers: {said}" for name, life in known.items() if (said := life.said(name, today)) is not None)
