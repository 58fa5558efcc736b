"""resume: a further execution of a run; what was bought is kept, and only what is missing is bought.

Removed are only the marks of the end: why no more rounds were sent, and what was merged from incomplete answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.errors import Stop
from sluice.state import Resumption
from sluice.steps.services import Run
from sluice.steps.sweep import counts_so_far

if TYPE_CHECKING:
    from sluice.steps.services import Services


def run(services: Services, run_id: str, max_usd: float | None = None) -> str:
    """Begin the next execution of a run and return its name.

    Raises:
        Stop: there is no such run, it is still under way, or it has been published as finished.
    """
    opened = Run(services.work, run_id)
    if not services.work.exists(opened.keys.start):
        raise Stop(f"there is no run {run_id}")
    if services.workflow is not None and services.workflow.running(opened.execution):
        raise Stop(f"run {run_id} is still under way")
    for key in (opened.keys.cancel, opened.keys.end, opened.keys.summary):
        services.work.delete(key)
    for key, _ in services.work.keys(f"{opened.keys.root}/merged/"):
        services.work.delete(key)
    return execute_again(services, opened, max_usd)


def execute_again(services: Services, opened: Run, max_usd: float | None = None) -> str:
    """Note a further execution and start it; refusals that have been seen stop it no more."""
    forgiven = [(books.round, books.job) for books in counts_so_far(opened) if books.fatal]
    number = len(opened.resumptions) + 1
    document = Resumption(number=number, forgiven=forgiven, max_usd=max_usd)
    services.work.put_new(opened.keys.resumption(number), document.write())
    name = f"{opened.id}-{number}"
    if services.workflow is not None:
        services.workflow.start(name, opened.id)
    return name
