"""Which tiers each record of a shard may be sent to, by what the routes of a task say of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.rows.record import KEY, PLACE, SENT, route_in
from sluice.steps.selection import shard_blocks
from sluice.task.routes import Course

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.state import PlannedJob
    from sluice.steps.services import Run
    from sluice.task.task import Task


def courses_of(run: Run, job: PlannedJob) -> dict[bytes, Course]:
    """Of the records of a shard's first job those that may not be sent to every tier."""
    if job.shard is None or job.below is not None or not run.plan.routed:
        return {}
    found: dict[bytes, Course] = {}
    for block in shard_blocks(run, job.shard):
        add_courses(run.task, block.lines, found)
    whole = run.task.whole_course
    return {key: course for key, course in found.items() if course != whole}


def add_courses(task: Task, lines: Sequence[bytes], found: dict[bytes, Course]) -> None:
    """Find the courses of records by their stored rows, of which these are some.

    Rows of one text share a record, which starts at the strongest tier that the routes name for any of them, and goes
    on to the last one that any of them may.
    """
    whole, courses = task.whole_course, task.courses
    for line in lines:
        if line[PLACE] in SENT:
            route = route_in(line[PLACE])
            mine = whole if route is None else courses[route]
            other = found.setdefault(line[:KEY], mine)
            if other is not mine:
                found[line[:KEY]] = Course(*map(max, mine, other))
