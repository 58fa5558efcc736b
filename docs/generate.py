"""Render the generated parts of the documentation anew: `python -m docs.generate`.

They stand between `<!-- made: NAME -->` and `<!-- /made -->`, and come from the code and from a run of the sample data
with the stand-in's answers. tests/flow/test_docs.py holds the pages to what is rendered here.
"""

# ruff: noqa: INP001 - a script beside its pages, not a package
from __future__ import annotations

import io
import json
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks import idle
from docs import house, listings, reference
from docs.markdown import fenced, table
from sluice.cli.summary import next_after, places_in, summary
from sluice.figures import NONE, short_model
from sluice.local.rights import role_tables
from sluice.local.synthesis import synthesized
from sluice.models.catalog import Catalog, profile_of
from sluice.models.prices import cost
from sluice.results.run_document import read_run
from sluice.task.file import json_schema, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in ("api", "cli", "costs", "howto", "operating", "operations", "results", "security", "tasks")
    ),
    "docs/internals/architecture.md",
    "docs/internals/promises.md",
    "docs/internals/roles.md",
    "docs/internals/scaling.md",
)
BLOCK = re.compile(r"(<!-- made: ([a-z-]+) -->\n)(.*?)(<!-- /made -->)", re.DOTALL)
# What differs between two runs of the same rows: the run's id, its seconds, its day. And what every commit changes.
VOLATILE = (
    r"tickets-\d{8}t\d{6}-[0-9a-f]{10}",
    r"\bafter [\d.]+ m?s\b",
    r"run_date=\d{4}-\d\d-\d\d",
    r"\d+ modules?, [\d,]+ lines",
    r"The longest modules: .*",
)
REGION = "us-east-1"
WIDTH = 96


@dataclass(frozen=True)
class Sample:
    """A run of sample_data/tickets.jsonl that lies in a folder."""

    out: Path

    @cached_property
    def run(self) -> dict[str, Any]:
        """Its run.json."""
        document: dict[str, Any] = json.loads((self.out / "run.json").read_bytes())
        return document

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Its rows, in the order of the file."""
        files = sorted((self.out / "results" / "tickets").glob(f"**/{self.run['run_id']}-part-*.parquet"))
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        return sorted(rows, key=lambda row: row["line"])


# The run of the sample.


def summary_of(sample: Sample) -> str:
    """Print what `make demo` ends with."""
    run = read_run(sample.run)
    places = {name: place.replace(str(sample.out), "out/demo") for name, place in places_in(sample.out, run).items()}
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    for part in summary(run, places, next_after(run, Path("out/demo"))):
        console.print(part)
    return fenced(console.file.getvalue())  # type: ignore[attr-defined]


def rows_of(sample: Sample) -> str:
    """Show the first row of each kind of outcome."""
    columns = ("line", "id", "status", "reason", "label", "confidence", "tier", "attempts", "customer", "cost_usd")
    return table(columns, [[_cell(row[name]) for name in columns] for row in kinds(sample).values()])


def kinds(sample: Sample) -> dict[str, dict[str, Any]]:
    """Find the first row that each tier answered, that shares an answer, that no tier answered, that was rejected."""
    return {
        "first": next(row for row in sample.rows if row["tier"] == 0 and not row["shared"]),
        "second": next(row for row in sample.rows if row["tier"] == 1 and row["status"] == "accepted"),
        "twin": next(row for row in sample.rows if row["shared"] and row["cost_usd"] == 0),
        "unresolved": next(row for row in sample.rows if row["status"] == "unresolved"),
        "rejected": next(row for row in sample.rows if row["status"] == "rejected"),
    }


def _cell(value: object) -> str:
    if value is None:
        return "·"
    return f"{value:.7f}".rstrip("0") if isinstance(value, float) and value else str(value)


def trail_of(sample: Sample) -> str:
    """Show the trail of the first row that the second tier answered."""
    return fenced("\n".join(json.dumps(tried) for tried in kinds(sample)["second"]["trail"]), "json")


SQL = """\
select label, count(*) as tickets, count(*) filter (tier = 1) as escalated, round(sum(cost_usd), 4) as usd
from 'out/demo/results/**/*.parquet'
where status = 'accepted'
group by label order by tickets desc
"""


def query_of(sample: Sample) -> str:
    """Ask the Parquet files a question with DuckDB."""
    found = duckdb.connect().execute(SQL.replace("out/demo", str(sample.out)))
    return fenced(SQL, "sql") + "\n" + table([column[0] for column in found.description], found.fetchall())


# Prices and costs.


def prices(_: Sample) -> str:
    """List the catalogue."""
    catalog = Catalog.load()
    rows = []
    for name in catalog.entries:
        entry = catalog.entries[name]
        # Of the profile that most use, as far as there is one.
        price = entry.price_of(next((name for name in ("us", None) if entry.price_of(name)), None))
        if price is not None:
            pairs = (
                (price.on_demand_input, price.on_demand_output),
                (price.batch_input, price.batch_output),
                (price.flex_input, price.flex_output),
                (price.cache_read, price.cache_write),
            )
            rows.append([name, *(" / ".join(map(_usd, pair)) if pair[0] is not None else NONE for pair in pairs)])
    head = f"Prices of {catalog.date} in USD per 1M tokens, in / out ({catalog.source}):\n\n"
    return head + table(["model", "on demand", "batch", "flex", "cached: read / written"], rows)


def _usd(price: float | None) -> str:
    return "?" if price is None else f"{price:g}" if price < 0.1 else f"{price:.2f}"


def costs(sample: Sample) -> str:
    """Work out what a million rows cost, by the share that escalates."""
    tokens = (500_000_000, 100_000_000)
    catalog = Catalog.load()
    micro, haiku = (catalog.resolve(name, REGION).price for name in ("nova-micro", "claude-haiku-4-5"))
    dear = cost(haiku, "on_demand", *tokens) or 0.0
    rows: list[tuple[str, float]] = [
        ("Claude Haiku 4.5 alone, on demand", dear),
        ("Claude Haiku 4.5 alone, batch", cost(haiku, "batch", *tokens) or 0.0),
    ]
    for share in (0.20, 0.10, 0.05):
        again = cost(haiku, "batch", *(int(share * count) for count in tokens)) or 0.0
        first = cost(micro, "batch", *tokens) or 0.0
        rows.append((f"Nova Micro, then Claude Haiku 4.5 for {share:.0%}, batch", first + again))
    first_tier = sample.run["tiers"][0]
    return (
        table(["1M rows of 500 tokens in and 100 out", "USD"], [(name, f"{usd:,.2f}") for name, usd in rows])
        + "\nIn the sample a record has about "
        + f"{first_tier['input_tokens'] / first_tier['sent']:,.0f} tokens in and "
        + f"{first_tier['output_tokens'] / first_tier['sent']:,.0f} out, counted by the stand-in as bytes / 4.\n"
    )


# The references.


def task_reference(_: Sample) -> str:
    """Describe every field of the task file, part by part."""
    schema = json_schema()
    parts = [("", schema)]
    parts += [(name, _part(schema, path)) for name, path in PARTS.items()]
    return "\n".join(_reference(name, part) for name, part in parts)


# The parts of a task file, and under which definition each stands in the schema.
PARTS = {
    "input": "Input",
    "input.keep.*": "KeptAs",
    "input.csv": "CsvForm",
    "answer": "Answer",
    "quality": "Quality",
    "audit": "Audit",
    "gates": "Gates",
    "gates.rules[]": "Rule",
    "gates.judge": "JudgeGate",
    "tiers[]": "Tier",
    "routes[]": "Route",
    "router": "Router",
    "budget": "Budget",
    "limits": "Limits",
    "report": "Report",
    "trigger": "Schedule",
}


def _part(schema: dict[str, Any], name: str) -> dict[str, Any]:
    part: dict[str, Any] = schema["$defs"][name]
    return part


def _reference(name: str, part: dict[str, Any]) -> str:
    required = part.get("required", [])
    rows = [
        [f"`{field}`", kind(value), "**required**" if field in required else _default(value), value["description"]]
        for field, value in part["properties"].items()
    ]
    title = f"### `{name}`\n\n{part['description']}\n\n" if name else "### The task\n\n"
    return title + table(["field", "what it takes", "default", "what it is for"], rows)


def kind(schema: dict[str, Any]) -> str:
    """Say in a few words what a JSON Schema admits."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        found = json_schema()["$defs"][name]
        return kind(found) if "enum" in found else "a mapping, see below"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(kind(part) for part in schema["anyOf"] if part.get("type") != "null"))
    match schema.get("type"):
        case "array":
            return f"a list of {kind(schema['items'])}".replace("a list of a mapping", "a list of mappings")
        case "object":
            inner = schema.get("additionalProperties")
            return f"a mapping to {kind(inner)}" if isinstance(inner, dict) and "type" not in inner else "a mapping"
        case "string":
            return "text"
        case "boolean":
            return "`true`, `false`"
        case other:
            return f"{other}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}"
    if low is None:
        return ""
    return f", {low:,} to {high:,}" if high is not None else f", at least {low:,}"


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    if value in (None, "", [], {}) or (isinstance(value, dict) and "description" in schema and "$ref" in schema):
        return NONE
    if isinstance(value, list):
        return ", ".join(f"`{item['model']}`" if isinstance(item, dict) else f"`{item}`" for item in value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def models(_: Sample) -> str:
    """Name the models of the sample task as its Region calls them."""
    task = load_task("tickets", ROOT / "tasks")
    catalog = Catalog.load()
    ids = [f"`{catalog.resolve(tier.model, REGION).id}`" for tier in task.tiers]
    return f"In {REGION} the tiers of the samples are {' and '.join(ids)}, called {_names(task.tiers)} in a task.\n"


def _names(tiers: Iterable[Any]) -> str:
    return " and ".join(f"`{short_model(tier.model)}`" for tier in tiers)


def travel(_: Sample) -> str:
    """Say under which id each short name goes out, by the Region of the deployment."""
    catalog = Catalog.load()
    head = ["model", *(f"`{region}`" for region in REGIONS)]
    rows = [
        [name, *(_id_in(catalog, name, region) for region in REGIONS)]
        for name, entry in catalog.entries.items()
        if entry.id
    ]
    return table(head, rows)


# One Region of each kind: of the catalogue's plain ids, of each geography, of none.
REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-2", "ap-northeast-1", "ap-southeast-2", "us-gov-west-1")


def _id_in(catalog: Catalog, name: str, region: str) -> str:
    """The beginning of an id; a model that has none there cannot be used by its short name."""
    id_ = catalog.id_in(name, region)
    if id_ is None:
        return NONE
    profile = profile_of(id_)
    return f"`{profile}.`" if profile else "its Region alone"


BLOCKS: dict[str, Callable[[Sample], str]] = {
    "summary": summary_of,
    "rows": rows_of,
    "trail": trail_of,
    "query": query_of,
    "prices": prices,
    "costs": costs,
    "task": task_reference,
    "reasons": listings.reasons,
    "settings": listings.settings,
    "options": listings.options,
    "alarms": listings.alarms,
    "rooms": listings.rooms,
    "metrics": listings.metrics,
    "commands": listings.commands,
    "exit-codes": listings.exit_codes,
    "cli": listings.reference,
    "api-functions": reference.functions,
    "api-classes": reference.classes,
    "api-records": reference.records,
    "errors": reference.tree,
    "models": models,
    "travel": travel,
    "roles": lambda _: role_tables(table),
    "idle": lambda _: idle.table(json.loads(synthesized().read_bytes())["Resources"]),
    "house": lambda _: f"{table(('floor', 'place', 'holds', 'size'), house.rows())}\n{house.longest()}",
}


def steady(text: str) -> str:
    """Take out what differs between two runs of the same rows."""
    for pattern in VOLATILE:
        text = re.sub(pattern, "…", text)
    return text


def blocks(page: str) -> dict[str, str]:
    """Return the marked blocks of a page by name."""
    return {name: body for _, name, body, _ in BLOCK.findall(page)}


def renewed(page: str, sample: Sample) -> str:
    """Return a page with its blocks rendered anew; one that says the same as before stays as it is."""

    def render(match: re.Match[str]) -> str:
        head, name, before, tail = match.groups()
        now = BLOCKS[name](sample)
        return head + (before if steady(before) == steady(now) else now) + tail

    return BLOCK.sub(render, page)


def main() -> None:
    """Run the sample and rewrite the pages."""
    from sluice.local.runner import run_local  # noqa: PLC0415 - the test brings a run of its own

    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        task = load_task("tickets", ROOT / "tasks")
        run_local(inputs=[ROOT / "sample_data" / "tickets.jsonl"], task=task, out=Path(folder))
        for name in PAGES:
            page = ROOT / name
            page.write_text(renewed(page.read_text(encoding="utf-8"), Sample(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
