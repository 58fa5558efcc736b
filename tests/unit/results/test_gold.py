"""Known answers are compared with the given ones, and shown to no model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.results.run_document import read_run
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl


def make(**changes: Any) -> Task:
    base = {"name": "t", "input": {"text": "text", "gold": "team.name"}, "labels": ["a", "b"]}
    return parse_task({**base, **changes}, "t")


def by_first_word(model: str, text: str) -> str:
    """The first model is sure of texts about a, the second answers b."""
    assert "secret" not in text
    if "micro" in model:
        return '{"label": "a", "confidence": "%s"}' % ("certain" if text.startswith("a") else "unsure")
    return '{"label": "b", "confidence": "certain"}'


def rows(golds: list[Any]) -> bytes:
    found = [{"text": f"{'ab'[n % 2]} {n}", "team": {"name": gold, "secret": "secret"}} for n, gold in enumerate(golds)]
    return jsonl(found)


def test_agreement_is_counted_by_tier() -> None:
    """Accepted rows with a known answer, and those among them that agree with it."""
    cloud = Cloud(by_first_word, {"min_records_per_job": 1})
    summary = cloud.run(make(), {"in.jsonl": rows(["a", "b", "b", "a", None, "", "a"])})
    assert summary["gold"] == {
        "known": 5,
        "outside": 0,
        "accepted": 5,
        "right": 3,
        "tiers": [{"tier": 0, "accepted": 3, "right": 2}, {"tier": 1, "accepted": 2, "right": 1}],
    }


def test_known_answers_outside_the_labels_are_counted_apart() -> None:
    """No answer can agree with them, so none is wrong for that; the run warns of them."""
    cloud = Cloud(by_first_word, {"min_records_per_job": 1})
    summary = cloud.run(make(), {"in.jsonl": rows(["a", "b", "c", 7, ["a", "c"], " a\u200b"])})
    gold = summary["gold"]
    assert (gold["known"], gold["outside"], gold["accepted"], gold["right"]) == (3, 3, 3, 2)
    assert [warning for warning in summary["warnings"] if "3 row(s) have a known answer that is no label" in warning]


@pytest.mark.parametrize(
    ("labels", "gold", "right"),
    [
        (["5", "1"], 5, 1),
        (["5", "1"], "5", 1),
        (["5", "1"], [5], 1),
        (["5", "1"], 1, 0),
        (["true", "false"], True, 1),
        (["Qualite\u0301", "b"], "Qualit\u00e9", 1),
    ],
)
def test_known_answers_may_be_numbers_and_truths(labels: list[str], gold: Any, right: int) -> None:
    """Their JSON is a label, and a label in another form of its characters is that label."""
    cloud = Cloud(lambda *_: json.dumps({"label": labels[0], "confidence": "certain"}), {"min_records_per_job": 1})
    summary = cloud.run(make(labels=labels), {"in.jsonl": rows([gold])})
    assert (summary["gold"]["known"], summary["gold"]["right"]) == (1, right)


def test_agreement_is_told_in_a_sentence() -> None:
    """The report and the terminal say how often, and how often by tier."""
    cloud = Cloud(by_first_word, {"min_records_per_job": 1})
    told = read_run(cloud.run(make(), {"in.jsonl": rows(["a", "b", "b", "b"])})).agreement
    assert told == (
        "75% of 4 accepted rows agree with the answer that was known for them (nova-micro 50%, claude-haiku-4-5 100%)"
    )


@pytest.mark.parametrize(("gold", "right"), [(["b", "a"], 1), (["a"], 0), ([], 0), ("a", 0)])
def test_several_labels_agree_as_a_set(gold: Any, right: int) -> None:
    """The order of the labels does not matter, their number does."""
    cloud = Cloud(lambda _model, _text: '{"labels": ["a", "b"], "confidence": "certain"}', {"min_records_per_job": 1})
    summary = cloud.run(make(choose="many"), {"in.jsonl": rows([gold])})
    assert summary["gold"]["right"] == right


def test_without_known_answers_there_is_nothing_to_tell() -> None:
    """A task that names no gold field has no such figures, rather than zeros."""
    cloud = Cloud(by_first_word, {"min_records_per_job": 1})
    summary = cloud.run(make(input={"text": "text"}), {"in.jsonl": rows(["a"])})
    assert summary["gold"] is None
    assert read_run(summary).agreement is None
