"""How fast a model can be called on demand under an account's quotas, beside how long batch jobs take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.models.quotas import on_demand_quotas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.models.catalog import Durations
    from sluice.models.quotas import Listed

# A token of output counts five times against the quotas of newer Claude; taken for all models, which is on the safe
# side. Tokens that are read from a cache count for nothing (Bedrock's user guide, quotas, read 2026-11-28).
OUTPUT_COUNTS = 5
MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Pace:
    """What limits calls of one model on demand, and what is known of its batch jobs, as a run found it at its start.

    A quota is None where nobody has told it. `batch_minutes` is the longest known time of a job of `batch_records`,
    `call_seconds` that of one call; `calls_at_once` are those of one job, of which `jobs_at_once` may be under way.
    """

    tokens_per_minute: int | None
    requests_per_minute: int | None
    tokens_per_day: int | None
    batch_minutes: float
    batch_records: int
    call_seconds: float
    calls_at_once: int
    jobs_at_once: int
    job_records: int

    def on_demand_minutes(self, tokens_in: int, tokens_out: int, requests: int) -> float | None:
        """How long so many calls take at the most; None where nobody knows what the account may call.

        `tokens_in`: those that count against the quota.
        """
        if self.tokens_per_minute is None:
            return None
        tokens = tokens_in + OUTPUT_COUNTS * tokens_out
        jobs = min(self.jobs_at_once, math.ceil(requests / self.job_records))
        minutes = [self.call_seconds * requests / max(1, self.calls_at_once * jobs) / 60]
        minutes.append(_minutes(tokens, self.tokens_per_minute))
        if self.requests_per_minute is not None:
            minutes.append(_minutes(requests, self.requests_per_minute))
        if self.tokens_per_day is not None:
            minutes.append(_minutes(tokens, self.tokens_per_day) * MINUTES_A_DAY)
        return max(minutes)

    def batch_minutes_of(self, requests: int) -> float:
        """How long batch may take for so many requests: the longest of a job, as often as jobs wait for each other."""
        jobs = math.ceil(requests / self.job_records)
        of_job = math.ceil(requests / max(1, jobs))
        return math.ceil(jobs / self.jobs_at_once) * self.batch_minutes * max(1.0, of_job / self.batch_records)


def _minutes(amount: int, per_minute: int) -> float:
    if not amount:
        return 0.0
    return amount / per_minute if per_minute else math.inf


def told_of(model: str, listed: Iterable[Listed]) -> tuple[int | None, int | None, int | None]:
    """What an account may call of a model: tokens a minute, requests a minute, tokens a day; of several the least."""
    found: dict[str, list[int]] = {"tokens per minute": [], "requests per minute": [], "tokens per day": []}
    for quota in on_demand_quotas(model, listed):
        for kind, values in found.items():
            if kind in quota.name.lower():
                values.append(int(quota.value))
    minute, requests, day = (min(values, default=None) for values in found.values())
    return minute, requests, day


def pace_of(
    name: str,
    quotas: tuple[int | None, int | None, int | None],
    durations: Durations,
    *,
    calls_at_once: int,
    jobs_at_once: int,
    job_records: int,
) -> Pace:
    """The pace of a model by its short name, under quotas as `told_of` finds them."""
    _, longest = durations.job_minutes(name, durations.records)
    return Pace(*quotas, longest, durations.records, durations.calls[1], calls_at_once, jobs_at_once, job_records)
