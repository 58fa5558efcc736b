"""A run's report: one HTML file that needs nothing from outside, made from run.json alone."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from sluice import figures
from sluice.reasons import Status, about
from sluice.report.charts import PAIRED, draw_charts, meaning, tier_names
from sluice.report.corrected import People, people_of
from sluice.report.drawing import CONFIG, FEW, style_of
from sluice.report.flow import draw_flow
from sluice.report.heat import MOST_LABELS, heats
from sluice.report.vega import charts_library
from sluice.results.audited import MEASURED
from sluice.results.blurring import LEAST, blurs
from sluice.results.drift import TITLE as DRIFT_TITLE
from sluice.results.origin import stand_in
from sluice.results.run_document import STATUS, read_run
from sluice.results.scored import RULE_OF_THUMB
from sluice.results.scored import TITLE as SCORE_TITLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

    from sluice.report.corrected import Corrected
    from sluice.results.corrections import Corrections
    from sluice.results.run_document import Run
    from sluice.results.run_findings import Shown

PAGE = 24  # example rows that are shown at once
SCROLLING = Markup(' tabindex="0" role="group" aria-label="The row\'s text"')
CARD_LINES, CARD_CHARACTERS = 8, 40  # of a text that a card shows at once; the characters of a line in a narrow one
LISTED = 500  # jobs, inputs and warnings in the page; run.json has them all


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a bar chart; `width` is in percent of the longest."""

    name: str
    count: int
    share: str
    width: float
    note: str


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """Make bars of counts, the longest first; a reason code carries what it is about."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most, total = max(counts.values(), default=0), sum(counts.values())
    return [
        Bar(name, count, figures.percent(count, total), round(100 * count / most, 2) if most else 0, about(name))
        for name, count in ordered
    ]


@dataclass(frozen=True, slots=True)
class Card:
    """An example row: its colour, whose answer it has, and what people said of it."""

    row: Shown
    style: str
    tier: str
    corrected: Corrected | None

    @property
    def changed(self) -> bool:
        """Whether a stronger tier gave another answer than the first."""
        return self.row.status == Status.ACCEPTED and self.row.first is not None and self.row.first != self.row.label


def cards_of(run: Run, people: People) -> list[Card]:
    """The example rows: the first few of each kind, then those to browse."""
    names, places = tier_names(run), people.places
    return [
        Card(
            row,
            _style(row),
            names[row.tier] if row.tier is not None and row.tier < len(names) else "",
            places.get((row.source, row.line)),
        )
        for row in run.findings.examples
    ]


def _style(row: Shown) -> str:
    if row.status == Status.ACCEPTED:
        return style_of(row.tier or 0)
    return "rejected" if row.status == Status.REJECTED else "rest"


def render(document: Mapping[str, object], people: People | None = None) -> str:
    """Render run.json as one HTML page that needs nothing from outside, with what people said of its rows.

    Raises:
        Stop: the library of the charts is not there.

    """
    run = read_run(document)
    people = people or People()
    cards = cards_of(run, people)
    drawn = draw_charts(run)
    flat = {name for name in PAIRED if name in drawn and drawn[name].even}
    specs = {name: chart.spec for name, chart in drawn.items() if name not in flat}
    scripts = [charts_library(), _resource("report.js")]
    return page_template("report.html.j2").render(
        run=run,
        names=tier_names(run),
        flow=draw_flow(run),
        stand_in=stand_in(run.answers),
        measured=MEASURED,
        score_title=SCORE_TITLE,
        drift_title=DRIFT_TITLE,
        rule_of_thumb=RULE_OF_THUMB,
        status=STATUS.get(run.status, (run.status, "")),
        charts=drawn,
        blurs=blurs(run),
        least=LEAST,
        flat=flat,
        heats=heats(run.findings.groups),
        most_labels=MOST_LABELS,
        cards=cards,
        answers=sorted({card.row.label for card in cards if card.row.label}),
        people=people,
        page=PAGE,
        rounds=len({item.round for item in run.rounds}),
        definition=_as_yaml(run.definition),
        book=_in_script({"config": CONFIG, "specs": specs}),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own, and held to by the policy
        policy=_policy(scripts),
        style_sheet=style_sheet(),
        few=FEW,
        most=LISTED,
    )


def with_people(document: Mapping[str, object], corrections: Corrections) -> bytes | None:
    """Render a run's report with what people have said of its rows since; None where they said nothing.

    Raises:
        NotInstalled: there is something, and the library of the charts is not there.

    """
    corrections.refresh()
    people = people_of(corrections, read_run(document)) if corrections.rows else People()
    return render(document, people).encode() if people.rows else None


def _policy(scripts: Sequence[str]) -> str:
    """Forbid all but the page's own two scripts, by their hashes, and its own style."""
    hashes = (b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _in_script(document: object) -> Markup:
    """A JSON document as it may stand in a script tag: no character that HTML or a script would take for its own."""
    text = json.dumps(document, separators=(",", ":"))  # pure ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def _as_yaml(definition: Mapping[str, Any]) -> str:
    if not definition:
        return ""
    return str(yaml.safe_dump(dict(definition), sort_keys=False, allow_unicode=True, width=100))


@cache
def _resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def style_sheet() -> Markup:
    """The style of all pages."""
    return Markup(_resource("report.css"))  # noqa: S704 - our own


def _scrolling(text: str | None) -> Markup:
    """The attributes with which a text that is too long for its card scrolls there, and is reached by the keyboard."""
    lines = (text or "").split("\n")
    long = sum(1 + len(line) // CARD_CHARACTERS for line in lines) > CARD_LINES
    return SCROLLING if long else Markup()


@cache
def page_template(name: str) -> Template:
    """A page of this folder, with the filters that tell figures in words."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 (only publish and report need it)

    environment = Environment(
        loader=PackageLoader("sluice.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for figure in (
        "dollars",
        "dearer",
        "percent",
        "duration",
        "size",
        "short_model",
        "moment",
        "elapsed",
        "visible",
        "place",
        "row_number",
    ):
        environment.filters[figure] = getattr(figures, figure)
    environment.filters["count"] = "{:,}".format
    environment.filters["style"] = style_of
    environment.filters["scrolling"] = _scrolling
    environment.filters["meaning"] = meaning
    return environment.get_template(name)
