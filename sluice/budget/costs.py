"""What a run costs before it is bought: a ceiling that it cannot pass, and what it is expected to come to.

The ceiling rests on three facts and nothing else: no tokenizer makes more than one token of a byte, so a request has at
most as many tokens as bytes; an answer has at most `max_tokens`; a record is sent to a tier at most `attempts` times.
Every record is taken to use up every tier at the dearer of the prices that it can be sent at. The expected cost rests
on estimates: tokens by the characters of each script, answers by their form, and a share that escalates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.answers.packs import FRAME_BYTES, ROW_TOKENS, PackWriter, packed_sendings
from sluice.answers.requests import FILLER_TOKENS, RequestWriter, answer_tokens, prompt_tokens
from sluice.models.catalog import cost
from sluice.rows.record import BYTES_PER_TOKEN, RAW
from sluice.runs.accounting import total
from sluice.task.tiers import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice.runs.state import FrozenTier, RunPlan
    from sluice.task.task import Task

LONGEST_ESCAPE = 5  # bytes that one byte of a text can become in a request: & is &amp;
NAME_FRAME = 3  # bytes around the name of a text field in a request: a colon, a blank, a line feed
STORED_FRAME = RAW + 1  # bytes of a stored row before the row itself
MOST_FILLED = 4  # jobs of a run and tier that are filled up to Bedrock's least number; fewer records go on demand
ESCALATED = 0.1  # the share of a tier's records that goes on, where nothing better is known


@dataclass(frozen=True, slots=True)
class Load:
    """What the good rows of a run's inputs come to as requests.

    `most_records` and `most_text_bytes` are never exceeded; all else is an estimate. `text_tokens` are those of all
    texts together, `prompt_tokens` and `answer_tokens` those of one request and one answer.
    """

    records: int
    text_tokens: int
    prompt_tokens: int
    answer_tokens: int
    most_records: int
    most_text_bytes: int

    @classmethod
    def of_plan(cls, task: Task, plan: RunPlan) -> Load:
        """The load as far as a run's own plan knows it, which has counted rows and bytes but looked at no text."""
        good = plan.rows - sum(plan.rejected.values())
        raw = max(0, plan.bytes - STORED_FRAME * plan.rows)
        longest = min(raw, good * task.input.max_tokens * BYTES_PER_TOKEN)
        return cls(
            records=plan.distinct,
            text_tokens=raw * plan.distinct // max(1, plan.rows) // BYTES_PER_TOKEN,
            prompt_tokens=prompt_tokens(task),
            answer_tokens=answer_tokens(task),
            most_records=good,
            most_text_bytes=LONGEST_ESCAPE * longest + good * name_bytes(task),
        )

    def expected_tokens(self, records: int, factor: float = 1.0, pack: int = 1) -> tuple[int, int]:
        """Input and output tokens of so many of the records, whichever they are, as a model of that factor counts.

        `pack`: so many of them share a request and its instructions; what that adds to each is `ROW_TOKENS`.
        """
        texts = self.text_tokens * records / self.records if self.records else 0
        frame = 0 if pack == 1 else records * ROW_TOKENS
        read = requests_of(records, pack) * self.prompt_tokens + texts + frame
        return round(read * factor), round((records * self.answer_tokens + frame / 2) * factor)


def name_bytes(task: Task) -> int:
    """Bytes that the names of several text fields add to a request, at most."""
    paths = task.input.text
    return sum(len(path.encode()) + NAME_FRAME for path in paths) if len(paths) > 1 else 0


def ceiling_usd(task: Task, tier: FrozenTier, load: Load, min_records: int) -> float | None:
    """What a tier costs at most, whatever the models answer and whatever fails; None when a price is unknown.

    In packs a record is sent `packed_sendings` times before it goes alone, and each time it may be the only one of its
    pack, where all others are done with or too long: so nothing but what each sending can hold bounds its requests.
    """
    alone = RequestWriter(task, tier).constant_bytes
    tokens_in = tier.attempts * (load.most_records * alone + load.most_text_bytes)
    sendings = packed_sendings(tier.pack)
    if sendings:
        constant = max(alone, PackWriter(task, tier, b"").constant_bytes)
        tokens_in += sendings * (load.most_records * (constant + FRAME_BYTES) + load.most_text_bytes)
    tokens_out = (tier.attempts + sendings) * load.most_records * tier.max_tokens
    # Too few records for a batch job go on demand, in whatever round they are left over.
    transports = [Transport.ON_DEMAND, *[Transport.BATCH] * tier.batch]
    costs = [cost(tier.price, transport, tokens_in, tokens_out) for transport in transports]
    fillers = filler_usd(tier, min_records) if load.most_records else 0.0
    known = [usd for usd in costs if usd is not None]
    if fillers is None or len(known) < len(costs):
        return None
    return max(known) + MOST_FILLED * fillers


def filler_usd(tier: FrozenTier, min_records: int) -> float | None:
    """What filling up one job of a tier costs at most; None when its price is unknown."""
    tokens_in, tokens_out = (min_records * tokens for tokens in FILLER_TOKENS)
    return cost(tier.price, Transport.BATCH, tokens_in, tokens_out) if tier.batch else 0.0


def requests_of(records: int, pack: int) -> int:
    """How many requests so many records are, in full packs and one with the rest."""
    return -(-records // pack)


def expected_usd(tier: FrozenTier, load: Load, transport: str, records: int) -> float | None:
    """What sending so many of the records to a tier is expected to cost; None when the price is unknown."""
    return cost(tier.price, transport, *load.expected_tokens(records, tier.token_factor, tier.pack))


def expected_transport(tier: FrozenTier, records: int, min_records: int) -> Transport:
    """How so many records of a tier are sent when they are sent together: Bedrock's minimum counts requests."""
    enough = tier.transport is Transport.BATCH or requests_of(records, tier.pack) >= min_records
    return Transport.BATCH if tier.batch and enough else Transport.ON_DEMAND


def sent(records: int, shares: Sequence[float]) -> list[int]:
    """Records that each tier gets, when these shares of what each tier but the last gets go on to the next."""
    found = [records]
    for share in shares:
        found.append(math.ceil(found[-1] * share))
    return found


def run_ceiling_usd(task: Task, tiers: Sequence[FrozenTier], load: Load, min_records: int) -> float | None:
    """What a run costs at most: every record through every tier, and as many fillers as there can be."""
    return total(ceiling_usd(task, tier, load, min_records) for tier in tiers)


def run_expected_usd(
    tiers: Sequence[FrozenTier], load: Load, min_records: int, escalate: float = ESCALATED
) -> float | None:
    """What a run is expected to cost when this share of each tier's records goes on to the next; no retries."""
    counts = sent(load.records, [escalate] * (len(tiers) - 1))
    return total(
        expected_usd(tier, load, expected_transport(tier, records, min_records), records)
        for tier, records in zip(tiers, counts, strict=True)
    )


def all_tiers_usd(tiers: Sequence[FrozenTier], load: Load, min_records: int) -> float | None:
    """What a run is expected to cost if no tier but the last settles anything."""
    return run_expected_usd(tiers, load, min_records, escalate=1.0)


def cheapest(tier: FrozenTier, load: Load, records: int, min_records: int) -> str | None:
    """The transport that costs least for so many records of a tier; None when no price is known.

    Fewer records than a batch job may have can only be sent on demand.
    """
    offered = {Transport.ON_DEMAND, expected_transport(tier, records, min_records)}
    priced = [(usd, name) for name in offered if (usd := expected_usd(tier, load, name, records)) is not None]
    return min(priced)[1].value if priced else None
