"""The measurements are no tests, but a step that has changed must still be measurable."""

from __future__ import annotations

from benchmarks.__main__ import measure


def test_every_step_is_measured_beside_its_baseline() -> None:
    """A run of a few rows goes through all the steps, each in workers of its own, and each takes as many rows."""
    found = measure(300, 1)
    assert [(figure.step, figure.rows) for figure in found] == [
        (step, 300) for step in ("partition", "prepare", "check", "merge")
    ]
