"""Costs before they are made: the ceiling holds whatever happens, the expectation adds up."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.answers.requests import escape
from sluice.budget import costs, whole
from sluice.budget.costs import Load, ceiling_usd, cheapest, expected_usd, sent
from sluice.budget.whole import run_ceiling_usd
from sluice.models.prices import Price
from sluice.rows.record import join_texts
from sluice.runs.accounting import total
from sluice.runs.state import FrozenTier, RunPlan
from sluice.steps.services import Run
from sluice.task.file import parse_task
from tests.harness.drive import jsonl
from tests.harness.faults import FaultPlan
from tests.harness.machine import Machine

MODELS = ("nova-micro", "claude-haiku-4-5", "claude-sonnet-4-5")
CHEAP, HALF_UNKNOWN = Price(1.0, 2.0, 2.0, 4.0), Price(1.0, 2.0, None, None)
REPLIES = (
    json.dumps({"label": "a", "confidence": "certain"}),
    json.dumps({"label": "a", "confidence": "unsure"}),
    "no idea",
    "",
)
TEXTS = st.text(st.sampled_from('ab&<>"\\\n\0é請Ж\N{LARGE RED CIRCLE}\ud800'), max_size=30)
ROWS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"t": TEXTS}, optional={"u": TEXTS, "note": st.text(max_size=20)}),
        st.sampled_from([[1], {"t": 7}, {}]),
    ),
    min_size=1,
    max_size=25,
)
TIERS = st.lists(
    st.fixed_dictionaries(
        {
            "transport": st.sampled_from(["auto", "batch", "on_demand"]),
            "attempts": st.integers(1, 3),
            "max_tokens": st.integers(1, 300),
        }
    ),
    min_size=1,
    max_size=3,
)
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
FAULTS = st.builds(
    FaultPlan,
    seed=st.integers(0, 999),
    jobs=SHARES,
    records=SHARES,
    calls=st.sampled_from([0.0, 0.2]),
    kills=st.sampled_from([0.0, 0.1]),
)


def tier(price: Price | None, *, batch: bool = True, attempts: int = 1, max_tokens: int = 100) -> FrozenTier:
    return FrozenTier(
        model="m",
        model_id="m",
        batch=batch,
        max_tokens=max_tokens,
        attempts=attempts,
        price=price,
    )


def load(**changes: Any) -> Load:
    made: dict[str, Any] = {"records": 100, "text_tokens": 1000, "prompt_tokens": 50, "answer_tokens": 5}
    return Load(**{**made, "most_records": 100, "most_text_bytes": 4000, **changes})


def a_task(**changes: Any) -> Any:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], **changes}, "t")


def greediest(body: dict[str, Any]) -> tuple[int, int]:
    """A token for each byte of what a model is sent, and every token that it may write."""
    seen = {name: body[name] for name in ("messages", "system") if name in body}
    return len(msgspec.json.encode(seen)), body["inferenceConfig"]["maxTokens"]


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=ROWS,
    tiers=TIERS,
    fields=st.sampled_from([["t"], ["t", "u"]]),
    limit=st.sampled_from([1, 3, 4000]),
    faults=FAULTS,
    most=st.integers(1, 12),
    least=st.integers(1, 12),
    chosen=st.integers(0, 10**6),
)
def test_no_run_costs_more_than_its_ceiling(
    rows: list[Any],
    tiers: list[dict[str, Any]],
    fields: list[str],
    limit: int,
    faults: FaultPlan,
    most: int,
    least: int,
    chosen: int,
) -> None:
    """Tasks, texts, answers and faults may be any: with a token for each byte, the ceiling of the run's plan holds."""

    def answer(model: str, text: str) -> str:
        return REPLIES[hash_of(f"{chosen}{model}{text}") % len(REPLIES)]

    task = a_task(
        input={"text": fields, "max_tokens": limit, "when_longer": "cut"},
        tiers=[{"model": model, **given} for model, given in zip(MODELS, tiers, strict=False)],
    )
    sizes = {"max_records_per_job": max(most, least), "min_records_per_job": least, "on_demand_concurrency": 1}
    machine = Machine(faults, answer, {**sizes, "max_jobs_in_flight": 2, "span_bytes": 300})
    machine.faulty.tokens = greediest
    run = machine.begin(task, {"a.jsonl": jsonl(rows)})
    summary = machine.finish(run)
    opened = Run(machine.work, run)
    ceiling = run_ceiling_usd(
        task, opened.start.tiers, Load.of_plan(task, opened.plan), opened.settings.min_records_per_job
    )
    assert ceiling is not None
    assert summary["cost_usd"] <= ceiling * (1 + 1e-9)


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode(errors="replace")[-4:], "big")


def test_a_run_that_uses_everything_up_comes_near_its_ceiling() -> None:
    """The bound is no bound of something else: on demand, without an answer that passes, little is left of it."""
    texts = [{"t": "&" * 1000 + str(n)} for n in range(20)]
    machine = Machine(FaultPlan(), lambda _model, _text: "no idea", {"min_records_per_job": 21})
    machine.faulty.tokens = greediest
    task = a_task(tiers=[{"model": "nova-micro", "attempts": 1}, {"model": "claude-haiku-4-5", "attempts": 1}])
    run = machine.begin(task, {"a.jsonl": jsonl(texts)})
    summary, opened = machine.finish(run), Run(machine.work, run)
    ceiling = run_ceiling_usd(
        task, opened.start.tiers, Load.of_plan(task, opened.plan), opened.settings.min_records_per_job
    )
    assert ceiling is not None
    assert 0.9 * ceiling < summary["cost_usd"] < ceiling


@given(texts=st.lists(st.none() | TEXTS.map(lambda text: text.replace("\ud800", "")), min_size=2, max_size=2))
def test_no_text_grows_beyond_what_its_row_allows(texts: list[str | None]) -> None:
    """However a text is escaped, its row and the names of its fields bound it."""
    task = a_task(input={"text": ["t", "nested.u"]})
    row = {"t": texts[0], "nested": {"u": texts[1]}}
    raw = msgspec.json.encode({key: value for key, value in row.items() if value is not None})
    rendered = json.loads(b'"' + escape(join_texts(["t", "nested.u"], texts)) + b'"')
    plan = a_plan(rows=1, bytes_=54 + len(raw))
    assert len(rendered.encode()) <= Load.of_plan(task, plan).most_text_bytes


def a_plan(rows: int, bytes_: int, distinct: int | None = None) -> RunPlan:
    return RunPlan(
        depth=3,
        rows=rows,
        bytes=bytes_,
        rejected={},
        input_rows={},
        distinct=rows if distinct is None else distinct,
        bounds=[0, 4096],
        shard_rows=[rows],
        segments=[],
    )


def test_the_ceiling_takes_the_dearer_price_and_every_attempt() -> None:
    """Each record may be left over for a call on demand, and be sent as often as the tier allows."""
    once = ceiling_usd(a_task(), tier(CHEAP, batch=False), load(), 100)
    assert ceiling_usd(a_task(), tier(CHEAP, attempts=3), load(), 0) == pytest.approx(3 * (once or 0))
    assert ceiling_usd(a_task(), tier(HALF_UNKNOWN), load(), 100) is None
    assert ceiling_usd(a_task(), tier(None), load(), 100) is None


def test_the_expected_cost_is_that_of_the_tokens() -> None:
    """The instructions, the text and the answer of each record, at the transport's price."""
    assert load().expected_tokens(10) == (600, 50)
    assert expected_usd(tier(CHEAP), load(), "batch", 10) == pytest.approx((600 * 1.0 + 50 * 2.0) / 1e6)
    assert expected_usd(tier(CHEAP), load(), "on_demand", 10) == pytest.approx((600 * 2.0 + 50 * 4.0) / 1e6)
    assert expected_usd(tier(None), load(), "batch", 10) is None
    assert load(records=0, text_tokens=0).expected_tokens(0) == (0, 0)


def test_a_run_is_expected_to_cost_what_its_tiers_do() -> None:
    """Each tier gets the share of the one before; what is too little for a batch job goes on demand."""
    tiers = [tier(CHEAP), tier(CHEAP)]
    assert sent(100, [0.101, 0.5]) == [100, 11, 6]
    parts = [expected_usd(tiers[0], load(), "batch", 100), expected_usd(tiers[1], load(), "on_demand", 10)]
    assert whole.run_expected_usd(tiers, load(), 50, 0.1) == total(parts)


def test_the_cheapest_transport_is_one_that_can_be_used() -> None:
    """Batch at half the price, on demand where there are too few records or the model is in no batch, else unknown."""
    assert cheapest(tier(CHEAP), load(), 100, 100) == "batch"
    assert cheapest(tier(CHEAP), load(), 99, 100) == "on_demand"
    assert cheapest(tier(CHEAP, batch=False), load(), 100, 100) == "on_demand"
    assert cheapest(tier(None), load(), 100, 100) is None


def test_a_plan_gives_the_load_that_it_can_see() -> None:
    """Rows and bytes without their frames; the distinct ones are paid for, all of them can be."""
    task = a_task()
    seen = Load.of_plan(task, a_plan(rows=10, bytes_=10 * (54 + 400), distinct=5))
    assert (seen.records, seen.text_tokens, seen.most_records, seen.most_text_bytes) == (5, 500, 10, 5 * 4000)
    assert Load.of_plan(task, a_plan(rows=0, bytes_=0)).records == 0


def test_under_a_certificate_the_drawn_rows_go_on_and_a_share_of_the_others() -> None:
    """Of 10,000 records 2,500 are drawn, and a tenth of the rest is expected to go on; never more than all."""
    task: dict[str, Any] = {"name": "t", "input": {"text": "t"}, "labels": ["a", "b"]}
    plainly, promised = parse_task(task, "t"), parse_task(task | {"quality": {}}, "t")
    audited = parse_task(task | {"audit": {"rows": 100}}, "t")
    assert (plainly.drawn, promised.drawn, audited.drawn) == (0, 2_500, 150)
    assert costs.sent(10_000, [0.1], plainly.drawn) == [10_000, 1_000]
    assert costs.sent(10_000, [0.1], promised.drawn) == [10_000, 2_500 + 750]
    assert costs.sent(1_000, [0.1], promised.drawn) == [1_000, 1_000]
    assert costs.sent(0, [0.1], promised.drawn) == [0, 0]
    assert costs.sent(10_150, [0.1, 0.0], audited.drawn) == [10_150, 1_015, 150]  # the tier between is asked no more
