"""Which answers stand that waited: for their scores, or for what the last tier says of a drawn record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.reasons import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def what_failed(reason: str | None, *, scored: bool) -> str | None:
    """What failed of an answer that waits; None where it waits for a score, or what the last tier says, alone.

    `scored`: it gets a score, which weighs what the judge could not tell.
    """
    waits = {Reason.JUDGE_AGREED.value, *[Reason.JUDGE_UNCLEAR.value] * scored}
    return None if reason in waits else reason


class Standing(NamedTuple):
    """Which answers of the first tier stand under a certificate: those that it covers, of records not drawn.

    `scores` are those of the records that have one, as they are stored. `certified` is False where the run ended before
    there was a certificate: then none stands.
    """

    scores: dict[str, int]
    drawn: AbstractSet[str]
    covered: AbstractSet[str]
    certified: bool

    def of(self, key: str, reason: str | None, tier: int) -> tuple[str, str | None]:  # noqa: ARG002 - it is the first
        """What becomes of a first answer that waited for the certificate, by its record and what is said of it."""
        if (reason := what_failed(reason, scored=True)) is not None:
            return Outcome.ESCALATED.value, reason
        if key in self.drawn:
            return Outcome.ESCALATED.value, Reason.DRAWN.value
        if not self.certified:
            return Outcome.ESCALATED.value, None
        if key in self.covered:
            return Outcome.ACCEPTED.value, None
        return Outcome.ESCALATED.value, Reason.LOW_SCORE.value


class Measured(NamedTuple):
    """Which answers stand in a run that draws rows and promises nothing.

    `answered`: the drawn records of which the last tier has given a valid answer. `scores` are those of the records
    that have one, as they are stored. `enough`: the records whose first answer has the score that it takes; None where
    that is not known, since the run ended before. `gives_scores`: whether it takes any; `falls_short`: why one without
    it does not stand.
    """

    answered: AbstractSet[str]
    scores: dict[str, int]
    enough: AbstractSet[str] | None
    gives_scores: bool
    falls_short: Reason = Reason.LOW_SCORE

    def of(self, key: str, reason: str | None, tier: int) -> tuple[str, str | None]:
        """What becomes of an answer that waited, by its record, what is said of it, and the tier that gave it."""
        scored = self.gives_scores and tier == 0
        if (reason := what_failed(reason, scored=scored)) is not None:
            return Outcome.ESCALATED.value, reason
        if scored and self.enough is not None and key not in self.enough:
            return Outcome.ESCALATED.value, self.falls_short.value
        if key in self.answered:
            return Outcome.ESCALATED.value, Reason.DRAWN.value
        if scored and self.enough is None:
            return Outcome.ESCALATED.value, None
        return Outcome.ACCEPTED.value, None


def became_of(
    standing: Standing | Measured, key: str, reason: str | None, tier: int, judge: bool
) -> tuple[str, str | None]:
    """The same of an attempt at it: the answer, or, with its own reason, what a judge has said of that."""
    outcome, why = standing.of(key, reason, tier)
    return outcome, reason if judge else why
