"""A pilot: a sample is answered by the first and the strongest tier, before everything is bought."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import pyarrow.parquet as pq

from sluice.budget import costs
from sluice.errors import BadRequest, Unfinished
from sluice.files import write_whole
from sluice.forecast.cautions import warnings_of
from sluice.forecast.forecast import planned
from sluice.forecast.pilot import Tokens, answered, bill, find, tokens_of
from sluice.forecast.texts import Lot
from sluice.forecast.ways import taken
from sluice.quality.intervals import BASIS
from sluice.reasons import Reason
from sluice.results.origin import stand_in
from sluice.results.published import why
from sluice.runs import accounting
from sluice.task.file import parse_task
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from sluice.aws.s3 import Store
    from sluice.forecast.estimate import Asked, Estimate, Forecast
    from sluice.forecast.forecast import Progress
    from sluice.forecast.pilot import Findings
    from sluice.forecast.texts import Drawn
    from sluice.quality.intervals import Share
    from sluice.task.task import Task

    Runner = Callable[..., Mapping[str, Any]]

SAMPLE = "sample.jsonl"
FINDINGS = "pilot.json"
STRONGEST = "strongest"  # the folder of the strongest tier's own run
ENDED_WELL = frozenset({"succeeded", "over_limit"})


class Purchase(NamedTuple):
    """What a pilot is about to ask: calls by model id, and dollars; None where a price is unknown."""

    calls: list[tuple[str, int]]
    expected_usd: float | None


@dataclass(frozen=True, slots=True)
class Pilot:
    """A pilot: what was found on the sample, and what it says of all `records`. Costs are dollars, None where unknown.

    `expected_usd` is what all records cost, between `low_usd` and `high_usd` by the 95% interval of the shares that go
    on; `strongest_usd` what the last tier alone would, `spent_usd` what the pilot itself did. Of `plan` the tiers,
    their sum and the warnings go by what was measured, the rest is what a plan estimates. `rows` names the drawn rows.
    """

    task: str
    answers: str
    seed: int
    records: int
    findings: Findings
    expected_usd: float | None
    low_usd: float | None
    high_usd: float | None
    strongest_usd: float | None
    spent_usd: float | None
    gold: Sequence[dict[str, Any] | None]
    plan: Forecast
    rows: list[dict[str, Any]]

    @property
    def note(self) -> tuple[str, str] | None:
        """Where the answers came from, if not from the task's models."""
        return stand_in(self.answers)

    def as_document(self) -> dict[str, Any]:
        """Make the document that a program reads; it holds no row's text."""
        found = self.findings
        return {
            "schema_version": 1,
            "task": self.task,
            "answers": self.answers,
            "stand_in": None if self.note is None else self.note[1],
            "n": found.records,
            "seed": self.seed,
            "basis": f"{BASIS}; drawn uniformly from {self.records:,} distinct records",
            "agreement": _document(found.agreement),
            "differences": [
                {"first": first, "strongest": second, "records": count} for first, second, count in found.differences
            ],
            "unanswered_by_strongest": found.unanswered,
            "escalated": [_document(part) for part in found.escalated],
            "gold": list(self.gold),
            "expected_usd": self.expected_usd,
            "expected_low_usd": self.low_usd,
            "expected_high_usd": self.high_usd,
            "strongest_usd": self.strongest_usd,
            "spent_usd": self.spent_usd,
            "plan": msgspec.to_builtins(self.plan.as_document()),
            "rows": self.rows,
        }


def _document(part: Share) -> dict[str, Any]:
    return {**asdict(part), "share": part.value if part.of else None}


class Said(Protocol):
    """Who answers, as the runner knows it."""

    @property
    def said(self) -> str:
        """As run.json has it."""

    @property
    def kinds(self) -> set[str]:
        """Which kinds of source there are."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried: `records` are drawn by `seed`, and answered by `answers`, into the folder `out`.

    `settings` are those that somebody has chosen for the runs over the sample; `notes` what there is to say before.
    """

    asked: Asked
    records: int
    seed: int
    answers: Said
    out: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def run(
        self,
        bucket: Callable[[str], Store],
        runner: Runner,
        on_reading: Progress,
        before: Callable[[Purchase], None] = lambda _purchase: None,
    ) -> Pilot:
        """Draw the sample, have it answered, and conclude; `before` is told what is about to be asked.

        `runner` runs a file of rows by a task, leaves the results in a folder, and returns run.json.

        Raises:
            BadRequest: no row can be sent, or the task scores answers.
            Unfinished: a run over the sample did not reach its end, or its budget kept records out.

        """
        if self.asked.task.gives_scores:
            raise BadRequest(
                "a pilot cannot tell what a score lets pass: it takes the drawn rows of a whole run to teach it. Leave "
                "quality, min_score and train out of the task for it, or see what each share that goes on costs: "
                "`sluice plan`"
            )
        lot = Lot(self.records, self.seed)
        with planned(self.asked, bucket, on_reading, lot) as estimate:
            if not lot.drawn:
                raise BadRequest("the inputs hold no row that could be sent; `sluice plan` shows why")
            before(purchase(estimate, len(lot.drawn)))
            documents = self._answers(runner, lot.drawn)
            made = conclude(self, estimate, lot.drawn, documents)
        document = msgspec.json.format(msgspec.json.encode(made.as_document()), indent=2)
        write_whole(self.out / FINDINGS, document + b"\n")
        return made

    def _answers(self, runner: Runner, drawn: Sequence[Drawn]) -> list[Mapping[str, Any]]:
        """Run the task as it is, on demand, and where its strongest tier is another model that alone; each run.json."""
        task = self.asked.task
        own = {name for name, entry in self.asked.catalog.entries.items() if entry.openai is not None}
        places = [(self.out, on_demand(task, slice(None), own))]
        if task.tiers[-1].model != task.tiers[0].model:
            places.append((self.out / STRONGEST, on_demand(task, slice(-1, None), own)))
        documents = []
        sample = (
            self.out / ".pilot" / SAMPLE
        )  # the same file for each pilot here: a later one takes the place of its rows
        write_whole(sample, b"".join(row.raw + b"\n" for row in drawn))
        for out, part in places:
            document = runner(
                inputs=[sample],
                task=part,
                out=out,
                answers=self.answers,
                settings=self.settings,
                region=self.asked.region,
                part_of=task,
            )
            shutil.copy(sample, self.out / SAMPLE)
            documents.append(_whole(document))
        return documents


def _whole(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a run that has reached its end, with all records asked."""
    if Reason.BUDGET in document.get("reasons", {}):
        what = "budget.max_usd of the task stopped the pilot, so it shows nothing: draw fewer records (-n)"
        raise Unfinished(what, "failed")
    if (status := str(document["status"])) not in ENDED_WELL:
        raise Unfinished(f"the pilot broke off, its run is {status}: {why(document) or 'see its report'}", status)
    return document


def purchase(estimate: Estimate, drawn: int) -> Purchase:
    """What the tiers are about to be asked for a sample, and what that is expected to cost."""
    tiers, load = estimate.opened.start.tiers, estimate.load
    asked = load.sent(estimate.shares, of=drawn / max(1, load.records))
    if tiers[-1].model_id != tiers[0].model_id:
        asked[-1] += drawn
    calls = [(tier, load, count) for tier, count in zip(tiers, asked, strict=True)]
    if (judge := estimate.opened.start.judge) is not None:  # of the strongest tier on its own it sees no answer
        shown = load.sent(estimate.shares, of=drawn / max(1, load.records))
        calls.append((judge, load.of_judge, sum(shown)))
    usd = accounting.total(costs.expected_usd(who, of, Transport.ON_DEMAND, count) for who, of, count in calls)
    return Purchase([(who.called, count) for who, _, count in calls], usd)


def on_demand(task: Task, tiers: slice, own: Collection[str] = ()) -> Task:
    """The task with some of its tiers, each asked on demand: a sample is too small for batch jobs, and soon needed.

    Those of one's `own` servers, which have no jobs, stay as they are.
    """
    data = task.model_dump(mode="json")
    data["tiers"] = [
        tier if tier["model"] in own else {**tier, "transport": Transport.ON_DEMAND.value}
        for tier in data["tiers"][tiers]
    ]
    data["limits"] = {}
    judge = data["gates"]["judge"]
    if judge is not None and judge["model"] not in own:
        data["gates"]["judge"] = {**judge, "transport": Transport.ON_DEMAND.value}
    if len(data["tiers"]) < len(task.tiers):
        data |= {"routes": [], "router": None}  # about tiers that are not there, and all of the sample is asked
        data["gates"]["judge"] = None  # the strongest tier is what the others are compared with
    data["audit"] = None  # the pilot asks the strongest tier itself, about all of its sample
    return parse_task(data, f"the pilot of {task.name}")


def rows_in(out: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run in the order of the sample."""
    parts = sorted((out / "results" / document["task"]).glob(f"**/{document['run_id']}-part-*.parquet"))
    columns = ["line", "status", "labels", "tier", "trail"]
    rows = [row for part in parts for row in pq.ParquetFile(part).read(columns).to_pylist()]
    return sorted(rows, key=lambda row: row["line"])


def conclude(trial: Trial, estimate: Estimate, drawn: Sequence[Drawn], documents: Sequence[Mapping[str, Any]]) -> Pilot:
    """What the runs over the sample say of all records."""
    strongest = documents[1] if len(documents) > 1 else None
    rows = rows_in(trial.out, documents[0])
    others = rows_in(trial.out / STRONGEST, strongest) if strongest else None
    tiers = estimate.opened.start.tiers
    whole = len(drawn) == estimate.load.records
    found = find(answered(rows, others), len(tiers), all_of_them=whole)
    measured = tokens_of(documents[0]["tiers"], strongest["tiers"][0] if strongest else None)
    guessed = Tokens(*(count / max(1, found.records) for count in estimate.load.expected_tokens(found.records)))
    tokens = [mean or guessed for mean in measured]
    made = estimate.forecast([part.value for part in found.escalated])
    each = bill_at(estimate, tokens, [part.value for part in found.escalated])
    alone = taken(
        tiers[-1], estimate.load, estimate.load.records, 1, estimate.asked.settings.min_records_per_job
    ).transport
    return Pilot(
        task=documents[0]["task"],
        answers=trial.answers.said,
        seed=trial.seed,
        records=estimate.load.records,
        findings=found,
        expected_usd=accounting.total(each),
        low_usd=accounting.total(bill_at(estimate, tokens, [part.low for part in found.escalated])),
        high_usd=accounting.total(bill_at(estimate, tokens, [part.high for part in found.escalated])),
        strongest_usd=bill(tiers[-1:], tokens[-1:], [estimate.load.records], [alone])[0],
        spent_usd=accounting.total(document["cost_usd"] for document in documents),
        gold=[document.get("gold") for document in documents],
        plan=measured_plan(estimate, made, tokens, each),
        rows=[{"source": estimate.name(row.source), "line": row.line} for row in drawn],
    )


def bill_at(estimate: Estimate, tokens: Sequence[Tokens], shares: Sequence[float]) -> list[float | None]:
    """What each tier costs when these shares go on: as many records as then reach it, sent as so many are sent."""
    made = estimate.tiers(shares)
    counts, transports = [tier.records for tier in made], [tier.transport for tier in made]
    return bill(estimate.opened.start.tiers, tokens, counts, transports)


def measured_plan(
    estimate: Estimate, made: Forecast, tokens: Sequence[Tokens], each: Sequence[float | None]
) -> Forecast:
    """The plan with each tier's tokens and cost as they were measured, and what there is to warn of then."""
    tiers = [
        replace(
            tier,
            input_tokens=round(tier.records * mean.read),
            output_tokens=round(tier.records * mean.written),
            expected_usd=usd,
        )
        for tier, mean, usd in zip(made.tiers, tokens, each, strict=True)
    ]
    found = replace(made, tiers=tiers, expected_usd=accounting.total(each))
    return replace(found, warnings=list(warnings_of(found, estimate)))
