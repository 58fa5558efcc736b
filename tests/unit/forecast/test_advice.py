"""What is advised is never much dearer than another mix: requests are rendered, and priced token by token."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from sluice.answers.packs import PackWriter
from sluice.answers.requests import RequestWriter, answer_tokens, escape, prompt_tokens
from sluice.budget import costs
from sluice.forecast.advice import PACKS, Circumstances, advise, frozen_as
from sluice.models.catalog import Catalog
from sluice.rows.record import BYTES_PER_TOKEN
from sluice.runs.settings import Settings
from sluice.task.file import parse_task
from sluice.task.tiers import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.forecast.advice import Mix
    from sluice.runs.state import FrozenTier

WORLDS = int(os.environ.get("SLUICE_ADVICE_WORLDS", "150"))
CATALOG = Catalog.load()
FIRSTS = ("nova-micro", "nova-lite", "nova-2-lite", "nova-pro", "claude-haiku-4-5", "claude-haiku-5-5")
LASTS = ("nova-pro", "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-5", "claude-sonnet-5")
EVERY_TWENTIETH = 20  # call of a cached prefix finds nothing
ALLOWED = 1.05
TURNS = 12  # tokens that a service puts around the turns of a conversation
PIECES = re.compile(r"text|id|[a-z]{1,2}|\S|\n")
TEXTS = re.compile(r"y+")


def world(dice: random.Random) -> tuple[Circumstances, list[str]]:
    """A task with its texts, and a deployment."""
    labels = {f"label {n}": "x" * dice.choice([0, 20, 90, 300]) for n in range(dice.choice([2, 6, 40, 77, 150]))}
    length = dice.choice([20, 54, 300, 2000])
    texts = ["y" * dice.randint(1, 2 * length) for _ in range(dice.choice([3, 60, 250, 400]))]
    last, first = dice.choice(LASTS), dice.choice(FIRSTS)
    task = parse_task(
        {
            "name": "t",
            "input": {"text": "t"},
            "labels": labels,
            "answer": {"confidence": dice.random() < 0.5},
            "tiers": [*([{"model": first}] if first != last else []), {"model": last}],
        },
        "t",
    )
    size = sum(map(len, texts))
    load = costs.Load(len(texts), size // BYTES_PER_TOKEN, prompt_tokens(task), answer_tokens(task), len(texts), size)
    tokens = dice.choice([None, 0, 10**5, 10**9])
    settings = Settings(min_records_per_job=dice.choice([1, 100]), on_demand_tokens_per_minute=tokens)
    escalate = dice.choice([0.0, 0.1, 0.3, 1.0])
    return Circumstances(task, load, CATALOG, "us-east-1", settings, escalate, dt.date(2026, 11, 28)), texts


def tokens_of(text: str) -> int:
    """Tokens of what stands around texts, as tokenizers cut it: words, pairs of letters of an id, single signs."""
    return len(PIECES.findall(text))


def rendered(asked: Circumstances, tier: FrozenTier, texts: list[str]) -> list[tuple[float, float, float]]:
    """Each request that these texts make: tokens of its instructions, of all that is read, and of the answers."""
    keys = [b"%032x" % n for n in range(len(texts))]
    single, packed = RequestWriter(asked.task, tier), PackWriter(asked.task, tier, b"s")
    sent = iter(zip(keys, texts, strict=True))
    found: list[tuple[float, float, float]] = []
    while some := list(islice(sent, tier.pack)):
        escaped = [escape(text) for _, text in some]
        line = single.line(some[0][0], escaped[0]) if len(some) == 1 else packed.line([key for key, _ in some], escaped)
        body = json.loads(line)["modelInput"]
        message = TEXTS.sub("", body["messages"][0]["content"][0]["text"])
        prefix = len(body["system"][0]["text"]) / BYTES_PER_TOKEN + TURNS
        read = prefix + sum(map(len, escaped)) / BYTES_PER_TOKEN + tokens_of(message)
        of_id = tokens_of('"id": "bcdf", ') if len(some) > 1 else 0
        found.append((prefix, read, len(some) * (asked.load.answer_tokens + of_id)))
    return found


def replayed_usd(tier: FrozenTier, way: Way, requests: list[tuple[float, float, float]]) -> float:
    """What requests cost: each token of each at its own price, one request after the other."""
    price = tier.price
    assert price is not None
    rates = {
        Way.BATCH: (price.batch_input, price.batch_output),
        Way.FLEX: (price.flex_input, price.flex_output),
    }.get(way, (price.on_demand_input, price.on_demand_output))
    usd = 0.0
    for turn, (prefix, read, written) in enumerate(requests):
        usd += read * (rates[0] or 0.0) + written * (rates[1] or 0.0)
        if way is Way.CACHED:
            kept = price.cache_write if turn % EVERY_TWENTIETH == 0 else price.cache_read
            usd += prefix * ((kept or 0.0) - (rates[0] or 0.0))
    return usd * tier.token_factor / 1e6


def possible(asked: Circumstances, tier: FrozenTier, records: int) -> Iterator[Way]:
    """The ways that a tier may take: batch from enough requests on, others in its place only as fast as it."""
    enough = tier.batch and -(-records // tier.pack) >= asked.settings.min_records_per_job
    for way in costs.ways_of(tier, asked.load):
        if way is Way.BATCH and not enough:
            continue
        if way is not Way.BATCH and enough and not costs.fits_quota(tier, asked.load, way, records):
            continue
        yield way


class Replay:
    """What any model, pack and way costs for the texts of a world; requests are rendered once for each pack."""

    def __init__(self, asked: Circumstances, texts: list[str]) -> None:
        self.asked, self.texts = asked, texts
        self.known: dict[tuple[int, int], list[tuple[float, float, float]]] = {}

    def usd(self, tier: FrozenTier, way: Way, records: int) -> float:
        """What so many of the texts cost at a tier."""
        if (tier.pack, records) not in self.known:
            self.known[tier.pack, records] = rendered(self.asked, tier, self.texts[:records])
        return replayed_usd(tier, way, self.known[tier.pack, records])

    def best(self, number: int, names: tuple[str, ...], records: int) -> float:
        """The least that one tier can cost, with any of these models."""
        asked, found = self.asked, [0.0] if not records else []
        for name in names if records else ():
            for pack in PACKS:
                frozen = frozen_as(asked, asked.task.tiers[number], name, pack)
                if frozen is not None:
                    found += [self.usd(frozen, way, records) for way in possible(asked, frozen, records)]
        return min(found)

    def mix(self, mix: Mix) -> float:
        """What a mix that was advised costs."""
        usd = 0.0
        for number, rung in zip((0, -1) if len(mix.rungs) > 1 else (-1,), mix.rungs, strict=True):
            frozen = frozen_as(self.asked, self.asked.task.tiers[number], rung.model, rung.pack)
            assert frozen is not None
            usd += self.usd(frozen, rung.way, rung.records)
        return usd


@cache
def names() -> tuple[str, ...]:
    return tuple(CATALOG.entries)


@pytest.mark.parametrize("seed", range(0, WORLDS, 10))
def test_no_other_mix_is_much_cheaper(seed: int) -> None:
    """Of each ladder, and of all, the one that is advised costs at most 5% more than the best that can be found."""
    worse: dict[int, float] = {}
    for n in range(seed, min(seed + 10, WORLDS)):
        asked, texts = world(random.Random(n))
        replay, last = Replay(asked, texts), asked.task.tiers[-1].model
        others = tuple(name for name in names() if name != last)
        passed = costs.sent(len(texts), [asked.escalate])[1]
        ladder = replay.best(0, others, len(texts)) + replay.best(-1, (last,), passed)
        least = min(replay.best(-1, (last,), len(texts)), ladder)
        if (ratio := replay.mix(advise(asked)[0]) / least) > ALLOWED:
            worse[n] = round(ratio, 3)
    assert not worse


def test_what_is_unmeasured_is_said() -> None:
    """Of another first model the agreement, of a packed last one that with itself; of the task as it is nothing."""
    asked, _ = world(random.Random(3))
    for mix in advise(asked):
        packed = mix.rungs[-1].pack > 1
        assert len(mix.to_measure) == (len(mix.rungs) > 1) + packed
        assert mix.as_tiers()[-1]["model"] == asked.task.tiers[-1].model
