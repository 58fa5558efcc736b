"""poll: one look at a job; any terminal status goes to check.

A job that has not ended is told as an error, by which the state machine's Retry looks again: a retry is one state
transition, where coming back by Choice and Wait would be three, and these are most of what a run costs beside tokens.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from sluice.aws.bedrock import TERMINAL, WAITING
from sluice.aws.metrics import Measure
from sluice.errors import RetryLater, StillRunning, StillYoung
from sluice.runs.document import read
from sluice.runs.job import Ended, Looked, Submitted
from sluice.runs.state import JobItem
from sluice.steps.services import Run
from sluice.steps.waiting import SHARE_OF_AGE

if TYPE_CHECKING:
    from sluice.runs.settings import Settings
    from sluice.steps.services import Services


def run(services: Services, item: JobItem) -> JobItem:
    """Look at the job; how it ended is written down for check.

    Raises:
        StillYoung, StillRunning: it has not ended, or could not be asked after.

    """
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    if services.work.exists(keys.ended):
        return msgspec.structs.replace(item, next="check", wait_seconds=0)
    submitted = read(Submitted, services.work.get(keys.submitted), keys.submitted)
    age = services.now() - dt.datetime.fromisoformat(submitted.at)
    try:
        state = services.bedrock.job(submitted.job_arn)
    except RetryLater as throttled:
        raise still(age, opened.settings)(str(throttled)) from None
    if state.status in WAITING:
        tier = opened.planned_job(item).tier
        # At each look, so that an alarm comes while the job still waits for its turn.
        services.measure(Measure.JOB_WAIT_SECONDS, age.total_seconds(), task=opened.task.name, tier=tier)
    if state.status not in TERMINAL:
        if state.processed is not None:
            services.work.put(keys.looked, Looked(processed=state.processed, records=state.records).write())
        raise still(age, opened.settings)(f"{state.status} for {age.total_seconds():.0f} s")
    ended = Ended(status=state.status, message=state.message, submitted=state.submitted, ended=state.ended)
    services.work.put(keys.ended, ended.write())
    return msgspec.structs.replace(item, next="check", wait_seconds=0)


def still(age: dt.timedelta, settings: Settings) -> type[StillRunning]:
    """What a job of such an age is that has not ended."""
    young = age.total_seconds() * SHARE_OF_AGE < settings.poll_seconds
    return StillYoung if young else StillRunning
