"""`judge` of run.json."""

from __future__ import annotations

from sluice import figures
from sluice.results.run_findings import Part


class BesideScore(Part, frozen=True, kw_only=True):
    """What the judge is worth beside the score, on the same drawn rows (sluice.runs.drawn.JudgedRows)."""

    rows: int
    wrong: int
    judge_caught: int
    judge_refused: int
    score_caught: int
    score_refused: int
    caught: int
    refused: int

    @property
    def sentence(self) -> str:
        """What judge, score and both hold back of wrong answers, and of right ones."""
        right = self.rows - self.wrong
        return (
            f"On {self.rows:,} drawn rows, of which {self.wrong:,} were wrong and {right:,} right by the last tier, "
            f"the judge caught {self.judge_caught:,} wrong ones and refused {self.judge_refused:,} right ones; "
            f"the score without its words caught {self.score_caught:,} and refused {self.score_refused:,}; "
            f"both together, as in this run, {self.caught:,} and {self.refused:,}"
        )


class RunJudge(Part, frozen=True, kw_only=True):
    """What the judge was shown and said: `answers` passed all other gates; of some of them it may have said nothing.

    `in_score`: the score of the first tier's answers weighs its words, so that only what it calls wrong falls by them.
    """

    model: str
    pack: int = 1
    transport: str | None = None
    answers: int = 0
    sent: int = 0
    right: int = 0
    wrong: int = 0
    unclear: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    in_score: bool = False
    beside_score: BesideScore | None = None

    @property
    def silent(self) -> int:
        """Answers of which it said nothing that could be read, or to which it did not get."""
        return max(0, self.answers - self.right - self.wrong - self.unclear)

    @property
    def sentence(self) -> str:
        """What it said, and what that took."""
        silent = f", and of {self.silent:,} nothing that could be read" if self.silent else ""
        share = figures.percent(self.answers - self.right, self.answers)
        fell = f"So {share} of them did not stand"
        if self.in_score:
            fell = "What it called wrong of the first tier went on, and the score weighs its other words"
        beside = "" if self.beside_score is None else f". {self.beside_score.sentence}"
        return (
            f"{figures.short_model(self.model)} was shown {self.answers:,} answers that had passed the other gates: "
            f"it called {self.right:,} right, {self.wrong:,} wrong and {self.unclear:,} unclear{silent}. "
            f"{fell}. {self.input_tokens:,} tokens in, "
            f"{self.output_tokens:,} out, {figures.dollars(self.cost_usd)}{beside}"
        )
