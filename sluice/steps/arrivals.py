"""What arrives in a bucket: an object is marked for its task's next run, or it is said why it is in none."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sluice.aws.events import Event
from sluice.aws.metrics import Measure
from sluice.errors import BadInput
from sluice.rows.containers import unreadable
from sluice.runs.inbox import (
    READY,
    READY_GRACE_SECONDS,
    SUBMITTED,
    Dropped,
    Marker,
    Notice,
    Signal,
    claim_key,
    is_aside,
    marker_key,
    notice_key,
    signal_key,
    source_of,
)
from sluice.task.file import task_names

if TYPE_CHECKING:
    from sluice.steps.services import Deployment, Run, Services

S3_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)


def receive(services: Services, deployment: Deployment, event: dict[str, Any]) -> Notice | None:
    """Mark the object that an S3 event tells of; or say in a notice why nothing becomes of it."""
    item = Dropped.of(event)
    uploaded = item.bucket == deployment.incoming_bucket and item.key.startswith(SUBMITTED)
    if uploaded or item.key.endswith("/"):
        return None
    task, reason = _task_of(deployment, item)
    if task and item.name == READY:
        signal = Signal(
            task=task,
            at=item.at,
            bucket=item.bucket,
            prefix=item.key.removesuffix(READY),
            grace=READY_GRACE_SECONDS,
        )
        put_signal(services, item.signal, signal)
        return None
    if task and is_aside(_below(deployment, task, item)):
        return None
    reason = reason or unreadable(item.key)
    if reason:
        return refuse(services, item, reason)
    if not services.work.exists(claim_key(item.id)):
        services.work.put_new(marker_key(task, item.id), Marker(task=task, object=item).write())
    return None


def _task_of(deployment: Deployment, item: Dropped) -> tuple[str, str | None]:
    """Whose an object is; or why it is nobody's."""
    if item.bucket != deployment.incoming_bucket:
        source = source_of(deployment.intake.sources, item.bucket, item.key)
        return (source.task, None) if source else ("", f"no entry of source_buckets covers {item.uri}")
    name, slash, _ = item.key.partition("/")
    known = task_names(deployment.tasks)
    if slash and name in known:
        return name, None
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}/? " if near else ""
    said = f"there is no task {name}" if slash else "it lies in no task's folder"
    return "", f"{said}; {hint}Deployed are: {', '.join(known) or 'none'}"


def _below(deployment: Deployment, task: str, item: Dropped) -> str:
    """The key below the folder that is the task's own, or the prefix that is read for it."""
    if item.bucket == deployment.incoming_bucket:
        return item.key.removeprefix(f"{task}/")
    source = source_of(deployment.intake.sources, item.bucket, item.key)
    return item.key.removeprefix(source.prefix) if source else item.key


def put_signal(services: Services, id_: str, signal: Signal) -> None:
    """Note that what waits may go, unless that was said and done before."""
    if not services.work.exists(claim_key(id_)):
        services.work.put_new(signal_key(signal.task, id_), signal.write())


def refuse(services: Services, item: Dropped, reason: str) -> Notice | None:
    """Say once why an object is in no run: to whoever listens, and in the bucket. None when it was said before.

    The event goes first: after a crash between the two it is sent again rather than never.
    """
    if services.work.exists(notice_key(item.id)):
        return None
    advice = f"{reason}. Once that is mended: sluice submit '{item.uri}' --task NAME"
    notice = Notice(bucket=item.bucket, key=item.key, version=item.version, reason=advice, at=item.at)
    services.announce(Event.REFUSED, notice.detail)
    if services.work.put_new(notice_key(item.id), notice.write()):
        services.measure(Measure.OBJECTS_REFUSED, 1)
    return notice


def tell_of_refused(services: Services, opened: Run) -> None:
    """Say of each input of a run that cannot be read why, as of an object that is in no run.

    Raises:
        BadInput: it is all of them.

    """
    inputs, refused = opened.inputs.inputs, opened.plan.refused
    for number, reason in refused.items():
        item, match = inputs[int(number)], S3_URI.fullmatch(inputs[int(number)].uri)
        assert match is not None
        dropped = Dropped(
            bucket=match[1],
            key=match[2],
            version=item.version,
            etag=item.etag.strip('"'),
            bytes=item.bytes,
            at=opened.start.created,
        )
        refuse(services, dropped, reason)
    if refused and len(refused) == len(inputs):
        first, *others = refused.values()
        raise BadInput(first + (f"; and {len(others):,} more could not be read" if others else ""))
