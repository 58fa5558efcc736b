"""How many calls a server gets at once: as many as bring more answers, and fewer when it says that it is too much."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST, MOST = 8, 256
GROWTH = 1.5
BETTER = 1.05  # more calls at once are worth it when they bring that many times the answers
WINDOW_SECONDS = 1.0
BACK_OFF = 0.7


class Pace:
    """A limit on calls under way that finds its own height; one of `fixed` stays there.

    It climbs while answers per second grow with it, window by window, goes back one step when they do not, and falls by
    a third when the server refuses or throttles. A server that answers what it is asked in turn stays at a few, one
    that batches gets as many as it can use.
    """

    def __init__(self, fixed: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = fixed or FIRST
        self._fixed = fixed is not None
        self._clock = clock
        self._free = Condition()
        self._under_way = 0
        self._since = clock()
        self._answers = 0
        self._full = False  # whether the limit held anybody back in this window
        self._best = 0.0
        self._before = self.limit
        self._settled = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait for a free place, and hold it."""
        with self._free:
            while self._under_way >= self.limit:
                self._full = True
                self._free.wait()
            self._under_way += 1
        try:
            yield
        finally:
            with self._free:
                self._under_way -= 1
                self._free.notify()

    def answered(self) -> None:
        """Count an answer."""
        with self._free:
            self._answers += 1
            passed = self._clock() - self._since
            if self._fixed or passed < WINDOW_SECONDS or self._answers < self.limit:
                return
            if self._full:
                self._climb(self._answers / passed)
            self._begin()

    def refused(self) -> None:
        """Take note that the server is asked too much; at most once a window."""
        with self._free:
            if not self._fixed and not self._settled:
                self.limit = max(1, int(self.limit * BACK_OFF))
                self._settled, self._best = True, 0.0  # a window of quiet, and then it may climb again
                self._begin()

    def _begin(self) -> None:
        self._since, self._answers, self._full = self._clock(), 0, False

    def _climb(self, rate: float) -> None:
        if self._settled:  # a window of quiet behind a refusal, or behind a step back
            self._settled, self._best = False, rate if self._best else 0.0
            self._before = self.limit
            return
        if rate > self._best * BETTER:
            self._best, self._before = rate, self.limit
            self.limit = min(MOST, max(self.limit + 1, int(self.limit * GROWTH)))
            self._free.notify_all()
        else:
            self.limit, self._settled = self._before, True
