"""The report in a real browser: drawn, quiet, usable, and deaf to what hostile rows say."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sluice.report.drawing import FEW
from sluice.report.report import render
from sluice.task.file import parse_task
from tests.harness.drive import Cloud, jsonl
from tests.harness.runs import RUN, RUNS, changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Dialog, Page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
MARKS = '[role="graphics-symbol"][aria-label]:not(.mark-group)'


@dataclass
class Visit:
    """A report that is open, and all that it did beside showing itself."""

    page: Page
    noise: list[str] = field(default_factory=list)

    def chart(self, name: str) -> list[str]:
        """The words of the marks of a chart."""
        found = self.page.locator(f"#chart-{name} {MARKS}").evaluate_all("all => all.map(e => e.ariaLabel)")
        return [str(words) for words in found]

    @property
    def charts(self) -> dict[str, dict[str, Any]]:
        """The specifications that the page was given."""
        specs: dict[str, dict[str, Any]] = json.loads(self.page.locator("#charts").text_content() or "")["specs"]
        return specs

    def refuse(self, dialog: Dialog) -> None:
        self.noise.append(dialog.message)
        dialog.dismiss()

    def number(self, selector: str) -> int:
        return int(self.page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    """Opens the report of a run.json, and waits until its charts are drawn."""
    with _visits(browser, tmp_path) as opened:
        yield opened


@contextmanager
def _visits(browser: Browser, folder: Path) -> Iterator[Callable[..., Visit]]:
    pages: list[Page] = []

    def open_(run: dict[str, Any] | bytes, **options: Any) -> Visit:
        file = folder / f"{len(pages)}.html"
        file.write_bytes(run if isinstance(run, bytes) else render(run).encode())
        visit = Visit(browser.new_page(**{"viewport": DESKTOP, **options}))
        pages.append(visit.page)
        visit.page.on("console", lambda message: visit.noise.append(message.text))
        visit.page.on("pageerror", lambda error: visit.noise.append(str(error)))
        visit.page.on("dialog", visit.refuse)
        visit.page.on("request", lambda asked: None if asked.url == file.as_uri() else visit.noise.append(asked.url))
        visit.page.goto(file.as_uri())
        visit.page.wait_for_selector("html[data-drawn]", state="attached")
        return visit

    yield open_
    for page in pages:
        page.close()


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_every_chart_is_drawn_in_silence(visit: Callable[..., Visit], run: dict[str, Any]) -> None:
    """A mark for each figure; no message on the console, no error, no request."""
    opened = visit(run)
    for name, spec in opened.charts.items():
        some = {value["name"]: None for value in spec["data"]["values"]}
        shown = list(some) if name == "timeline" else list(some)[:FEW]
        assert opened.chart(name) == [value["words"] for value in spec["data"]["values"] if value["name"] in shown], (
            name
        )
    assert opened.noise == []


def test_numbers_are_those_of_run_json(visit: Callable[..., Visit]) -> None:
    """Tiles, tables and marks of a run's own report say what its run.json says."""
    deployed = Cloud(_by_text, {"min_records_per_job": 1})
    task = parse_task(
        {
            "name": "t",
            "input": {"text": "t", "gold": "g"},
            "labels": ["a", "b"],
            "tiers": [{"model": "nova-micro"}, {"model": "claude-haiku-4-5"}],
        },
        "t",
    )
    rows = [{"t": f"{'ab'[n % 2]} {'certain' if n % 3 else 'unsure'} {n % 40}", "g": "a"} for n in range(90)]
    run = deployed.run(task, {"a.jsonl": jsonl(rows) + b"no JSON\n"})
    opened = visit(deployed.results.get(f"reports/{run['run_id']}/report.html"))
    tiles = opened.page.locator(".tile .big").all_inner_texts()
    assert tiles[0] == str(run["rows"]["in"]) == "91"
    assert tiles[2:4] == [str(run["rows"]["unresolved"]), str(run["rows"]["rejected"])]
    cells = opened.page.locator("#chart-labels + details tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert {row[0]: int(row[1]) for row in cells} == run["labels"]
    by_tier = {(item["label"], item["tier"]): item["rows"] for item in run["findings"]["labels"]}
    assert {(row[0], n): int(row[3 + n]) for row in cells for n in range(2) if row[3 + n] != "0"} == by_tier
    went_on = sum(item["records"] for item in run["escalations"])
    assert opened.chart("escalations") == [
        f"low_confidence: {went_on} records from nova-micro went on; the model was less sure than the task asks for"
    ]
    assert opened.noise == []


def _by_text(model: str, text: str) -> str:
    label, confidence, _ = text.split()
    return json.dumps({"label": label, "confidence": confidence if "nova" in model else "certain"})


# Hostile rows.

HOSTILE = [
    "<script>hit=1</script>",
    "</script><script>hit=1</script>",
    "<!--<script>",
    "<img src=x onerror=hit=1>",
    "<svg onload=hit=1>",
    "{{7*7}} {% raw %} ${hit=1}",
    "'+(hit=1)+'",
    "datum.value",
    '{"signal": "hit=1"}',
    "constructor.constructor('hit=1')()",
    "a.b[0]['c']",
    "\u2028\u2029 \u202egnp.exe",
    "javascript:hit=1",
    "\x00\x1b[31m",
    "__proto__",
]


def hostile() -> dict[str, Any]:
    """A run in which whatever others can write is hostile."""
    first, second = HOSTILE[0], HOSTILE[1]
    example = RUN["findings"]["examples"][0]
    findings = {
        **RUN["findings"],
        "labels": [{"tier": 0, "label": text, "rows": 9} for text in HOSTILE],
        "changes": [{"first": text, "final": second, "rows": 2} for text in HOSTILE[:9]],
        "mistakes": [{"known": text, "given": first, "rows": 2} for text in HOSTILE[:9]],
        "examples": [{**example, "record": str(n), "text": text, "label": text} for n, text in enumerate(HOSTILE)],
    }
    job = {**RUN["jobs"][0], "status": first, "message": second}
    tier = {**RUN["tiers"][0], "model": HOSTILE[3]}
    return changed(
        findings=findings,
        labels=dict.fromkeys(HOSTILE, 9),
        reasons=dict.fromkeys(HOSTILE, 3),
        escalations=[{"tier": 0, "reason": text, "records": 2} for text in HOSTILE],
        jobs=[job],
        tiers=[tier, RUN["tiers"][1]],
        warnings=HOSTILE,
        inputs=[{"uri": f"s3://incoming/{first}", "version": second}],
        definition={"description": second, "labels": dict.fromkeys(HOSTILE, first)},
        answers=f"openai:http://x/{first}#{second}",
        status="failed",
        error=second,
    )


def test_hostile_words_stay_words(visit: Callable[..., Visit]) -> None:
    """They are shown as they are, in the page and in the charts, and none of them is obeyed."""
    opened = visit(hostile())
    shown = "\n".join(opened.page.locator(".card bdi").all_text_contents())
    for text in HOSTILE:
        assert text.replace("\x00", "\u2400").replace("\x1b", "\u241b") in shown
    told = opened.chart("labels")
    assert sorted(words.partition(": 9 rows")[0] for words in told) == sorted(HOSTILE)
    assert opened.page.evaluate("typeof hit") == "undefined"
    assert opened.number("main script, main img, main iframe, main [onload], main [onerror]") == 0
    for chip in range(3):
        opened.page.locator(".tiers button").nth(chip).click()
    opened.page.locator("#chart-labels").hover()
    assert opened.page.evaluate("typeof hit") == "undefined"
    assert opened.noise == []


def test_a_search_for_hostile_words_finds_their_bar(visit: Callable[..., Visit]) -> None:
    """What is typed is compared with the labels, and nothing else."""
    labels = [*HOSTILE, *(f"label {n}" for n in range(FEW))]
    opened = visit(changed(labels=dict.fromkeys(labels, 9), findings={**RUN["findings"], "labels": []}))
    for text in HOSTILE[:-2]:
        opened.page.locator("#labels ~ .controls [name=find]").fill(text)
        opened.page.wait_for_timeout(60)
        assert [words for words in opened.chart("labels") if text.strip() not in words] == [], text
        assert 1 <= len(opened.chart("labels")) <= 3, text
    assert opened.noise == []


def test_a_script_that_got_in_does_not_run(visit: Callable[..., Visit]) -> None:
    """Were some text taken for markup, the page's policy would still stop it."""
    opened = visit(RUN)
    opened.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "hit = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src='https://example.invalid/' onerror='hit = 1'>");
        }"""
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("typeof hit") == "undefined"
    refused = [told for told in opened.noise if "Content Security Policy" in told]
    assert len(refused) == 3  # the script, the picture and its handler
    assert set(opened.noise) - set(refused) == {"https://example.invalid/"}  # asked for, and refused before it left


# Hands and eyes.


def test_the_keyboard_reaches_everything(visit: Callable[..., Visit]) -> None:
    """Tab stops at each control, chart, table and summary, in the order of the page."""
    opened = visit(RUNS["77 labels"])
    wanted = opened.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary, [tabindex='0']")]
            .filter(e => e.checkVisibility({contentVisibilityAuto: true})).length"""
    )
    reached = 0
    for _ in range(wanted + 5):
        opened.page.keyboard.press("Tab")
        at = opened.page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className")
        reached += at not in ("A.skip", "BODY.")
        if at == "BODY.":
            break
    assert reached == wanted


def test_arrows_go_through_a_chart(visit: Callable[..., Visit]) -> None:
    """Each mark in turn says what it is, to the eye and to the ear; Escape ends it."""
    opened = visit(RUN)
    words = opened.chart("labels")
    opened.page.locator("#chart-labels").focus()
    for key, at in [("ArrowDown", 0), ("ArrowDown", 1), ("End", -1), ("ArrowRight", 0), ("Home", 0)]:
        opened.page.keyboard.press(key)
        assert opened.page.locator("#tip").inner_text() == words[at]
        assert opened.page.locator("#said").text_content() == words[at]
        assert opened.number(".here") == 1
    opened.page.keyboard.press("Escape")
    assert opened.page.locator("#tip").is_hidden()
    assert opened.number(".here") == 0


def test_pointing_at_a_mark_tells_what_it_is(visit: Callable[..., Visit]) -> None:
    """As text, next to the mark, and within the window."""
    opened = visit(RUN, viewport=PHONE)
    mark = opened.page.locator(f"#chart-labels {MARKS}").first
    mark.scroll_into_view_if_needed()
    opened.page.wait_for_timeout(100)  # scrolling takes a tip away
    mark.hover()
    tip = opened.page.locator("#tip")
    tip.wait_for(state="visible")
    assert tip.inner_text() == mark.get_attribute("aria-label")
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_a_tier_can_stand_out(visit: Callable[..., Visit]) -> None:
    """A chip pales what other tiers did, in every chart and in the picture of the flow."""
    opened = visit(RUN)
    chip = opened.page.get_by_role("button", name="claude-haiku-4-5")
    chip.press("Enter")
    opened.page.wait_for_selector(f'#chart-labels {MARKS}[opacity="0.18"]')
    assert chip.get_attribute("aria-pressed") == "true"
    pale = opened.page.locator(f'#chart-labels {MARKS}[opacity="0.18"]').evaluate_all(
        "all => all.map(e => e.ariaLabel)"
    )
    assert pale == [words for words in opened.chart("labels") if "nova-micro" in words]
    assert opened.number('.across [data-tier="0"][style*="0.12"]') == 1
    assert opened.number('.across [data-tier="1"][style*="0.12"]') == 0


def test_all_bars_can_be_shown_and_ordered(visit: Callable[..., Visit]) -> None:
    """First the longest; all on demand, by number or by name, with room for each."""
    opened = visit(RUNS["77 labels"])
    controls = opened.page.locator("#labels ~ .controls")
    before = opened.page.locator("#chart-labels svg").bounding_box()
    assert [words.partition(":")[0] for words in opened.chart("labels")] == [
        f"label {n}" for n in range(76, 76 - FEW, -1)
    ]
    controls.get_by_role("button").click()
    opened.page.wait_for_timeout(100)
    assert len(opened.chart("labels")) == 77
    after = opened.page.locator("#chart-labels svg").bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] > 4 * before["height"]
    controls.locator("select").select_option("name")
    opened.page.wait_for_timeout(100)
    tops = opened.page.locator(f"#chart-labels {MARKS}").evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().top, e.ariaLabel.split(':')[0]]).sort((a, b) => a[0] - b[0])"
    )
    assert [name for _, name in tops][:3] == ["label 0", "label 1", "label 10"]


def test_rows_can_be_browsed(visit: Callable[..., Visit]) -> None:
    """By label, by what became of them and by their words; some at once, more on demand, and it is told how many."""
    example = RUN["findings"]["examples"][0]
    rows = [{**example, "record": f"{n}", "text": f"text {n}", "label": f"l{n % 3}"} for n in range(40)]
    rows += [{**rows[0], "record": "x", "tier": 1, "first": "l9", "text": HOSTILE[1]}]
    opened = visit(changed(findings={**RUN["findings"], "examples": rows}))
    bar, found = opened.page.locator(".browse"), opened.page.locator(".browse .found")
    assert found.inner_text() == "24 of 41 rows"
    opened.page.get_by_role("button", name="Show more").press("Enter")
    assert found.inner_text() == "41 of 41 rows"
    assert opened.page.evaluate("document.activeElement.textContent").strip().startswith("text 24")
    assert opened.page.locator(".more").is_hidden()
    bar.locator("[name=label]").select_option(label="l1")
    assert found.inner_text() == "13 of 13 rows"
    bar.locator("[name=words]").fill("TEXT 1")
    assert opened.page.locator(".card:visible bdi").all_inner_texts() == [f"text {n}" for n in (1, 10, 13, 16, 19)]
    bar.locator("[name=label]").select_option("")
    bar.locator("[name=words]").fill("</SCRIPT>")
    bar.locator("[name=which]").select_option("changed")
    assert found.inner_text() == "1 of 1 rows"
    assert opened.noise == []


@pytest.mark.parametrize("name", ["good", "77 labels", "eight tiers", "many jobs"])
def test_a_phone_shows_all_of_it(visit: Callable[..., Visit], name: str) -> None:
    """The page stays as wide; tables that scroll have a name and a shadow at their edges; the flow is bars."""
    opened = visit(RUNS[name], viewport=PHONE)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    wide = opened.page.evaluate("""() => [...document.querySelectorAll("main *")].filter(e => e.checkVisibility()
        && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "auto")
        .map(e => [e.tabIndex, e.role, !!e.ariaLabel, getComputedStyle(e).backgroundAttachment])""")
    assert wide
    assert all(each == [0, "region", True, "local, local, scroll, scroll"] for each in wide)
    assert opened.page.locator(".across").is_hidden()
    assert len(opened.chart("funnel")) > 2
    box = opened.page.locator("#chart-funnel svg").bounding_box()
    assert box is not None
    assert box["width"] > 250


def test_charts_follow_a_window_that_changes(visit: Callable[..., Visit]) -> None:
    """Turned from a desktop into a phone, a chart is as wide as its card."""
    opened = visit(RUN)
    opened.page.set_viewport_size({"width": 390, "height": 844})
    opened.page.wait_for_timeout(200)
    wide, card = (
        opened.page.evaluate(f"document.querySelector('{place}').getBoundingClientRect().width")
        for place in ("#chart-labels svg", "#chart-labels")
    )
    assert wide == pytest.approx(card, abs=6)


def test_dark_and_light_are_both_readable(visit: Callable[..., Visit]) -> None:
    """Words of the page and of the charts stand out from their ground by 4.5 to 1 in both."""
    contrast = """place => {
        const luminance = colour => {
            const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const element = document.querySelector(place);
        const ground = element.closest(".badge, .banner, .origin, button, section, .tile, .strip, body");
        const style = getComputedStyle(element);
        const pair = [element.closest("svg") ? style.fill : style.color, getComputedStyle(ground).backgroundColor];
        const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    }"""
    places = (
        ".facts dt",
        ".tile .small",
        ".aside",
        ".badge.good",
        ".origin",
        ".banner",
        "summary",
        "#chart-labels text",
    )
    for scheme in ("light", "dark"):
        opened = visit(changed(answers="standin", warnings=["x"]), color_scheme=scheme)
        assert {place for place in places if opened.page.evaluate(f"({contrast})({json.dumps(place)})") < 4.5} == set()


def test_the_mark_of_a_stand_in_stays_in_view(visit: Callable[..., Visit]) -> None:
    """Wherever one has scrolled to, nobody takes a stand-in's labels for a model's; at the top the banner says it."""
    opened = visit(changed(answers="standin"))
    opened.page.locator(".origin").wait_for(state="hidden")
    opened.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    opened.page.locator(".origin").wait_for(state="visible")
    box = opened.page.locator(".origin").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 60


def test_a_printed_report_has_it_all(visit: Callable[..., Visit]) -> None:
    """On paper nothing is folded or cut, charts fit the page, and the colours are those of light."""
    opened = visit(changed(answers="standin"), color_scheme="dark")
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 703, "height": 1000})  # A4 between its margins
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.page.wait_for_timeout(100)
    assert opened.page.locator("#jobs ~ details table, #jobs ~ .wide table").last.is_visible()
    assert opened.page.locator(".source").is_visible()
    assert opened.page.locator(".banner").first.is_visible()
    cut = """() => [...document.querySelectorAll(".wide, .plot, .source")].filter(e => e.checkVisibility())
        .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel || e.id)"""
    assert opened.page.evaluate(cut) == []
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(opened.page.pdf(format="A4")) > 10_000


def test_everything_that_can_be_used_has_a_name(visit: Callable[..., Visit]) -> None:
    """Controls, charts and tables say what they are to those who do not see them."""
    opened = visit(RUNS["77 labels"])
    nameless = """() => {
        const other = e => document.getElementById(e.getAttribute("aria-labelledby"))?.textContent;
        const own = e => e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim();
        const named = e => e.hasAttribute("aria-labelledby") ? other(e) : own(e);
        return [...document.querySelectorAll("button, input, select, .plot, .across, [role=region], section")]
            .filter(e => !named(e)).map(e => e.outerHTML.slice(0, 80));
    }"""
    assert opened.page.evaluate(nameless) == []
    assert opened.number("table:not(:has(caption))") == 0
