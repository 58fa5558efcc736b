"""What the replay of corrections tells of its runs."""

from __future__ import annotations

from benchmarks.corrections import DRAWN, NOBODY, QUEUED, Arm, Next, apart, lines_of


def test_only_rows_that_nobody_settled_are_compared() -> None:
    """By what is right and what it cost of each, whoever had settled the others."""
    names = [f"t-{n}" for n in range(100)]

    def after(right: int, usd: float) -> Next:
        return Next({name: n < right for n, name in enumerate(names)}, dict.fromkeys(names, usd), 100 * usd)

    found = {
        NOBODY: Arm(set(), 0, after(50, 1.0)),
        DRAWN: Arm({"t-0", "t-1"}, 1, after(60, 1.0)),
        QUEUED: Arm({"t-1", "t-2"}, 2, after(70, 0.5)),
    }
    assert apart(found).startswith("+10.31 (")
    assert apart(found).endswith("| -50.0% (-50.0% to -50.0%)")
    assert list(lines_of(1, found)) == [
        "| 1 | none |  | 50.0% | 100.0000 |  |  |",
        "| 1 | drawn uniformly | 1 of 2 | 60.0% | 100.0000 | 58.8% | 97.0000 |",
        "| 1 | as the queues offer them | 2 of 2 | 70.0% | 50.0000 | 69.1% | 48.5000 |",
    ]
