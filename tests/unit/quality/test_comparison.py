"""Two runs beside each other: over runs that the real steps have published in memory."""

from __future__ import annotations

import io
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from sluice.api.quality import compare, moved
from sluice.cli.comparison import sections, verdict
from sluice.errors import BadRequest
from sluice.quality.comparison import FEW
from sluice.report.beside import render_beside
from sluice.results.published import Origin, Published
from sluice.rows.containers import Reading
from sluice.runs.document import read
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs
from sluice.task.file import parse_task
from tests.harness.drive import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Opened = tuple[Published, dict[str, Any]]

NAMES = (f"t{number}" for number in itertools.count())  # a run of its own id for each


def rows(count: int = 40) -> bytes:
    """Rows of which a quarter share a text, all known but every fifth."""
    made = []
    for n in range(count):
        text = "twin about" if n % 4 == 0 else f"row {n} about" if n % 2 else f"row {n} odd"
        known = {} if n % 5 == 0 else {"known": "odd" if text.endswith("odd") else "about"}
        made.append({"id": f"{n:03}", "text": text, "title": f"title {n}", **known})
    return b"".join(json.dumps(row).encode() + b"\n" for row in made)


def right(_model: str, text: str) -> str:
    return json.dumps({"label": "odd" if "odd" in text else "about", "confidence": "certain"})


def always_about(_model: str, _text: str) -> str:
    return json.dumps({"label": "about", "confidence": "certain"})


def ran(answer: Callable[[str, str], str] = right, files: dict[str, bytes] | None = None, **more: Any) -> Opened:
    """A run of its own place, with its run.json."""
    given = {"id": "id", "text": "text", "gold": "known", "keep_input": True} | more.pop("input", {})
    made = {
        "name": next(NAMES),
        "labels": ["about", "odd"],
        "tiers": [{"model": "nova-micro", "transport": "on_demand"}],
    }
    task = parse_task({**made, "input": given, **more}, "t")
    cloud = Cloud(answer)
    summary = cloud.run(task, files or {"a.jsonl": rows()})
    key = Keys(summary["run_id"]).inputs

    def origins() -> list[Origin]:
        found = read(Inputs, cloud.work.get(key), key).inputs
        return [Origin(cloud.incoming, item.uri.removeprefix("s3://incoming/"), item, Reading()) for item in found]

    return Published(cloud.results, summary["run_id"], f"results/{task.name}/", origins), dict(summary)


@pytest.fixture(scope="module")
def good() -> Opened:
    return ran()


@pytest.fixture(scope="module")
def poor() -> Opened:
    return ran(always_about, instructions="Say about, whatever it is.")


def page(found: dict[str, Any]) -> str:
    console = Console(width=100, file=io.StringIO(), record=True)
    for part in sections(found):
        console.print(part)
    return console.export_text()


def test_the_run_that_is_right_more_often_is_named(good: Opened, poor: Opened) -> None:
    """By known answers, with the interval, the exact test, and the labels on which they differ."""
    found = compare(poor, good)
    assert [found["rows"][name] for name in ("compared", "records", "first_only", "second_only")] == [40, 31, 0, 0]
    assert (found["agreement"]["count"], found["agreement"]["of"]) == (30, 40)
    assert [each["count"] for each in found["gold"]["right"]] == [24, 32]
    difference = found["gold"]["difference"]
    assert (difference["only_right"], difference["shown"]) == ([0, 8], "second")
    assert difference["p"] == pytest.approx(2 / 2**8)
    assert found["differences"] == [{"first": "about", "second": "odd", "rows": 10, "right": [0, 8]}]
    assert verdict(found) == "B is right more often than A"
    assert verdict(compare(good, poor)) == "A is right more often than B"


def test_luck_is_no_improvement(good: Opened) -> None:
    """Five rows that one alone has right are no difference: the page says so first, and gives the interval."""

    def nearly(model: str, text: str) -> str:
        return always_about(model, text) if text in {f"row {n} odd" for n in (2, 6, 14, 18, 22)} else right(model, text)

    found = compare(good, ran(nearly))
    assert found["gold"]["difference"]["only_right"] == [5, 0]
    assert found["gold"]["difference"]["shown"] is None
    assert page(found).startswith("No difference shown: luck may be all of it")
    assert "A 5, B 0; exact test (McNemar) p = 0.06" in page(found)


def test_costs_stand_beside_each_other_without_what_was_reused(good: Opened, poor: Opened) -> None:
    """A run that found its replies would else look cheap: both are told."""
    summary = {**poor[1], "cost_usd": 0.25, "reused": {"records": 9, "saved_usd": 0.75}}
    found = compare(good, (poor[0], summary))
    assert (found["runs"][1]["cost_usd"], found["runs"][1]["without_reuse_usd"]) == (0.25, 1.0)
    assert found["runs"][1]["usd_per_1000_rows"] == 25.0
    assert "B cost $0.25: replies of earlier runs are counted at today's prices here" in page(found)


@pytest.mark.parametrize(
    ("usd", "said"),
    [(1.0, "costs as much as one"), (0.5, "costs 50% less than one"), (3.0, "costs 3 times as much")],
)
def test_what_a_row_costs_is_said_in_words(good: Opened, poor: Opened, usd: float, said: str) -> None:
    """As a share of what one of the other run costs."""
    found = compare((good[0], {**good[1], "cost_usd": 1.0}), (poor[0], {**poor[1], "cost_usd": usd}))
    assert f"a row of B {said}" in page(found)


def test_a_run_that_bought_nothing_is_not_cheap(good: Opened, poor: Opened) -> None:
    """One that judged the answers of another does not know what they cost: unknown, and not nothing."""
    found = compare(good, (poor[0], {**poor[1], "answers": "rejudge:t-1", "cost_usd": 0.0}))
    assert (found["runs"][1]["without_reuse_usd"], found["runs"][1]["usd_per_1000_rows"]) == (None, None)
    assert "a row of B costs" not in page(found)
    assert "unknown" in page(found)


def test_rows_without_a_label_count_as_wrong(good: Opened) -> None:
    """Else a run that leaves the hard rows out would look better; agreement is of rows that both have labelled."""

    def silent(model: str, text: str) -> str:
        return "no JSON" if "odd" in text else right(model, text)

    found = compare(good, ran(silent))
    assert found["rows"]["answered"] == [40, 30]
    assert (found["agreement"]["count"], found["agreement"]["of"]) == (30, 30)
    assert [each["count"] for each in found["gold"]["right"]] == [32, 24]


def test_without_known_answers_nobody_is_right(good: Opened, tmp_path: Path) -> None:
    """Agreement is told and no verdict; a file brings known answers to runs whose tasks name none."""
    plain = ran(input={"gold": None}), ran(always_about, input={"gold": None})
    found = compare(*plain)
    assert (found["gold"], found["known"]) == (None, None)
    assert page(found).startswith("No row has a known answer")
    file = tmp_path / "gold.csv"
    file.write_text("id,label\n002,odd\n001,odd\n")
    assert [each["count"] for each in compare(*plain, file)["gold"]["right"]] == [1, 0]
    file.write_text("id,label\nx,odd\n")
    with pytest.raises(BadRequest, match="no row that both runs have has a known answer"):
        compare(*plain, file)
    assert compare(plain[1], good)["gold"]["rows"] == 32  # the second's task names them


def test_the_same_rows_are_found_under_another_address(good: Opened) -> None:
    """Files of one name, in another order or folder; what one run alone has is left out and counted."""
    lines = rows().splitlines(keepends=True)
    other = ran(files={"b.jsonl": rows(4), "deep/a.jsonl": b"".join(lines[:30])})
    found = compare(good, other)
    assert [found["rows"][name] for name in ("compared", "first_only", "second_only")] == [30, 10, 4]


def test_a_row_whose_text_was_changed_is_another_row(good: Opened) -> None:
    """It is left out, and counted."""
    other = ran(files={"a.jsonl": rows().replace(b"row 7 about", b"row 7 odd")})
    found = compare(good, other)
    assert [found["rows"][name] for name in ("compared", "other_text")] == [39, 1]
    assert "1 with another text in B, left out" in page(found)


def test_tasks_that_read_other_texts_are_compared_by_place(good: Opened) -> None:
    """Where the files are the same; of changed ones nobody can tell, which is refused."""
    title = {"text": ["title", "text"]}
    assert compare(good, ran(input=title))["rows"]["compared"] == 40
    with pytest.raises(BadRequest, match=r"a\.jsonl was changed between the two runs"):
        compare(good, ran(files={"a.jsonl": rows() + b'{"text": "more"}\n'}, input=title))


def test_runs_that_cannot_be_compared_are_refused_with_the_reason(good: Opened) -> None:
    """One run twice, other inputs, other labels, no results."""
    with pytest.raises(BadRequest, match="is one run"):
        compare(good, good)
    with pytest.raises(BadRequest, match=r"no input in common \(a\.jsonl; b\.jsonl\)"):
        compare(good, ran(files={"b.jsonl": rows(2)}))
    with pytest.raises(BadRequest, match="no label in common"):
        compare(good, ran(labels=["x", "y"], input={"gold": None}))
    with pytest.raises(BadRequest, match="has no results to compare"):
        compare(good, (Published(good[0].store, "t-1", "results/t/", list), {**good[1], "run_id": "t-1"}))


def test_what_moved_is_told_by_label_with_rows(good: Opened, poor: Opened) -> None:
    """Each label's rows in both runs add up, a row without a label has moved too, and its text stands beside it."""
    found = moved(good, ran(lambda _model, text: right("", text) if "twin" in text else "no JSON"))
    labels = {each["label"]: (each["first"], each["second"], each["both"]) for each in found["moved"]["labels"]}
    assert labels == {"about": (30, 10, 10), "odd": (10, 0, 0), None: (0, 30, 0)}
    pairs = {(pair["first"], pair["second"]): pair for pair in found["moved"]["pairs"]}
    assert {pair: each["rows"] for pair, each in pairs.items()} == {("about", None): 20, ("odd", None): 10}
    assert found["moved"]["rows"] == 30
    for (first, _), pair in pairs.items():
        assert len(pair["examples"]) == FEW
        assert all(row["text"].endswith(str(first)) for row in pair["examples"])
    page = render_beside(moved(good, poor))
    assert "10 rows, 100% of what moved" in page
    assert all(row["text"] in page for row in moved(good, poor)["moved"]["pairs"][0]["examples"])


def test_a_task_keeps_its_rows_out_of_what_moved(good: Opened) -> None:
    """No text stands in the page where one of the two tasks lets no report have any; hostile labels stay text."""
    hostile = "<script>hit()</script>"
    other = ran(
        lambda *_: json.dumps({"label": hostile, "confidence": "certain"}),
        report={"examples": False},
        labels=["about", "odd", hostile],
    )
    found = moved(good, other)
    assert all(row["text"] is None for pair in found["moved"]["pairs"] for row in pair["examples"])
    page = render_beside(found)
    assert "row 1 about" not in page
    assert "&lt;script&gt;hit()" in page
    assert "<script" not in page
