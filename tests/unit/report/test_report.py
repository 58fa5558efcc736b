from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import vl_convert

from sluice import figures
from sluice.aws.s3 import Store
from sluice.reasons import MEANING, Reason, about
from sluice.report.charts import JOBS, cost, draw_charts
from sluice.report.drawing import FEW
from sluice.report.flow import Outcome, draw_flow
from sluice.report.heat import DARKEST, heats
from sluice.report.report import LISTED, bars, render, with_people
from sluice.report.vega import charts_library
from sluice.results.corrections import Correction, Corrections
from sluice.results.origin import made_up, stand_in
from sluice.results.run_document import read_run
from tests.harness.runs import RUN, RUNS, changed, without_prices
from tests.harness.s3 import MemoryS3


class Page(HTMLParser):
    """What a browser would see: the text, and every tag's balance."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_every_kind_of_run_becomes_a_well_formed_page(run: dict[str, Any]) -> None:
    """However a run ends, its report is one page with all tags closed and no unfilled value."""
    page = Page(render(run))
    assert page.open == []
    assert "None" not in page.words
    assert "nan" not in page.words.lower().split()


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_the_page_needs_nothing_from_outside(run: dict[str, Any]) -> None:
    """No tag loads anything, and a policy in the page forbids to."""
    html = render(run).replace(charts_library(), "")
    tags = Page(html).tags
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert {attributes["href"] for _, attributes in tags if "href" in attributes} <= {"#main"}
    assert not [attributes for _, attributes in tags if {"src", "srcset"} & attributes.keys()]
    assert "url(" not in html
    assert "@import" not in html


def test_only_the_pages_own_scripts_may_run() -> None:
    """The policy names their hashes; a script that got into the page otherwise has none of them."""
    html = render(RUN)
    policy = html.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0].replace("&#39;", "'")
    scripts = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 2
    assert policy.split("; ")[:2] == [
        "default-src 'none'",
        "script-src " + " ".join(f"'sha256-{digest}'" for digest in hashes),
    ]


def test_no_words_of_the_rows_stand_in_a_script() -> None:
    """What the charts show is data in JSON, in which nothing can end the tag around it."""
    bad = "</script><script>hit = 1</script><!--\u2028"
    html = render(changed(labels={bad: 1}))
    data = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert len(data) == 1
    assert not re.search("[<>&\u2028]", data[0])
    assert any(value["name"] == bad for value in json.loads(data[0])["specs"]["labels"]["data"]["values"])


def test_what_others_wrote_is_shown_as_text() -> None:
    """Labels, messages, places and warnings cannot become markup."""
    bad = "<script>alert('x')</script>\"'><marquee>"
    jobs = [{**RUN["jobs"][0], "status": bad, "message": bad}]
    shown = [{**row, "text": bad, "label": bad, "first": bad} for row in RUN["findings"]["examples"]]
    run = changed(
        findings={**RUN["findings"], "examples": shown, "changes": [{"first": bad, "final": bad, "rows": 1}]},
        definition={bad: bad},
        task=bad,
        run_id=bad,
        error=bad,
        status=bad,
        answers=bad,
        labels={bad: 1},
        reasons={bad: 1},
        warnings=[bad],
        jobs=jobs,
        inputs=[{"uri": bad, "version": bad}],
        tiers=[{**RUN["tiers"][0], "model": bad, "transport": bad}],
        prices={"source": bad, "date": bad},
    )
    page = Page(render(run))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 3
    assert "marquee" not in tags
    assert "alert('x')" in page.words


@pytest.mark.parametrize(
    ("answers", "mark"),
    [
        ("standin", "Stand-in answers"),
        ("replay:/data/a.jsonl", "replayed from /data/a.jsonl"),
        ("openai:http://localhost:11434/v1#qwen3:4b", "qwen3:4b at http://localhost:11434/v1 answered"),
        ("something", "Answers of unknown origin"),
    ],
)
def test_answers_that_are_not_bedrocks_are_marked(answers: str, mark: str) -> None:
    """Nobody can take a stand-in's labels for a model's."""
    assert mark in Page(render(changed(answers=answers))).words


def test_bedrocks_answers_carry_no_mark() -> None:
    """A real run has no banner."""
    assert stand_in("bedrock") is None
    assert 'class="banner' not in render(RUN)


def test_a_run_that_was_judged_again_says_who_had_answered() -> None:
    """Whatever a stand-in said stays a stand-in's, and so do the answers of a server, tier by tier."""
    assert stand_in("rejudge:t-1") == (
        "Judged again",
        "The stored answers of t-1 were judged anew; nothing was bought.",
    )
    headline, said = stand_in("rejudge:t-1 of standin") or ("", "")
    assert headline == "Stand-in answers, judged again"
    assert "t-1 were judged anew" in said
    assert "labels are its guesses" in said
    headline, said = stand_in("rejudge:t-1 of 0=standin 1=openai:http://here#m") or ("", "")
    assert headline == "Stand-in answers in part, judged again"
    assert "tier 1: m at http://here" in said
    assert made_up("rejudge:t-1 of standin")
    assert not made_up("rejudge:t-1 of openai:http://here#m")


def test_the_headline_numbers_are_there() -> None:
    """Rows, shares, cost and what was saved stand in the page."""
    words = Page(render(RUN)).words
    for figure in ("1,000", "96%", "$0.0384", "87.2% less than the last tier alone", "price list, 2026-11-20"):
        assert figure in words


def test_an_unknown_price_is_unknown_everywhere() -> None:
    """Neither the sum nor the comparison is shown as a number."""
    words = Page(render(without_prices())).words
    assert "Cost unknown a price is unknown" in words
    assert "$0.00" not in words
    assert "less than the last tier" not in words
    assert cost(read_run(without_prices())) is None


def test_a_run_that_did_not_end_is_not_compared() -> None:
    """A failed run that spent nothing has saved nothing."""
    run = read_run(RUNS["failed"])
    assert run.saved is None
    assert cost(run) is None


def test_messages_of_jobs_reach_the_reader() -> None:
    """A job that failed is shown first, with what Bedrock said."""
    failed = {**RUN["jobs"][0], "job": 7, "status": "Failed", "message": "the role cannot read the bucket"}
    words = Page(render(changed(jobs=[*RUN["jobs"], failed]))).words
    assert "Jobs that did not complete, or had something to say (1)" in words
    assert words.index("the role cannot read the bucket") < words.index("All 3 jobs")


def test_a_later_versions_fields_are_ignored() -> None:
    """A report of a newer run.json shows what this version knows."""
    run = changed(certified={"threshold": 0.9})
    run["tiers"][0]["votes"] = 3
    assert "nova-micro" in render(run)


def test_another_document_is_refused() -> None:
    """What is no run.json is no report."""
    with pytest.raises(msgspec.ValidationError):
        render({"rows": "many"})


def test_examples_stand_with_what_became_of_them() -> None:
    """Each kind has its rows, their label or reason, and their place."""
    words = Page(render(RUN)).words
    for told in (
        "a text of row 1 billing · certain · nova-micro a.jsonl, line 1",
        "a text of row 2 billing · certain · claude-haiku-4-5 · first other a.jsonl, line 2",
        "a text of row 3 Left open · low_confidence: the model was less sure than the task asks for",
        "a text of row 4 Not readable · text_missing: the row has no text field a.jsonl, line 4",
    ):
        assert told in words


def said(line: int, by: str, label: str, **more: Any) -> Correction:
    fixed = {"record": f"{line}", "at": f"2026-11-2{line}T10:00:00+00:00", "run": RUN["run_id"], "given": ["billing"]}
    place = {"source": RUN["inputs"][0]["uri"], "line": line}
    return Correction(**{**fixed, **place, "by": by, "labels": [label], **more})


def test_what_people_said_stands_with_who_said_it() -> None:
    """Corrections, confirmations and conflicts, those of other runs left out; the rows themselves say it too."""
    log = Corrections(Store(MemoryS3(), "results"), "tickets")  # type: ignore[arg-type]
    log.add([said(1, "ann", "other", note="a <note>"), said(2, "ann", "billing"), said(3, "ann", "other")])
    log.add([said(3, "ben", "billing"), said(4, "ben", "other", run="another", version="9")])
    page = with_people(RUN, log)
    assert page is not None
    words = Page(page.decode()).words
    assert "3 rows were looked at by ann (3), ben (1): 1 corrected, 1 confirmed, 1 in conflict." in words
    assert "a.jsonl, line 1 billing other corrected ann 2026-11-21 10:00:00 a <note>" in words
    assert "billing · certain · nova-micro corrected other · ann" in words
    assert "ann: other; ben: billing conflict ann, ben" in words
    assert "line 4 billing other" not in words
    silent = with_people(changed(definition={"report": {"examples": False}}), log)
    assert silent is not None
    assert "<note>" not in Page(silent.decode()).words


def test_a_report_without_examples_says_so() -> None:
    """Nobody looks for what a task keeps out."""
    page = Page(render(changed(findings={**RUN["findings"], "examples": []})))
    assert "No row text is in this report." in page.words
    assert "Rows to look at" not in page.words


def test_labels_stand_by_column_and_over_time() -> None:
    """Each cell has number and share as words, those over time come first, and a note tells what is left out."""
    words = Page(render(RUN)).words
    for told in (
        "Labels by month (created)",
        "Month billing other no label Rows 2026-09 350 71% 130 27% 10 2% 490",
        "Labels by product",
        "30 rows have other values; 60 rows have none.",
        "product billing other no label Rows box 420 70% 170 28% 10 2% 600 lamp 210 70% 80 27% 10 3% 300",
    ):
        assert told in words
    assert words.index("Labels by month") < words.index("Labels by product") < words.index("How the run went")


def test_a_wide_table_of_labels_is_folded() -> None:
    """Eight labels stand beside each other, the others as one, and all that are named in a second table."""
    group: dict[str, Any] = {
        "column": "shop",
        "values": ["a", "b"],
        "rows": [60, 20],
        "labels": [f"l{n}" for n in range(12)],
    }
    group |= {"cells": [[5] * 12, [0] * 12], "other_labels": [0, 20], "unlabelled": [0, 0], "at_least": True}
    [heat] = heats(read_run(changed(findings={"groups": [group]})).findings.groups)
    assert list(heat.head) == [*(f"l{n}" for n in range(8)), "other labels"]
    assert [[cell.count for cell in row.cells] for row in heat.rows] == [[*[5] * 8, 20], [*[0] * 8, 20]]
    assert [cell.heat for cell in heat.rows[1].cells] == [*[0] * 8, DARKEST]
    assert len(heat.all_rows[0].cells) == len(heat.more) == 12
    assert "numbers are at least these" in heat.note


def test_pairs_that_stand_once_each_are_a_table() -> None:
    """Bars of one length say nothing that a table does not say better; those of several lengths are drawn."""
    pairs = [{"known": f"l{n}", "given": "other", "rows": 1} for n in range(9)]
    page = render(changed(findings={**RUN["findings"], "mistakes": pairs}))
    assert 'id="chart-mistakes"' not in page
    assert "l8 other 1 " in Page(page).words
    assert 'id="chart-changes"' in page


def test_the_task_stands_in_the_report_as_yaml() -> None:
    """It can be read, and run again."""
    text = render(changed(definition={"name": "t", "labels": {"a": "what a <means>"}}))
    assert "name: t\nlabels:\n  a: what a &lt;means&gt;\n" in text


def test_books_are_shown_as_sums() -> None:
    """Rows and each tier's records, with a mark whether they balance."""
    words = Page(render(RUN)).words
    assert "1,000 rows in = 960 accepted + 30 unresolved + 10 rejected balances" in words
    assert "930 records sent to nova-micro = 920 answered + 8 errors + 2 missing balances" in words
    assert "930 records sent to nova-micro = 800 accepted + 30 retried + 100 escalated + 0 left open balances" in words
    broken = Page(render(changed(rows={**RUN["rows"], "accepted": 0}))).words
    assert "30 unresolved + 10 rejected not counted to its end" in broken


def test_a_report_does_not_grow_with_its_run() -> None:
    """The largest tables that a run can have stay far from the five megabytes that a browser opens at once."""
    names = [f"label {n:04d} {'x' * 60}" for n in range(1000)]
    pairs = [(names[n], names[n + 1]) for n in range(200)]
    run = changed(
        labels=dict.fromkeys(names, 1000),
        inputs=[{**RUN["inputs"][0], "uri": f"s3://incoming/tickets/{n:06d}.jsonl"} for n in range(10_000)],
        jobs=[{**RUN["jobs"][0], "job": n, "status": "Expired", "message": "x" * 300} for n in range(12_000)],
        warnings=["w" * 100] * 10_000,
        findings={
            **RUN["findings"],
            "labels": [{"tier": tier, "label": name, "rows": 500} for tier in range(2) for name in names],
            "changes": [{"first": first, "final": final, "rows": 9} for first, final in pairs],
        },
    )
    html = render(run)
    assert len(html.encode()) < 3_000_000
    assert f"{12_000 - LISTED:,} more stand in run.json" in html


# The charts.


def values(run: dict[str, Any], chart: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = draw_charts(read_run(run))[chart].spec["data"]["values"]
    return found


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_every_chart_compiles(run: dict[str, Any]) -> None:
    """Vega-Lite takes each specification, whatever the run lacks."""
    for chart in draw_charts(read_run(run)).values():
        assert vl_convert.vegalite_to_vega(chart.spec)["marks"]


def test_bars_are_as_long_as_the_books_say() -> None:
    """The pieces of the labels' bars add up to the rows of each label, those of the cost to the cost."""
    pieces = values(RUN, "labels")
    assert {(piece["name"], piece["tier"]): piece["value"] for piece in pieces} == {
        ("billing", 0): 650,
        ("billing", 1): 50,
        ("other", 0): 230,
        ("other", 1): 30,
    }
    costs = [(piece["name"], piece["style"], piece["value"]) for piece in values(RUN, "cost")]
    assert costs == [
        ("this run", "tier-0", 0.0084),
        ("this run", "tier-1", 0.03),
        ("claude-haiku-4-5 alone", "alone", 0.3),
    ]


def test_a_funnel_loses_nothing() -> None:
    """Each bar of the funnel is as long as what arrived there."""
    lengths: dict[str, float] = {}
    for piece in values(RUN, "funnel"):
        lengths[piece["name"]] = lengths.get(piece["name"], 0) + piece["value"]
    assert lengths == {"rows in": 1000, "nova-micro": 900, "claude-haiku-4-5": 100}


def test_answers_that_were_not_accepted_are_told_from_those_that_were() -> None:
    """A pale piece for each word of confidence that was not enough; each tier's pieces make a whole."""
    pieces = values(RUN, "confidence")
    assert [piece["style"] for piece in pieces] == ["certain", "likely", "unsure-out", "certain"]
    assert sum(piece["value"] for piece in pieces if piece["name"] == "nova-micro") == pytest.approx(1)


def test_known_answers_are_shown_by_tier_and_by_confidence() -> None:
    """How often a tier was right in all, then when it was so sure."""
    shown = [(piece["name"], piece["value"], piece["figures"]) for piece in values(RUN, "known")]
    assert shown == [
        ("nova-micro", 0.9, "90% of 400"),
        ("nova-micro, certain", 1.0, "100% of 300"),
        ("nova-micro, likely", 0.6, "60% of 100"),
        ("claude-haiku-4-5", 0.875, "87.5% of 80"),
        ("claude-haiku-4-5, certain", 0.875, "87.5% of 80"),
    ]


def test_the_time_line_shows_jobs_that_have_both_times() -> None:
    """In milliseconds; a job that expired before it began, or never was submitted, has no length."""
    job = RUN["jobs"][0]
    odd = [{**job, "job": 7, "ended": "2026-11-19T10:15:01Z"}, {**job, "job": 8, "submitted": None}]
    failed = {**job, "job": 9, "status": "Failed"}
    shown = values(changed(jobs=[job, *odd, failed]), "timeline")
    assert [(value["name"], value["style"], value["end"] - value["begin"]) for value in shown] == [
        ("round 0, job 0", "tier-0", 3000),
        ("round 0, job 9", "bad", 3000),
    ]
    assert "timeline" not in draw_charts(read_run(changed(jobs=odd)))


def test_very_many_jobs_are_shown_by_their_longest() -> None:
    """A time line stays readable."""
    job = RUN["jobs"][0]
    many = [{**job, "job": n} for n in range(JOBS)] + [{**job, "job": 999, "ended": "2026-11-20T11:00:00Z"}]
    names = [value["name"] for value in values(changed(jobs=many), "timeline")]
    assert len(names) == JOBS
    assert "round 0, job 999" in names


def test_long_pairs_of_answers_stand_on_two_lines() -> None:
    """On one line the second answer would be cut away."""
    long = {"first": "card_payment_not_recognised", "final": "direct_debit_payment_not_recognised", "rows": 3}
    spec = draw_charts(read_run(changed(findings={**RUN["findings"], "changes": [long]})))["changes"].spec
    names = next(given["value"] for given in spec["params"] if given["name"] == "names")
    assert names == [("card_payment_not_recognised", "\N{RIGHTWARDS ARROW} direct_debit_payment_not_recognised")]


def test_one_model_in_two_tiers_is_told_apart() -> None:
    """Two bars of one name would be drawn on top of each other."""
    tiers = [RUN["tiers"][0], {**RUN["tiers"][1], "model": RUN["tiers"][0]["model"]}]
    assert {value["name"] for value in values(changed(tiers=tiers), "confidence")} == {
        "nova-micro (tier 0)",
        "nova-micro (tier 1)",
    }


def test_what_others_wrote_stands_in_no_expression() -> None:
    """A label is a value of the data; the rest of each specification is the same whatever the rows say."""

    def frames(run: dict[str, Any]) -> list[dict[str, Any]]:
        specs = [chart.spec for chart in draw_charts(read_run(run)).values()]
        found = [{key: value for key, value in spec.items() if key not in ("data", "height")} for spec in specs]
        for spec in found:
            spec["params"] = [given for given in spec["params"] if given["name"] != "names"]  # values, like the data
        return found

    bad = "'+alert(1)+' datum.x {{7*7}}"
    hostile = changed(labels={bad: 960}, reasons={bad: 40})
    hostile["findings"]["labels"] = [{"tier": 0, "label": bad, "rows": 960}]
    hostile["findings"]["changes"] = [{"first": bad, "final": bad, "rows": 1}]
    assert "alert" not in json.dumps(frames(hostile))


def test_many_bars_begin_with_the_longest() -> None:
    """The page shows some, and all on demand; the height follows what is shown."""
    spec = draw_charts(read_run(RUNS["77 labels"]))["labels"].spec
    assert spec["height"] == FEW * spec["usermeta"]["line"]
    assert [value["name"] for value in spec["data"]["values"][:2]] == ["label 76", "label 75"]


def test_every_reason_has_its_words() -> None:
    """Whoever owns the rows need not know the codes."""
    assert set(MEANING) == set(Reason)


# The picture of the flow.


def outcomes(run: dict[str, Any]) -> dict[str, str]:
    flow = draw_flow(read_run(run))
    assert flow is not None
    return {f"{end.name}, {end.detail}": end.style for end in flow.outcomes}


def test_every_row_ends_in_the_picture() -> None:
    """The ends of the bands add up to the rows of the run."""
    ends = outcomes(RUN)
    assert ends == {
        "30 unresolved, after claude-haiku-4-5": "rest",
        "70 accepted, from claude-haiku-4-5": "tier-1",
        "800 accepted, from nova-micro": "tier-0",
        "90 repeated rows, share a record's answer": "repeats",
        "10 rejected, before any model": "rejected",
    }
    assert sum(int(name.split()[0]) for name in ends) == RUN["rows"]["in"]


@pytest.mark.parametrize("name", ["good", "failed", "cancelled", "only rejected", "eight tiers"])
def test_bands_do_not_overlap_at_their_ends(name: str) -> None:
    """Each end leaves room for its two lines of words, whatever its width."""
    flow = draw_flow(read_run(RUNS[name]))
    assert flow is not None
    ends: list[Outcome] = flow.outcomes
    for above, below in pairwise(ends):
        assert below.y - (above.y + above.height) >= 30
    assert ends[-1].y + ends[-1].height < flow.height


def test_records_that_never_reached_a_tier_stay_with_the_last_one() -> None:
    """A cancelled run shows what was left open at each tier."""
    run = changed(status="cancelled")
    run["tiers"][0].update(accepted=500, escalated=0)
    run["tiers"][1].update(sent=0, accepted=0)
    assert "400 unresolved, after nova-micro" in outcomes(run)


def test_a_run_without_rows_has_no_picture() -> None:
    """There is nothing to draw before the rows have been read."""
    assert draw_flow(read_run(RUNS["zero rows"])) is None
    assert draw_flow(read_run(RUNS["hardly begun"])) is None


def test_the_picture_can_be_heard() -> None:
    """The same is said in words for those who cannot see it."""
    (label,) = re.findall(r'<title id="flow-words">(.*?)</title>', render(RUN))
    assert label.startswith("10 rejected (before any model); 90 repeated rows")


# Bars and figures.


def test_bars_are_sorted_and_know_their_share() -> None:
    """The longest bar comes first and is full; equal ones stand in the order of their names."""
    made = bars({"b": 1, "a": 1, "c": 2})
    assert [(bar.name, bar.width, bar.share) for bar in made] == [("c", 100, "50%"), ("a", 50, "25%"), ("b", 50, "25%")]


@pytest.mark.parametrize(
    ("code", "what"),
    [("text_missing", "row"), ("label_unknown", "answer"), ("throttled", "transport"), ("budget", "run"), ("x", "")],
)
def test_a_reason_says_what_it_is_about(code: str, what: str) -> None:
    """A reader sees whether the row, the answer, the transport or the run is to blame."""
    assert about(code) == what


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (12345.678, "$12,345.68"),
        (1, "$1.00"),
        (0.5, "$0.50"),
        (0.999, "$0.999"),
        (0.0795, "$0.0795"),
        (0.00001234, "$0.0000123"),
    ],
)
def test_dollars(amount: float | None, written: str) -> None:
    """Small amounts keep three digits, and nothing known is shown as unknown or the reverse."""
    assert figures.dollars(amount) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [(1, 3, "33.3%"), (0, 5, "0%"), (1, 5000, "< 0.1%"), (4999, 5000, "> 99.9%"), (5, 5, "100%"), (1, 0, figures.NONE)],
)
def test_percent(part: int, whole: int, written: str) -> None:
    """A rest is never rounded away."""
    assert figures.percent(part, whole) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, figures.NONE),
        (3.21, "3.2 s"),
        (59.96, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (7300, "2 h 01 min"),
        (2e5, "2.3 days"),
    ],
)
def test_duration(seconds: float | None, written: str) -> None:
    """Two units at most."""
    assert figures.duration(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"),
    [(None, figures.NONE), (0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (999_999, "1.0 MB"), (5e12, "5.0 TB")],
)
def test_size(count: int | None, written: str) -> None:
    """The unit suits the number."""
    assert figures.size(count) == written


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("amazon.nova-micro-v1:0", "nova-micro"),
        ("nova-micro", "nova-micro"),
        ("us-gov.amazon.nova-lite-v1:0", "nova-lite"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("amazon.nova-lite-v1:0:300k", "nova-lite"),
        ("", ""),
    ],
)
def test_short_model(model: str, written: str) -> None:
    """A model is called as people call it."""
    assert figures.short_model(model) == written


@pytest.mark.parametrize(
    ("stamp", "written"),
    [
        (None, figures.NONE),
        ("2026-11-20T10:15:00Z", "2026-11-20 10:15:00"),
        ("2026-11-20T12:15:00+02:00", "2026-11-20 10:15:00"),
        ("soon", "soon"),
    ],
)
def test_moment(stamp: str | None, written: str) -> None:
    """Times are UTC."""
    assert figures.moment(stamp) == written


@pytest.mark.parametrize(
    ("begin", "end", "written"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:09Z", "9.0 s"),
        ("2026-11-20T10:00:00Z", None, figures.NONE),
        ("2026-11-20T10:00:00Z", "2026-11-19T10:00:00Z", figures.NONE),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00", figures.NONE),
    ],
)
def test_elapsed(begin: str, end: str | None, written: str) -> None:
    """An end before the begin, as expired jobs have it, is no duration."""
    assert figures.elapsed(begin, end) == written
