"""How charts are drawn: Vega-Lite specifications of stacked bars and of a time line, with the colours of the page.

What others wrote (labels, models, messages) stands in the data alone, under names that are fixed here, and never in an
expression. Colours are names of the page's own (`var(--tier-0)`), so that charts follow the page: light, dark, printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ALL_TIERS = -1
LINE = 26  # pixels from one bar to the next
DOUBLE = 40  # the same where names stand on two lines
HALF_LINE = 8  # pixels by which names on two lines are lifted, so that their middle is beside the bar
THICK = 16  # pixels of a bar
CHARACTER = 7  # pixels of one behind a bar
FEW = 15  # bars that are shown before somebody asks for all of them
COLOURS = 6  # the page has so many colours for tiers

# Behind each chart, in the order in which they are drawn; the page's script sets these by name.
PARAMETERS = [
    {"name": "tier", "value": ALL_TIERS},  # the one that stands out
    {"name": "room", "value": 150},  # pixels for the names
    {"name": "find", "value": ""},
    {"name": "order", "value": "count"},
    {"name": "limit", "value": FEW},
]
FADED = {"condition": {"test": f"tier == {ALL_TIERS} || datum.tier == tier", "value": 1}, "value": 0.18}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif',
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--ink)",
        "labelFontSize": 13,
        "domain": False,
        "ticks": False,
        "gridColor": "var(--line)",
        "labelPadding": 8,
        "title": None,
    },
    "text": {"fill": "var(--soft)", "fontSize": 12.5},
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it shows in a sentence, how it is drawn, and its table."""

    words: str
    spec: dict[str, Any]
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    @property
    def bars(self) -> int:
        """How many lines it has when all are shown."""
        return len({value["name"] for value in self.spec["data"]["values"]})

    @property
    def even(self) -> bool:
        """Whether its bars are all of one length, and some more than one: a table says that better."""
        ends = {value["name"]: value["end"] for value in self.spec["data"]["values"]}
        return len(ends) > 1 and len(set(ends.values())) == 1


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar; `words` tell what it is, `tier` with which one it stands out."""

    style: str
    value: float
    words: str
    tier: int = ALL_TIERS


@dataclass(frozen=True, slots=True)
class Line:
    """A bar with its name before it, perhaps on two lines, and its figures behind it."""

    name: str
    figures: str
    pieces: list[Piece] = field(default_factory=list)
    written: Sequence[str] = ()

    @property
    def length(self) -> float:
        return sum(piece.value for piece in self.pieces)


def style_of(tier: int) -> str:
    """Name the colour of a tier; those after the sixth share its."""
    return f"tier-{min(tier, COLOURS - 1)}"


def stacked(lines: Sequence[Line], *, line: int = LINE, longest: float | None = None) -> dict[str, Any]:
    """Bars of one or more pieces, named before and figured behind them; as long as the longest, unless told."""
    alphabet = {name: n for n, name in enumerate(sorted({item.name for item in lines}, key=str.casefold))}
    styles = sorted({piece.style for item in lines for piece in item.pieces})
    axis: dict[str, Any] = {"labelLimit": {"expr": "room"}, "labelExpr": "names[datum.value]", "aria": False}
    if any(item.written for item in lines):
        axis["labelOffset"] = -HALF_LINE
    y = {"field": "bar", "type": "nominal", "sort": {"field": "at", "op": "min"}, "axis": axis}
    behind = 16 + CHARACTER * max(len(item.figures) for item in lines)
    scale = {
        "domain": [0, longest or max(item.length for item in lines) or 1],
        "range": [0, {"expr": f"max(30, width - {behind})"}],
    }
    x = {"field": "value", "type": "quantitative", "stack": "zero", "axis": None, "scale": scale}
    return {
        **_frame(
            list(_values(lines, alphabet)), {"name": "names", "value": [item.written or item.name for item in lines]}
        ),
        **_height(line, min(len(lines), FEW)),
        "transform": [
            {"filter": "find == '' || indexof(lower(datum.name), find) >= 0"},
            {"calculate": "order == 'name' ? datum.alphabet : datum.bar", "as": "at"},
            {"window": [{"op": "dense_rank", "as": "rank"}], "sort": [{"field": "at"}]},
            {"filter": "datum.rank <= limit"},
        ],
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadius": 1.5, "height": {"band": THICK / line}},
                "encoding": {"x": x, "order": {"field": "part"}, "color": _colour(styles), "opacity": FADED, **_told()},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 7, "aria": False},
                "encoding": {"x": {"field": "end", "type": "quantitative"}, "text": {"field": "figures"}},
            },
        ],
    }


def _values(lines: Sequence[Line], alphabet: dict[str, int]) -> Iterator[dict[str, Any]]:
    for bar, item in enumerate(lines):
        last = len(item.pieces) - 1
        for part, piece in enumerate(item.pieces):
            yield {
                "bar": bar,  # a number, since a name may be `__proto__`, and the library keeps groups in objects
                "name": item.name,
                "alphabet": alphabet[item.name],
                "part": part,
                "style": piece.style,
                "value": piece.value,
                "tier": piece.tier,
                "words": piece.words,
                "end": item.length,
                "figures": item.figures if part == last else "",
            }


def _frame(values: list[dict[str, Any]], *parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 0, "right": 4, "top": 2, "bottom": 2},
        "data": {"values": values},
        "params": [*PARAMETERS, *parameters],
    }


def _height(line: int, lines: int) -> dict[str, Any]:
    """So many lines; the page's script needs to know how high one is, to make room for more."""
    return {"height": line * lines, "usermeta": {"line": line}}


def _colour(styles: Iterable[str]) -> dict[str, Any]:
    listed = list(styles)
    scale = {"domain": listed, "range": [f"var(--{style})" for style in listed]}
    return {"field": "style", "type": "nominal", "legend": None, "scale": scale}


def _told() -> dict[str, Any]:
    """The words of a mark, for whoever points at it and for whoever hears it."""
    return {name: {"field": "words", "type": "nominal"} for name in ("description", "tooltip")}


def gantt(values: list[dict[str, Any]]) -> dict[str, Any]:
    firsts = list({str(value["name"]).partition(",")[0]: value["name"] for value in reversed(values)}.values())
    order = [value["name"] for value in values]
    ticks = {"expr": "max(2, floor(width / 140))"}
    words = {"labelColor": "var(--soft)", "labelFontSize": 12, "labelOverlap": True, "format": _clock(values)}
    grid = {"grid": True, "tickCount": ticks, **words}
    labels = {"values": firsts, "labelExpr": "split(datum.value, ',')[0]", "labelOverlap": True}
    colour = _colour(sorted({value["style"] for value in values}))
    x = {"field": "begin", "type": "temporal", "scale": {"type": "utc", "nice": True}, "axis": grid}
    return {
        **_frame(values),
        **_height(18 if len(values) <= 40 else max(3, 720 // len(values)), len(values)),
        "mark": {"type": "rect", "height": {"band": 0.7}, "cornerRadius": 1.5, "strokeWidth": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": order, "axis": labels},
            "x": x,
            "x2": {"field": "end"},
            "color": colour,
            "stroke": colour,
            "opacity": FADED,
            **_told(),
        },
    }


def _clock(values: Sequence[dict[str, Any]]) -> str:
    """How times are written that lie so far apart."""
    seconds = (max(value["end"] for value in values) - min(value["begin"] for value in values)) / 1000
    if seconds < 10:
        return "%H:%M:%S.%L"
    if seconds < 3600:
        return "%H:%M:%S"
    return "%H:%M" if seconds < 86400 else "%d %b %H:%M"
