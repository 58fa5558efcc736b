"""What a judge was worth: the wrong answers that it caught, and the right ones that it refused, by known answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sluice.quality.evaluation import Shown, in_words
from sluice.reasons import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sluice.quality.evaluation import Row
    from sluice.results.judge_books import RunJudge

REFUSED = frozenset({Reason.JUDGE_REFUSED.value, Reason.JUDGE_UNCLEAR.value})
WORDS = REFUSED | {Reason.JUDGE_AGREED.value}


def shown_in(trail: Sequence[Mapping[str, Any]]) -> Iterator[Shown]:
    """The answers of a record of which a judge has said something, each by whether that let it pass.

    Where a score weighs what the judge could not tell, the answer does not fail for it.
    """
    answer: Mapping[str, Any] | None = None
    for attempt in trail:
        if attempt["label"] is not None:
            answer = attempt
        elif attempt["reason"] in WORDS and attempt["outcome"] != Outcome.RETRIED.value and answer is not None:
            yield Shown(answer["label"], answer["reason"] not in REFUSED)


class JudgeTally:
    """Counts shown answers of rows with a known one: whether they are right, and whether they stood."""

    def __init__(self) -> None:
        self.counts = {(right, stood): 0 for right in (True, False) for stood in (True, False)}

    def add(self, row: Row) -> None:
        """Count what a judge was shown of a row."""
        if row.known is None or not row.shown:
            return
        words = in_words(row.known)
        for each in row.shown:
            self.counts[each.words == words, each.stood] += 1

    def document(self, judge: RunJudge | None) -> dict[str, Any] | None:
        """The counts in rows, and what the judge cost in the whole run; None for a run without one.

        `beside_score`: what it was worth beside the score, on the drawn rows that taught that.
        """
        if judge is None:
            return None
        caught, missed = self.counts[False, False], self.counts[False, True]
        refused, kept = self.counts[True, False], self.counts[True, True]
        return {
            "model": judge.model,
            "shown": sum(self.counts.values()),
            "wrong": caught + missed,
            "caught": caught,
            "right": refused + kept,
            "refused_wrongly": refused,
            "cost_usd": judge.cost_usd,
            "beside_score": None if judge.beside_score is None else msgspec.structs.asdict(judge.beside_score),
        }
