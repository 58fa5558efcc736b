"""partition: one span of the input becomes keyed rows in buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.state import Span
from sluice.steps import partition

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    partition.run(services, convert(event, Span, strict=False))
    return {}
