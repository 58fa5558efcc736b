"""Bills by the planner, for docs/costs.md: a month of support messages step by step, and runs with a certificate.

Nothing is run: a load of so many records is priced by the functions that `sluice plan` prices with, at the catalogue's
prices. What no price tells stands as an assumption beside the figures: the share that goes on, and what is known.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from sluice.answers.requests import answer_tokens, prompt_tokens
from sluice.budget import costs
from sluice.models.catalog import Catalog
from sluice.runs.state import FrozenTier
from sluice.task.file import parse_task
from sluice.task.tiers import LEARNED, Tier, Transport, Way

REGION = "us-east-1"
MESSAGES = 3_000_000  # a month
MESSAGE_TOKENS = 60
FRONTIER, FIRST = "claude-opus-5", "nova-micro"
SHARES = (0.05, 0.1, 0.3)  # of the first tier's records that go on
PACKS = {FIRST: 5, FRONTIER: 10}  # as docs/tasks.md recommends for Nova and for Claude
KNOWN = 0.3  # of the records, from earlier runs

ORACLE = "claude-haiku-4-5"
SAMPLE = 500
REPEATS = 100  # sampled texts that the oracle is asked about twice
CERTIFIED_PACK = 10
SIZES = (100_000, 1_000_000, 10_000_000)


class Certified(NamedTuple):
    """A cascade whose accepted share was measured, and the most that it was asked to cost beside the oracle alone."""

    named: str
    first: str
    labels: int
    text_tokens: int
    train: int
    accepted: float
    asked: float


# Shares of docs/quality.md; characters of a text by four: 54 of a bank's question, 116 of a product's title.
CERTIFIED = (
    Certified("`learned`, as on Banking77", LEARNED, 77, 14, 10_000, 0.887, 0.035),
    Certified("cheap model and score, as on product titles", FIRST, 248, 29, 2_000, 0.651, 0.08),
)
KNOWN_ASKED = 0.72


def described(labels: int) -> dict[str, str]:
    """So many labels, each with a description of 90 characters."""
    about = "What the message is about, in so many words that another could not be meant, and when"
    return {f"label_{n:03d}": f"{about} {n:03d}."[:90].ljust(90, ".") for n in range(labels)}


def load_of(labels: int, records: int, text_tokens: int) -> costs.Load:
    """What so many distinct texts come to as requests of a task with so many described labels."""
    task = parse_task(
        {
            "name": "costs",
            "description": "Which of these a message is about.",
            "input": {"text": "text"},
            "labels": described(labels),
            "answer": {"confidence": True},
        },
        "the task of docs/costs.md",
    )
    tokens = records * text_tokens
    return costs.Load(records, tokens, prompt_tokens(task), answer_tokens(task), records, 4 * tokens)


@cache
def catalog() -> Catalog:
    """The catalogue, read once."""
    return Catalog.load()


def tier(model: str, pack: int = 1, transport: Transport = Transport.BATCH) -> FrozenTier:
    """A tier as a run would freeze it."""
    asked = Tier(model=model, pack=1 if model == LEARNED else pack, transport=transport)
    return FrozenTier.of(asked, catalog().resolve(model, REGION))


def usd(tier: FrozenTier, load: costs.Load, records: float, way: Way = Way.BATCH) -> float:
    """What the planner expects of sending so many of the records to a tier."""
    found = costs.expected_usd(tier, load, way, round(records))
    assert found is not None, f"no price of {tier.model} is known"
    return found


def story() -> str:
    """A month of support messages: the bill of each step, by the share of the first tier's records that goes on."""
    load = load_of(77, MESSAGES, MESSAGE_TOKENS)
    on_demand = tier(FRONTIER, transport=Transport.ON_DEMAND)
    alone = [
        (f"{FRONTIER} for all, on demand", usd(on_demand, load, MESSAGES, Way.ON_DEMAND)),
        ("the same, its instructions cached", usd(on_demand, load, MESSAGES, Way.CACHED)),
        ("the same, in batch", usd(tier(FRONTIER), load, MESSAGES)),
    ]
    packed = [tier(name, PACKS[name]) for name in (FIRST, FRONTIER)]
    steps = [
        (f"{FIRST} first, {FRONTIER} behind it, both in batch", [tier(FIRST), tier(FRONTIER)], 1.0),
        (f"packed: {PACKS[FIRST]} and {PACKS[FRONTIER]} to a request", packed, 1.0),
        (f"with reuse, {KNOWN:.0%} of the texts known", packed, 1 - KNOWN),
    ]
    lines = [
        "| step | " + " | ".join(f"USD, {share:.0%} go on" for share in SHARES) + " |",
        "|---|" + "--:|" * len(SHARES),
        *(f"| {name} | " + " | ".join([f"{bill:,.0f}"] * len(SHARES)) + " |" for name, bill in alone),
    ]
    for name, tiers, new in steps:
        records = [costs.sent(round(MESSAGES * new), [share]) for share in SHARES]
        bills = [sum(usd(one, load, some) for one, some in zip(tiers, sent, strict=True)) for sent in records]
        lines.append(f"| {name} | " + " | ".join(f"{bill:,.0f}" for bill in bills) + " |")
    return "\n".join(lines)


class Shares(NamedTuple):
    """What a certified run costs beside the oracle alone, and beside itself where rows are known."""

    drawn: float
    oracle: float
    bill: float
    known: float


def certified(cascade: Certified, rows: int) -> Shares:
    """Price a certified run of so many distinct rows, packed on both rungs; the oracle alone goes singly, in batch.

    Of the rows that are known, each tier's answer is known that it gave before: the oracle's for rows that went on,
    which go on again, and for drawn ones only where they had come to it.
    """
    load = load_of(cascade.labels, rows, cascade.text_tokens)
    first, oracle = (tier(name, CERTIFIED_PACK) for name in (cascade.first, ORACLE))
    drawn = min(1.0, (SAMPLE + cascade.train) / rows)
    on = (1 - drawn) * (1 - cascade.accepted)
    asked = drawn + on
    new = drawn * (1 - KNOWN * asked) + on * (1 - KNOWN)
    way = Way.ON_DEMAND if first.is_learned else Way.BATCH
    bill = usd(first, load, rows, way) + usd(oracle, load, asked * rows + REPEATS)
    again = usd(first, load, (1 - KNOWN) * rows, way) + usd(oracle, load, new * rows + REPEATS)
    return Shares(drawn, asked, bill / usd(tier(ORACLE), load, rows), again / bill)


def certificates() -> str:
    """A line for each cascade and number of rows."""
    lines = [
        f"| first tier | accepted share | rows | drawn | oracle gets | bill | goal | with {KNOWN:.0%} known | goal |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for cascade in CERTIFIED:
        for rows in SIZES:
            found = certified(cascade, rows)
            lines.append(
                f"| {cascade.named} | {cascade.accepted} | {rows:,} | {found.drawn:.1%} | {found.oracle:.1%} "
                f"| {found.bill:.2%} | {cascade.asked:.1%} | {found.known:.3f} | {KNOWN_ASKED} |"
            )
    return "\n".join(lines)
