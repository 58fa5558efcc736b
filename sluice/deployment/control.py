"""What changes runs (approve, cancel, resume, rejudge): the deployed functions are asked, and they decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.deployment.standing import CANCELLING, FAILED, GOING_ON, WAITING, beginning, standing
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.aws.stack import Stack
    from sluice.task.task import Task


def cancel(stack: Stack, run: str) -> bool:
    """Have a run stopped and closed; whether that was under way already.

    Raises:
        BadRequest: the run has ended, or there is none.

    """
    now = standing(stack, run)
    if now.status not in GOING_ON | {WAITING}:
        hint = f"; `sluice resume {run}` goes on with it" if now.status == FAILED else ""
        raise BadRequest(f"run {run} has ended already: {now.status}{hint}")
    stack.sweep({"run": run, "reason": "cancelled"})
    return now.status == CANCELLING


def approve(stack: Stack, run: str) -> str:
    """Agree to the cost of a run that waits for it; the name of the execution with which it goes on."""
    beginning(stack, run)
    return str(stack.start({"approve": {"run": run}})["execution"])


def resume(stack: Stack, run: str, max_usd: float | None, *, escalate_refused: bool = False) -> str:
    """Start a further execution of a run, which buys only what is missing; its name.

    Raises:
        BadRequest: the run has not ended, waits for an approval, or there is none.

    """
    now = standing(stack, run)
    if now.status in GOING_ON:
        raise BadRequest(f"run {run} has not ended yet ({now.status}); `sluice watch {run}` waits for it")
    if now.status == WAITING:
        raise BadRequest(f"run {run} waits for an approval of its cost; `sluice approve {run}` lets it go on")
    wanted = {"run": run, "max_usd": max_usd, **({"escalate_refused": True} if escalate_refused else {})}
    return str(stack.start({"resume": wanted})["execution"])


def rejudge(stack: Stack, run: str, task: Task) -> str:
    """Start a run that judges the stored answers of another by a task; its id. Nothing is bought."""
    beginning(stack, run)
    return str(stack.start({"rejudge": {"run": run, "task": task.model_dump(mode="json")}})["run"])
