"""The page of costs: rows that repeat as often as it says, and bills that follow from their assumptions by hand."""

from __future__ import annotations

import pytest

from benchmarks import bills
from benchmarks.bills import CERTIFIED, KNOWN, ORACLE, certified, load_of, tier, usd
from benchmarks.costs import PAGE, VARIANTS, agreement, nights, task_of


def test_nights_repeat_and_bring_as_much_as_they_say() -> None:
    """Of the first night three in ten repeat a text; of the next, one in ten is new."""
    first, second = nights(1_000)
    assert len(first) == len(second) == 1_000
    assert len({row["text"] for row in first}) == 700
    before = {(row["id"], row["text"]) for row in first}
    assert sum((row["id"], row["text"]) in before for row in second) == 900
    assert len({row["text"] for row in second} - {row["text"] for row in first}) == 100
    assert len({row["id"] for row in second}) == 1_000


def test_each_way_differs_from_plain_in_what_it_is_called_by() -> None:
    """Plain has a record for each row, no packs and no reuse; all together has all three."""
    tasks = {variant.named: task_of(variant) for variant in VARIANTS}
    found = {
        name: (task.reads_row, [tier.pack for tier in task.tiers], task.reuse is not None)
        for name, task in tasks.items()
    }
    assert found == {
        "plain": (True, [1, 1], False),
        "deduplicated": (False, [1, 1], False),
        "packed": (True, [5, 10], False),
        "reused": (True, [1, 1], True),
        "all together": (False, [5, 10], True),
        "strongest tier alone": (True, [1], False),
    }
    assert agreement({1: "a", 2: None, 3: "b"}, {1: "a", 2: None, 3: "c"}) == pytest.approx(2 / 3)


def test_a_certified_bill_is_that_of_the_draws_and_of_what_goes_on() -> None:
    """With `learned` first, a bill beside the oracle's is the share that it is asked, times what a pack saves."""
    cascade, rows = CERTIFIED[0], 1_000_000
    load, drawn = load_of(cascade.labels, rows, cascade.text_tokens), 10_500 / 1_000_000
    saved = usd(tier(ORACLE, 10), load, rows) / usd(tier(ORACLE), load, rows)
    found = certified(cascade, rows)
    assert found.oracle == pytest.approx(drawn + (1 - drawn) * (1 - cascade.accepted))
    assert found.bill == pytest.approx(found.oracle * saved, rel=1e-3)
    assert found.bill <= cascade.asked
    known = drawn * KNOWN * found.oracle + (found.oracle - drawn) * KNOWN
    assert found.known == pytest.approx(1 - known / found.oracle, rel=1e-3)


def test_the_page_has_the_bills_of_today() -> None:
    """A price, a prompt or a plan that changes changes what is computed: `make costs` renews the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"<!-- story -->\n{bills.story()}\n<!-- /story -->" in page
    assert f"<!-- certified -->\n{bills.certificates()}\n<!-- /certified -->" in page
