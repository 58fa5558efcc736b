"""What a job keeps on its way: what was prepared and sent, when it was looked at, and how it ended."""

from __future__ import annotations

from collections import Counter

from msgspec import field

from sluice.runs.document import Document
from sluice.runs.state import Pending


class Prepared(Document, frozen=True, kw_only=True):
    """What prepare wrote: records sent, `reused` (listed behind them) and held back, fillers, bytes of the input.

    `moved`: what routes or a text's length send to another tier than the job's, or no further than another.
    """

    records: int
    rows: int
    bytes: int
    transport: str
    held: Pending | None = None
    moved: list[Pending] = field(default_factory=list)
    fillers: int = 0
    reused: int = 0

    def moved_beyond(self, tier: int) -> dict[int, int]:
        """How many records start at which tier behind this one."""
        found: Counter[int] = Counter()
        for pending in self.moved:
            found[pending.tier] += pending.records
        return {later: count for later, count in found.items() if later > tier}


class Submitted(Document, frozen=True, kw_only=True):
    """The Bedrock job of this job."""

    job_arn: str
    at: str


class Looked(Document, frozen=True, kw_only=True):
    """How many of its records a job had processed at the latest look; `records` as Bedrock has counted them."""

    processed: int
    records: int | None = None


THROTTLED = "Throttled"  # how a job on demand ends that was throttled for too long


class Throttled(Document, frozen=True, kw_only=True):
    """Since when all calls of a job have been throttled."""

    since: str


class Failed(Document, frozen=True, kw_only=True):
    """Why a job has no books: the run stops with this, and a resumed run takes the job up again."""

    error: str
    cause: str


class Ended(Document, frozen=True, kw_only=True):
    """How the job ended, and when: of one that went on demand, from its first call on."""

    status: str
    message: str | None
    submitted: str | None
    ended: str | None
