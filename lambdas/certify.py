"""certify: say from the sampled rows which first answers stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.steps import certify

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    certify.run(services, event["run"])
    return event
