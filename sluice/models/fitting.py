"""Whether the models of a task's tiers can do what the tiers ask of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sluice.errors import BadSetting, BadTask
from sluice.models.prices import cost
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from sluice.models.catalog import Catalog, Model
    from sluice.task.task import Task
    from sluice.task.tiers import Answerer


def check_models(
    task: Task, catalog: Catalog, region: str, source: str | None = None, *, servers: bool = False
) -> tuple[Model, ...]:
    """The model of each tier, in order, and behind them that of the judge, all fit for what is asked of them.

    `servers`: also models of one's own.

    Raises:
        BadTask: a model that cannot be resolved, a limit that the tier is above, or a budget without a price.

    """
    found: list[Model] = []
    problems: list[str] = []
    too_long: dict[int, str] = {}
    fits = [True] * len(task.tiers)
    for number, (place, tier) in enumerate(zip(task.places, task.answerers, strict=True)):
        try:
            model = catalog.resolve(tier.model, region)
        except BadSetting as error:
            problems.append(f"{place}.model: {error}")
            continue
        found.append(model)
        if model.server is not None and not servers:
            problems.append(f"{place}.model: {for_this_machine(tier.model)}")
        problems += [f"{place}.{problem}" for problem in _misfits(task, tier, model)]
        if number >= len(task.tiers):  # what is too long for it, goes on unjudged
            continue
        fits[number] = not model.context_tokens or task.input.max_tokens + tier.max_tokens <= model.context_tokens
        too_long[number] = (
            f"{place}.model: input.max_tokens {task.input.max_tokens} and max_tokens {tier.max_tokens} together are "
            f"above the {model.context_tokens} tokens of {tier.model}"
        )
    # A text that is too long for one tier goes to the next that has room, but for tasks that compare tiers by rows.
    moves = task.drawn == 0
    problems += [
        problem for number, problem in too_long.items() if not fits[number] and not (moves and any(fits[number + 1 :]))
    ]
    if problems:
        raise BadTask(source or f"task {task.name}", problems)
    return tuple(found)


def for_this_machine(model: str) -> str:
    """Say why a deployment asks no model of one's own, and what to do."""
    return (
        f"{model} has a server of its own in models.yaml (openai), which only a run on this machine asks; a deployment "
        "asks models of Bedrock: name one, or take `sluice run`"
    )


def _misfits(task: Task, tier: Answerer, model: Model) -> list[str]:
    found = []
    if tier.transport is Transport.BATCH and not model.batch:
        found.append(f"transport: batch, but {tier.model} is not listed for batch; allowed: auto, on_demand")
    if tier.transport is Transport.FLEX and cost(model.price, Transport.FLEX, 1, 1) is None:
        found.append(f"transport: flex, but {tier.model} has no price for it; allowed: auto, batch, on_demand")
    if tier.temperature and "temperature" in model.refuses:
        found.append(f"temperature: {tier.temperature}; {tier.model} refuses it on every record: leave it out")
    if model.priced_to_tokens and task.input.max_tokens > model.priced_to_tokens:
        found.append(
            f"model: the price of {tier.model} holds to {model.priced_to_tokens:,} input tokens; input.max_tokens is "
            f"{task.input.max_tokens:,}"
        )
    written = tier.pack * tier.max_tokens
    if model.max_output_tokens and written > model.max_output_tokens:
        each = f" for each of {tier.pack} records" if tier.pack > 1 else ""
        fewer = f": lower it, or pack to {model.max_output_tokens // tier.max_tokens}" if each else ""
        found.append(
            f"max_tokens: {tier.max_tokens}{each}; {tier.model} writes at most {model.max_output_tokens}{fewer}"
        )
    if task.budget.max_usd is not None and (unknown := _unpriced(tier, model)):
        advice = "give it in models.yaml, or leave budget.max_usd out"
        found.append(f"model: the {unknown} price of {tier.model} is unknown, so a budget cannot be kept; {advice}")
    return found


def _unpriced(tier: Answerer, model: Model) -> Literal["batch", "on-demand"] | None:
    """The first price that the tier can need and nobody knows.

    A tier in batch can need the price on demand too: too few records for a job are sent so.
    """
    if cost(model.price, Transport.ON_DEMAND, 1, 1) is None:
        return "on-demand"
    batch = model.batch and tier.transport in {Transport.AUTO, Transport.BATCH}
    return "batch" if batch and cost(model.price, Transport.BATCH, 1, 1) is None else None
