"""learn: teach the score of first answers by the drawn train rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.steps import learn

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    learn.run(services, event["run"])
    return event
