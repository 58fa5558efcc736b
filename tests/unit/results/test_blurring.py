"""Which labels a cheaper tier takes for each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.report.report import render
from sluice.results.blurring import blurs, document
from sluice.results.run_document import Run, read_run
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl

LABELS = ("refund", "complaint", "other")


def run_of(changes: dict[tuple[str, str], int], labels: int = 3, **more: Any) -> Run:
    """A run document with so many records by first and accepted answer."""
    names = (*LABELS, *(f"L{n}" for n in range(labels - 3)))
    looked = {first: sum(count for (one, _), count in changes.items() if one == first) for first, _ in changes}
    findings = {
        "looked": [{"first": first, "records": count} for first, count in looked.items()],
        "blurs": [
            {"first": first, "final": final, "records": count}
            for (first, final), count in changes.items()
            if first != final
        ],
    }
    definition = {"labels": dict.fromkeys(names, "")}
    return read_run({"status": "succeeded", "findings": findings, "definition": definition, **more})


def test_pairs_are_those_between_which_most_records_changed() -> None:
    """In both directions together, with the share that stayed what it was first called."""
    changes = {
        ("refund", "refund"): 60, ("refund", "complaint"): 30, ("refund", "other"): 10,
        ("complaint", "complaint"): 80, ("complaint", "refund"): 20,
    }  # fmt: skip
    first, second = blurs(run_of(changes))
    assert (first.labels, first.records, first.looked) == (("refund", "complaint"), 50, 200)
    assert [way.precision for way in first.ways] == [pytest.approx(0.6), pytest.approx(0.8)]
    assert first.sentence.endswith("(25%): 30 from refund to complaint, 20 the other way.")
    assert (second.labels, second.records) == (("refund", "other"), 10)


def test_a_few_changes_are_chance() -> None:
    """Fewer than ten records say nothing of a pair."""
    assert blurs(run_of({("refund", "complaint"): 5, ("complaint", "refund"): 4})) == []


@pytest.mark.parametrize(
    ("labels", "more", "tells"),
    [
        (20, {"status": "cancelled"}, True),
        (21, {}, True),
        (21, {"status": "cancelled"}, False),
        (21, {"inputs": [{"uri": "s3://i/t/sample.jsonl", "path": "/w/out/.pilot/sample.jsonl"}]}, False),
        (20, {"inputs": [{"uri": "s3://i/t/sample.jsonl", "path": "/w/out/.pilot/sample.jsonl"}]}, True),
    ],
)
def test_above_twenty_labels_only_a_whole_run_tells(labels: int, more: dict[str, Any], tells: bool) -> None:
    """A sample, or what a run had asked when it broke off, pairs so many labels by chance."""
    assert bool(blurs(run_of({("refund", "complaint"): 40}, labels, **more))) == tells


def test_several_labels_blur_one_by_one() -> None:
    """What both answers have in common is no part of the pair; a label more or less is none."""
    changes = {("refund, other", "complaint, other"): 12, ("refund, other", "refund"): 30}
    (found,) = blurs(run_of(changes))
    assert (found.labels, found.records) == (("refund", "complaint"), 12)
    assert found.ways[0].looked == 42


def answer(model: str, text: str) -> str:
    """The cheap one takes refunds for complaints, and says that it is not sure."""
    right = text.split(maxsplit=1)[0]
    said = "complaint" if "nova" in model and right == "refund" else right
    return json.dumps({"label": said, "confidence": "unsure" if "nova" in model else "certain"})


@pytest.mark.parametrize("examples", [True, False])
def test_a_report_says_which_descriptions_to_sharpen(examples: bool) -> None:
    """With rows to look at, unless the task keeps texts out; a text that comes often is one."""
    task = {
        "name": "t",
        "input": {"text": "t"},
        "labels": list(LABELS),
        "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
        "report": {"examples": examples},
    }
    rows = [{"t": f"refund secret {n}"} for n in range(12)] * 2 + [{"t": "other thing"}] * 40
    cut = {"min_records_per_job": 1, "max_records_per_job": 5, "span_bytes": 300}
    summary = Cloud(answer, cut).run(parse_task(task, "t"), {"a.jsonl": jsonl(rows)})
    (found,) = document(blurs(read_run(summary)))
    assert (found["labels"], found["records"], found["looked"]) == (["complaint", "refund"], 12, 12)
    shown = [row["text"] for row in found["examples"]]  # type: ignore[attr-defined]
    assert len(set(shown)) == (3 if examples else 0)
    page = render(summary)
    assert "Sharpen the descriptions of <bdi>complaint</bdi> and <bdi>refund</bdi>" in page
    assert ("secret" in page) == ("secret" in json.dumps(summary)) == examples
