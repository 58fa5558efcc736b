"""poll: one look at a job; waits grow from look to look; any terminal status goes to check."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

import msgspec

from sluice.aws.bedrock import TERMINAL, WAITING
from sluice.aws.metrics import Measure
from sluice.errors import RetryLater
from sluice.runs.document import read
from sluice.runs.state import Ended, JobItem, Submitted
from sluice.steps.services import Run

if TYPE_CHECKING:
    from sluice.steps.services import Services

GROWTH = 1.5


def run(services: Services, item: JobItem) -> JobItem:
    """Look at the job; how it ended is written down for check."""
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.ended):
        return msgspec.structs.replace(item, next="check", wait_seconds=0)
    submitted = read(Submitted, services.work.get(keys.submitted), keys.submitted)
    longest = opened.settings.poll_seconds_max
    wait = math.ceil(min(longest, max(opened.settings.poll_seconds, item.wait_seconds) * GROWTH))
    try:
        state = services.bedrock.job(submitted.job_arn)
    except RetryLater:
        return msgspec.structs.replace(item, next="poll", wait_seconds=wait)
    if state.status in WAITING:
        _measure_wait(services, opened, item, submitted)
    if state.status not in TERMINAL:
        return msgspec.structs.replace(item, next="poll", wait_seconds=wait)
    ended = Ended(status=state.status, message=state.message, submitted=state.submitted, ended=state.ended)
    services.work.put(keys.ended, ended.write())
    return msgspec.structs.replace(item, next="check", wait_seconds=0)


def _measure_wait(services: Services, opened: Run, item: JobItem, submitted: Submitted) -> None:
    """Tell at each look how long a job has been waiting for its turn, so that an alarm comes while it still waits."""
    waited = services.now() - dt.datetime.fromisoformat(submitted.at)
    tier = opened.planned_job(item).tier
    services.measure(Measure.JOB_WAIT_SECONDS, waited.total_seconds(), task=opened.task.name, tier=tier)
