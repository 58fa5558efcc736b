"""check: settle a job, in whatever state it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lambdas.runtime import count, metrics, step
from sluice.state import JobItem
from sluice.steps import check

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    counts = check.run(services, msgspec.convert(event, JobItem), event.get("error"))
    if counts is not None:
        for name in ("sent", "accepted", "escalated", "retried", "missing", "errored"):
            metrics.add_metric(f"Records{name.title()}", count, getattr(counts, name))
    return {}
