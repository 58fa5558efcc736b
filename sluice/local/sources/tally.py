"""What has been asked and answered so far, for whoever watches a run."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from sluice.answers.requests import FILLER
from sluice.local.requests import BYTES_PER_TOKEN, SEVERAL_AT
from sluice.local.sources.source import NoAnswer, Reply, Source
from sluice.runs.calls import Calls, Waiting

if TYPE_CHECKING:
    from sluice.local.requests import Request

KINDS = {0: "no connection", 408: "timed out", 429: "throttled"}


class Tally:
    """Counts, from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def answered(self, request: Request, reply: Reply) -> None:
        """Count a reply, whoever it came from."""
        if request.record.startswith(FILLER):
            return
        counted = reply.input_tokens is not None and reply.output_tokens is not None
        read = request.input_tokens if reply.input_tokens is None else reply.input_tokens
        written = len(reply.text) // BYTES_PER_TOKEN if reply.output_tokens is None else reply.output_tokens
        with self._lock:
            self._counts["answered"] += max(1, request.text.count(SEVERAL_AT))
            self._counts["input_tokens"] += read
            self._counts["output_tokens"] += written
            self._counts["estimated"] += not counted

    def found(self) -> None:
        """Count a reply that an earlier run has left."""
        with self._lock:
            self._counts["kept"] += 1

    def repeated(self) -> None:
        """Count a call that is made again."""
        with self._lock:
            self._counts["repeated"] += 1

    def failed(self, status: int) -> None:
        """Count a call without an answer, by its status."""
        with self._lock:
            self._failed[KINDS.get(status, f"status {status}")] += 1

    def refused(self) -> None:
        """Count a request that gets no answer."""
        with self._lock:
            self._counts["refused"] += 1

    def calls(self, waiting: Waiting | None = None) -> Calls:
        """The counts as they are."""
        with self._lock:
            return Calls(**self._counts, failed=dict(self._failed), waiting=waiting)


class Counted:
    """A source whose replies are counted."""

    def __init__(self, source: Source, tally: Tally) -> None:
        self.source, self.tally = source, tally
        self.name, self.concurrency = source.name, source.concurrency

    def answer(self, request: Request, run: str | None) -> Reply:
        """The source's reply.

        Raises:
            NoAnswer: it has none.
        """
        try:
            reply = self.source.answer(request, run)
        except NoAnswer:
            self.tally.refused()
            raise
        self.tally.answered(request, reply)
        return reply
