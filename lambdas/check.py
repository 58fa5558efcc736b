"""check: settle a job, in whatever state it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.state import JobItem
from sluice.steps import check

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    check.run(services, convert(event, JobItem), event.get("error"))
    return {}
