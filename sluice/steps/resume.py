"""resume: a further execution of a run; what was bought is kept, and only what is missing is bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.errors import Stop
from sluice.state import Resumption
from sluice.steps.plan import counts_so_far
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.steps.services import Services


def run(services: Services, run_id: str, max_usd: float | None = None) -> str:
    """Begin the next execution of a run and return its name.

    Raises:
        Stop: there is no such run, or it is still under way.
    """
    opened = Run(services.work, run_id)
    if not services.work.exists(opened.keys.start):
        raise Stop(f"there is no run {run_id}")
    if services.workflow is not None and services.workflow.running(opened.execution):
        raise Stop(f"run {run_id} is still under way")
    return execute_again(services, opened, cancelled=False, max_usd=max_usd)


def execute_again(services: Services, opened: Run, *, cancelled: bool, max_usd: float | None = None) -> str:
    """Note a further execution and start it; refusals that have been seen stop it no more."""
    forgiven = [(books.round, books.job) for books in counts_so_far(opened) if books.fatal]
    number = len(opened.resumptions) + 1
    document = Resumption(number=number, cancelled=cancelled, forgiven=forgiven, max_usd=max_usd)
    services.work.put_new(opened.keys.resumption(number), document.write())
    name = f"{opened.id}-{number}"
    if services.workflow is not None:
        services.workflow.start(name, opened.id, opened.settings.max_workers)
    return name
