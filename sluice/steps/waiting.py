"""Waits between two tries: of the state machine's Retry between looks at a job, and those that a step asks for.

The latter are whole seconds, since a Wait state takes no fraction.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from sluice.runs.settings import Settings
    from sluice.runs.state import JobItem

SHARE_OF_AGE = 0.05  # of a job's age: so late at most is its end seen, from the age on at which that is a minute
# An execution ends at 25,000 events, a job's too, and a look takes three of them (scheduled, begun, failed). So long
# the waits can grow, whatever the settings say: a month of them fits. Shorter ones would not be seen to end sooner
# than by a twentieth of its age: a job is two hours old by then.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_AT_LEAST = 330
# Of steps that come back by Choice and Wait, nine events each time: so many make the waits so long, 1,000 a week on,
# 700 a month more, 24,300 events in all.
SHORTEST = ((2_000, 3_600), (1_000, 600))


class Looks(NamedTuple):
    """How a Retry waits between looks: `shortest` seconds, times `rate` with each look, `longest` at most.

    A job that is as old as `shortest` is of its age begins to grow, and with it the waits: after n looks it is
    shortest / SHARE_OF_AGE · rate^n old, and the next wait is that share of it.
    """

    shortest: int
    longest: int
    rate: float

    @classmethod
    def of(cls, settings: Settings) -> Looks:
        """What the settings of a deployment come to; a Retry takes whole seconds, and not none."""
        shortest = max(1, math.ceil(settings.poll_seconds))
        return cls(shortest, max(shortest, math.ceil(settings.poll_seconds_max), LONGEST_AT_LEAST), 1 + SHARE_OF_AGE)

    def until(self, seconds: float) -> int:
        """How often a job is looked at until it is so old."""
        age, grown, found = float(self.shortest), float(self.shortest), 1
        while age < seconds:
            if age * SHARE_OF_AGE < self.shortest:
                age += self.shortest
            else:
                age += min(grown, self.longest)
                grown *= self.rate
            found += 1
        return found


def longer_wait(last: float, first: float, longest: float) -> int:
    """Twice the last wait between `first` and `longest`, with jitter, so that several runs do not come back at once."""
    grown = min(longest, max(first, 2 * last))
    return math.ceil(grown * random.uniform(0.75, 1.25))  # noqa: S311 - no secret depends on it


def come_back(item: JobItem, step: str, wait: float) -> JobItem:
    """Have a job come back to `step` after `wait` seconds, later where it has come back very often."""
    looks = item.looks + 1
    shortest = next((seconds for many, seconds in SHORTEST if looks > many), 0)
    return msgspec.structs.replace(item, next=step, wait_seconds=max(math.ceil(wait), shortest), looks=looks)
