"""score: how likely the oracle would give each first answer of a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambdas.runtime import step
from sluice.decoding import convert
from sluice.runs.drawn import ShardItem
from sluice.steps import score

if TYPE_CHECKING:
    from sluice.steps.services import Services


@step
def handler(event: dict[str, Any], services: Services) -> dict[str, Any]:
    score.run(services, convert(event, ShardItem))
    return {}
