"""Which answers stand that waited: for a certificate, or for what the last tier says of a drawn record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.reasons import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


class Standing(NamedTuple):
    """Which answers of the first tier stand under a certificate: those that it covers, of records not drawn.

    `scores` are those of the records that have one, as they are stored. `certified` is False where the run ended before
    there was a certificate: then none stands.
    """

    scores: dict[str, int]
    drawn: AbstractSet[str]
    covered: AbstractSet[str]
    certified: bool

    def of(self, key: str, reason: str | None) -> tuple[str, str | None]:
        """What becomes of a first answer that waited for the certificate, by its record and what failed of it."""
        if reason is not None:
            return Outcome.ESCALATED.value, reason
        if key in self.drawn:
            return Outcome.ESCALATED.value, Reason.DRAWN.value
        if not self.certified:
            return Outcome.ESCALATED.value, None
        if key in self.covered:
            return Outcome.ACCEPTED.value, None
        return Outcome.ESCALATED.value, Reason.LOW_SCORE.value


class Audited(NamedTuple):
    """Which answers about drawn records stand in an audited run: those to which the last tier has none of its own.

    `answered`: the drawn records of which the last tier has given a valid answer.
    """

    answered: AbstractSet[str]

    @property
    def scores(self) -> dict[str, int]:
        """No answer has a score."""
        return {}

    def of(self, key: str, reason: str | None) -> tuple[str, str | None]:
        """What becomes of an answer that waited, by its record and what failed of it."""
        if reason is not None:
            return Outcome.ESCALATED.value, reason
        if key in self.answered:
            return Outcome.ESCALATED.value, Reason.DRAWN.value
        return Outcome.ACCEPTED.value, None
