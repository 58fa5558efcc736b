"""Waits between two tries, in whole seconds, since a Wait state takes no fraction."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sluice.runs.state import JobItem

# An execution ends at 25,000 events, a job's too, and a look takes nine of them (Choice 2, Task 5, Wait 2). So many
# looks make the waits so long, whatever the settings say: 1,000 a week on, 700 a month more, 24,300 events in all.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
SHORTEST = ((2_000, 3_600), (1_000, 600))


def longer_wait(last: float, first: float, longest: float) -> int:
    """Twice the last wait between `first` and `longest`, with jitter, so that several runs do not come back at once."""
    grown = min(longest, max(first, 2 * last))
    return math.ceil(grown * random.uniform(0.75, 1.25))  # noqa: S311 - no secret depends on it


def come_back(item: JobItem, step: str, wait: float) -> JobItem:
    """Have a job come back to `step` after `wait` seconds, later where it has come back very often."""
    looks = item.looks + 1
    shortest = next((seconds for many, seconds in SHORTEST if looks > many), 0)
    return msgspec.structs.replace(item, next=step, wait_seconds=max(math.ceil(wait), shortest), looks=looks)
