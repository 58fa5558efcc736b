"""Which first answers stand by their score where there is no certificate, and what the drawn rows say of those.

It is a rule of thumb: the score is calibrated on drawn rows, and so is what is measured, but each of these rows has the
score that a model gave it which had not seen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.quality.intervals import clustered_share
from sluice.runs.drawn import ScoreGate
from sluice.runs.state import HIGHEST as ABOVE_ALL
from sluice.runs.state import Place
from sluice.steps.counted import Counted, places_of
from sluice.steps.drawing import drawn_answers
from sluice.steps.judge_worth import judged_rows
from sluice.steps.learn import held_of
from sluice.steps.scores import HIGHEST, HIGHEST_TIE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.runs.drawn import DrawnRow
    from sluice.steps.services import Run


def run(opened: Run, *, at: str) -> dict[str, int]:
    """Write `score.json`, once for all executions of the run; one that stands is left alone."""
    if opened.score_gate is not None:
        return {}
    found = gate(opened, at=at)
    opened.store.put_new(opened.keys.score_gate, found.write())
    return {"accepted_rows": found.accepted_rows}


def gate(opened: Run, *, at: str) -> ScoreGate:
    """What the stored scores and answers of a run come to at the task's `min_score`."""
    least, draws, held = opened.task.min_score, opened.draws, held_of(opened)
    assert least is not None, "the task asks for a score"
    out_of_service = opened.taught is not None and opened.taught.out_of_service
    threshold = ABOVE_ALL if out_of_service else below(least)
    drawn = draws.keys
    places = places_of(opened, drawn)
    standing = {key for key, place in places.items() if (place.score, place.tie) > (threshold.score, threshold.tie)}
    counted = Counted.of(opened, drawn, threshold, drawn_go_on=len(opened.start.tiers) > len(("first", "oracle")))
    unseen = set(held.taught) - held.answers.keys()
    measured = _Measured.of([*draws.sample, *draws.train], opened, unseen if held.untaught is None else drawn)
    above = [(key, agrees) for key, agrees in measured.rows if key in standing]
    share = clustered_share(above)
    return ScoreGate(
        min_score=least,
        threshold=threshold,
        population=draws.population + len(draws.train),
        drawn=len(draws.sample) + len(draws.train),
        seed=draws.seed,
        models=[tier.called for tier in opened.start.tiers],
        lessons=len(held.taught),
        untaught=held.untaught,
        scored_records=counted.scored,
        accepted_records=counted.accepted,
        accepted_rows=counted.rows,
        measured=len(measured.rows),
        agreeing=sum(agrees for _, agrees in measured.rows),
        above=len(above),
        above_agreeing=share.count,
        low=share.low,
        high=share.high,
        below=counted.below,
        drawn_accepted=sorted(standing),
        unseen=sorted(unseen),
        at=at,
        out_of_service=out_of_service,
        judged=judged_rows(opened, threshold),
    )


def below(least: float) -> Place:
    """The place above which all answers have at least this score, as it is stored."""
    return Place(score=round(least * HIGHEST) - 1, tie=HIGHEST_TIE)


class _Measured(NamedTuple):
    """Drawn rows by their record, and whether both tiers agree: those that measure, and have an answer of both."""

    rows: list[tuple[str, bool]]

    @classmethod
    def of(cls, drawn: Iterable[DrawnRow], opened: Run, unseen: set[str]) -> _Measured:
        answers = drawn_answers(opened)
        both = answers.first.keys() & answers.oracle.keys() - unseen
        agrees = {key: set(answers.first[key][0]) == set(answers.oracle[key]) for key in both}
        return cls([(row.key, agrees[row.key]) for row in drawn if row.key in agrees])
