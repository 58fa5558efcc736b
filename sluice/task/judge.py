"""A second look at the answers that passed all other gates: a cheap model says of each whether it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from sluice.task.base import Whole
from sluice.task.tiers import LEARNED, MAX_PACK, Answerer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.task.tiers import Tier

RIGHT, WRONG, UNCLEAR = "right", "wrong", "unclear"
WORDS = {
    RIGHT: "the answer is what the task asks for",
    WRONG: "another answer fits better, or the answer does not fit",
    UNCLEAR: "the text does not say enough to tell",
}


class JudgeGate(Answerer):
    """A model that is shown each text with the answer that it was given, and says right, wrong or unclear."""

    max_tokens: Annotated[Whole, Field(ge=1, le=64_000)] = Field(50, description="The longest word of it, in tokens.")
    pack: Annotated[Whole, Field(ge=1, le=MAX_PACK)] = Field(
        10, description="How many answers a request may show it, which share its instructions; 1: each goes alone."
    )

    @field_validator("model")
    @classmethod
    def _is_a_model(cls, value: str) -> str:
        if value == LEARNED:
            raise ValueError("learned gives labels and no opinion of others; name a model, for example nova-micro")
        return value


def judged_tiers(tiers: Sequence[Tier], *, draws: bool) -> tuple[int, ...]:
    """The tiers whose answers a judge is shown.

    Not a learned one, which says itself how sure it is; nor the last one of a task that draws rows for it, since its
    answers are what all else is measured by.
    """
    return tuple(n for n, tier in enumerate(tiers) if not tier.is_learned and not (draws and n + 1 == len(tiers)))


def judge_problems(task: Mapping[str, Any], tiers: Sequence[Tier]) -> Iterator[str]:
    """What keeps a task from having a judge; `task`: its other fields as far as they are right, by name."""
    if "gates" not in task or task["gates"].judge is None:
        return
    draws = any(task.get(name) for name in ("quality", "audit", "train"))
    if not task.get("labels", True):
        yield "gates.judge: is shown labels, and the task has none; leave it out"
    elif draws and not judged_tiers(tiers, draws=draws):
        why = "nobody's answers would be shown to it: learned says itself how sure it is, the last tier is the measure"
        yield f"gates.judge: {why}; leave it out or add a tier between"
