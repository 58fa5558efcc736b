"""How the answers of a run on this machine come in, in words: rows per second, errors by kind, tokens, time left."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sluice.figures import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.runs.calls import Calls, Waiting
    from sluice.runs.progress import Snapshot

WINDOW_SECONDS = 30.0
SOON = 1.0  # seconds of watching that a rate rests on at least


class Rate:
    """Answers per second over the last half minute; replies that were found do not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, at: float, calls: Calls) -> None:
        """Take note of the counts at a time in seconds."""
        self._seen.append((at, calls.answered - calls.kept))
        while at - self._seen[0][0] > WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None until enough has been seen."""
        if not self._seen or (passed := self._seen[-1][0] - self._seen[0][0]) < SOON:
            return None
        return (self._seen[-1][1] - self._seen[0][1]) / passed


def answering(now: Snapshot, rate: float | None) -> Iterator[str]:
    """Yield what there is to say of the answers so far; nothing before the first."""
    calls = now.calls
    if calls is None or not (calls.answered or calls.failed):
        return
    planned = sum(part.records for part in now.rounds)
    yield f"{calls.answered:,} of {planned:,} records answered" + (f", {calls.kept:,} of them kept" * bool(calls.kept))
    if rate is not None:
        yield f"{rate:,.1f} a second" if rate < 10 else f"{rate:,.0f} a second"
    yield f"{now.accepted:,} accepted"
    if calls.repeated:
        yield f"{calls.repeated:,} calls repeated"
    if calls.refused:
        yield f"{calls.refused:,} without an answer"
    if calls.failed:
        yield "errors: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(calls.failed.items()))
    about = "≈" if calls.estimated else ""
    yield f"tokens {about}{calls.input_tokens:,} in, {about}{calls.output_tokens:,} out"
    if now.cost_usd:
        yield f"{dollars(now.cost_usd)} so far"
    left = planned - calls.answered
    if rate and left > 0:
        yield f"{in_short(left / rate)} left in this round"


def awaited(waiting: Waiting) -> str:
    """Say which server is waited for, and for how long."""
    return f"{waiting.why}: waiting for it, {in_short(waiting.seconds)} more"


def in_short(seconds: float) -> str:
    """Write a time to come as a clock shows it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
