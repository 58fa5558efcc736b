"""A run's report: one HTML file without any outside resource, made from run.json alone.

`read_run` is the one reader of run.json; the command line's summary uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from msgspec import field

from sluice import figures
from sluice.figures import UNKNOWN
from sluice.flow import draw_flow
from sluice.reasons import REJECTIONS, TRANSPORT, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

# What a status means: the words of the report's badge, and its sentence.
STATUS = {
    "succeeded": ("Succeeded", ""),
    "over_limit": ("Over a limit", "All rows are in the results, but a limit of the task was passed."),
    "cancelled": ("Cancelled", "The run was stopped before its end. What had been answered by then is counted here."),
    "failed": ("Failed", "The run did not reach its end."),
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A section of run.json. A field that a failed run could not fill is missing there, and has a default here."""


class RunInput(Part, frozen=True, kw_only=True):
    """One input object or file."""

    uri: str
    version: str | None = None
    bytes: int | None = None
    rows: int | None = None


class Rows(Part, frozen=True, kw_only=True, rename={"total": "in"}):
    """The rows' books."""

    total: int = 0
    accepted: int = 0
    unresolved: int = 0
    rejected: int = 0


class Records(Part, frozen=True, kw_only=True):
    """The records' books: `sent` counts every attempt."""

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
    answered: int = 0
    errored: int = 0
    missing: int = 0
    accepted: int = 0
    retried: int = 0
    escalated: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class RunJob(Part, frozen=True, kw_only=True):
    """One job, as it ended."""

    round: int
    job: int | str
    tier: int
    status: str | None = None
    message: str | None = None
    records: int = 0
    submitted: str | None = None
    ended: str | None = None

    @property
    def completed(self) -> bool:
        return self.status == "Completed"


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
    accepted: int = 0
    right: int = 0
    tiers: list[GoldTier] = field(default_factory=list)


class Run(Part, frozen=True, kw_only=True):
    """run.json."""

    run_id: str = ""
    task: str = ""
    task_version: str = ""
    status: str = UNKNOWN
    error: str | None = None
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    answers: str = UNKNOWN
    inputs: list[RunInput] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    records: Records = field(default_factory=Records)
    rounds: list[RunRound] = field(default_factory=list)
    tiers: list[RunTier] = field(default_factory=list)
    jobs: list[RunJob] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    gold: Gold | None = None
    cost_usd: float | None = None
    baseline_usd: float | None = None
    prices: Prices = field(default_factory=Prices)
    ids: Ids = field(default_factory=Ids)
    warnings: list[str] = field(default_factory=list)

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
    return msgspec.convert(document, Run)


def stand_in(answers: str) -> tuple[str, str] | None:
    """Say in a headline and a sentence where the answers came from, or None when Bedrock gave them."""
    kind, _, rest = answers.partition(":")
    match kind:
        case "bedrock":
            return None
        case "standin":
            return (
                "Stand-in answers",
                "A small program answered in place of the models: labels are its guesses, costs an estimate.",
            )
        case "replay":
            return "Recorded answers", f"The answers were replayed from {rest}; no model was asked."
        case "rejudge":
            return "Judged again", f"The stored answers of {rest} were judged anew; nothing was bought."
        case "openai":
            server, _, model = rest.rpartition("#")
            return "Answers of another model", f"{model} at {server} answered in place of the models of the task."
        case _:
            return "Answers of unknown origin", f"run.json names {answers} as the source of the answers."


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a bar chart; `width` is in percent of the longest."""

    name: str
    count: int
    share: str
    width: float
    note: str


@dataclass(frozen=True, slots=True)
class CostBars:
    """Each tier's cost and the last tier's alone, in percent of the wider of the two bars."""

    tiers: list[float]
    baseline: float


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """Make bars of counts, the longest first; a reason code carries what it is about."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most, total = max(counts.values(), default=0), sum(counts.values())
    return [
        Bar(name, count, figures.percent(count, total), round(100 * count / most, 2) if most else 0, about(name))
        for name, count in ordered
    ]


def about(code: str) -> str:
    """Say what a reason code is about: the row, the answer, the transport or the run; empty for other words."""
    if code in REJECTIONS:
        return "row"
    if code in TRANSPORT:
        return "transport"
    if code in (Reason.BUDGET, Reason.CANCELLED):
        return "run"
    return "answer" if code in tuple(Reason) else ""


def cost_bars(run: Run) -> CostBars | None:
    """Compare the run with the last tier alone, or return None when the run is not complete or a cost is unknown."""
    costs = [tier.cost_usd for tier in run.tiers if tier.cost_usd is not None]
    if not run.complete or len(costs) < len(run.tiers) or run.baseline_usd is None:
        return None
    widest = max(sum(costs), run.baseline_usd)
    if not widest:
        return None
    return CostBars([round(100 * cost / widest, 2) for cost in costs], round(100 * run.baseline_usd / widest, 2))


def render(run: Mapping[str, object]) -> str:
    """Render run.json as one HTML page; it holds nothing of the rows' texts, as run.json holds nothing of them."""
    view = read_run(run)
    return _template().render(
        run=view,
        flow=draw_flow(view),
        stand_in=stand_in(view.answers),
        status=STATUS.get(view.status, (view.status, "")),
        labels=bars(view.labels),
        reasons=bars(view.reasons),
        costs=cost_bars(view),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 (only publish and report need it)

    environment = Environment(
        loader=PackageLoader("sluice", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("dollars", "percent", "duration", "size", "short_model", "moment", "elapsed"):
        environment.filters[name] = getattr(figures, name)
    environment.filters["count"] = "{:,}".format
    return environment.get_template("report.html.j2")
