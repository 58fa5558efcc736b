"""merge: join one part of the rows with their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.state import Part
from sluice.steps import merge

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    merge.run(services, convert(event, Part))
    return {}
