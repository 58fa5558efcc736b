"""Classify texts in batches: every row to the cheapest model, only failed answers to a stronger one.

    import sluice

    task = sluice.load_task("tickets")
    plan = sluice.plan("tickets.jsonl", task)
    run = sluice.run("tickets.jsonl", task, out="out/tickets")

docs/api.md tells all of it. Each name is fetched when it is first asked for: `import sluice` loads nothing else, and no
deployed function loads what serves one machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice import errors
    from sluice.api.deployment import DeployedRun, Deployment
    from sluice.api.forecasting import pilot, plan
    from sluice.api.local import Run, open_run, run
    from sluice.api.tasks import load_task

__all__ = [
    "DeployedRun",
    "Deployment",
    "Run",
    "errors",
    "load_task",
    "open_run",
    "pilot",
    "plan",
    "run",
]

_HOMES = {
    "DeployedRun": "sluice.api.deployment",
    "Deployment": "sluice.api.deployment",
    "Run": "sluice.api.local",
    "load_task": "sluice.api.tasks",
    "open_run": "sluice.api.local",
    "pilot": "sluice.api.forecasting",
    "plan": "sluice.api.forecasting",
    "run": "sluice.api.local",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - nothing is loaded before it is asked for

    if name == "errors":
        return import_module("sluice.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
