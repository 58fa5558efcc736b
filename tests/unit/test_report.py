from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from sluice import figures
from sluice.flow import Outcome, draw_flow
from sluice.report import about, bars, cost_bars, read_run, render, stand_in

RUN: dict[str, Any] = {
    "schema_version": 1,
    "run_id": "20261120-tickets-4f2a",
    "task": "tickets",
    "task_version": "9d21",
    "status": "succeeded",
    "error": None,
    "started": "2026-11-20T10:15:00+00:00",
    "finished": "2026-11-20T10:15:09+00:00",
    "seconds": 9.4,
    "answers": "bedrock",
    "inputs": [{"uri": "s3://incoming/tickets/a.jsonl", "version": "3HL4", "bytes": 612345, "rows": 1000}],
    "rows": {"in": 1000, "accepted": 960, "unresolved": 30, "rejected": 10},
    "records": {"distinct": 900, "sent": 1030, "shared_rows": 90},
    "rounds": [
        {"round": 0, "tier": 0, "purpose": "classify", "jobs": 2, "sent": 900},
        {"round": 1, "tier": 1, "purpose": "escalate", "jobs": 1, "sent": 100},
    ],
    "tiers": [
        {
            "tier": 0,
            "model": "us.amazon.nova-micro-v1:0",
            "transport": "batch",
            "sent": 930,
            "answered": 920,
            "errored": 8,
            "missing": 2,
            "accepted": 800,
            "retried": 30,
            "escalated": 100,
            "input_tokens": 400000,
            "output_tokens": 20000,
            "cost_usd": 0.0084,
        },
        {
            "tier": 1,
            "model": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "transport": "on_demand",
            "sent": 100,
            "answered": 100,
            "errored": 0,
            "missing": 0,
            "accepted": 70,
            "retried": 0,
            "escalated": 0,
            "input_tokens": 45000,
            "output_tokens": 2000,
            "cost_usd": 0.03,
        },
    ],
    "jobs": [
        {
            "round": 0,
            "job": job,
            "tier": 0,
            "status": "Completed",
            "message": None,
            "records": 450,
            "submitted": "2026-11-20T10:15:01Z",
            "ended": "2026-11-20T10:15:04Z",
        }
        for job in range(2)
    ],
    "reasons": {"low_confidence": 20, "missing": 10, "text_missing": 10},
    "labels": {"billing": 700, "other": 260},
    "cost_usd": 0.0384,
    "baseline_usd": 0.3,
    "prices": {"source": "price list", "date": "2026-11-20"},
    "ids": {"missing": 1, "duplicate": 2},
    "warnings": [],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(RUN), **changes}


def without_prices() -> dict[str, Any]:
    run = changed(cost_usd=None, baseline_usd=None)
    run["tiers"][0]["cost_usd"] = None
    return run


def many_tiers() -> dict[str, Any]:
    tier = RUN["tiers"][0]
    return changed(tiers=[{**tier, "tier": index, "escalated": 800 - 100 * index} for index in range(8)])


RUNS = {
    "good": RUN,
    "failed": changed(status="failed", error="no access", labels={}, cost_usd=0.0),
    "cancelled": changed(status="cancelled"),
    "over a limit": changed(status="over_limit", answers="replay:/tmp/a.jsonl"),
    "unknown price": without_prices(),
    "77 labels": changed(labels={f"label {index}": index for index in range(77)}),
    "zero rows": changed(
        rows={"in": 0, "accepted": 0, "unresolved": 0, "rejected": 0}, records={"distinct": 0}, labels={}, reasons={}
    ),
    "only rejected": changed(
        rows={"in": 3, "accepted": 0, "unresolved": 0, "rejected": 3}, records={"distinct": 0}, labels={}
    ),
    "eight tiers": many_tiers(),
    "many jobs": changed(jobs=[{**RUN["jobs"][0], "job": job, "status": "Expired"} for job in range(30)]),
    "hardly begun": {"schema_version": 1, "run_id": "r", "task": "t", "status": "failed", "error": "no role"},
}


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
        if self.open and self.open[-1] != "style":
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
    """No tag loads anything, no script runs, and a policy in the page forbids both."""
    html = render(run)
    tags = Page(html).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not [attributes for _, attributes in tags if {"src", "href", "srcset"} & attributes.keys()]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_what_others_wrote_is_shown_as_text() -> None:
    """Labels, messages, places and warnings cannot become markup."""
    bad = "<script>alert('x')</script>\"'><b>"
    jobs = [{**RUN["jobs"][0], "status": bad, "message": bad}]
    run = changed(
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
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
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
    assert cost_bars(read_run(without_prices())) is None


def test_a_run_that_did_not_end_is_not_compared() -> None:
    """A failed run that spent nothing has saved nothing."""
    run = read_run(RUNS["failed"])
    assert run.saved is None
    assert cost_bars(run) is None


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
