"""`sluice plan`: what a run would read, send and cost; nothing is sent."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sluice.api.forecasting import asked_for
from sluice.cli.advice import parts as advice
from sluice.cli.display import busy, visible
from sluice.cli.exits import ExitCode, reader_may_leave
from sluice.cli.options import parse_settings
from sluice.cli.planned import approval_text, judge_text
from sluice.cli.routes import routes_table
from sluice.cli.samples import showing_columns
from sluice.cli.summary import page_console
from sluice.figures import NONE, UNKNOWN, dearer, dollars, duration, percent, row_number, short_model, size
from sluice.forecast.floors import floors_in_words
from sluice.forecast.forecast import forecast
from sluice.forecast.known import known_in_words
from sluice.forecast.offers import in_words
from sluice.task.tiers import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from sluice.aws.s3 import Store
    from sluice.forecast.estimate import Forecast
    from sluice.forecast.forecast import Progress
    from sluice.forecast.parts import TierForecast
    from sluice.runs.settings import Settings

READING = "reading the inputs"
FILES = 20  # files with rejected rows that are listed


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    settings: list[str]
    escalate: float
    region: str
    json: bool
    advise: bool = False
    target: float = 0.95
    out: Path | None = None


def plan_run(request: Request, bucket: Callable[[str], Store]) -> ExitCode:
    """Print what a run would be; `bucket` gives the buckets of inputs that lie in S3."""
    settings = parse_settings(request.settings)
    asked = asked_for(request.inputs, request.task, settings, request.escalate, request.region, request.out)
    with busy(READING) as say, showing_columns():
        made = forecast(asked, bucket, progress(say))
    with reader_may_leave():
        if request.json:
            encoded = msgspec.json.encode(made.as_document())
            sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")
        else:
            print_forecast(made, asked.settings, request.target if request.advise else None)
    return ExitCode.SUCCEEDED


def progress(say: Callable[[str], None]) -> Progress:
    """Make of something that is told words one that is told how far the reading is."""

    def told(what: str, number: int, total: int) -> None:
        say(f"reading {what} {number + 1:,} of {total:,}" if total > 1 else READING)

    return told


def print_forecast(made: Forecast, settings: Settings, target: float | None = None) -> None:
    """Print a forecast for the eye; with a target, other mixes by what they cost."""
    console = page_console()
    console.print(Group(*sections(made, settings, target)), soft_wrap=False)
    if made.request is not None:
        system, user = visible(made.request["system"]), visible(made.request["user"])
        print(f"\n--- system\n{system}\n\n--- user (the first good row)\n{user}")


def sections(made: Forecast, settings: Settings, target: float | None = None) -> Iterator[RenderableType]:
    """Make the sections of the page."""
    yield Text.assemble((made.task, "bold"), " ", ("planned", "bold green"), "; nothing has been sent")
    yield from section("Rows", _rows(made))
    if made.rejected_rows:
        yield from section("Rejected rows", *rejected_parts(made))
    yield from section("Tiers", tier_table(made.tiers), Text(_assumption(made, settings), "dim"))
    if made.judge is not None:
        yield from section("Judge", judge_text(made.judge))
    if made.routes:
        yield from section("Routes", routes_table(made.routes, [short_model(tier.model) for tier in made.tiers]))
    yield from section("Transport", transport_table(made.tiers), *map(Text, _transports(made)))
    yield from section("Cost", cost_table(made), Text(" "), Text(_cost(made)), *_further(made))
    if target is not None:
        yield from section("Advice", *advice(made.advice, made.expected_usd, target, made.escalate))
    yield from section("Tokens", Text(_tokens(made)))
    yield from section("Time", Text(_time(made)))
    if made.budget is not None:
        yield from section("Budget", _budget(made))
    if made.approval is not None and (made.approval["waits"] or made.approval["above_usd"] is not None):
        yield from section("Approval", approval_text(made.approval))
    if made.warnings:
        yield from section("Warnings", *(Text(f"- {visible(line)}", "yellow") for line in made.warnings))


def section(title: str, *parts: RenderableType) -> Iterator[RenderableType]:
    """Put a heading above indented parts."""
    yield Text()
    yield Text(title, "bold")
    for part in parts:
        yield Padding(part, (0, 0, 0, 2), expand=False)


def _rows(made: Forecast) -> Text:
    rejected = sum(made.rejected.values())
    files = f"{len(made.inputs):,} {'input' if len(made.inputs) == 1 else 'inputs'}"
    text = Text(f"{files}, {size(sum(item['bytes'] for item in made.inputs))}: {made.rows:,} rows")
    if rejected:
        reasons = ", ".join(f"{count:,} {name}" for name, count in made.rejected.items())
        text.append(f"\n{rejected:,} rejected before any model ({reasons})")
    text.append(f"\n{made.records:,} distinct records; rows that repeat a text share its answer")
    return text


def rejected_parts(made: Forecast) -> Iterator[RenderableType]:
    """Lay out which files have rejected rows, and the first of these."""
    if len(made.inputs) > 1:
        yield _rejecting_files(made)
    yield _rejected(made)


def _rejecting_files(made: Forecast) -> Table:
    """List the files with rejected rows, those with the most first."""
    table = _table("File", "Rows", "Rejected")
    files = sorted((item for item in made.inputs if item["rejected"]), key=lambda item: -item["rejected"])
    for item in files[:FILES]:
        table.add_row(visible(_shown(item["uri"])), f"{item['rows']:,}", f"{item['rejected']:,}")
    if len(files) > FILES:
        table.add_row(f"and {len(files) - FILES:,} more files", "", "", style="dim")
    return table


def _rejected(made: Forecast) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in made.rejected_rows:
        place = f"{visible(_shown(row['source']))}, {row_number(row['source'], row['line'])}"
        table.add_row(Text(place, overflow="fold"), row["reason"])
    more = sum(made.rejected.values()) - len(made.rejected_rows)
    if more > 0:
        table.add_row(Text(f"and {more:,} more", "dim"), "")
    return table


def _shown(source: str) -> str:
    """A path as one would write it in this folder."""
    path, here = Path(source), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else source


def tier_table(tiers: Sequence[TierForecast]) -> Table:
    """Lay out what each tier is sent."""
    table = _table("Model", "Records", "Sent as", "Jobs", "Waves", "Tokens in", "out")
    for tier in tiers:
        table.add_row(short_model(tier.model), *_figures(tier))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _figures(tier: TierForecast) -> list[str]:
    if not tier.records:
        return ["0", *[NONE] * 5]
    counts = (f"{tier.jobs:,}", f"{tier.waves:,}", amount(tier.input_tokens), amount(tier.output_tokens))
    return [f"{tier.records:,}", Way(tier.way).words, *counts]


def transport_table(tiers: Sequence[TierForecast]) -> Table:
    """Lay out what a million records would cost at each tier in each way that its model has."""
    ways = [way for way in Way if any(each["way"] == way for tier in tiers for each in tier.ways)]
    table = _table("For a million records", *(way.words for way in ways))
    for tier in tiers:
        usd = {each["way"]: dollars(each["usd_per_million"]) for each in tier.ways}
        table.add_row(short_model(tier.model), *(usd.get(way, NONE) for way in ways))
    return table


def _transports(made: Forecast) -> Iterator[str]:
    """Say which way is taken, and from where on a cached prefix pays."""
    yield _cheapest(made)
    for tier in made.tiers:
        if tier.cached_from is not None and any(each["way"] == Way.BATCH for each in tier.ways):
            yield (
                f"{short_model(tier.model)}: cached instructions on demand cost less than batch from "
                f"{tier.cached_from:,} tokens of instructions on; a request has {tier.instructions:,}."
            )


def amount(count: int) -> str:
    """Write a count in four digits and a letter: k for thousands, M for millions."""
    if count < 10_000:
        return f"{count:,}"
    return f"{count / 1000:,.0f}k" if count < 10_000_000 else f"{count / 1e6:,.0f}M"


def cost_table(made: Forecast) -> Table:
    """Lay out what each tier costs, what all do, and what the strongest would alone."""
    table = _table("", "Expected", "At most")
    for tier in made.tiers:
        table.add_row(short_model(tier.model), dollars(tier.expected_usd), dollars(tier.ceiling_usd))
    if made.judge is not None:
        name = f"{short_model(made.judge.model)}, judge"
        table.add_row(name, dollars(made.judge.expected_usd), dollars(made.judge.ceiling_usd))
    if len(made.tiers) > 1 or made.judge is not None:
        table.add_row("together", dollars(made.expected_usd), dollars(made.ceiling_usd), style="bold")
    return table


def _assumption(made: Forecast, settings: Settings) -> str:
    share = percent(made.escalate, 1)
    assumed = f"Assumed: {share} of a tier's records go on (--escalate; `sluice pilot` finds out); no retries."
    if made.drawn:
        decides = "the certificate" if made.certified else "min_score" if made.min_score is not None else None
        rest = "" if decides is None else f"of which {decides} may send it none or all; "
        assumed = (
            f"Assumed: the last tier is asked about {made.drawn:,} drawn rows and {share} of the others (--escalate), "
            f"{rest}no retries."
        )
    assumed += f"\n{floors_in_words(made.floors)}" if made.floors else ""
    if _of_ones_own(made):
        return assumed
    return (
        f"{assumed}\n"
        f"Quotas: {settings.max_records_per_job:,} records a job, {settings.max_jobs_in_flight:,} jobs at "
        f"once; fewer than {settings.min_records_per_job:,} {_least(made, settings)} go on demand."
    )


def _least(made: Forecast, settings: Settings) -> str:
    """Say of what Bedrock wants so many in a batch job: of requests, which may hold several records."""
    packs = {short_model(tier.model): pack for tier, pack in zip(made.tiers, made.packs, strict=True) if pack > 1}
    if not packs:
        return "records"
    most = ", ".join(
        f"{pack * (settings.min_records_per_job - 1) + 1:,} of {model} in packs of {pack}"
        for model, pack in packs.items()
    )
    return f"requests (it takes {most})"


def _cheapest(made: Forecast) -> str:
    """Say which transport costs least for each tier that is sent anything."""
    if not any(tier.records for tier in made.tiers):
        return "Nothing is sent."
    known = [tier for tier in made.tiers if tier.cheapest is not None and tier.records]
    if all(tier.cheapest == tier.way for tier in known):
        return "Each tier is sent the cheapest way." if known else "No price is known."
    ways = ", ".join(f"{Way(tier.cheapest or tier.way).words} for {short_model(tier.model)}" for tier in known)
    return f"Cheapest: {ways}."


def _of_ones_own(made: Forecast) -> bool:
    """Whether every tier asks a server of one's own, of which Bedrock's prices, quotas and hours say nothing."""
    return not made.prices.get("date")


def _cost(made: Forecast) -> str:
    """What is expected, what everything going on would cost, what nothing can pass: a sentence each, in this order."""
    if made.expected_usd is None:
        missing = "no price of your models is known" if _of_ones_own(made) else "a price is unknown"
        return f"Expected: {UNKNOWN}, since {missing}; models.yaml takes it."
    sentences = [f"Expected: {dollars(made.expected_usd)}"]
    if len(made.tiers) > 1:
        sentences[0] += f", if {percent(made.escalate, 1)} of a tier's records go on"
        sentences.append(f"If everything escalates: {dollars(made.shares[-1]['expected_usd'])}.")
    sentences[0] += "."
    if made.ceiling_usd is not None:
        sentences.append(
            f"At most, whatever models answer and fails: {dollars(made.ceiling_usd)}, a token for each byte of "
            "a request, the longest answers, every record through every tier and all its attempts, at the dearer price."
        )
    return "\n".join(sentences)


def _alone(made: Forecast) -> str:
    """Compare the tiers with the last one alone."""
    batch, on_demand = made.strongest["batch_usd"], made.strongest["on_demand_usd"]
    kinds = [
        f"{dollars(usd)} {name}" for usd, name in ((batch, "in batch"), (on_demand, "on demand")) if usd is not None
    ]
    sentence = f"{short_model(made.strongest['model'])} alone: {' or '.join(kinds) or UNKNOWN}"
    alone = batch if batch is not None else on_demand
    if made.expected_usd is not None and alone and len(made.tiers) > 1:
        sentence += f"; the tiers together cost {dearer(made.expected_usd / alone)}"
    if (below := made.strongest["pays_below_share"]) is not None:
        sentence += f".\nThey pay while less than {percent(below, 1)} of a tier's records go on"
    if _of_ones_own(made):
        return f"{sentence}."
    return f"{sentence}.\nPrices of {made.prices['date']}: {made.prices['source']}"


def _shares(made: Forecast) -> Iterator[RenderableType]:
    """The expected cost by the share that goes on; nothing where there is nowhere to go."""
    if len(made.tiers) < 2 or made.expected_usd is None:
        return
    table = _table("Going on", *(percent(item["share"], 1) for item in made.shares))
    table.add_row("Expected", *(dollars(item["expected_usd"]) for item in made.shares))
    yield Text(" ")
    yield table
    costs = [item["expected_usd"] or 0.0 for item in made.shares]
    if any(later < earlier for earlier, later in pairwise(costs)):
        yield Text(
            "It falls where enough records go on for a batch job, at about half the price of calls on demand.", "dim"
        )


def _further(made: Forecast) -> Iterator[RenderableType]:
    """What else there is to tell of the cost: what is known leaves less, what would cost less."""
    known = [] if made.known is None else [Text(visible(known_in_words(made.known)))]
    offer = [] if made.offer is None else [Text(in_words(made.offer))]
    for part in (*known, Text(_alone(made))):
        yield from (Text(" "), part)
    yield from _shares(made)
    for part in offer:
        yield from (Text(" "), part)


def _tokens(made: Forecast) -> str:
    tokens, longest = made.tokens, made.longest
    if tokens["instructions_share"] is None:
        return "nothing to send"
    share, each = percent(tokens["instructions_share"], 1), tokens["instructions"]
    from_, held = size(longest["from_bytes"]), percent(longest["share_of_text"], 1)
    return (
        f"{share} of the tokens in are instructions, labels and examples ({each:,} in each request).\n"
        f"The longest 1% of texts ({longest['records']:,}, from {from_} on) hold {held} of the text and cost "
        f"{dollars(longest['expected_usd'])}.\n"
        f"{_counted(tokens)}"
    )


def _counted(tokens: dict[str, Any]) -> str:
    """Say how the texts' tokens were counted, and between which counts the truth may lie."""
    low, high = map(amount, tokens["range"])
    return (
        f"The texts: about {amount(tokens['text'])} tokens; {low} to {high} by the tokenizers that are public "
        f"(models.yaml, {tokens['date']}), which those of these models are not."
    )


def _time(made: Forecast) -> str:
    low, high = made.duration["seconds"]
    if any(tier.records for tier in made.tiers) and _of_ones_own(made):
        return "as long as your server takes; the run shows how many records a second it answers"
    if not high:
        return "no model is asked"
    text = f"{duration(low)} to {duration(high)}, the rounds one after the other"
    if unknown := made.duration["not_timed"]:
        text += f"; no job of {' or '.join(map(short_model, unknown))} has been timed, so the widest range is taken"
    return f"{text}.\nBasis: {made.duration['basis']}"


def _budget(made: Forecast) -> Text:
    assert made.budget is not None
    limit = dollars(made.budget["max_usd"])
    if made.ceiling_usd is not None and made.ceiling_usd <= made.budget["max_usd"]:
        return Text(f"{limit}: enough, whatever happens")
    if made.budget["fits"]:
        most = f", not for all that can happen ({dollars(made.ceiling_usd)})" if made.ceiling_usd is not None else ""
        return Text(f"{limit}: covers what is expected{most}; nothing is sent above it")
    tier = short_model(made.tiers[made.budget["stops_before_tier"]].model)
    return Text(f"{limit}: not enough; the run would stop before all records had been sent to {tier}", "yellow")
