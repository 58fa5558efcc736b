"""start: an S3 event, a tick of the schedule or a command begins a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import deployment, step
from sluice.steps import start

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, str | None]:
    return {"run": start.run(services, deployment(), event)}
