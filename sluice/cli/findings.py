"""What a pilot found, for the eye."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sluice.cli.plan import cost_table, section, tier_table
from sluice.cli.summary import page_console
from sluice.figures import UNKNOWN, dollars, duration, percent, short_model
from sluice.quality.intervals import BASIS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from sluice.forecast.trial import Pilot
    from sluice.quality.intervals import Share

SHOWN = 10  # pairs of labels


def print_pilot(pilot: Pilot, out: Path) -> None:
    """Print a pilot for the eye."""
    console = page_console()
    console.print(Group(*sections(pilot, out)), soft_wrap=False)


def sections(pilot: Pilot, out: Path) -> Iterator[RenderableType]:
    """Make the sections of the page."""
    found = pilot.findings
    yield Text.assemble(
        (pilot.task, "bold"), " ", ("piloted", "bold green"),
        f" on {found.records:,} of {pilot.records:,} distinct records, drawn uniformly (seed {pilot.seed})",
    )  # fmt: skip
    if pilot.note is not None:
        yield Text.assemble((f"{pilot.note[0]}. ", "bold yellow"), (pilot.note[1], "yellow"))
    if _compares(pilot):
        yield from section("Agreement", Text(_agreement(pilot)), *_differences(pilot))
    else:
        yield from section("Answers", Text("one model answers, so there is nothing to compare it with"))
    if len(pilot.plan.tiers) > 1:
        yield from section("Going on", Text("\n".join(_escalated(pilot))))
    if known := list(_gold(pilot)):
        yield from section("Known answers", Text("\n".join(known)))
    yield from section(
        "All records", tier_table(pilot.plan.tiers), Text(" "), cost_table(pilot.plan), Text(" "), Text(_bill(pilot))
    )
    if pilot.plan.warnings:
        yield from section("Warnings", *(Text(f"- {line}", "yellow") for line in pilot.plan.warnings))
    yield from section("Files", _files(pilot, out))


def _compares(pilot: Pilot) -> bool:
    """Whether the first and the last tier are two models."""
    return pilot.plan.tiers[0].model != pilot.plan.tiers[-1].model


def _models(pilot: Pilot) -> list[str]:
    return [short_model(tier.model) for tier in pilot.plan.tiers]


def _interval(part: Share) -> str:
    """A share in words: what was seen, and between which bounds that of all records is."""
    seen = f"{percent(part.value, 1)} ({part.count:,} of {part.of:,})"
    if part.low == part.high:
        return f"{seen}, all that there are"
    return f"{seen}; of all records {percent(part.low, 1)} to {percent(part.high, 1)} ({BASIS}, n = {part.of:,})"


def _agreement(pilot: Pilot) -> str:
    first, *_, last = _models(pilot)
    part = pilot.findings.agreement
    if not part.of:
        return f"no record has an accepted answer of {first} and one of {last}"
    return f"{last} gives the label that {first} was accepted with: {_interval(part)}"


def _differences(pilot: Pilot) -> Iterator[RenderableType]:
    if not pilot.findings.differences:
        return
    first, *_, last = _models(pilot)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in (first, last):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    table.add_column("Records", justify="right")
    for one, other, count in pilot.findings.differences[:SHOWN]:
        table.add_row(Text(one), Text(other), f"{count:,}")
    yield Text(" ")
    yield table
    if (more := len(pilot.findings.differences) - SHOWN) > 0:
        yield Text(f"and {more:,} more pairs, in pilot.json", "dim")


def _escalated(pilot: Pilot) -> Iterator[str]:
    for model, part in zip(_models(pilot), pilot.findings.escalated, strict=False):
        yield f"from {model}: {_interval(part)}" if part.of else f"from {model}: nothing reached it"
    if pilot.findings.unanswered:
        open_ = f"{pilot.findings.unanswered:,} of {pilot.findings.records:,}"
        yield f"{_models(pilot)[-1]} alone has no accepted answer for {open_}"


def _gold(pilot: Pilot) -> Iterator[str]:
    names = ["the tiers together", f"{_models(pilot)[-1]} alone"]
    for name, gold in zip(names, pilot.gold, strict=False):
        if gold and gold["accepted"]:
            right = f"{gold['right']:,} of {gold['accepted']:,}"
            yield f"{name}: {percent(gold['right'], gold['accepted'])} of accepted answers are the known one ({right})"


def _bill(pilot: Pilot) -> str:
    low, high = pilot.plan.duration["seconds"]
    expected = dollars(pilot.expected_usd)
    if pilot.low_usd != pilot.high_usd:
        expected = f"{dollars(pilot.low_usd)} to {dollars(pilot.high_usd)} by the interval of what goes on"
    lines = [f"Expected {expected}; tokens as the sample used them."]
    if _compares(pilot):
        lines.append(f"{_models(pilot)[-1]} alone: {dollars(pilot.strongest_usd)}.")
    if UNKNOWN in "".join(lines):
        lines.append("Give the unknown prices in models.yaml.")
    if pilot.answers == "bedrock":
        lines.append(f"The pilot itself cost {dollars(pilot.spent_usd)}, on demand.")
    return "\n".join([*lines, f"Time: {duration(low)} to {duration(high)}."])


def _files(pilot: Pilot, out: Path) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    names = {"Sample": "sample.jsonl", "Findings": "pilot.json", "Report": "report.html"}
    if _compares(pilot):
        names[f"{_models(pilot)[-1]} alone"] = "strongest/report.html"
    for name, file in names.items():
        table.add_row(name, Text(str(out / file), overflow="fold"))
    return table
