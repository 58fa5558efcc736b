"""The measurements are no tests, but a step that has changed must still be measurable."""

from __future__ import annotations

from benchmarks import packing
from benchmarks.__main__ import measure


def test_every_step_is_measured_beside_its_baseline() -> None:
    """A run of a few rows goes through all the steps, each in workers of its own, and each takes as many rows."""
    found = measure(300, 1)
    assert [(figure.step, figure.rows) for figure in found] == [
        (step, 300) for step in ("partition", "prepare", "check", "merge")
    ]


def test_packs_are_measured_beside_single_requests_over_the_same_rows() -> None:
    """The same records come to the same answers, and a row's share of a job's input falls."""
    alone, packed = packing.measure(300, 1, (1, 10))
    assert (alone.check.rows, packed.check.rows) == (300, 300)
    assert packed.bytes[packing.INPUT] < 0.4 * alone.bytes[packing.INPUT]
    assert packed.bytes["waiting for the second tier"] == alone.bytes["waiting for the second tier"] > 0
