"""publish: prove that the books balance, then publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import count, metrics, step
from sluice.steps import publish

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, str]:
    summary = publish.run(services, event["run"])
    for name in ("accepted", "unresolved", "rejected"):
        metrics.add_metric(f"Rows{name.title()}", count, summary["rows"][name])
    return {"status": summary["status"]}
