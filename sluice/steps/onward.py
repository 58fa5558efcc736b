"""The records that a job leaves for later ones, each kind in an object of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.answers.packs import next_pack
from sluice.steps.selection import PendingWriter

if TYPE_CHECKING:
    from sluice.runs.state import JobItem, Pending, PlannedJob
    from sluice.steps.services import Run


class PendingWriters:
    """Keeps records that are to be sent again, by why and by the last tier that they may go on to."""

    def __init__(self, run: Run, item: JobItem, job: PlannedJob) -> None:
        self.run, self.item = run, item
        self.most = len(run.start.tiers) - 1
        tier, attempt, pack, most = job.tier, job.attempt, job.pack, run.answerer(job).pack
        self.goals = {
            "retry": (tier, attempt + 1, 1 if most > 1 else None),
            "half": (tier, attempt, next_pack(most, pack)),
            "alone": (tier, attempt, 1),
            "next": (tier + 1, 1, None),
            "refused": (tier, attempt, pack),
            "asked": (tier, attempt, pack),
            "fill": (tier, attempt, pack),
            "simple": (tier, 1, None),
            "judge": (tier, 1, None),
        }
        again = {"retry", "half", "alone", "refused", "asked", "fill"}
        self.asks_router = again - {"half", "alone"} if job.router else set()
        self.asks_judge = again if job.judge else {"judge"}
        self.writers: dict[tuple[str, int], PendingWriter] = {}

    def add(self, why: str, last: int, key: bytes, escaped: bytes) -> None:
        """Take one record."""
        if (why, last) not in self.writers:
            (tier, attempt, pack), whole = self.goals[why], last == self.most
            name = why if whole else f"{why}-to-{last}"
            place = self.run.keys.pending(self.item.round, self.item.job, tier, attempt, name)
            end, router, judge = None if whole else last, why in self.asks_router, why in self.asks_judge
            writer = PendingWriter(self.run.store, place, tier, attempt, pack, end, router=router, judge=judge)
            self.writers[why, last] = writer
        self.writers[why, last].add(key, escaped)

    def close(self) -> list[Pending]:
        """Finish the objects."""
        return [
            msgspec.structs.replace(
                pending, refused=why in {"refused", "asked"}, asked=why == "asked", fill=why == "fill"
            )
            for (why, _), writer in self.writers.items()
            if (pending := writer.close()) is not None
        ]
