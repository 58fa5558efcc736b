"""submit: create a job's Bedrock job once in its life, or adopt the one that an earlier try created."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.aws.bedrock import JobRequest, job_name, job_token
from sluice.errors import RetryLater
from sluice.runs.document import read
from sluice.runs.job import Submitted
from sluice.steps.services import Run
from sluice.steps.waiting import come_back, longer_wait

if TYPE_CHECKING:
    from sluice.runs.keys import JobKeys
    from sluice.runs.state import JobItem
    from sluice.steps.services import Services


def run(services: Services, item: JobItem) -> JobItem:
    """Submit and go on to poll; a throttle or a full quota comes back here after a while.

    A cancelled run creates nothing, but adopts what an earlier try created: it is paid for.

    Raises:
        Refused: Bedrock refuses the job; check settles it as one of which every record was refused.

    """
    opened = Run(services.work, item.run)
    keys = opened.keys.job(item.round, item.job)
    try:
        arn = _noted(services, keys)
        if arn is None:
            arn = _create_or_adopt(services, opened, item, keys)
            if arn is None:
                return msgspec.structs.replace(item, next="check", wait_seconds=0)
            services.work.put(keys.submitted, Submitted(job_arn=arn, at=services.now().isoformat()).write())
        if opened.cancelled:  # the marker may have come while Bedrock was creating the job
            services.bedrock.stop_job(arn)
    except RetryLater:
        wait = longer_wait(item.wait_seconds, opened.settings.quota_seconds, opened.settings.poll_seconds_max)
        return come_back(item, "submit", wait)
    return come_back(item, "poll", opened.settings.poll_seconds)


def _noted(services: Services, keys: JobKeys) -> str | None:
    """The Bedrock job that an earlier try created and noted."""
    written = services.work.find(keys.submitted)
    return None if written is None else read(Submitted, written, keys.submitted).job_arn


def _create_or_adopt(services: Services, opened: Run, item: JobItem, keys: JobKeys) -> str | None:
    name = job_name(item.run, item.round, item.job)
    existing = services.bedrock.find_job(name)
    if existing is not None:
        return existing.arn
    if opened.cancelled:
        return None
    start, job = opened.start, opened.planned_job(item)
    tier = opened.answerer(job)
    return services.bedrock.create_job(
        JobRequest(
            name=name,
            token=job_token(name),
            model_id=tier.model_id,
            role_arn=start.role_arn,
            input_uri=services.work.uri(keys.input_prefix),
            output_uri=services.work.uri(keys.output_prefix),
            timeout_hours=tier.timeout_hours,
            kms_key=start.kms_key,
        )
    )
