"""Looking at a run until it ends."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from sluice.aws.errors import translating
from sluice.deployment.standing import GOING_ON, standing
from sluice.errors import RetryLater
from sluice.runs.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.aws.stack import Stack
    from sluice.deployment.standing import Standing
    from sluice.runs.progress import Snapshot

LOOK_SECONDS = 5.0


def follow(
    stack: Stack,
    run: str,
    on_progress: Callable[[Snapshot], None],
    *,
    on_status: Callable[[Standing], None] = lambda _now: None,
    timeout: float | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Standing:
    """Look until a run does not go on any more, at most `timeout` seconds; how it stands then.

    A run that waits for an approval does not go on either. A look that the network fails is made again. `on_status` is
    told how the run stands, before each look at its steps.

    Raises:
        BadRequest: there is no such run.
        RetryLater: the run still goes on after `timeout` seconds.

    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    now, watch = None, Watch(stack.work, run)
    while now is None or now.status in GOING_ON:
        if (left := end - time.monotonic()) <= 0:
            raise RetryLater(f"run {run} has not ended after {timeout:,.0f} seconds")
        try:
            with translating():
                if now is not None:
                    on_status(now)
                    on_progress(watch.look())
                    pause(min(LOOK_SECONDS, left))
                now = standing(stack, run)
        except RetryLater:
            pause(min(LOOK_SECONDS, left))
    on_progress(watch.look())
    return now
