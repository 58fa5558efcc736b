"""poll: one look at a job; waits grow with its age; any terminal status goes to check."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

import msgspec

from sluice.aws.bedrock import TERMINAL, WAITING
from sluice.aws.metrics import Measure
from sluice.errors import RetryLater
from sluice.runs.document import read
from sluice.runs.state import Ended, JobItem, Looked, Submitted
from sluice.steps.services import Run
from sluice.steps.waiting import come_back

if TYPE_CHECKING:
    from sluice.runs.settings import Settings
    from sluice.steps.services import Services

SHARE_OF_AGE = 0.05  # of a job's age: so late at most is its end seen, from the age on at which that is a minute


def run(services: Services, item: JobItem) -> JobItem:
    """Look at the job; how it ended is written down for check."""
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.ended):
        return msgspec.structs.replace(item, next="check", wait_seconds=0)
    submitted = read(Submitted, services.work.get(keys.submitted), keys.submitted)
    age = services.now() - dt.datetime.fromisoformat(submitted.at)
    wait = wait_at(age.total_seconds(), opened.settings)
    try:
        state = services.bedrock.job(submitted.job_arn)
    except RetryLater:
        return come_back(item, "poll", wait)
    if state.status in WAITING:
        tier = opened.planned_job(item).tier
        # At each look, so that an alarm comes while the job still waits for its turn.
        services.measure(Measure.JOB_WAIT_SECONDS, age.total_seconds(), task=opened.task.name, tier=tier)
    if state.status not in TERMINAL:
        if state.processed is not None:
            services.work.put(keys.looked, Looked(processed=state.processed, records=state.records).write())
        return come_back(item, "poll", wait)
    ended = Ended(status=state.status, message=state.message, submitted=state.submitted, ended=state.ended)
    services.work.put(keys.ended, ended.write())
    return msgspec.structs.replace(item, next="check", wait_seconds=0)


def wait_at(age: float, settings: Settings) -> int:
    """Whole seconds until the next look at a job of so many: a share of them, within the settings' bounds."""
    return math.ceil(min(settings.poll_seconds_max, max(settings.poll_seconds, age * SHARE_OF_AGE)))
