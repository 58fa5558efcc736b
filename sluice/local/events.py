"""EventBridge events in the shape that AWS documents.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html and
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html (read 2026-11-20): `etag` is written
small and without quotes, `version-id` is absent in an unversioned bucket, and the key stands as it is, not URL-encoded.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from sluice.errors import Stop
from sluice.local.template import ACCOUNT


def object_created(
    *, region: str, bucket: str, key: str, size: int, etag: str, version: str | None = None
) -> dict[str, Any]:
    """S3's `Object Created`."""
    written: dict[str, Any] = {
        "key": key,
        "size": size,
        "etag": etag.strip('"'),
        "sequencer": f"{time.time_ns():018X}",  # of two events of one key the later one's is greater
    }
    if version is not None:
        written["version-id"] = version
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": written,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": ACCOUNT,
        "source-ip-address": "127.0.0.1",
        "reason": "PutObject",
    }
    return _envelope("aws.s3", "Object Created", region, [f"arn:aws:s3:::{bucket}"], detail)


def execution_changed(*, region: str, execution: dict[str, Any]) -> dict[str, Any]:
    """Step Functions' `Step Functions Execution Status Change`, from the answer of DescribeExecution."""
    stopped = execution.get("stopDate")
    text = execution.get("output")
    detail = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": execution["status"],
        "startDate": _milliseconds(execution["startDate"]),
        "stopDate": _milliseconds(stopped) if stopped else None,
        "input": execution.get("input"),
        "inputDetails": {"included": True},
        "output": text,
        "outputDetails": {"included": True} if text is not None else None,
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    return _envelope(
        "aws.states", "Step Functions Execution Status Change", region, [execution["executionArn"]], detail
    )


def tick(text: str, at: datetime) -> str:
    """What a schedule sends at a tick: its text, with EventBridge Scheduler's keywords filled in.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html (read 2026-11-20)

    Raises:
        Stop: a keyword that is not known here.
    """
    filled = text.replace("<aws.scheduler.scheduled-time>", at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    if "<aws.scheduler." in filled:
        raise Stop(f"the local runner does not know all keywords of the schedule's input {text}")
    return filled


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _envelope(source: str, kind: str, region: str, resources: list[str], detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": resources,
        "detail": detail,
    }
