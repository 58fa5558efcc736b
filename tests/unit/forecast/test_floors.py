"""What floors take, and when a plan warns of them."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.forecast.floors import floors_in_words, floors_of, too_small
from sluice.task.file import parse_task
from sluice.task.task import Task


def task_of(labels: int, floors: int, **quality: Any) -> Task:
    names = [f"l{n}" for n in range(labels)]
    given = {"floors": dict.fromkeys(names[:floors], 0.95), **quality}
    return parse_task({"name": "t", "input": {"text": "text"}, "labels": names, "quality": given}, "t")


@pytest.mark.parametrize(("floors", "needs"), [(1, 59), (5, 90), (10, 104), (77, 144)])
def test_more_floors_take_more_sampled_rows_each(floors: int, needs: int) -> None:
    """Together they fail with at most delta: each with a part of it."""
    found = floors_of(task_of(80, floors), {})
    assert [floor["needs"] for floor in found] == [needs] * floors
    assert f"{needs} sampled rows" in floors_in_words(found)


def test_a_plan_warns_of_floors_whose_labels_are_rare() -> None:
    """By known answers where the input has them, else as if labels were as frequent; many are not all named."""
    task = task_of(4, 2, sample=300)
    assert [floor["expected"] for floor in floors_of(task, {})] == [75, 75]
    (rare,) = too_small(floors_of(task, {"l0": 5, "l1": 45, "l2": 50}))
    assert rare.startswith("quality.floors.l0: takes 72 sampled rows")
    assert "about 15 are expected (by known answers)" in rare
    many = list(too_small(floors_of(task_of(80, 77), {})))
    assert (len(many), many[-1]) == (11, "quality.floors: the same is likely of 67 more labels")
    assert floors_of(parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"]}, "t"), {}) == []
