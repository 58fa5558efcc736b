"""What a judge says of an answer, and what becomes of the answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sluice.answers.shown import Showing
from sluice.reasons import Outcome, Reason, about
from sluice.steps.endings import Ending, as_said
from sluice.task.judge import RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.answers.judge import Verdict
    from sluice.runs.state import PlannedJob
    from sluice.task.task import Task


def ending_of(verdict: Verdict, onward: Outcome, *, buys: bool, scored: bool) -> Ending | None:
    """What becomes of an answer by the judge's word; None where the judge was not asked after all, or not heard.

    What it wrote that cannot be read is no word for the answer: it goes on, like one that is unclear. `onward`: where
    to, and in a run over stored answers whatever passes of a later tier's. `scored`: the answer gets a score, which
    weighs all but the word wrong, silence too.
    """
    if verdict.labels == (RIGHT,):
        return Ending(Outcome.ACCEPTED, Reason.JUDGE_AGREED)
    if scored and verdict.labels != (WRONG,):
        return Ending(Outcome.ACCEPTED, Reason.JUDGE_UNCLEAR)
    if verdict.reason is Reason.RECORD_REFUSED or (verdict.reason is not None and about(verdict.reason) != "answer"):
        return None
    reason = Reason.JUDGE_REFUSED if verdict.labels == (WRONG,) else Reason.JUDGE_UNCLEAR
    return Ending(onward if buys else Outcome.UNRESOLVED, reason)


def as_kept(verdict: Verdict, job: PlannedJob, ending: Ending) -> Verdict:
    """What came of a reply to a job, as its attempt keeps it: router and judge give words and no labels.

    Of what a judge wrote that is no word of its own the detail says why it could not be read.
    """
    if not (job.router or job.judge):
        return verdict
    unread = verdict.labels is None and verdict.reason is not None and ending.reason is Reason.JUDGE_UNCLEAR
    return verdict._replace(detail=verdict.reason) if unread and not verdict.detail else as_said(verdict)


def said(verdicts: Sequence[Verdict], of: Sequence[int]) -> dict[str, int]:
    """How often a judge said which word; `of`: by record, the number of its verdict."""
    found: Counter[str] = Counter()
    for n, count in Counter(of).items():
        found.update(dict.fromkeys(verdicts[n].labels or (), count))
    return dict(found)


def showing(task: Task) -> Showing:
    """What writes a task's answers as its judge is shown them."""
    return Showing(task.labels)
