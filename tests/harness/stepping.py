"""The steps by which a child of the map comes to check, as it goes from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.errors import StillRunning
from sluice.steps import answer, infer, keep, partition, poll, submit

if TYPE_CHECKING:
    from sluice.runs.state import JobItem, Span
    from sluice.steps.services import Services


def read_span(services: Services, span: Span) -> None:
    """What the function partition does with a span: both of its steps."""
    partition.run(services, span)
    keep.run(services, span)


def look(services: Services, item: JobItem) -> JobItem:
    """One look at a job; of one that has not ended the same item, which the state machine's Retry hands in again."""
    try:
        return poll.run(services, item)
    except StillRunning:
        return msgspec.structs.replace(item, next="poll")


STEPS = {"submit": submit.run, "poll": look, "infer": infer.run, "answer": answer.run}
