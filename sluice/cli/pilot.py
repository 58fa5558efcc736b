"""`sluice pilot`: a sample is answered by the first and the strongest tier, before everything is bought."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq

from sluice.budget import costs
from sluice.cli.display import busy, display_for
from sluice.cli.exits import OF_STATUS, ExitCode, UsageError, complain, reader_may_leave
from sluice.cli.findings import Pilot, print_pilot
from sluice.cli.plan import READING, declared_settings, find_all, progress
from sluice.cli.requests import check_answers, check_out, parse_settings
from sluice.cli.run import Looks, approved, local_runner
from sluice.cli.tasks import catalog_here, load_runnable_task
from sluice.figures import dollars, short_model
from sluice.forecast.cautions import warnings_of
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import planned
from sluice.forecast.pilot import Tokens, answered, bill, find, tokens_of
from sluice.forecast.texts import Lot
from sluice.reasons import Reason
from sluice.report.report import render
from sluice.runs import accounting
from sluice.task.file import parse_task
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sluice.aws.s3 import Store
    from sluice.cli.run import Runner
    from sluice.forecast.estimate import Estimate, Forecast
    from sluice.forecast.texts import Drawn
    from sluice.task.task import Task

SAMPLE = "sample.jsonl"
STRONGEST = "strongest"  # the folder of the strongest tier's own run
ENDED_WELL = frozenset({"succeeded", "over_limit"})


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    records: int
    seed: int
    answers: str
    out: Path | None
    settings: list[str]
    region: str
    json: bool


def pilot_run(request: Request, bucket: Callable[[str], Store], runner: Runner | None = None) -> ExitCode:
    """Draw a sample, have it answered, and print what it says of all; `bucket` gives the buckets of S3 inputs."""
    task, _ = load_runnable_task(request.task, request.region)
    changes = parse_settings(request.settings)
    settings = declared_settings(Path("cdk.json")).override(changes)
    check_answers(request.answers)
    out = request.out or Path("out") / f"{task.name}-pilot"
    check_out(out)
    asked = Asked(find_all(request.inputs), task, settings, catalog_here(), request.region, costs.ESCALATED)
    lot = Lot(request.records, request.seed)
    with ExitStack() as kept:
        with busy(READING) as say:
            estimate = kept.enter_context(planned(asked, bucket, progress(say), lot))
        if not lot.drawn:
            raise UsageError("the inputs hold no row that could be sent; `sluice plan` shows why")
        if request.answers == "bedrock":
            complain(announcement(estimate, len(lot.drawn)))
        trial = _Trial(request, task, out, lot.drawn, {name: getattr(settings, name) for name in changes})
        documents = trial.run(runner or local_runner())
        if any(document["status"] not in ENDED_WELL for document in documents):
            return _broken_off(documents)
        if any(Reason.BUDGET in document["reasons"] for document in documents):
            complain("budget.max_usd of the task stopped the pilot, so it shows nothing: draw fewer records (-n)")
            return ExitCode.FAILED
        made = conclude(request, estimate, out, lot.drawn, documents)
    (out / "pilot.json").write_bytes(msgspec.json.format(msgspec.json.encode(made.as_document()), indent=2) + b"\n")
    with reader_may_leave():
        if request.json:
            sys.stdout.buffer.write((out / "pilot.json").read_bytes())
        else:
            print_pilot(made, out)
    return ExitCode.SUCCEEDED


def announcement(estimate: Estimate, drawn: int) -> str:
    """Say what Bedrock is about to be asked, and what that is expected to cost."""
    tiers, load = estimate.opened.start.tiers, estimate.load
    asked = costs.sent(drawn, estimate.shares)
    if len(tiers) > 1:
        asked[-1] += drawn
    usd = accounting.total(
        costs.expected_usd(tier, load, Transport.ON_DEMAND, count) for tier, count in zip(tiers, asked, strict=True)
    )
    calls = ", ".join(f"{short_model(tier.model_id)} {count:,}" for tier, count in zip(tiers, asked, strict=True))
    return f"calls of Bedrock, about: {calls}; they are expected to cost {dollars(usd)}"


def _broken_off(documents: Sequence[Mapping[str, Any]]) -> ExitCode:
    last = documents[-1]
    complain(f"the pilot broke off, its run is {last['status']}: {last.get('error') or 'see its report'}")
    return OF_STATUS.get(str(last["status"]), ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class _Trial:
    """The runs over the sample: the task as it is, on demand; and its strongest tier alone."""

    request: Request
    task: Task
    out: Path
    drawn: Sequence[Drawn]
    settings: Mapping[str, object]

    def run(self, runner: Runner) -> list[dict[str, Any]]:
        """Each run.json; the second only where there are several tiers, and the first has ended."""
        documents: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(prefix="sluice-pilot-") as folder:
            sample = Path(folder) / SAMPLE
            sample.write_bytes(b"".join(row.raw + b"\n" for row in self.drawn))
            places = [(self.out, on_demand(self.task, slice(None)))]
            if len(self.task.tiers) > 1:
                places.append((self.out / STRONGEST, on_demand(self.task, slice(-1, None))))
            for out, task in places:
                documents.append(self._one(runner, sample, out, task))
                (out / "report.html").write_text(render(documents[-1]), encoding="utf-8")
                if documents[-1]["status"] not in ENDED_WELL:
                    break
            shutil.copy(sample, self.out / SAMPLE)
        return documents

    def _one(self, runner: Runner, sample: Path, out: Path, task: Task) -> dict[str, Any]:
        with redirect_stdout(sys.stderr), display_for(sys.stderr, task.name) as display:
            return runner(
                inputs=[sample],
                task=task,
                out=out,
                answers=self.request.answers,
                settings=self.settings,
                region=self.request.region,
                faults=None,
                on_progress=Looks(display),
                approve=lambda asked: approved(asked, display),
                part_of=self.task,
            )


def on_demand(task: Task, tiers: slice) -> Task:
    """The task with some of its tiers, each asked on demand: a sample is too small for batch jobs, and soon needed."""
    data = task.model_dump(mode="json")
    data["tiers"] = [{**tier, "transport": Transport.ON_DEMAND.value} for tier in data["tiers"][tiers]]
    data["limits"] = {}
    return parse_task(data, f"the pilot of {task.name}")


def rows_in(out: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run in the order of the sample."""
    parts = sorted((out / "results" / document["task"]).glob(f"**/{document['run_id']}-part-*.parquet"))
    columns = ["line", "status", "labels", "tier", "trail"]
    rows = [row for part in parts for row in pq.ParquetFile(part).read(columns).to_pylist()]
    return sorted(rows, key=lambda row: row["line"])


def conclude(
    request: Request, estimate: Estimate, out: Path, drawn: Sequence[Drawn], documents: Sequence[Mapping[str, Any]]
) -> Pilot:
    """What the runs over the sample say of all records."""
    strongest = documents[1] if len(documents) > 1 else None
    rows = rows_in(out, documents[0])
    others = rows_in(out / STRONGEST, strongest) if strongest else None
    tiers = estimate.opened.start.tiers
    whole = len(drawn) == estimate.load.records
    found = find(answered(rows, others), len(tiers), all_of_them=whole)
    measured = tokens_of(documents[0]["tiers"], strongest["tiers"][0] if strongest else None)
    guessed = Tokens(*(count / max(1, found.records) for count in estimate.load.expected_tokens(found.records)))
    tokens = [mean or guessed for mean in measured]
    made = estimate.forecast([part.value for part in found.escalated])
    each = bill_at(estimate, tokens, [part.value for part in found.escalated])
    alone = costs.expected_transport(tiers[-1], estimate.load.records, estimate.asked.settings.min_records_per_job)
    return Pilot(
        task=documents[0]["task"],
        answers=request.answers,
        seed=request.seed,
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
