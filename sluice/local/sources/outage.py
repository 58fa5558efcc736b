"""A server that is away in the middle of a run is waited for, and no row is lost to it: up to a limit."""

from __future__ import annotations

import time
from threading import Condition, get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0


class Outage:
    """Calls that found nobody wait here. One of them looks again now and then; the others go on when it was answered.

    `limit` is in seconds; where it has passed, everybody is sent away, and so is whoever comes later.
    """

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._change = Condition()
        self._since: float | None = None
        self._looks: int | None = None  # the thread that does
        self._pause = FIRST_PAUSE_SECONDS
        self.why = ""
        self.given_up = False
        self._ended = False

    def wait(self, why: str) -> bool:
        """Wait until the server may be asked again; False when it has been away for too long."""
        with self._change:
            if self._since is None:
                self._since, self.why, self._pause = self._clock(), why, FIRST_PAUSE_SECONDS
            while self._looks not in {None, get_ident()} and not self._decided:
                self._change.wait()
            if self._decided:
                return not (self.given_up or self._ended)
            self._looks = get_ident()
            pause = min(self._pause, max(0.0, self._since + self.limit - self._clock()))
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            if pause > 0:
                self._change.wait_for(lambda: self._decided, pause)
                return not (self.given_up or self._ended)
            self.given_up = True
            self._change.notify_all()
            return False

    @property
    def _decided(self) -> bool:
        return self._since is None or self.given_up or self._ended

    def leave(self) -> None:
        """Let somebody else look, where this thread did."""
        with self._change:
            if self._looks == get_ident():
                self._looks = None
                self._change.notify_all()

    def end(self) -> None:
        """Send everybody away who waits: the run is being stopped."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    def over(self) -> None:
        """Take note that the server answers."""
        if self._since is None:
            return
        with self._change:
            self._since = self._looks = None
            self._change.notify_all()

    @property
    def left(self) -> float | None:
        """For how many more seconds the server is waited for; None while it is there."""
        since = self._since
        return None if since is None else max(0.0, since + self.limit - self._clock())
