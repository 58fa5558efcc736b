"""What a forecast says of one tier, and of the judge beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.budget import costs, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.state import Start
    from sluice.task.task import Task


@dataclass(frozen=True, slots=True)
class TierForecast:
    """What one tier is expected to take; `ceiling_usd` holds for every record and attempt. Times in seconds.

    `way` is the transport with what of it is cached, `cheapest` the way that costs least whatever the quotas. `ways`
    compares them: for a million records dollars, how long calls for all that the tier is sent would take under the
    account's quotas (None: unknown), and the tokens a minute that calls in the time of batch would need. `cached_from`:
    from how many tokens of instructions on, of which it has `instructions`, a cached prefix costs less than batch.
    """

    model: str
    transport: str
    way: str
    cheapest: str | None
    ways: list[dict[str, Any]]
    instructions: int
    cached_from: int | None
    records: int
    jobs: int
    waves: int
    input_tokens: int
    output_tokens: int
    expected_usd: float | None
    ceiling_usd: float | None
    seconds: tuple[float, float]
    timed: bool  # whether jobs of this model have been timed by anybody


@dataclass(frozen=True, slots=True)
class JudgeForecast:
    """What the judge is expected to take: it is shown the answers of tiers to all records that are sent there."""

    model: str
    pack: int
    answers: int
    requests: int
    way: str
    input_tokens: int
    output_tokens: int
    expected_usd: float | None
    ceiling_usd: float | None


def judge_forecast(
    task: Task, start: Start, load: costs.Load, counts: Sequence[int], least: int
) -> JudgeForecast | None:
    """What the judge takes beside tiers that are sent so many records; None without one."""
    judge = start.judge
    if judge is None:
        return None
    asked, shown = load.of_judge, load.shown(counts)
    answers = sum(shown)
    read, written = asked.expected_tokens(answers, judge.token_factor, judge.pack)
    return JudgeForecast(
        model=judge.called,
        pack=judge.pack,
        answers=answers,
        requests=sum(costs.requests_of(records, judge.pack) for records in shown),
        way=costs.expected_way(judge, asked, max(shown), least).value,
        input_tokens=read,
        output_tokens=written,
        expected_usd=whole.judge_expected_usd(judge, load, counts, least),
        ceiling_usd=whole.judge_ceiling_usd(task, judge, load, least),
    )
