"""A run's report: one HTML file that needs nothing from outside, made from run.json alone.

`read_run` is the one reader of run.json; the command line's summary uses it too.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from markupsafe import Markup
from msgspec import field

from sluice import figures
from sluice.figures import UNKNOWN
from sluice.reasons import Status, about
from sluice.report import charts
from sluice.report.flow import draw_flow
from sluice.report.vega import charts_library
from sluice.runs.books import SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

LISTED = 500  # jobs, inputs and warnings in the page; run.json has them all
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
    unresolved: int = 0
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


class Escalations(Part, frozen=True, kw_only=True):
    """Records of one tier that went on to the next for one reason."""

    tier: int
    reason: str
    records: int


class TierRows(Part, frozen=True, kw_only=True):
    """Rows that were accepted from one tier."""

    tier: int
    rows: int


class TierLabel(Part, frozen=True, kw_only=True):
    """Rows that one tier gave one label."""

    tier: int
    label: str
    rows: int


class TierConfidence(Part, frozen=True, kw_only=True):
    """Rows to which one tier answered that it is so sure."""

    tier: int
    confidence: str
    accepted: bool
    rows: int


class Change(Part, frozen=True, kw_only=True):
    """Rows whose first answer a later tier changed."""

    first: str
    final: str
    rows: int


class Known(Part, frozen=True, kw_only=True):
    """Rows with a known answer, by tier and confidence of the given one."""

    tier: int
    confidence: str | None
    right: bool
    rows: int


class Mistake(Part, frozen=True, kw_only=True):
    """Rows that were given another answer than the known one."""

    known: str
    given: str
    rows: int


class Shown(Part, frozen=True, kw_only=True):
    """A row to look at."""

    status: str
    source: str
    line: int
    text: str
    reason: str | None = None
    tier: int | None = None
    label: str | None = None
    confidence: str | None = None
    first: str | None = None


class Findings(Part, frozen=True, kw_only=True):
    """What the rows tell beyond the books."""

    accepted: list[TierRows] = field(default_factory=list)
    labels: list[TierLabel] = field(default_factory=list)
    confidence: list[TierConfidence] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    compared: int = 0
    changed: int = 0
    known: list[Known] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    examples: list[Shown] = field(default_factory=list)


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
    escalations: list[Escalations] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    definition: dict[str, Any] = field(default_factory=dict)
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


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """Make bars of counts, the longest first; a reason code carries what it is about."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most, total = max(counts.values(), default=0), sum(counts.values())
    return [
        Bar(name, count, figures.percent(count, total), round(100 * count / most, 2) if most else 0, about(name))
        for name, count in ordered
    ]


@dataclass(frozen=True, slots=True)
class Kind:
    """Example rows of one kind, and how many rows there are of it."""

    title: str
    count: int
    style: str
    rows: list[Shown]


def kinds_of(run: Run) -> list[Kind]:
    """Group the example rows: accepted by tier, unresolved, rejected."""
    shown = run.findings.examples
    kinds = [
        Kind(
            f"Accepted from {name}",
            sum(item.rows for item in run.findings.accepted if item.tier == tier),
            charts.style_of(tier),
            [row for row in shown if row.status == Status.ACCEPTED and row.tier == tier],
        )
        for tier, name in enumerate(charts.tier_names(run))
    ]
    for status, style in ((Status.UNRESOLVED, "rest"), (Status.REJECTED, "rejected")):
        rows = [row for row in shown if row.status == status]
        kinds.append(Kind(status.capitalize(), getattr(run.rows, status), style, rows))
    return [kind for kind in kinds if kind.rows]


def render(document: Mapping[str, object]) -> str:
    """Render run.json as one HTML page that needs nothing from outside.

    Raises:
        Stop: the library of the charts is not there.

    """
    run = read_run(document)
    drawn = charts.draw_charts(run)
    scripts = [charts_library(), _resource("report.js")]
    return _template().render(
        run=run,
        names=charts.tier_names(run),
        flow=draw_flow(run),
        stand_in=stand_in(run.answers),
        status=STATUS.get(run.status, (run.status, "")),
        charts=drawn,
        kinds=kinds_of(run),
        rounds=len({item.round for item in run.rounds}),
        definition=_as_yaml(run.definition),
        book=_in_script({"config": charts.CONFIG, "specs": {name: chart.spec for name, chart in drawn.items()}}),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own, and held to by the policy
        policy=_policy(scripts),
        style_sheet=Markup(_resource("report.css")),  # noqa: S704
        few=charts.FEW,
        most=LISTED,
        shown=SHOWN,
    )


def _policy(scripts: Sequence[str]) -> str:
    """Forbid all but the page's own two scripts, by their hashes, and its own style."""
    hashes = (b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _in_script(document: object) -> Markup:
    """A JSON document as it may stand in a script tag: no character that HTML or a script would take for its own."""
    text = json.dumps(document, separators=(",", ":"))  # pure ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def _as_yaml(definition: Mapping[str, Any]) -> str:
    if not definition:
        return ""
    return str(yaml.safe_dump(dict(definition), sort_keys=False, allow_unicode=True, width=100))


@cache
def _resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 (only publish and report need it)

    environment = Environment(
        loader=PackageLoader("sluice.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("dollars", "percent", "duration", "size", "short_model", "moment", "elapsed", "visible", "place"):
        environment.filters[name] = getattr(figures, name)
    environment.filters["count"] = "{:,}".format
    environment.filters["style"] = charts.style_of
    environment.filters["meaning"] = charts.meaning
    return environment.get_template("report.html.j2")
