"""What the report tells beyond the books is counted from the rows that are published."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.results.examples import BROWSED, EACH, EXCERPT, LEAST, OTHERS, browsed, excerpt, sampled
from sluice.results.findings import add_up
from sluice.runs.books import SHOWN, Example, Findings
from sluice.task.file import parse_task
from sluice.task.task import Task
from tests.harness.drive import Cloud, jsonl

ANYTHING = {"min_records_per_job": 1}
LABELS = ("a", "b", "c")
WORDS = ("certain", "likely", "unsure")


def make(**changes: Any) -> Task:
    text = {"text": "t", **changes.pop("input", {})}
    return parse_task({"name": "t", "input": text, "labels": list(LABELS), **changes}, "t")


def reply(label: str | list[str], confidence: str = "certain") -> str:
    return json.dumps({"labels" if isinstance(label, list) else "label": label, "confidence": confidence})


def by_text(model: str, text: str) -> str:
    """What a text says itself: `first label, its confidence, second label | anything else`."""
    first, sure, second = text.partition("|")[0].split(",")
    if first == "broken":
        return "no JSON" if "nova" in model else reply(second)
    return reply(first, sure) if "nova" in model else reply(second)


def table(found: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """A table of run.json: all columns but the last, and the last."""
    rows = [tuple(row.values()) for row in found]
    counted = {row[:-1]: row[-1] for row in rows}
    assert len(counted) == len(rows)
    return counted


TEXTS = st.tuples(st.sampled_from((*LABELS, "broken")), st.sampled_from(WORDS), st.sampled_from(LABELS))


@settings(max_examples=25)
@given(texts=st.lists(TEXTS, max_size=40), cut=st.sampled_from([{}, {"max_records_per_job": 3}, {"span_bytes": 100}]))
def test_tables_are_those_that_the_published_rows_give(texts: list[tuple[str, ...]], cut: dict[str, int]) -> None:
    """However rows repeat and runs are cut into spans and parts, counting the rows and their trails gives the same."""
    cloud = Cloud(by_text, {**ANYTHING, **cut})
    found = cloud.run(make(), {"a.jsonl": jsonl([{"t": ",".join(text)} for text in texts])})["findings"]
    accepted: Counter[Any] = Counter()
    labels: Counter[Any] = Counter()
    confidence: Counter[Any] = Counter()
    pairs: Counter[Any] = Counter()
    for row in cloud.rows():
        accepted[row["tier"],] += row["status"] == "accepted"
        labels.update((row["tier"], label) for label in row["labels"] or ())
        for tried in row["trail"]:
            confidence[tried["tier"], tried["confidence"], tried["outcome"] == "accepted"] += bool(tried["confidence"])
        first = next((tried for tried in row["trail"] if tried["label"]), None)
        if row["status"] == "accepted" and first and first["tier"] < row["tier"]:
            pairs[first["label"], row["label"]] += 1
    assert table(found["accepted"]) == +accepted
    assert table(found["labels"]) == labels
    assert table(found["confidence"]) == +confidence
    assert table(found["changes"]) == {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    assert (found["compared"], found["changed"]) == (pairs.total(), sum(table(found["changes"]).values()))


def test_several_labels_change_as_a_whole() -> None:
    """An answer of several labels is compared and shown as one."""

    def answer(model: str, _text: str) -> str:
        return reply(["b", "a"], "unsure") if "nova" in model else reply(["a"])

    found = Cloud(answer, ANYTHING).run(make(choose="many"), {"a.jsonl": jsonl([{"t": "x"}])})["findings"]
    assert found["changes"] == [{"first": "b, a", "final": "a", "rows": 1}]
    assert found["examples"][0]["first"] == "b, a"


def test_reasons_of_escalation_are_told_by_tier() -> None:
    """What went on to the next tier, and why; what only was asked again is none of it."""
    texts = ["a,unsure,b|1", "a,unsure,b|2", "broken,certain,a|3", "a,certain,a|4"]
    summary = Cloud(by_text, ANYTHING).run(make(), {"a.jsonl": jsonl([{"t": text} for text in texts])})
    assert summary["escalations"] == [
        {"tier": 0, "reason": "low_confidence", "records": 2},
        {"tier": 0, "reason": "reply_not_json", "records": 1},
    ]
    assert summary["tiers"][0]["escalated"] == 3


# Rows to look at.

KINDS = [f"a,certain,a|{n}" for n in range(9)] + [f"a,unsure,b|{n}" for n in range(9)] + ["broken,certain,z|1"]


def examples(rows: bytes, task: Task | None = None, **cut: int) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = Cloud(by_text, {**ANYTHING, **cut}).run(task or make(), {"a.jsonl": rows})[
        "findings"
    ]["examples"]
    return shown


def test_some_rows_of_each_kind_are_shown() -> None:
    """Accepted ones by tier, unresolved and rejected ones by reason, each with what became of it."""
    rows = jsonl([{"t": text} for text in KINDS]) + b"no JSON\n" + b'{"u": "no text"}\n' * 5
    shown = examples(rows)
    kinds = Counter((row["status"], row["tier"], row["reason"]) for row in shown)
    assert [(row["status"], row["tier"]) for row in shown[:6]] == [("accepted", 0)] * 3 + [("accepted", 1)] * 3
    assert kinds == {
        ("accepted", 0, None): 9,  # what is more than `SHOWN` is there to browse
        ("accepted", 1, None): 9,
        ("unresolved", 1, "label_unknown"): 1,
        ("rejected", None, "row_not_json"): 1,
        ("rejected", None, "text_missing"): SHOWN,
    }
    told = {row["tier"]: (row["label"], row["confidence"], row["first"]) for row in shown if row["label"]}
    assert told == {0: ("a", "certain", None), 1: ("b", "certain", "a")}
    lines = rows.decode().splitlines()
    assert all(row["text"] in lines[row["line"] - 1] for row in shown)
    assert {row["source"] for row in shown} == {"s3://incoming/t/a.jsonl"}


def test_the_same_rows_are_shown_however_they_are_cut() -> None:
    """They are drawn by the hash of their text, not by their place in a part."""
    rows = jsonl([{"t": text} for text in KINDS])
    whole = examples(rows)
    assert examples(rows, max_records_per_job=2, span_bytes=60) == whole
    assert len({row["record"] for row in whole}) == len(whole)


def test_of_equal_rows_one_is_shown() -> None:
    """A text that is repeated tells the same a second time."""
    assert len(examples(jsonl([{"t": "a,certain,a"}] * 50), part_bytes=200)) == 1


def test_rows_to_browse_are_bounded() -> None:
    """So many of each label, however many rows and labels there are; less of a run whose parts are many."""
    given = [
        Example(
            record=f"{n:05}", status="accepted", reason=None, tier=1, label=f"l{n % labels}", confidence=None,
            first="l0", source="s", line=n, text="",
        )
        for labels in (2, 900) for n in range(2_000)
    ]  # fmt: skip
    few = sampled(given[:2_000], BROWSED)
    assert Counter(row.label for row in few)["l0"] == EACH
    assert len(sampled(given[2_000:], BROWSED)) <= BROWSED + BROWSED // OTHERS + SHOWN
    assert sampled(sampled(given[:2_000], BROWSED), BROWSED) == few
    assert (browsed(1), browsed(10**6), browsed(10**9)) == (BROWSED, BROWSED, LEAST)


def test_rows_that_the_end_left_out_are_shown_too() -> None:
    """A budget leaves rows without a record."""
    shown = examples(jsonl([{"t": text} for text in KINDS]), make(budget={"max_usd": 1e-9}))
    assert [(row["status"], row["reason"], row["tier"]) for row in shown] == [("unresolved", "budget", None)] * SHOWN


def test_a_task_can_keep_its_rows_out_of_the_report() -> None:
    """With report.examples off no row's text stands in run.json or the report."""
    deployed = Cloud(by_text, ANYTHING)
    task = make(report={"examples": False}, input={"gold": "g"})
    rows = jsonl([{"t": f"{text} rumpelstilz", "g": "rumpelstilz"} for text in KINDS[:-1]]) + b"rumpelstilz\n"
    summary = deployed.run(task, {"a.jsonl": rows})
    assert summary["findings"]["examples"] == []
    for name in ("run.json", "report.html"):
        assert b"rumpelstilz" not in deployed.results.get(f"reports/{summary['run_id']}/{name}")


def in_other_words(_model: str, text: str) -> str:
    return json.dumps({"label": text.split(maxsplit=1)[0], "confidence": "certain", "n": "x" if "odd" in text else 1})


@pytest.mark.parametrize("shown", [True, False])
def test_what_models_say_in_place_of_an_answer_is_counted(shown: bool) -> None:
    """By rows, with the field that did not fit; a model's own words are kept out with the rows' texts."""
    task = make(
        labels=["a", "b"],
        tiers=[{"model": "nova-micro"}],
        answer={"fields": {"n": {"type": "integer"}}},
        report={"examples": shown},
    )
    texts = ["refund 1", "refund 2", "refund 2", "crash\u202e 1", "a 1", "a odd", "b odd"]
    deployed = Cloud(in_other_words, ANYTHING)
    summary = deployed.run(task, {"a.jsonl": jsonl([{"t": text} for text in texts])})
    words = {(0, "label_unknown", "refund"): 3, (0, "label_unknown", "crash"): 1}
    fields = {(0, "fields_invalid", "n"): 2}
    assert table(summary["findings"]["said"]) == (words | fields if shown else fields)
    for name in ("run.json", "report.html"):
        assert (b"refund" in deployed.results.get(f"reports/{summary['run_id']}/{name}")) is shown


@pytest.mark.parametrize(("length", "kept"), [(EXCERPT, EXCERPT), (EXCERPT + 1, EXCERPT), (1_000_000, EXCERPT)])
def test_a_long_text_is_cut(length: int, kept: int) -> None:
    """A shown text has a bounded length, and says when there is more of it."""
    shown = excerpt("x" * length)
    assert len(shown) == kept
    assert shown.endswith("…") == (length > kept)


# Known answers.


def test_mistakes_stand_beside_what_was_known() -> None:
    """Known and given answer of accepted rows that disagree; a word that is no label is none, and not repeated."""
    gold = ["b", "b", "a", "secret"]
    rows = jsonl([{"t": f"a,certain,a|{n}", "g": known} for n, known in enumerate(gold)])
    found = Cloud(by_text, ANYTHING).run(make(input={"gold": "g"}), {"a.jsonl": rows})["findings"]
    assert table(found["mistakes"]) == {("b", "a"): 2}
    assert table(found["known"]) == {(0, "certain", True): 1, (0, "certain", False): 2}


def test_parts_add_up() -> None:
    """The same rows in two parts count twice, and nothing added to them changes nothing."""
    part = Findings(labels=[(0, "a", 2), (1, "b", 5)], changes=[("a", "b", 3)], compared=4, changed=3)
    assert add_up([part, Findings(), part], 14) == Findings(
        labels=[(1, "b", 10), (0, "a", 4)], changes=[("a", "b", 6)], compared=8, changed=6
    )
