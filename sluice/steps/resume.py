"""resume and approve: a further execution of a run; what was bought is kept, and only what is missing is bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.errors import Stop
from sluice.runs.keys import Keys
from sluice.runs.state import Resumption
from sluice.steps.plan import counts_so_far
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.steps.services import Services


def run(services: Services, run_id: str, max_usd: float | None = None, *, escalate_refused: bool = False) -> str:
    """Begin the next execution of a run and return its name.

    A tier that refused all it was sent is asked again first; what it refuses once more goes on to the next tier with
    `escalate_refused` alone.

    Raises:
        Stop: there is no such run, it is still under way, or it waits for an approval.
    """
    opened = Run(services.work, run_id)
    if not opened.exists:
        raise Stop(f"there is no run {run_id}")
    if services.workflow is not None and services.workflow.running(opened.execution):
        raise Stop(f"run {run_id} is still under way")
    if opened.waiting:
        raise Stop(f"run {run_id} waits for an approval: `sluice approve {run_id}` lets it go on")
    refuse_closed(services, run_id)
    return execute_again(services, opened, max_usd=max_usd, escalate_refused=escalate_refused)


def refuse_closed(services: Services, run_id: str) -> None:
    """Refuse a run of which `sluice forget` has taken away what it worked with.

    Raises:
        Stop: with the way that is left.

    """
    if services.work.exists(Keys(run_id).forgotten):
        why = "rows of it were forgotten, and with them what it worked with"
        raise Stop(f"run {run_id} is closed: {why}; its results stay, and a new run of the files asks anew")


def approve(services: Services, run_id: str) -> str:
    """Note that a waiting run's cost is agreed to, start its next execution, and return that one's name.

    Approving once more what has just been approved starts the same execution.

    Raises:
        Stop: there is no such run, or it does not wait for an approval.

    """
    opened = Run(services.work, run_id)
    if not opened.exists:
        raise Stop(f"there is no run {run_id}")
    if opened.waiting:
        return execute_again(services, opened, approved=True)
    if opened.resumptions and opened.resumptions[-1].approved and not services.work.exists(opened.keys.published):
        return begin_again(services, opened)
    raise Stop(f"run {run_id} does not wait for an approval; `sluice info {run_id}` shows how it stands")


def execute_again(
    services: Services,
    opened: Run,
    *,
    cancelled: bool = False,
    approved: bool = False,
    max_usd: float | None = None,
    escalate_refused: bool = False,
) -> str:
    """Note a further execution and start it; refusals that have been seen stop it no more."""
    forgiven = [(books.round, books.job) for books in counts_so_far(opened) if books.fatal]
    number = len(opened.resumptions) + 1
    document = Resumption(
        number=number,
        cancelled=cancelled,
        forgiven=forgiven,
        max_usd=max_usd,
        approved=approved,
        escalate_refused=escalate_refused,
    )
    services.work.put_new(opened.keys.resumption(number), document.write())
    return begin_again(services, Run(services.work, opened.id))


def begin_again(services: Services, opened: Run) -> str:
    """Start the latest execution that is noted, and return its name; one that has been started stays as it is."""
    if services.workflow is not None:
        services.workflow.start(opened.execution, opened.id, opened.settings.max_workers)
    return opened.execution
