"""`sluice evaluate`: what known answers say of a run, for the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sluice.api.quality import ORACLE, evaluate, verify
from sluice.cli.exits import ExitCode, print_json
from sluice.cli.plan import section
from sluice.cli.summary import page_console
from sluice.figures import NONE, dollars, percent, short_model
from sluice.results.origin import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from sluice.results.folder import Kept
    from sluice.results.published import Published

SHOWN = 12  # rows of a table; --json has all


def print_evaluation(
    opened: tuple[Published, Mapping[str, Any], Kept], gold: Path | None, by: Sequence[str], *, as_json: bool
) -> ExitCode:
    """Evaluate a run, by its rows, its run.json and what it has drawn, and print what was found."""
    published, summary, kept = opened
    found = evaluate(published, summary, gold, by, kept)
    if as_json:
        print_json(found)
        return ExitCode.SUCCEEDED
    console = page_console()
    console.print(Group(*sections(found)), soft_wrap=False)
    return ExitCode.SUCCEEDED


def print_verification(
    published: Published, summary: Mapping[str, Any], certificate: bytes | None, *, as_json: bool
) -> ExitCode:
    """Find a certificate again, and print what was found."""
    found = verify(published, summary, certificate)
    if as_json:
        print_json(found)
    else:
        console = page_console()
        stands = not found["problems"]
        verdict = ("the certificate stands", "bold green") if stands else ("the certificate does not stand", "bold red")
        console.print(Text.assemble((found["task"], "bold"), " ", verdict, f"  {found['run_id']}"))
        if (note := stand_in(found["answers"])) is not None:
            console.print(Text.assemble((f"{note[0]}. ", "bold yellow"), (note[1], "yellow")))
        console.print(Text(f"{found['promise']}. Draws, rule and labels of {found['checked']:,} rows were looked at."))
        for problem in found["problems"]:
            console.print(Text(f"- {problem}"))
    return ExitCode.FAILED if found["problems"] else ExitCode.SUCCEEDED


def sections(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Make the sections of the page."""
    yield Text.assemble((found["task"], "bold"), " evaluated  ", (found["run_id"], "dim"))
    if (note := stand_in(found["answers"])) is not None:
        yield Text.assemble((f"{note[0]}. ", "bold yellow"), (note[1], "yellow"))
    yield Text(_headline(found))
    yield from section("Tiers", _tiers(found))
    yield from section("Labels, of answered rows", _macro(found), _labels(found["labels"]), *_more(found["labels"]))
    if found["label_shares"]:
        yield from section("Shares of labels, corrected for errors", *_label_shares(found))
    if mistakes := [pair for pair in found["confusion"] if pair["known"] != pair["given"]]:
        yield from section("Most frequent mistakes", _pairs(mistakes), *_more(mistakes))
    if found["confidence"]:
        yield from section("By stated confidence", _reliability(found))
    if found["scores"]:
        named = [(f"{band['low']:.1f} to {band['high']:.1f}", band) for band in found["scores"]]
        yield from section("By score", _shares("Score", named))
    if found["escalations"]["rows"]:
        yield from section("Going on to a stronger tier", Text(_escalations(found)))
    if found.get("judge"):
        yield from section("Judge", Text(_judge(found["judge"])), *_beside_score(found["judge"]))
    if found["blurred"]:
        yield from section("Labels that blur", *_blurred(found["blurred"]))
    for column, values in found["slices"].items():
        named = [(value["value"], value) for value in values[:SHOWN]]
        yield from section(f"By {column}", _shares(column, named), *_more(values))


def _headline(found: Mapping[str, Any]) -> str:
    right, of = found["right"], found["of"]
    if found["gold"] == ORACLE:
        oracle = _model(found, len(found["models"]) - 1)
        share = f"{percent(right, of)} of the rows that were drawn for {oracle}"
        lines = [
            f"{share} have its label, or would have, had nobody drawn them ({right:,} of {of:,})",
            f"It says nothing of whether {oracle} is right, which agrees with itself where a row went on to it.",
        ]
    else:
        lines = [f"{percent(right, of)} right on the rows with known answers ({right:,} of {of:,})"]
    left_out = found["left_out"]
    if (interval := found["interval"]) is not None:
        bounds = f"{percent(interval['low'], 1)} to {percent(interval['high'], 1)}"
        basis = f"95% interval by record, {interval['of']:,} uniformly drawn rows"
        lines.append(f"of all answered rows {bounds} ({basis})")
    elif found["known"] == found["rows"] and not any(left_out.values()):
        lines.append("Every row has a known answer: these are all of them.")
    else:
        lines.append("No interval for the other rows: these were not drawn uniformly.")
    if found["unanswered"]:
        lines.append(f"{_count(found['unanswered'], 'more row')} with a known answer and no label")
    if found["outside"]:
        lines.append(f"{_count(found['outside'], 'known answer')} that no label of the task is, compared with nothing")
    if left_out["taught"]:
        lines.append(f"Left out: {_count(left_out['taught'], 'row')} by whose texts the score was taught")
    if left_out["examples"] != 0:
        number = left_out["examples"]
        told = "Not left out, since the input cannot be read: rows" if number is None else f"Left out: {number:,} rows"
        lines.append(f"{told} that stand in the prompt as examples")
    return "\n".join(lines)


def _label_shares(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """How many rows truly have each label, as far as the drawn ones tell."""
    told = found["label_shares"]
    said_by = f"as {_model(found, len(found['models']) - 1)} gives them" if found["gold"] == ORACLE else "as known"
    basis = f"{told['drawn']:,} uniformly drawn rows of {told['records']:,} texts"
    yield Text(f"of {told['of']:,} rows, {said_by}; by {basis}", "dim")
    table = _table("Label", "Given", "", "Truly", "95% interval", "")
    for each in told["labels"][:SHOWN]:
        bounds = f"{percent(each['low'], 1)} to {percent(each['high'], 1)}"
        given, truly = (percent(each[name], 1) for name in ("given_share", "share"))
        alone = Text("by drawn rows alone" if each["plain"] else "", "dim")
        table.add_row(Text(each["label"]), f"{each['given']:,}", given, truly, bounds, alone)
    yield table
    yield from _more(told["labels"])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for n, name in enumerate(columns):
        table.add_column(name, overflow="ellipsis", no_wrap=True, justify="right" if n else "left")
    return table


def _of(tally: Mapping[str, Any]) -> tuple[str, str]:
    return percent(tally["right"], tally["of"]), f"{tally['right']:,} of {tally['of']:,}" if tally["of"] else NONE


def _tiers(found: Mapping[str, Any]) -> Table:
    """What each tier's accepted answers were worth, and all that it gave, accepted or not."""
    table = _table("Model", "Accepted, right", "", "Whenever asked, right", "")
    for accepted, alone in zip(found["tiers"], found["alone"], strict=True):
        table.add_row(_model(found, accepted["tier"]), *_of(accepted), *_of(alone))
    return table


def _model(found: Mapping[str, Any], tier: int) -> str:
    models = found["models"]
    return short_model(models[tier]) if tier < len(models) else f"tier {tier}"


def _macro(found: Mapping[str, Any]) -> Text:
    macro = found["macro"] or {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    return Text("macro " + ", ".join(f"{name} {value:.3f}" for name, value in macro.items()), "dim")


def _labels(labels: Sequence[Mapping[str, Any]]) -> Table:
    """The most frequent labels."""
    table = _table("Label", "Known", "Given", "Precision", "Recall", "F1")
    for label in sorted(labels, key=lambda each: -each["known"])[:SHOWN]:
        figures = (f"{label[name]:.3f}" for name in ("precision", "recall", "f1"))
        table.add_row(Text(label["label"]), f"{label['known']:,}", f"{label['given']:,}", *figures)
    return table


def _pairs(mistakes: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Known", "Rows", "Given")
    table.columns[2].justify = "left"
    for pair in mistakes[:SHOWN]:
        table.add_row(Text(pair["known"]), f"{pair['rows']:,}", Text(pair["given"]))
    return table


def _reliability(found: Mapping[str, Any]) -> Table:
    named = [(f"{_model(found, each['tier'])}: {each['confidence']}", each) for each in found["confidence"]]
    return _shares("Said", named)


def _shares(title: str, named: Iterable[tuple[str, Mapping[str, Any]]]) -> Table:
    table = _table(title, "Right", "")
    for name, tally in named:
        table.add_row(Text(name), *_of(tally))
    return table


def _escalations(found: Mapping[str, Any]) -> str:
    told, early = found["escalations"], found["accepted_too_early"]
    cost = dollars(told["unchanged_usd"])
    lines = [
        f"{told['rows']:,} rows had an answer before; {told['unchanged']:,} got the same one again, for about {cost}",
        f"of the others {told['mended']:,} were mended, {told['spoiled']:,} spoiled",
        f"{early['wrong']:,} of {early['of']:,} accepted before the last tier are wrong, and should have gone on",
    ]
    return "\n".join(lines)


def _judge(told: Mapping[str, Any]) -> str:
    """Say what the judge caught and what it refused wrongly, which is what leaving it out would change."""
    wrong, right = told["wrong"], told["right"]
    caught, refused = told["caught"], told["refused_wrongly"]
    return (
        f"{short_model(told['model'])} was shown {wrong:,} wrong answers and caught {caught:,} of them "
        f"({percent(caught, wrong)});\nof {right:,} right ones it refused {refused:,} ({percent(refused, right)}). "
        f"It cost {dollars(told['cost_usd'])} in the whole run."
    )


def _beside_score(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What the judge, the score and both hold back, on the drawn rows that both have looked at."""
    if (both := told["beside_score"]) is None:
        return
    yield Text(f"Beside the score, on {both['rows']:,} drawn rows, held against the last tier's answers:")
    wrong, right = both["wrong"], both["rows"] - both["wrong"]
    table = _table("Held back by", "Wrong ones", "", "Right ones", "")
    for who, caught, refused in (
        ("the judge", "judge_caught", "judge_refused"),
        ("the score without its words", "score_caught", "score_refused"),
        ("both, as in this run", "caught", "refused"),
    ):
        counts = ((both[caught], wrong), (both[refused], right))
        table.add_row(who, *(cell for some, of in counts for cell in (f"{some:,} of {of:,}", percent(some, of))))
    yield table


def _blurred(blurs: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Pairs of labels by what a stronger tier changed, and what to do about the most frequent."""
    one, other = blurs[0]["labels"]
    yield Text(f"Sharpen the descriptions of {one} and {other}: say what tells one from the other.")
    table = _table("First answer", "Texts", "Of", "It became")
    table.columns[3].justify = "left"
    for blur in blurs:
        for way in blur["ways"]:
            table.add_row(Text(way["label"]), f"{way['records']:,}", f"{way['looked']:,}", Text(way["to"]))
    yield table


def _more(rows: Sequence[object]) -> list[Text]:
    return [Text(f"and {len(rows) - SHOWN:,} more, with --json", "dim")] if len(rows) > SHOWN else []
