"""partition: one span of the input becomes keyed rows in buckets, and a compressed copy of them that lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.state import Span
from sluice.steps import keep, partition

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    span = convert(event, Span, strict=False)
    partition.run(services, span)
    keep.run(services, span)
    return {}
