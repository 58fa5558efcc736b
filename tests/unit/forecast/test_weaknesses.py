"""Weaknesses of a task: each is told for a task that has it, and for no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.forecast.weaknesses import Sample, weaknesses
from sluice.models.catalog import Catalog
from sluice.models.fitting import check_models
from sluice.task.file import load_task, parse_task
from sluice.task.labels import PLACEHOLDER

STRONG: dict[str, Any] = {
    "name": "strong",
    "input": {"text": "text", "id": "id", "gold": "gold"},
    "labels": {"bill": "Money", "bug": "Errors", "other": "Anything else"},
    "none": "other",
    "examples": [{"text": "charged twice", "label": "bill"}, {"text": "it crashes", "label": "bug"}],
}
RULE = {"properties": {"answer": {"properties": {"label": {"enum": ["bill", "bug"]}}}}}


def told(sample: Sample | None = None, **changes: Any) -> list[str]:
    task = parse_task({**STRONG, **changes}, "t")
    return [str(weakness) for weakness in weaknesses(task, check_models(task, Catalog.load(), "us-east-1"), sample)]


def rule(schema: dict[str, Any]) -> dict[str, Any]:
    return {"rules": [{"name": "known", "schema": schema}]}


def answering(schema: dict[str, Any]) -> dict[str, Any]:
    return rule({"properties": {"answer": schema}})


def test_a_task_without_weaknesses_has_none() -> None:
    """Neither has it with a sample that fits it, nor with a rule that some answers fail."""
    sample = Sample(10, {"text": 10, "id": 10, "gold": 6}, 400.0, {"bill": 6})
    assert told(sample) == []
    assert told(gates=rule(RULE)) == []


@pytest.mark.parametrize("name", ["tickets", "reviews"])
def test_the_sample_tasks_are_strong(name: str) -> None:
    """What stands there to be learned from shows no weakness, but that of a task without a label for nothing."""
    task = load_task(name, Path("tasks"))
    found = weaknesses(task, check_models(task, Catalog.load(), "us-east-1"))
    assert [weakness.field for weakness in found] == ["none"] * (task.none is None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["bill", "bug", "other"]}, "labels: no label has a description (bill, bug, other)"),
        ({"labels": {"bill": "", "bug": "Errors", "other": "x"}}, "labels: 1 of 3 labels have no description (bill)"),
        ({"labels": {"bill": PLACEHOLDER, "bug": "E", "other": "x"}}, "labels: 1 of 3 labels have no description"),
        (
            {"labels": {"bill": "Money", "Bill_s": "Bills", "bug": "Errors", "other": "x"}},
            "labels: 'bill' and 'Bill_s' are nearly the same",
        ),
        (
            {"labels": {"bill": "Money", "bug": "Errors", "other": "x", "card delivered": "a", "card delivery": "b"}},
            "labels: 'card delivered' and 'card delivery' are nearly the same",
        ),
        (
            {"labels": {"bill": "Money", "bug": "Errors", "other": "x", "debt": "Money"}},
            "labels: bill, debt have the same description",
        ),
        ({"labels": {"other": "x"}, "examples": [{"text": "x", "label": "other"}]}, "labels: there is one"),
        ({"none": None}, "none: is not set"),
        ({"examples": []}, "examples: there are none"),
        (
            {"examples": [{"text": "Twice", "label": "bill"}, {"text": " twice", "label": "bill"}]},
            "examples: 0 and 1 (from 0) have the same text; keep one",
        ),
        (
            {"examples": [{"text": "twice", "label": "bill"}, {"text": "twice", "label": "bug"}]},
            "examples: 0 and 1 (from 0) have the same text with different answers",
        ),
        ({"gates": {"min_confidence": "unsure"}}, "gates.min_confidence: unsure lets every answer pass"),
        ({"answer": {"confidence": False}}, "gates: only malformed answers go on"),
        ({"gates": answering({})}, "gates.rules: known lets every answer pass"),
        ({"gates": rule({"not": {}})}, "gates.rules: known lets no answer pass"),
        ({"gates": answering({"required": ["note"]})}, "gates.rules: known lets no answer pass"),
        ({"tiers": [{"model": "nova-micro", "max_tokens": 5}]}, "tiers.0.max_tokens: 5 is below the"),
        (
            {"tiers": [{"model": "claude-haiku-4-5"}, {"model": "nova-micro"}]},
            "tiers.1.model: nova-micro costs less than claude-haiku-4-5",
        ),
        ({"tiers": [{"model": "nova-micro"}, {"model": "nova-micro"}]}, "tiers.1.model: nova-micro is asked the same"),
    ],
)
def test_a_weakness_is_told(changes: dict[str, Any], said: str) -> None:
    """The sentence begins with the field, and nothing else is found fault with."""
    found = told(**changes)
    assert [line for line in found if line.startswith(said)] == found != []


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (Sample(0, {}, 0.0, {}), "input: the sample has no row"),
        (Sample(9, {"id": 9, "gold": 9}, 400.0, {}), "input.text: text stands in none of the 9 rows"),
        (Sample(9, {"text": 4, "id": 9, "gold": 9}, 400.0, {}), "input.text: text stands in 4 of the 9 rows"),
        (Sample(9, {"text": 9, "gold": 9}, 400.0, {}), "input.id: id stands in none"),
        (Sample(9, {"text": 9, "id": 9, "gold": 9}, 400.0, {"Bill": 9}), "input.gold: known answers of the sample are"),
    ],
)
def test_a_sample_shows_what_its_task_misses(sample: Sample, said: str) -> None:
    """Fields that the rows do not have, and known answers that no model can give."""
    found = told(sample)
    assert [line for line in found if line.startswith(said)] == found != []


def test_instructions_that_dominate_are_told() -> None:
    """Only where they are long, and the texts short beside them."""
    long = {"instructions": "Decide with care. " * 200}

    def about(tokens: float, **changes: Any) -> list[str]:
        return told(Sample(9, {"text": 9, "id": 9, "gold": 9}, tokens, {}), **changes)

    assert [line.split(":")[0] for line in about(20, **long)] == ["instructions"]
    assert about(2000, **long) == []
    assert about(5) == []
