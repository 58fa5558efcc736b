"""What a sample says of all records: shares with honest intervals, agreement, measured tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluice.errors import BadRequest
from sluice.forecast.estimate import Asked
from sluice.forecast.pilot import Answered, Tokens, answered, bill, find, tokens_of
from sluice.forecast.trial import Trial
from sluice.local.answers import Answers
from sluice.models.catalog import Catalog
from sluice.models.prices import Price
from sluice.runs.settings import Settings
from sluice.task.file import parse_task
from tests.unit.budget.test_costs import tier

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_pilot_of_a_task_that_scores_answers_is_refused(tmp_path: Path) -> None:
    """A sample teaches no score, so that the shares that go on would be those of another task."""
    base = {"name": "t", "input": {"text": "text"}, "labels": ["a", "b"]}
    scoring: list[dict[str, Any]] = [{"train": 200, "gates": {"min_score": 0.8}}, {"quality": {}}]
    for more in scoring:
        asked = Asked([], parse_task({**base, **more}, "t"), Settings(), Catalog.load(), "us-east-1", 0.1)
        trial = Trial(asked, 10, 1, Answers("standin", {}), tmp_path)
        with pytest.raises(BadRequest, match="cannot tell what a score lets pass"):
            trial.run(unused, unused, unused)


def unused(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing is read or sent")
