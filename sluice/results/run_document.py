"""run.json: what a run came to, as it is written for people and programs, and its one reader.

A run of an earlier version, or one that failed, has fewer fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import field

from sluice import figures
from sluice.decoding import convert
from sluice.figures import UNKNOWN
from sluice.results.audited import RunAudit
from sluice.results.certified import RunCertificate
from sluice.results.drift import RunDrift
from sluice.results.judge_books import RunJudge
from sluice.results.label_shares import RunLabelShares
from sluice.results.routed import RunRoute
from sluice.results.run_findings import Findings, Part
from sluice.results.scored import RunScore
from sluice.results.taught import RunTaught

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a status means: its name for people, and a sentence.
STATUS = {
    "succeeded": ("Succeeded", ""),
    "over_limit": ("Over a limit", "All rows are in the results, but a limit of the task was passed."),
    "nothing_accepted": ("Nothing accepted", "All rows are in the results with their reasons; no model settled any."),
    "cancelled": ("Cancelled", "The run was stopped before its end. What had been answered by then is counted here."),
    "failed": ("Failed", "The run did not reach its end."),
}


class RunInput(Part, frozen=True, kw_only=True):
    """One input object or file."""

    uri: str
    version: str | None = None
    bytes: int | None = None
    rows: int | None = None
    accepted: int | None = None
    unresolved: int | None = None
    rejected: int | None = None
    forgotten: int | None = None
    refused: str | None = None
    path: str | None = None


class RunPassedOver(Part, frozen=True, kw_only=True):
    """A version of an input that the run did not read, since a later one waited beside it."""

    uri: str
    version: str | None = None
    at: str | None = None


class Rows(Part, frozen=True, kw_only=True, rename={"total": "in"}):
    """The rows' books."""

    total: int = 0
    accepted: int = 0
    unresolved: int = 0
    rejected: int = 0
    forgotten: int = 0  # taken out of the results since; `in` counts them still


class RunForgotten(Part, frozen=True, kw_only=True):
    """Rows that were taken out of the results on one day, and what they had come to."""

    day: str
    rows: int = 0
    accepted: int = 0
    unresolved: int = 0
    rejected: int = 0


class RunSettled(Part, frozen=True, kw_only=True):
    """Of the rows those that people had settled before; no model was asked about them."""

    rows: int = 0


class Records(Part, frozen=True, kw_only=True):
    """The records' books: `sent` counts every attempt, `shared_rows` the rows whose column `shared` is true."""

    distinct: int = 0
    sent: int = 0
    shared_rows: int = 0


class RunRound(Part, frozen=True, kw_only=True):
    """What one round sent to one tier."""

    round: int
    tier: int
    purpose: str | None = None
    jobs: int = 0
    sent: int = 0


class RunTier(Part, frozen=True, kw_only=True):
    """What one tier took, over all rounds."""

    tier: int
    model: str
    transport: str | None = None
    sent: int = 0
    reused: int = 0
    answered: int = 0
    errored: int = 0
    missing: int = 0
    accepted: int = 0
    retried: int = 0
    escalated: int = 0
    unresolved: int = 0
    bypassed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None


class RunJob(Part, frozen=True, kw_only=True):
    """One job, as it ended."""

    round: int
    job: int | str
    tier: int
    judge: bool = False
    status: str | None = None
    message: str | None = None
    records: int = 0
    submitted: str | None = None
    ended: str | None = None

    @property
    def completed(self) -> bool:
        return self.status == "Completed"


class Cause(Part, frozen=True, kw_only=True):
    """Why nothing was accepted: the commonest reason, of how many rows, and what is likely behind it."""

    reason: str
    rows: int = 0
    likely: str = ""


class Prices(Part, frozen=True, kw_only=True):
    """Where the prices come from."""

    source: str | None = None
    date: str | None = None


class Ids(Part, frozen=True, kw_only=True):
    """How the users' own ids look; `duplicate` is None when it was not counted."""

    missing: int | None = None
    duplicate: int | None = None


class GoldTier(Part, frozen=True, kw_only=True):
    """Accepted rows of one tier with a known answer, and how many agree with it."""

    tier: int
    accepted: int = 0
    right: int = 0


class Gold(Part, frozen=True, kw_only=True):
    """How accepted rows agree with the answers that their owner knows."""

    known: int = 0
    outside: int = 0  # known answers that are no label, and are compared with nothing
    accepted: int = 0
    right: int = 0
    tiers: list[GoldTier] = field(default_factory=list)


class Escalations(Part, frozen=True, kw_only=True):
    """Records of one tier that went on to the next for one reason."""

    tier: int
    reason: str
    records: int


class Reused(Part, frozen=True, kw_only=True):
    """Replies from earlier runs: what they took then, and what they would have cost now."""

    records: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    saved_usd: float | None = 0.0


class Fillers(Part, frozen=True, kw_only=True):
    """Requests without a record, which fill a job up to the least number that Bedrock takes."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class Repeated(Part, frozen=True, kw_only=True):
    """Sampled records that the last tier was asked about once more, to hold it against itself."""

    records: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class Run(Part, frozen=True, kw_only=True):
    """run.json."""

    run_id: str = ""
    task: str = ""
    task_version: str = ""
    status: str = UNKNOWN
    error: str | None = None
    cause: Cause | None = None
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    answers: str = UNKNOWN
    inputs: list[RunInput] = field(default_factory=list)
    passed_over: list[RunPassedOver] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    forgotten: list[RunForgotten] = field(default_factory=list)
    settled: RunSettled = field(default_factory=RunSettled)
    records: Records = field(default_factory=Records)
    routes: list[RunRoute] = field(default_factory=list)
    rounds: list[RunRound] = field(default_factory=list)
    tiers: list[RunTier] = field(default_factory=list)
    jobs: list[RunJob] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    gold: Gold | None = None
    certificate: RunCertificate | None = None
    score: RunScore | None = None
    taught_by: RunTaught | None = None
    drift: RunDrift | None = None
    label_shares: RunLabelShares | None = None
    audit: RunAudit | None = None
    judge: RunJudge | None = None
    escalations: list[Escalations] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    definition: dict[str, Any] = field(default_factory=dict)
    cost_usd: float | None = None
    fillers: Fillers = field(default_factory=Fillers)
    repeats: Repeated = field(default_factory=Repeated)
    reused: Reused = field(default_factory=Reused)
    baseline_usd: float | None = None
    prices: Prices = field(default_factory=Prices)
    ids: Ids = field(default_factory=Ids)
    warnings: list[str] = field(default_factory=list)

    @property
    def repeated(self) -> int:
        """Rows of the input that shared the record of another, counted as the run counted them."""
        rejected = self.rows.rejected + sum(day.rejected for day in self.forgotten)
        return self.rows.total - rejected - self.settled.rows - self.records.distinct

    @property
    def complete(self) -> bool:
        """Whether the run reached its end, so that its results stand."""
        return self.status in {"succeeded", "over_limit"}

    @property
    def saved(self) -> float | None:
        """The share of the baseline that a complete run did not spend; None when a price is unknown."""
        if not self.complete or self.cost_usd is None or not self.baseline_usd:
            return None
        return 1 - self.cost_usd / self.baseline_usd

    @property
    def agreement(self) -> str | None:
        """How often accepted rows agree with the known answers, in a sentence; None without known answers."""
        if self.gold is None or not self.gold.accepted:
            return None
        by_tier = [
            f"{figures.short_model(self.tiers[tier.tier].model)} {figures.percent(tier.right, tier.accepted)}"
            for tier in self.gold.tiers
            if tier.accepted and tier.tier < len(self.tiers)
        ]
        return (
            f"{figures.percent(self.gold.right, self.gold.accepted)} of {self.gold.accepted:,} accepted rows agree "
            f"with the answer that was known for them ({', '.join(by_tier)})"
        )

    @property
    def unfinished_jobs(self) -> list[RunJob]:
        """Jobs that ended in any other way than Completed, or had something to say."""
        return [job for job in self.jobs if not job.completed or job.message]


def read_run(document: Mapping[str, object]) -> Run:
    """Read run.json, ignoring fields of a later version; `msgspec.ValidationError` when it is no run.json."""
    return convert(document, Run)
