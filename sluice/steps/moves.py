"""Records of a job that it does not send: held back, or to be sent to another tier than the job's, or no further.

Routes say where a record starts, and how far it may go. One whose text does not fit into the context of the tier's
model goes to the first tier of its course where it does; where there is none it stays, and the model says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sluice.answers.requests import RequestWriter
from sluice.budget.tokens import estimated_tokens
from sluice.rows.record import BYTES_PER_TOKEN
from sluice.steps.courses import courses_of
from sluice.steps.records import Some
from sluice.steps.selection import PendingWriter
from sluice.task.routes import Course

if TYPE_CHECKING:
    from sluice.runs.state import JobItem, Pending, PlannedJob
    from sluice.steps.listed import ListedRecords
    from sluice.steps.services import Run


class Moves:
    """Where the records of one job go that it does not send."""

    def __init__(self, run: Run, item: JobItem, job: PlannedJob) -> None:
        self.run, self.item, self.job = run, item, job
        most = len(run.start.tiers) - 1
        self.whole = Course(job.tier, most if job.last is None else job.last)
        self.courses = courses_of(run, job)
        self.elsewhere = frozenset(key for key, course in self.courses.items() if course.tier > job.tier)
        self.rooms: dict[int, tuple[float, float]] = {}
        # What is drawn is asked of the last tier by jobs of its own, and of the first whatever its length.
        # What is too long for a judge, nobody has judged.
        self.moves_long = self.whole.last > job.tier and not run.draws_rows and not job.judge
        self.writers: dict[Course, PendingWriter] = {}

    def take(self, some: Some, listed: ListedRecords) -> Some:
        """Keep what goes elsewhere, and hand back the others; what is kept is `listed`, too."""
        here = self.job.tier
        if not self.courses and not self._some_long(some):
            return some
        to = [self._tier_of(key, text) for key, text in zip(some.keys, some.escaped, strict=True)]
        for n, tier in enumerate(to):
            if tier != here:
                key = some.keys[n]
                self._writer(Course(tier, self._course(key).last)).add(key, some.escaped[n])
                if some.segment is not None:
                    listed.add([key], some.places[n : n + 1], some.segment)
                else:
                    listed.add([key], (), None)
        staying = [n for n, tier in enumerate(to) if tier == here]
        places = [some.places[n] for n in staying] if some.places else ()
        return Some([some.keys[n] for n in staying], [some.escaped[n] for n in staying], places, some.segment)

    def hold(self, key: bytes, escaped: bytes) -> None:
        """Keep a record for a later job of the same tier."""
        self._writer(Course(self.job.tier, self._course(key).last)).add(key, escaped)

    def close_held(self) -> Pending | None:
        """What was held back and may go to every tier; None when nothing was."""
        writer = self.writers.pop(self.whole, None)
        return None if writer is None else writer.close()

    def close(self) -> list[Pending]:
        """All else that was kept, by where it goes."""
        closed = [self.writers[course].close() for course in sorted(self.writers)]
        return [pending for pending in closed if pending is not None]

    def _course(self, key: bytes) -> Course:
        return self.courses.get(key, self.whole)

    def _some_long(self, some: Some) -> bool:
        longest = max(map(len, some.escaped), default=0)
        return self.moves_long and longest > self._room(self.job.tier)[0]

    def _tier_of(self, key: bytes, escaped: bytes) -> int:
        """The tier that a record is to be sent to: not below the job's."""
        course = self._course(key)
        first = max(course.tier, self.job.tier)
        if not self.moves_long:
            return first
        return next((tier for tier in range(first, course.last + 1) if self._fits(tier, escaped)), first)

    def _fits(self, tier: int, escaped: bytes) -> bool:
        """Whether a text has room in a tier's requests: surely by its bytes, else as its characters are estimated."""
        surely, tokens = self._room(tier)
        if len(escaped) <= surely:
            return True
        figures = self.run.start.tokens
        text = json.loads(b'"%b"' % escaped)
        estimate = estimated_tokens([text], figures) if figures else len(escaped) / BYTES_PER_TOKEN
        return estimate * self.run.tier(tier).token_factor <= tokens

    def _room(self, number: int) -> tuple[float, float]:
        """Bytes of a text that surely fit into a request of a tier, and the tokens that do."""
        if number not in self.rooms:
            tier = self.run.tier(number)
            context = float("inf") if tier.context_tokens is None else tier.context_tokens - tier.max_tokens
            constant = RequestWriter(self.run.task, tier).constant_bytes
            # No tokenizer makes more than one token of a byte.
            self.rooms[number] = context - constant, context - constant / BYTES_PER_TOKEN
        return self.rooms[number]

    def _writer(self, course: Course) -> PendingWriter:
        """What keeps the records of a course; those of a later tier begin there anew."""
        if course not in self.writers:
            run, item, job = self.run, self.item, self.job
            stays, whole = course.tier == job.tier, course.last == len(run.start.tiers) - 1
            attempt, pack = (job.attempt, job.pack) if stays else (1, None)
            why = ("held" if stays else "moved") + ("" if whole else f"-to-{course.last}")
            key = run.keys.pending(item.round, item.job, course.tier, attempt, why)
            last = None if whole else course.last
            asks = {"router": stays and job.router, "judge": stays and job.judge}
            self.writers[course] = PendingWriter(run.store, key, course.tier, attempt, pack, last, **asks)
        return self.writers[course]
