"""What a tier has refused of all that it was sent: asked once more, then left; passed on only where somebody says so.

Escalating a million records to the dearest model because the cheap one lacks a permission is the most expensive way
to fail. Check marks what was refused in jobs that brought no answer; here it is looked at by tier and round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from sluice.answers.refusals import FEW, to_change
from sluice.errors import Stop
from sluice.runs.accounting import RETRY
from sluice.runs.state import Left

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluice.runs.books import Counts
    from sluice.runs.state import FrozenTier, Pending, PlannedJob, RoundPlan
    from sluice.steps.services import Run


@dataclass
class Onward:
    """What a round leaves to be sent: plainly, and what was refused, each with the words of its refusal.

    `again` goes to the tier that refused it, `passed` to the next one, `left` to nobody in this execution.
    """

    plain: list[Pending] = field(default_factory=list)
    again: list[tuple[str, Pending]] = field(default_factory=list)
    passed: list[tuple[str, Pending]] = field(default_factory=list)
    left: list[tuple[str, Pending]] = field(default_factory=list)


def sort_out(opened: Run, before: RoundPlan, counts: Sequence[Counts]) -> Onward:
    """What becomes of the records that the round `before` leaves.

    Raises:
        Stop: a tier refused all that it was sent, and no record of the run has been accepted.

    """
    found, jobs = Onward(), [books for books in counts if books.round == before.round]
    anew = before.execution < opened.keys.execution  # whoever resumes a run has mended something
    accepted = any(books.accepted or books.scored for books in counts)
    alike = {who: _why(opened, jobs, who) for who in {_who(books) for books in jobs}}
    for books in jobs:
        if books.fatal and not books.refused and not anew:  # settled by an earlier version, which stopped
            raise Stop(f"round {books.round}, job {books.job}: {books.fatal}")
        found.plain += [item for item in books.pending if not item.refused]
        refused = [item for item in books.pending if item.refused]
        goes_on = [_goes_on(opened, books, item) for item in refused]
        # One wording for a tier, since jobs are packed by it.
        why = next((item.fatal for item in jobs if _who(item) == _who(books) and item.fatal), alike[_who(books)])
        if not (books.fatal or alike[_who(books)]):
            found.passed += _next_tier(opened, books, refused)
        elif anew or (accepted and not _asked_again(before, books)):
            found.again += [(str(why), _here(item)) for item in refused]
        elif opened.escalates_refused and _asked_again(before, books) and any(goes_on):
            found.passed += _next_tier(opened, books, refused)
            found.left += [(str(why), _here(item)) for item, goes in zip(refused, goes_on, strict=True) if not goes]
        elif not accepted and refused:
            mend = to_change(str(why), _asked(opened, _who(books)).model)
            said = f"round {books.round}, job {books.job}: {str(why).rstrip('.')}."
            raise Stop(f"{said}{mend} Nothing has been accepted, so the run stops here")
        else:
            found.left += [(str(why), _here(item)) for item in refused]
    return found


def _asked_again(before: RoundPlan, books: Counts) -> bool:
    """Whether the job's records had been refused before, by the same tier."""
    job = before.jobs[books.job]
    return job.refused is not None and job.purpose == RETRY


def _here(item: Pending) -> Pending:
    return msgspec.structs.replace(item, refused=False, asked=False)


def _next_tier(opened: Run, books: Counts, refused: Iterable[Pending]) -> list[tuple[str, Pending]]:
    """The records as those of the next tier; those that it was asked about stay as they were refused.

    So do those that may not be sent to a further one. What the router or the judge was to be asked, nobody else is.
    """
    words = f"refused by {_asked(opened, _who(books)).called}"
    new = {"tier": books.tier + 1, "attempt": 1, "refused": False, "pack": None, "router": False, "judge": False}
    return [
        (words, msgspec.structs.replace(item, **new))
        for item in refused
        if not item.asked and _goes_on(opened, books, item)
    ]


def _goes_on(opened: Run, books: Counts, item: Pending) -> bool:
    """Whether there is a further tier that these records may be sent to."""
    return books.tier < (len(opened.start.tiers) - 1 if item.last is None else item.last)


def _who(books: Counts) -> tuple[int, bool]:
    """Who was asked: the tier, and whether it was the judge about the tier's answers."""
    return books.tier, books.judge


def _asked(opened: Run, who: tuple[int, bool]) -> FrozenTier:
    """The same as it was frozen."""
    return opened.start.judge if who[1] and opened.start.judge is not None else opened.tier(who[0])


def _why(opened: Run, jobs: Iterable[Counts], who: tuple[int, bool]) -> str | None:
    """The words in which a round's jobs for one were all refused; None where they were not, or are too few to say."""
    mine = [books for books in jobs if _who(books) == who]
    refused = sum(books.refused for books in mine)
    if refused <= FEW or any(books.answered for books in mine):
        return None
    most = max(mine, key=lambda books: books.refused)
    return f"all {refused} records of {len(mine)} jobs were refused by {_asked(opened, who).called}: {most.message}"


def told(left: Iterable[PlannedJob]) -> list[Left]:
    """What was left, by tier and the words of the refusal."""
    sums: dict[tuple[int, str], int] = {}
    for job in left:
        key = job.tier, job.refused or ""
        sums[key] = sums.get(key, 0) + job.records
    return [Left(tier=tier, records=records, cause=cause) for (tier, cause), records in sums.items()]
