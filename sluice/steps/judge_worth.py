"""What a judge is worth beside the score: both held against the last tier's answers to the same drawn rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sluice.quality.score import tie
from sluice.runs.drawn import JudgedRows
from sluice.steps.drawing import drawn_answers
from sluice.steps.learn import held_of

if TYPE_CHECKING:
    from sluice.runs.state import Place
    from sluice.steps.services import Run


def judged_rows(opened: Run, threshold: Place | None) -> JudgedRows | None:
    """The counts, where answers stand above this threshold; None where no judge is shown answers that have a score.

    Rows are those that teach, whose scores come of models that had not seen them.
    """
    if not opened.judges(0):
        return None
    answers, held, found = drawn_answers(opened), held_of(opened).answers, Counter[str]()
    shown = answers.refused | answers.first
    for key in (row.key for row in opened.draws.teaching):
        kept = held.get(key)
        if kept is None or kept.alone is None or key not in shown or key not in answers.oracle:
            continue
        wrong = set(shown[key][0]) != set(answers.oracle[key])
        by_judge, by_score = key in answers.refused, not _above(kept.alone, key, threshold)
        either = by_judge or not _above(kept.score, key, threshold)
        found.update({"rows": 1, "wrong": wrong})
        for caught, refused, held_back in (
            ("judge_caught", "judge_refused", by_judge),
            ("score_caught", "score_refused", by_score),
            ("caught", "refused", either),
        ):
            found[caught if wrong else refused] += held_back
    return JudgedRows(**{name: found[name] for name in JudgedRows.__struct_fields__}) if found["rows"] else None


def _above(score: int, key: str, threshold: Place | None) -> bool:
    return threshold is None or (score, tie(key)) > (threshold.score, threshold.tie)
