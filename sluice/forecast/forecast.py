"""What a run would be: its rows are read by the workflow's own first steps, into a folder, and nothing is sent."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sluice.answers.requests import CLOSE, OPEN, cut_middle, escape, system_prompt
from sluice.aws.bedrock import AwsBedrock
from sluice.aws.folder import LOCAL, Folder
from sluice.decoding import decode
from sluice.errors import BadInput
from sluice.forecast.advice import Circumstances, advise
from sluice.forecast.cautions import warnings_of
from sluice.forecast.estimate import Asked, Estimate, Forecast
from sluice.forecast.known import Known
from sluice.forecast.offers import cheaper_second_tier
from sluice.forecast.survey import Survey
from sluice.forecast.texts import Lot, read_texts
from sluice.rows.containers import Limits, Reading, lines_of_input
from sluice.rows.record import Row, RowReader
from sluice.runs.document import read
from sluice.runs.samples import key_of
from sluice.runs.state import RoundPlan, Span
from sluice.steps import partition, plan, start
from sluice.steps.cutting import cut_run
from sluice.steps.sampling import sample_of
from sluice.steps.services import Deployment, Run, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluice.aws.s3 import Store
    from sluice.forecast.advice import Mix

QUOTE = b'"'


class Progress(Protocol):
    """Is told what is being read, and the number of how many."""

    def __call__(self, what: str, number: int, total: int, /) -> None: ...


def forecast(asked: Asked, bucket: Callable[[str], Store], on_progress: Progress) -> Forecast:
    """Read the inputs and work out what a run of them would be; `bucket` gives the buckets of S3 URIs.

    Raises:
        BadInput: an input cannot be read as rows at all.

    """
    with planned(asked, bucket, on_progress) as plan:
        made = plan.forecast()
        offer = cheaper_second_tier(plan, made.tiers)
        least = asked.settings.min_records_per_job
        known = None if plan.known is None else plan.known.document(plan.load, plan.shares, least)
        return replace(made, offer=offer, known=known, advice=_advice(plan), warnings=list(warnings_of(made, plan)))


def _advice(plan: Estimate) -> list[Mix]:
    """What other tiers would cost for the same rows; nothing where routes, router or judge are about the task's own."""
    if plan.asked.task.routes or plan.asked.task.router or plan.asked.task.gates.judge:
        return []
    asked, today = plan.asked, dt.date.fromisoformat(plan.opened.start.date)
    return advise(
        Circumstances(asked.task, plan.load, asked.catalog, asked.region, asked.settings, asked.escalate, today)
    )


@contextmanager
def rows_read(asked: Asked, bucket: Callable[[str], Store], on_progress: Progress) -> Iterator[tuple[Services, Run]]:
    """Start a run and read its rows, in a folder that lasts as long as the context."""
    with tempfile.TemporaryDirectory(prefix="sluice-plan-") as folder, plain_names():
        services = services_over(Folder("work", Path(folder)), bucket)
        opened = begun(services, asked)
        spans = decode(opened.store.get(opened.keys.spans), list[Span])
        for number, span in enumerate(spans):
            on_progress("span", number, len(spans))
            partition.run(services, span)
        yield services, opened


@contextmanager
def planned(
    asked: Asked, bucket: Callable[[str], Store], on_progress: Progress, lot: Lot | None = None
) -> Iterator[Estimate]:
    """Do a run's first steps, in a folder that lasts as long as the context; `lot` draws some of the records."""
    with rows_read(asked, bucket, on_progress) as (services, opened):
        if asked.task.quality is not None and asked.task.quality.by_gold:
            _as_if_labelled(services, opened)
        plan.run(services, opened.id, 0)
        data = opened.store.find(opened.keys.round_plan(0))
        jobs = read(RoundPlan, data, "the plan").jobs if data else []
        survey = Survey(opened)
        known = None if asked.kept is None else Known(opened, asked.kept)
        texts = read_texts(opened, lot, survey, lambda number, total: on_progress("shard", number, total), known)
        yield Estimate(asked, opened, len(jobs), texts, survey, _request(services, opened), known)


def _as_if_labelled(services: Services, opened: Run) -> None:
    """Let the first plan find the sample that people label before the run: a forecast does not wait for them."""
    cut_run(opened)
    sample, _ = sample_of(opened, services.now(), labels=[])
    services.work.put(key_of(sample.task, sample.seed), sample.write())


@contextmanager
def plain_names() -> Iterator[None]:
    """Call a local file by its path where a step calls it by a URI."""
    try:
        yield
    except BadInput as error:
        raise BadInput(str(error).replace(f"s3://{LOCAL}/", "/"), error.columns) from None


def services_over(work: Store, bucket: Callable[[str], Store]) -> Services:
    files = Folder(LOCAL, Path("/"))
    return Services(
        work=work,
        results=work,
        bucket=lambda name: files if name == LOCAL else bucket(name),
        bedrock=AwsBedrock(None, None),  # type: ignore[arg-type]  # no step that is called here asks it
    )


def begun(services: Services, asked: Asked) -> Run:
    """Freeze the run without what would leave jobs out: its budget, and the approval that it may have to wait for."""
    task = asked.task.model_copy(update={"budget": type(asked.task.budget)()})
    command = {
        "task": task.model_dump(mode="json"),
        "inputs": [uri_of(name) for name in asked.inputs],
        "settings": {"approve_above_usd": None, "approve_above_expected_usd": None},
        "answers": "nobody",  # nothing is asked, so that tiers may name servers of one's own too
    }
    deployment = Deployment(
        settings=asked.settings,
        tasks=Path("tasks"),
        catalog=asked.catalog,
        region=asked.region,
        role_arn="",
        incoming_bucket="",
    )
    run = start.run(services, deployment, {"command": command})
    assert run is not None
    return Run(services.work, run)


def uri_of(name: str) -> str:
    """Make the URI of an input: a path's is one of the bucket that stands for this machine."""
    return name if name.startswith("s3://") else f"s3://{LOCAL}{Path(name).resolve()}"


def _request(services: Services, opened: Run) -> dict[str, str] | None:
    """The request of the first good row; None when there is none."""
    reader, settings = RowReader(opened.task), opened.settings
    limits, reading = Limits(settings.max_row_bytes, settings.max_text_bytes), Reading.of(opened.task)
    for item in opened.inputs.inputs:
        bucket, _, key = item.uri.removeprefix("s3://").partition("/")
        for block in lines_of_input(services.bucket(bucket), key, item, 0, item.bytes, limits, reading):
            for line in block:
                row = reader.read(line) if line.strip() else None
                if isinstance(row, Row):
                    return {"system": system_prompt(opened.task), "user": _user(row.text, reader, cut=row.cut)}
    return None


def _user(text: str, reader: RowReader, *, cut: bool) -> str:
    shown = escape(cut_middle(text, reader.max_bytes) if cut else text)
    return f"{OPEN}{json.loads(b'%b%b%b' % (QUOTE, shown, QUOTE))}{CLOSE}"
