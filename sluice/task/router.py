"""A question that the first tier is asked before all others: which tier should answer a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sluice.task.base import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

SIMPLE, COMPLEX = "simple", "complex"
Told = Annotated[str, Field(min_length=1, max_length=2000)]


class Router(Strict):
    """The first tier is asked whether a text is simple or complex; it answers what is simple, the next one the rest."""

    question: str = Field(
        "Do not do the task. Say only whether it is simple or complex for this text.",
        max_length=20_000,
        description="What the first tier is asked instead of the task, in your words.",
    )
    simple: Told = Field(
        "one reading is enough to be certain of the right answer", description="What makes a text simple."
    )
    complex: Told = Field(
        "unclear, unusual, about several things at once, or easily taken for something else",
        description="What makes a text complex.",
    )


def router_problem(task: Mapping[str, Any]) -> str | None:
    """What keeps a task from having a router; `task`: its other fields as far as they are right, by name."""
    drawing = next((name for name in ("quality", "audit", "train") if task.get(name)), None)
    if drawing is not None:
        return f"leave it out beside {drawing}, for which the first tier answers every row"
    if len(task.get("tiers", (1, 2))) == 1:
        return "takes two tiers or more, between which it would choose"
    return None if task.get("labels", True) else "is for tasks with labels; leave it out"
