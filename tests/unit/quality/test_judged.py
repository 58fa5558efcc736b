from __future__ import annotations

from typing import Any

from sluice.quality.evaluation import Row, Shown
from sluice.quality.judged import JudgeTally, shown_in
from sluice.results.judge_books import RunJudge


def attempt(outcome: str, reason: str | None, label: str | None = None) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "label": label}


def test_a_judges_word_is_about_the_answer_before_it() -> None:
    """Its last one; what was lost on the way, and what failed another gate, it has said nothing of."""
    trail = [
        attempt("retried", "throttled"),
        attempt("escalated", "judge_unclear", "a"),
        attempt("retried", "answer_missing"),
        attempt("escalated", "judge_unclear"),
        attempt("escalated", "low_confidence", "b"),
        attempt("escalated", "job_failed", "c"),
        attempt("escalated", "job_failed"),
        attempt("accepted", None, "d"),
        attempt("accepted", "judge_agreed"),
    ]
    assert list(shown_in(trail)) == [Shown("a", stood=False), Shown("d", stood=True)]
    weighed = [attempt("escalated", "low_score", "e"), attempt("escalated", "judge_unclear")]
    assert list(shown_in(weighed)) == [Shown("e", stood=True)]


def test_a_judge_is_held_against_known_answers() -> None:
    """Wrong answers that it caught, right ones that it refused, of rows with a known answer alone; and its cost."""
    tally = JudgeTally()
    known = frozenset({"a"})
    shown = [Shown("a", stood=True), Shown("b", stood=False), Shown("b", stood=True), Shown("a", stood=False)]
    for each in (*shown, Shown("b", stood=False)):
        tally.add(Row("r", known, known, shown=[each]))
    tally.add(Row("r", None, known, shown=shown))
    assert tally.document(None) is None
    assert tally.document(RunJudge(model="m", cost_usd=0.5)) == {
        "model": "m",
        "shown": 5,
        "wrong": 3,
        "caught": 2,
        "right": 2,
        "refused_wrongly": 1,
        "cost_usd": 0.5,
        "beside_score": None,
    }
