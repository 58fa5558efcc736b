"""Who a learned model is taught by: what decides which labels the last tier of a task gives."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from sluice.answers.requests import system_prompt
from sluice.quality.lessons import Teacher

if TYPE_CHECKING:
    from sluice.task.task import Task


def teacher_for(task: Task, model: str, pack: int) -> Teacher:
    """What decides which labels the last tier of a task gives."""
    prompt = system_prompt(task, packed=pack > 1)
    return Teacher(
        model=model,
        prompt=blake2b(prompt.encode(), digest_size=16).hexdigest(),
        labels=tuple(task.labels),
        fewest=task.min_labels,
        most=task.max_labels,
        several=task.many,
        pack=pack,
    )
