"""`judge` of run.json."""

from __future__ import annotations

from sluice import figures
from sluice.results.run_findings import Part


class RunJudge(Part, frozen=True, kw_only=True):
    """What the judge was shown and said: `answers` passed all other gates; of some of them it may have said nothing."""

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

    @property
    def silent(self) -> int:
        """Answers of which it said nothing that could be read, or to which it did not get."""
        return max(0, self.answers - self.right - self.wrong - self.unclear)

    @property
    def sentence(self) -> str:
        """What it said, and what that took."""
        silent = f", and of {self.silent:,} nothing that could be read" if self.silent else ""
        share = figures.percent(self.answers - self.right, self.answers)
        return (
            f"{figures.short_model(self.model)} was shown {self.answers:,} answers that had passed the other gates: "
            f"it called {self.right:,} right, {self.wrong:,} wrong and {self.unclear:,} unclear{silent}. "
            f"So {share} of them did not stand. {self.input_tokens:,} tokens in, "
            f"{self.output_tokens:,} out, {figures.dollars(self.cost_usd)}"
        )
