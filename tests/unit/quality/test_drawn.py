"""Which rows measure, and what drawn ones would have been given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluice.quality.drawn import DrawnRows, left_out
from sluice.quality.evaluation import Given
from sluice.results.published import Published
from sluice.rows.record import RowReader
from sluice.runs.drawn import DrawnRow, Draws
from sluice.task.file import parse_task
from sluice.task.spelling import labels_in
from tests.harness.drive import Cloud, jsonl

if TYPE_CHECKING:
    from sluice.task.task import Task

DRAWS = Draws(
    seed="00",
    population=9,
    sample=[DrawnRow(source=0, line=2, key="k2")],
    train=[DrawnRow(source=0, line=5, key="k5")],
    records=None,
)


def task_of(**more: Any) -> Task:
    made = {
        "name": "t",
        "input": {"text": "text"},
        "labels": ["red", "green, dark", "green"],
        "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
    }
    return parse_task({**made, **more}, "t")


def row(line: int, *trail: tuple[int, str, str | None], tier: int = 1) -> dict[str, Any]:
    steps = [{"tier": tier, "label": label, "reason": reason} for tier, label, reason in trail]
    return {"source": "s3://a", "line": line, "status": "accepted", "tier": tier, "labels": ["red"], "trail": steps}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("red", {"red"}),
        ("green, dark", {"green, dark"}),
        ("green, dark, red", {"green, dark", "red"}),
        ("red, green", {"red", "green"}),
    ],
)
def test_labels_of_a_trail_are_told_apart(words: str, found: set[str]) -> None:
    """Also where a label holds the comma that joins them."""
    assert labels_in(words, frozenset({"red", "green", "green, dark"})) == found


def test_a_drawn_row_has_what_it_would_have_been_given() -> None:
    """By the tier that had accepted it; what went on to the last tier anyway has that tier's label."""
    drawn = DrawnRows(task_of(), ["s3://a"], DRAWS)
    asked = row(2, (0, "green", "drawn"), (1, "red", None))
    assert drawn.undrawn(asked) == Given(frozenset({"green"}), 0)
    assert drawn.undrawn(row(2, (0, "green", "low_confidence"), (1, "red", None))) is None
    assert drawn.oracle(asked) == frozenset({"red"})
    assert drawn.oracle(row(3, (1, "red", None))) is None
    assert drawn.oracle(row(2, (0, "red", None), tier=0)) is None


def test_without_a_certificate_no_first_answer_would_have_stood() -> None:
    """A run that ended before it had one keeps the oracle's labels alone."""
    promising = task_of(quality={"agree": 0.95, "sample": 500, "train": 500})
    assert DrawnRows(promising, ["s3://a"], DRAWS).undrawn(row(2, (0, "green", "drawn"), (1, "red", None))) is None


def test_rows_that_taught_or_are_examples_are_left_out() -> None:
    """By the records of their texts; with rules, which judge whole rows, by the rows that have the text."""
    examples = [{"text": "a red one", "label": "red"}]
    task = task_of(examples=examples)
    published = Published(Cloud(lambda _model, _text: "").results, "r", "results/t/", origins=list)
    key = RowReader(task).key(b"a red one", b"").decode()
    assert left_out(task, published, {"k5"}).why == {"k5": "taught", key: "examples"}


def test_an_example_is_found_among_rows_that_are_judged_whole() -> None:
    """Their record is that of the whole row, which has to be read; what cannot be read is unknown, not nothing."""
    rule = {"name": "r", "schema": {"properties": {"row": {"required": ["n"]}}}}
    task = task_of(
        examples=[{"text": "a red one", "label": "red"}],
        gates={"rules": [rule]},
        input={"text": "text", "keep_input": True},
    )
    cloud = Cloud(lambda _model, _text: '{"label": "red", "confidence": "likely"}')
    rows = [{"text": "a red one", "n": 1}, {"text": "a red one", "n": 2}, {"text": "another", "n": 1}]
    run = cloud.run(task, {"a.jsonl": jsonl(rows)})["run_id"]
    found = left_out(task, Published(cloud.results, run, "results/t/", origins=list), set())
    assert set(found.why) == {each["record"] for each in cloud.rows() if each["line"] < 3}
    assert (found.unknown, len(found.why)) == (None, 2)
