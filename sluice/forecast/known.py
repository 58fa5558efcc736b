"""What a folder of earlier runs knows of a run's records: for whom no model will be asked, and what is left to pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.aws.folder import Folder
from sluice.budget import costs
from sluice.errors import BadRequest
from sluice.figures import dollars
from sluice.files import plain
from sluice.results.folder import read_document
from sluice.runs.accounting import total
from sluice.steps.reuse import known_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from sluice.steps.services import Run


class Known:
    """Counts by tier the records whose replies a folder keeps, shard by shard; only keys are read."""

    def __init__(self, opened: Run, folder: Path) -> None:
        self.opened, self.folder = opened, folder
        self.store = Folder("work", folder)
        self.answers = str(read_document(folder)["answers"])
        self.records = [0] * len(opened.start.tiers)

    def take(self, shard: int, wanted: Collection[bytes]) -> None:
        """Count those of a shard's records."""
        for tier in range(len(self.records)):
            self.records[tier] += len(known_keys(self.opened, self.store, (tier, shard), self.answers, wanted))

    def document(self, load: costs.Load, shares: Sequence[float], least: int) -> dict[str, Any]:
        """How many records of each tier are known, and what the others are expected to cost.

        `shares`: of each tier's records those that go on; `least`: the fewest requests of a batch job. Records that
        went on before go on again: of those that reach a later tier, all that it knows are left out.
        """
        tiers, sent = self.opened.start.tiers, load.sent(shares)
        new = [max(0, count - known) for count, known in zip(sent, self.records, strict=True)]
        usd = total(
            costs.expected_usd(tier, load, costs.expected_way(tier, load, count, least), count) if count else 0.0
            for tier, count in zip(tiers, new, strict=True)
        )
        return {"folder": str(self.folder), "records": self.records, "asked": new, "expected_usd": usd}


def check_kept(folder: Path | None, *, reuses: bool) -> None:
    """Make sure that a folder's replies would be used.

    Raises:
        BadRequest: the task uses none, or no run lies there.

    """
    if folder is None:
        return
    if not reuses:
        raise BadRequest("is of no use: the task has no `reuse`, so that its runs use no earlier replies", "out")
    read_document(folder)


def known_in_words(known: dict[str, Any]) -> str:
    """The same as a sentence."""
    first, usd = known["records"][0], known["expected_usd"]
    cost = "at an unknown price" if usd is None else f"for {dollars(usd)}"
    return f"{plain(known['folder'])} keeps replies to {first:,} of the records: the others are expected {cost}."
