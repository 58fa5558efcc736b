"""What a sample says of all records: shares with honest intervals, agreement, measured tokens."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.forecast.pilot import Answered, Tokens, answered, bill, find, share, tokens_of
from sluice.models.catalog import Price
from tests.unit.budget.test_costs import tier


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(count: int, of: int, low: float, high: float) -> None:
    """As published tables have it: the last one is Newcombe's example of 1998."""
    found = share(count, of)
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


@given(of=st.integers(1, 5000), part=st.floats(0, 1))
def test_an_interval_holds_what_was_seen_and_narrows(of: int, part: float) -> None:
    """It lies within 0 and 1, around the share that was seen, and four times the records make it narrower."""
    count = round(part * of)
    found, more = share(count, of), share(4 * count, 4 * of)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert more.high - more.low < found.high - found.low


@pytest.mark.parametrize(("of", "true"), [(50, 0.05), (200, 0.1), (200, 0.02), (100, 0.5)])
def test_the_interval_misses_as_rarely_as_it_says(of: int, true: float) -> None:
    """Over all samples that there can be, by their probability, it holds the true share about 95 times of 100."""
    held = sum(
        math.comb(of, count) * true**count * (1 - true) ** (of - count)
        for count in range(of + 1)
        if (found := share(count, of)).low <= true <= found.high
    )
    assert 0.92 <= held <= 0.99


def test_nothing_is_uncertain_where_all_were_asked() -> None:
    """And nothing is known where none was."""
    assert (share(3, 12, all_of_them=True).low, share(3, 12, all_of_them=True).high) == (0.25, 0.25)
    assert (share(0, 0).value, share(0, 0).low, share(0, 0).high) == (0.0, 0.0, 1.0)


def row(labels: list[str] | None, tier: int | None, *tiers: int, status: str = "accepted") -> dict[str, Any]:
    return {"status": status, "labels": labels, "tier": tier, "trail": [{"tier": number} for number in tiers]}


def test_rows_of_both_runs_are_joined() -> None:
    """The first tier counts where it was accepted, the strongest likewise; rejected rows are no records."""
    cascade = [
        row(["a"], 0, 0),
        row(["b", "a"], 1, 0, 1),
        row(None, 1, 0, 0, 1, status="unresolved"),
        row(None, None, status="rejected"),
    ]
    alone = [row(["a"], 0, 0), row(None, 0, 0, status="unresolved"), row(["b"], 0, 0), row(None, None)]
    assert answered(cascade, alone) == [
        Answered(0, ("a",), ("a",)),
        Answered(1, None, None),
        Answered(1, None, ("b",)),
    ]
    assert answered(cascade, None)[0] == Answered(0, ("a",), ("a",))


def test_findings_count_what_went_on_and_what_differs() -> None:
    """Each tier's share is of what reached it; only records that both answered can agree."""
    records = [
        *[Answered(0, ("a",), ("a",))] * 6,
        *[Answered(0, ("a",), ("b",))] * 2,
        Answered(0, ("a",), ()),
        Answered(1, None, ("a",)),
        Answered(2, None, None),
    ]
    found = find(records, 3, all_of_them=False)
    assert [(part.count, part.of) for part in found.escalated] == [(2, 11), (1, 2)]
    assert (found.agreement.count, found.agreement.of) == (6, 9)
    assert found.differences == [("a", "b", 2), ("a", "(no label)", 1)]
    assert (found.records, found.unanswered) == (11, 1)


def test_tokens_are_those_that_were_measured() -> None:
    """The strongest tier's own run counts too; a tier that answered nothing has none."""

    def books(answers: int, read: int, written: int) -> dict[str, float]:
        return {"answered": answers, "input_tokens": read, "output_tokens": written}

    assert tokens_of([books(10, 1000, 50), books(1, 200, 10)], books(9, 1000, 40)) == [
        Tokens(100, 5),
        Tokens(120, 5),
    ]
    assert tokens_of([books(0, 0, 0)], None) == [None]


def test_the_bill_is_that_of_the_measured_tokens() -> None:
    """By transport; unknown where the price is."""
    price = Price(1.0, 2.0, 2.0, 4.0)
    tokens = [Tokens(100, 10), Tokens(200, 20)]
    found = bill([tier(price), tier(None)], tokens, [1000, 10], ["batch", "batch"])
    assert found == [pytest.approx((100_000 * 1.0 + 10_000 * 2.0) / 1e6), None]
    assert bill([tier(price)], tokens[:1], [1000], ["on_demand"])[0] == pytest.approx(2 * (found[0] or 0))
