"""plan: cut the next round into jobs, or end the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lambdas.runtime import step
from sluice.steps import plan

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    return msgspec.to_builtins(plan.run(services, event["run"], event["round"]))  # type: ignore[no-any-return]
