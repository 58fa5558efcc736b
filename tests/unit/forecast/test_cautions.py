"""What a plan says of models between a learned tier and the last one."""

from __future__ import annotations

import pytest

from sluice.forecast.cautions import behind_learned
from sluice.forecast.parts import TierForecast
from sluice.task.file import parse_task

LEARNED, CHEAP, LAST = "learned", "nova-micro", "claude-haiku-4-5"


def tier(model: str, records: int, usd: float | None) -> TierForecast:
    return TierForecast(
        model=model, transport="batch", way="batch", cheapest=None, ways=[], instructions=0, cached_from=None,
        records=records, jobs=1, waves=1, input_tokens=0, output_tokens=0, expected_usd=usd, ceiling_usd=usd,
        seconds=(0.0, 0.0), timed=False,
    )  # fmt: skip


def said(models: tuple[str, ...], tiers: list[TierForecast], escalate: float) -> str:
    first = {"kind": LEARNED, "min_score": 0.9} if models[0] == LEARNED else {"model": models[0]}
    body = {"name": "t", "input": {"text": "text"}, "labels": ["a", "b"], "audit": {"rows": 100}}
    task = parse_task({**body, "tiers": [first, *({"model": model} for model in models[1:])]}, "t")
    return " ".join(behind_learned(task, tiers, escalate))


@pytest.mark.parametrize(
    ("escalate", "words"),
    [
        (0.25, "nova-micro costs 10% of what claude-haiku-4-5 does for a record: leave it out if it settles less"),
        (0.89, "leave it out if it settles less"),
        (0.91, "learned and claude-haiku-4-5 alone are expected to cost less"),
    ],
)
def test_a_cheap_model_between_has_to_settle_more_than_it_costs(escalate: float, words: str) -> None:
    """By what a record costs at each, whatever number of records that is; of 1,000 records, at so many going on."""
    tiers = [tier(LEARNED, 1000, 0.0), tier(CHEAP, 400, 0.4), tier(LAST, 100, 1.0)]
    found = said((LEARNED, CHEAP, LAST), tiers, escalate)
    assert words in found
    assert ("take $10.10 if 91% go on, claude-haiku-4-5 alone $10.00" in found) == (escalate == 0.91)


@pytest.mark.parametrize(
    ("models", "tiers"),
    [
        ((LEARNED, LAST), [tier(LEARNED, 9, 0.0), tier(LAST, 9, 9.0)]),
        ((CHEAP, "nova-lite", LAST), [tier(CHEAP, 9, 1.0), tier("nova-lite", 9, 9.0), tier(LAST, 9, 9.0)]),
        ((LEARNED, CHEAP, LAST), [tier(LEARNED, 9, 0.0), tier(CHEAP, 9, None), tier(LAST, 9, 9.0)]),
        ((LEARNED, CHEAP, LAST), [tier(LEARNED, 0, 0.0), tier(CHEAP, 0, 0.0), tier(LAST, 0, 0.0)]),
    ],
)
def test_of_other_ladders_nothing_is_said(models: tuple[str, ...], tiers: list[TierForecast]) -> None:
    """Without a model between, without a learned tier, without a price, without a row."""
    assert said(models, tiers, 0.99) == ""
