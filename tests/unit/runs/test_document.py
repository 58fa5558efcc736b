from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sluice.errors import Stop
from sluice.models.prices import Price
from sluice.runs.document import Document, read
from sluice.runs.state import FrozenTier
from sluice.task.tiers import Tier, Transport

TIER = FrozenTier(
    **Tier(model="nova-micro", transport=Transport.BATCH, temperature=0.3, attempts=5).model_dump(),
    model_id="us.amazon.nova-micro-v1:0",
    batch=True,
    price=Price(0.1, None, 0.3, 0.4),
)


class Kept(Document, frozen=True, kw_only=True):
    tiers: list[FrozenTier]


def kept(**changes: Any) -> bytes:
    document = msgspec.json.decode(Kept(tiers=[TIER]).write())
    document["tiers"][0].update(changes)
    return msgspec.json.encode(document)


def test_a_part_of_the_task_is_kept_with_all_its_options() -> None:
    """What is read is what was written, whichever options the task file has by then."""
    assert read(Kept, kept(), "start.json").tiers == [TIER]


def test_a_tier_of_an_earlier_or_a_later_version_is_read() -> None:
    """An option that came later has its default, and one that this version does not know is let pass."""
    data = kept(option_of_tomorrow=7)
    document = msgspec.json.decode(data)
    del document["tiers"][0]["transport"]
    (tier,) = read(Kept, msgspec.json.encode(document), "start.json").tiers
    assert tier == TIER.model_copy(update={"transport": Transport.AUTO})


def test_a_damaged_tier_stops_the_run() -> None:
    """A part that its own type refuses is a document that cannot be read, and is called by its key."""
    with pytest.raises(Stop, match=r"runs/r/start\.json is no Kept"):
        read(Kept, kept(attempts="many"), "runs/r/start.json")
