"""Before anything is bought: what a run would be, and a trial on a sample."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.api.local import local_runner, refused
from sluice.api.tasks import Inputs, Who, answered, catalog_here, listed, region_here, runnable
from sluice.aws.errors import translating
from sluice.aws.stack import buckets, open_session
from sluice.budget.costs import ESCALATED
from sluice.errors import BadRequest
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import forecast
from sluice.forecast.known import check_kept
from sluice.forecast.trial import Trial
from sluice.results.folder import check_out
from sluice.rows.inputs import find_all
from sluice.runs.settings import declared_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sluice.aws.s3 import Store
    from sluice.forecast.estimate import Forecast
    from sluice.forecast.forecast import Progress
    from sluice.forecast.trial import Pilot, Purchase
    from sluice.runs.approval import Approval
    from sluice.runs.progress import Snapshot
    from sluice.task.task import Task

SEEDS = range(-(2**63), 2**63)


def plan(
    inputs: Inputs,
    task: Task | str | Path,
    *,
    settings: Mapping[str, object] | None = None,
    escalate: float = ESCALATED,
    region: str | None = None,
    profile: str | None = None,
    out: str | Path | None = None,
    on_progress: Progress | None = None,
) -> Forecast:
    """Tell what a run would read, send and cost. Nothing is sent; without inputs in S3 nothing of AWS is needed.

    Args:
        inputs: one or several files, folders, `s3://bucket/key` or `s3://bucket/prefix/`.
        task: a task, or its name or path.
        settings: settings of a deployment laid over those of cdk.json in this folder.
        escalate: the share of a tier's records, 0 to 1, that goes on to the next.
        region: the AWS Region whose models' ids are meant; else AWS_REGION, else us-east-1.
        profile: a profile of your AWS settings, for inputs in S3.
        out: the folder of earlier runs of a task with `reuse`: `known` tells what its kept replies leave to be asked.
        on_progress: is told what is being read: "span" or "shard", its number from 0, and of how many.

    Returns:
        The forecast: `rows` and `records` counted, `expected_usd` and `ceiling_usd` in dollars (None where a price is
        unknown), `tiers`, `seconds` (lowest, highest), `warnings` as sentences.

    Raises:
        BadTask, BadInput, BadSetting, BadRequest: the task, an input, a setting or an argument cannot be used.
        RetryLater, Stop: an input in S3 cannot be read.

    """
    asked = asked_for(inputs, task, settings, escalate, region, None if out is None else Path(out))
    with translating():
        return forecast(asked, buckets_of(region, profile), on_progress or _quiet)


def pilot(  # noqa: PLR0913 - what a pilot can be told
    inputs: Inputs,
    task: Task | str | Path,
    *,
    records: int = 200,
    seed: int = 0,
    answers: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    region: str | None = None,
    profile: str | None = None,
    on_progress: Callable[[Snapshot], None] | None = None,
    before: Callable[[Purchase], None] | None = None,
    approve: Callable[[Approval], bool] | None = None,
) -> Pilot:
    """Have a sample answered by the task's tiers and again by the strongest, and tell what to expect of all records.

    Args:
        inputs: one or several files, folders, `s3://bucket/key` or `s3://bucket/prefix/`.
        task: a task, or its name or path.
        records: how many distinct records are drawn, uniformly.
        seed: another number draws other records.
        answers: where answers come from, as for `run`; with `bedrock` the sample costs money.
        out: the folder for what the runs over the sample leave; else `out/<task>-pilot`.
        settings: settings of a deployment laid over those of cdk.json in this folder.
        region: the AWS Region whose models are meant; else AWS_REGION, else us-east-1.
        profile: a profile of your AWS settings, for inputs in S3.
        on_progress: is told how the runs over the sample stand, about twice a second.
        before: is told how many calls of which models come, and the dollars that they are expected to cost.
        approve: decides whether a run over the sample may cost what it can, where `approve_above_usd` is set.

    Returns:
        The pilot: `findings.agreement` of the first tier with the strongest and `findings.escalated`, both with a 95%
        interval; `expected_usd` of all records between `low_usd` and `high_usd`; `plan`, a forecast that goes by what
        was measured. `as_document()` is what lies in `out/pilot.json`.

    Raises:
        BadTask, BadInput, BadSetting, BadRequest: something cannot be used; nothing has been started.
        NotInstalled: the extra `local` is missing.
        Unfinished: a run over the sample did not reach its end, or the budget kept records of it out.
        Interrupted: Ctrl-C.

    """
    asked = asked_for(inputs, task, settings, ESCALATED, region)
    trial = trial_of(asked, records, seed, answers, out, settings)
    runner = partial(local_runner(), on_progress=on_progress, approve=approve or refused)
    with translating():
        return trial.run(buckets_of(region, profile), runner, _quiet, before or _unheard)


def asked_for(
    inputs: Inputs,
    task: Task | str | Path,
    settings: Mapping[str, object] | None,
    escalate: float,
    region: str | None,
    kept: Path | None = None,
) -> Asked:
    """Make sure of what is to be forecast."""
    if not 0 <= escalate <= 1:
        raise BadRequest(f"{escalate} is no share: give a number from 0 to 1", "escalate")
    where = region_here(region)
    known, _ = runnable(task, where)
    frozen = declared_settings(Path("cdk.json")).override(settings or {})
    check_kept(kept, reuses=known.reuse is not None)
    return Asked(find_all(listed(inputs)), known, frozen, catalog_here(), where, escalate, kept)


def trial_of(
    asked: Asked,
    records: int,
    seed: int,
    answers: Who,
    out: str | Path | None,
    settings: Mapping[str, object] | None,
) -> Trial:
    """Make sure of what is to be tried."""
    if records < 1:
        raise BadRequest(f"{records} is no number of records: give 1 or more", "records")
    if seed not in SEEDS:
        raise BadRequest(f"{seed} is not allowed: give a whole number of 64 bits", "seed")
    found, catalog = answered(asked.task, answers, asked.region)
    place = Path(out) if out is not None else Path("out") / f"{asked.task.name}-pilot"
    check_out(place)
    chosen = {name: getattr(asked.settings, name) for name in settings or {}}
    return Trial(
        replace(asked, task=found.task, catalog=catalog), records, seed, found.answers, place, chosen, found.notes
    )


def buckets_of(region: str | None, profile: str | None) -> Callable[[str], Store]:
    """Open the buckets of inputs in S3; nothing of AWS is looked for before one is asked for."""

    @cache
    def opened() -> Callable[[str], Store]:
        return buckets(open_session(region_here(region), profile))

    def bucket(name: str) -> Store:
        return opened()(name)

    return bucket


def _quiet(_what: str, _number: int, _total: int) -> None:
    """Nobody wants to know how far the reading is."""


def _unheard(_purchase: Purchase) -> None:
    """Nobody wants to know what is about to be asked."""
