"""publish: prove that the books balance, then publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.steps import publish

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, str]:
    summary = publish.run(services, event["run"])
    cause = summary.get("cause") or {}
    return {"status": summary["status"], "cause": " ".join(str(part) for part in cause.values())}
