"""`sluice plan`: what a run would read, send and cost; nothing is sent."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sluice.cli.exits import ExitCode, UsageError, reader_may_leave
from sluice.cli.forecast import Asked, forecast
from sluice.cli.requests import find_inputs, parse_settings
from sluice.cli.summary import WIDTH
from sluice.cli.tasks import catalog_here, load_runnable_task
from sluice.figures import UNKNOWN, dollars, percent, short_model, size
from sluice.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from sluice.cli.forecast import Forecast, TierForecast
    from sluice.store import Store

S3 = "s3://"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line says, as it says it."""

    inputs: list[str]
    task: str
    settings: list[str]
    escalate: float
    region: str
    json: bool


def plan_run(request: Request, bucket: Callable[[str], Store]) -> ExitCode:
    """Print what a run would be; `bucket` gives the buckets of inputs that lie in S3."""
    task, _ = load_runnable_task(request.task, request.region)
    settings = declared_settings(Path("cdk.json")).override(parse_settings(request.settings))
    asked = Asked(_inputs(request.inputs), task, settings, catalog_here(), request.region, request.escalate)
    made = forecast(asked, bucket, _progress)
    with reader_may_leave():
        if request.json:
            encoded = msgspec.json.encode(made.as_document())
            sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")
        else:
            print_forecast(made, settings)
    return ExitCode.SUCCEEDED


def declared_settings(file: Path) -> Settings:
    """Read the settings that the project in this folder deploys; without one, those of an untouched project."""
    try:
        context = json.loads(file.read_text(encoding="utf-8")).get("context", {})
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    return Settings().override(context.get("sluice", {}))


def _inputs(names: list[str]) -> list[str]:
    remote = [name for name in names if name.startswith(S3)]
    local = find_inputs([name for name in names if not name.startswith(S3)])
    return [*(str(path) for path in local), *remote]


def _progress(number: int, total: int) -> None:
    if total > 1 and sys.stderr.isatty():
        print(f"\rreading span {number + 1:,} of {total:,}", end="\n" if number + 1 == total else "", file=sys.stderr)


def print_forecast(made: Forecast, settings: Settings) -> None:
    """Print a forecast for the eye."""
    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    console.print(Group(*_sections(made, settings)), soft_wrap=False)
    if made.request is not None:
        print(f"\n--- system\n{made.request['system']}\n\n--- user (the first good row)\n{made.request['user']}")


def _sections(made: Forecast, settings: Settings) -> Iterator[RenderableType]:
    yield Text.assemble((made.task, "bold"), " ", ("planned", "bold green"), "; nothing has been sent")
    yield from _section("Rows", _rows(made))
    yield from _section("Tiers", _tiers(made), Text(_assumption(made, settings), "dim"))
    yield from _section("Cost", Text(_cost(made)))
    if made.budget is not None:
        yield from _section("Budget", _budget(made))


def _section(title: str, *parts: RenderableType) -> Iterator[RenderableType]:
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
    about = "" if made.exact else "about "
    text.append(f"\n{about}{made.distinct:,} distinct records; rows that repeat a text share its answer")
    return text


def _tiers(made: Forecast) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Model", overflow="ellipsis", no_wrap=True)
    for name in ("Records", "Sent as", "Jobs", "Waves", "Tokens in", "out", "Cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for tier in made.tiers:
        table.add_row(short_model(tier.model), *_figures(tier))
    return table


def _figures(tier: TierForecast) -> list[str]:
    if not tier.records:
        return ["0", *["–"] * 5, dollars(0.0)]  # noqa: RUF001 (the dash of an empty cell)
    sent = tier.transport.replace("_", " ")
    counts = (tier.jobs, tier.waves, tier.input_tokens, tier.output_tokens)
    return [f"{tier.records:,}", sent, *(f"{count:,}" for count in counts), dollars(tier.cost_usd)]


def _assumption(made: Forecast, settings: Settings) -> str:
    share = percent(made.escalate, 1)
    return (
        f"Assumed: {share} of a tier's records go on to the next (--escalate); no retries. Tokens are estimated from "
        f"bytes.\nQuotas: {settings.max_records_per_job:,} records a job, {settings.max_jobs_in_flight:,} jobs at "
        f"once; fewer than {settings.min_records_per_job:,} records go on demand."
    )


def _cost(made: Forecast) -> str:
    last = short_model(made.tiers[-1].model)
    sentence = f"about {dollars(made.cost_usd)}; {last} alone: {dollars(made.baseline_usd)}"
    if made.cost_usd is not None and made.baseline_usd and len(made.tiers) > 1:
        saved = 1 - made.cost_usd / made.baseline_usd
        sentence += f" ({percent(abs(saved), 1)} {'less' if saved > 0 else 'more'})"
    if UNKNOWN in sentence:
        sentence += "; give the prices in models.yaml"
    return f"{sentence}\nPrices of {made.prices['date']}: {made.prices['source']}"


def _budget(made: Forecast) -> Text:
    assert made.budget is not None
    limit = dollars(made.budget["max_usd"])
    if made.budget["fits"]:
        return Text(f"{limit}: enough, with the margin that each round has to leave")
    tier = short_model(made.tiers[made.budget["stops_before_tier"]].model)
    return Text(f"{limit}: not enough; the run would stop before all records had been sent to {tier}", "yellow")
