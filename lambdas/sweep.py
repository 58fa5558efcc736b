"""sweep: stop what still runs behind a run that was cancelled or broke off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.steps import sweep

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    return sweep.run(services, event)
