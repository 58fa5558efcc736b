"""How a run on this machine stands, for whoever watches it, and the end of one whose server is gone."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sluice.errors import SluiceError, Stop
from sluice.runs.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.runs.calls import Calls
    from sluice.runs.progress import Reader, Snapshot

LOOK_SECONDS = 0.4  # the runner offers a look far more often than a person can read


class Looks:
    """Tells somebody how a run stands, as the work bucket shows it, when the last time is long enough ago."""

    def __init__(
        self,
        work: Reader,
        calls: Callable[[], Calls | None],
        tell: Callable[[Snapshot], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._calls = calls
        self._tell = tell
        self._clock = clock
        self._next = 0.0
        self._watch: Watch | None = None

    def __call__(self, run: str) -> None:
        """Look at a run.

        Raises:
            Stop: the server that answers it is gone for good.
        """
        if self._clock() < self._next:
            return
        calls = self._calls()
        if calls is not None and calls.waiting is not None and calls.waiting.given_up:
            raise Stop(f"{calls.waiting.why}, and was waited for in vain; every reply that came is kept")
        if self._tell is not None:
            if self._watch is None:
                self._watch = Watch(self._work, run)
            with suppress(SluiceError):  # a run goes on when a look at it fails
                self._tell(replace(self._watch.look(), calls=calls))
        self._next = self._clock() + LOOK_SECONDS
