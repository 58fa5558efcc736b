"""answer: let what the run has taught itself answer a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.state import JobItem
from sluice.steps import answer

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    item = convert(event, JobItem)
    return msgspec.to_builtins(answer.run(services, item))  # type: ignore[no-any-return]
