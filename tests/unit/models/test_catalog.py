from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.budget.tokens import SCRIPTS
from sluice.errors import BadSetting, BadTask
from sluice.models import catalog as catalog_module
from sluice.models.catalog import Catalog, Model, profile_of
from sluice.models.fitting import check_models
from sluice.models.lifecycle import Lifecycle
from sluice.models.prices import Price, cost
from sluice.models.servers import Server
from sluice.task.file import parse_task
from sluice.task.task import Task

MICRO = "us.amazon.nova-micro-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def task(*tiers: dict[str, Any], **changes: Any) -> Task:
    return parse_task({"name": "t", "input": {"text": "t"}, "labels": ["a", "b"], "tiers": list(tiers), **changes}, "t")


def refused(catalog: Catalog, *tiers: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(BadTask) as caught:
        check_models(task(*tiers, **changes), catalog, "us-east-1")
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "region", "id_"),
    [
        ("nova-micro", "us-east-1", MICRO),
        ("nova-micro", "us-west-2", MICRO),
        ("nova-micro", "eu-west-1", "eu.amazon.nova-micro-v1:0"),
        ("claude-haiku-4-5", "us-east-1", HAIKU),
        ("claude-haiku-4-5", "eu-west-1", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-northeast-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-southeast-2", "au.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "ap-southeast-1", "apac.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("nova-micro", "eu-west-2", "amazon.nova-micro-v1:0"),
        ("nova-micro", "ap-southeast-2", "amazon.nova-micro-v1:0"),
        ("nova-micro", "us-gov-west-1", "amazon.nova-micro-v1:0"),
        ("claude-opus-5", "us-gov-east-1", "us-gov.anthropic.claude-opus-5"),
    ],
)
def test_a_short_name_becomes_the_regions_id(catalog: Catalog, name: str, region: str, id_: str) -> None:
    """The profile of its geography, or the plain id where it has only that: texts stay there by default."""
    model = catalog.resolve(name, region)
    assert (model.name, model.id) == (name, id_)
    assert model.price is not None


@pytest.mark.parametrize("id_", [MICRO, HAIKU, "amazon.nova-micro-v1:0"])
def test_a_full_id_stays_as_it_is(catalog: Catalog, id_: str) -> None:
    """A full id resolves to itself in every Region, with the price of its model."""
    for region in ("us-east-1", "ap-south-1"):
        model = catalog.resolve(id_, region)
        assert model.id == id_
        assert model.price is not None


def test_an_arn_ends_in_an_id(catalog: Catalog) -> None:
    """The ARN of a system's profile has the price of its id; one of the user's own making has none."""
    known = catalog.resolve(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{MICRO}", "us-east-1")
    assert known.price == catalog.resolve(MICRO, "us-east-1").price
    own = catalog.resolve("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/x1", "us-east-1")
    assert own.price is None


@pytest.mark.parametrize("id_", ["meta.other-v1:0", "jp.amazon.nova-pro-v1:0", "us.anthropic.claude-opus-6-v1:0"])
def test_an_unknown_id_has_an_unknown_price(catalog: Catalog, id_: str) -> None:
    """An id, a profile or a version that the table does not hold is allowed, and costs nobody knows what."""
    assert catalog.resolve(id_, "us-east-1").price is None


def test_an_id_is_recognised_by_its_beginning(tmp_path: Path) -> None:
    """Where the table gives no id, a full id gets the price by its beginning, whatever its date and version."""
    own = tmp_path / "models.yaml"
    own.write_text("models: {later: {recognise: vendor.later-6, profiles: [us], price: {on_demand: [1.0, 2.0]}}}")
    catalog = Catalog.load(own)
    for ending in ("", "-20260101", "-20260101-v1:0", "-v1:0"):
        assert catalog.resolve(f"us.vendor.later-6{ending}", "us-east-1").name == "later"
    assert catalog.resolve("us.vendor.later-6-5", "us-east-1").name == "us.vendor.later-6-5"


@pytest.mark.parametrize(
    ("name", "region"),
    [("claude-haiku-4-5", "sa-east-1"), ("nova-micro", "ca-central-1"), ("claude-opus-4-5", "ap-northeast-1")],
)
def test_no_text_leaves_its_geography_by_a_short_name(catalog: Catalog, name: str, region: str) -> None:
    """A Region without the model is told at once; `global.` is only for who writes it."""
    with pytest.raises(BadSetting, match=f"no known id in {region}") as caught:
        catalog.resolve(name, region)
    entry = catalog.entries[name]
    assert (f"global.{entry.id}" in str(caught.value)) == ("global" in entry.profile_prices)


# The catalogue says something else than the table in these, and why.
DIFFERENT: dict[str, str] = {}


def test_every_price_is_that_of_the_table(catalog: Catalog) -> None:
    """By id, with what cached tokens cost; a batch price that it does not have is half of that on demand, no other."""
    table = yaml.safe_load((Path(catalog_module.__file__).parent / "price_table.yaml").read_text(encoding="utf-8"))
    seen = set()
    for name, entry in catalog.entries.items():
        places = {f"{profile}.{entry.id}": entry.price_of(profile) for profile in entry.profile_prices}
        places |= {f"{region}/{entry.id}": entry.price_of(None, region) for region in entry.region_prices}
        places |= {str(entry.id): entry.price_of(None)} if entry.price else {}
        for id_, price in places.items():
            assert price is not None
            said = table["prices"][id_]
            on_demand = [price.on_demand_input, price.on_demand_output]
            batch = [price.batch_input, price.batch_output]
            assert on_demand == said["on_demand"] or id_ in DIFFERENT, id_
            if entry.batch:
                wanted = said.get("batch") or [rate / 2 for rate in said["on_demand"]]
                assert batch == pytest.approx(wanted, rel=0.002) or id_ in DIFFERENT, id_
            flex, cache = [price.flex_input, price.flex_output], [price.cache_read, price.cache_write]
            assert flex == said.get("flex", [None, None]), id_
            assert cache == (pytest.approx(said["cache"], rel=0.005) if entry.cache else [None, None]), id_
            seen.add(id_)
        assert entry.batch or entry.price_of("us") is None or entry.price_of("us").batch_input is None, name  # type: ignore[union-attr]
    assert seen


def test_what_a_model_refuses_is_left_out(catalog: Catalog) -> None:
    """A temperature that the task asks for is refused before anything is sent; the default is left out."""
    (sentence,) = refused(catalog, {"model": "claude-opus-5", "temperature": 0.5})
    assert "temperature" in sentence
    (model,) = check_models(task({"model": "claude-opus-5"}), catalog, "us-east-1")
    assert "temperature" in model.refuses
    assert model.request == {"thinking": {"type": "disabled"}}
    (older,) = check_models(task({"model": "claude-haiku-4-5", "temperature": 0.5}), catalog, "us-east-1")
    assert not older.refuses


def test_a_price_that_holds_to_a_length(catalog: Catalog) -> None:
    """Longer texts cost a multiple, so a ceiling would not hold: such a task is refused."""
    (sentence,) = refused(catalog, {"model": "claude-haiku-5-5"}, input={"text": "t", "max_tokens": 150_000})
    assert "100,000" in sentence


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nova-mirco", "did you mean nova-micro"),
        ("gpt", "There are: nova-micro"),
        ("us. amazon", "no known model"),
    ],
)
def test_a_name_that_cannot_be_resolved(catalog: Catalog, name: str, part: str) -> None:
    """A misspelt short name, and one without a known id, are refused with what would do."""
    with pytest.raises(BadSetting, match=part):
        catalog.resolve(name, "us-east-1")


def test_a_custom_model_is_called_on_demand(catalog: Catalog) -> None:
    """Its ARN is a model like any other, without batch and without a price that nobody gave."""
    arn = "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/abc123"
    model = catalog.resolve(arn, "us-east-1")
    assert (model.id, model.batch, model.price) == (arn, False, None)
    assert "not listed for batch" in refused(catalog, {"model": arn, "transport": "batch"})[0]


def test_the_price_table(catalog: Catalog) -> None:
    """A million rows of 500 and 100 tokens cost 15.75 dollars on Nova Micro in batch, twice that on demand."""
    price = catalog.resolve("nova-micro", "us-east-1").price
    assert cost(price, "batch", 500_000_000, 100_000_000) == pytest.approx(15.75)
    assert cost(price, "on_demand", 500_000_000, 100_000_000) == pytest.approx(31.5)
    assert catalog.date == "2026-11"
    assert "litellm" in catalog.source


def test_a_model_that_has_ended_is_refused_with_what_to_use_instead(catalog: Catalog) -> None:
    """By its short name; its full id stays the user's affair, since a catalogue may be wrong."""
    with pytest.raises(BadSetting, match="its end of life is 2026-09-14: write nova-pro or nova-2-lite"):
        catalog.resolve("nova-premier", "us-east-1")
    assert catalog.resolve("us.amazon.nova-premier-v1:0", "us-east-1").name == "nova-premier"


@pytest.mark.parametrize(
    ("life", "said"),
    [
        ({"ends": "2026-11-28"}, "x reached its end of life on 2026-11-28; instead: a newer model"),
        ({"ends": "2026-11-29", "instead": ["y"]}, "x reaches its end of life on 2026-11-29; instead: y"),
        ({"ends_not_before": "2026-11-29"}, None),
        (
            {"ends_not_before": "2026-11-28", "instead": ["y", "z"]},
            "x may come to its end: it was announced for no sooner than 2026-11-28, which has passed; instead: y or z",
        ),
    ],
)
def test_an_announced_end_is_told_by_the_day(life: dict[str, Any], said: str | None) -> None:
    """The day itself is past; what has not to be before a day has time until then."""
    assert Lifecycle.model_validate(life).said("x", dt.date(2026, 11, 28)) == said


def test_batch_never_costs_more(catalog: Catalog) -> None:
    """In every entry of the table a batch token costs at most what it costs on demand."""
    for name, entry in catalog.entries.items():
        if entry.lifecycle and entry.lifecycle.ends:
            continue  # nobody sells it any longer
        price = entry.price_of("us")
        assert price is not None, name
        for rate, on_demand in (
            (price.batch_input, price.on_demand_input),
            (price.batch_output, price.on_demand_output),
        ):
            assert on_demand is not None
            assert rate is None or rate <= on_demand


@given(*[st.integers(0, 10**9)] * 4)
def test_costs_add_up(first: int, second: int, third: int, fourth: int) -> None:
    """The cost of two records together is the sum of their costs."""
    price = Price(0.5, 1.5, 1.0, 3.0)
    apart = [cost(price, "batch", first, second), cost(price, "batch", third, fourth)]
    assert cost(price, "batch", first + third, second + fourth) == pytest.approx(sum(part or 0 for part in apart))


def test_an_unknown_price_is_not_zero() -> None:
    """Without a price, or without the one of the transport, the cost is unknown."""
    assert cost(None, "batch", 1, 1) is None
    assert cost(Price(None, None, 1.0, 1.0), "batch", 0, 0) is None
    assert cost(Price(1.0, None, 1.0, 1.0), "batch", 1, 1) is None
    assert cost(Price(None, None, 1.0, 1.0), "on_demand", 0, 0) == 0


def test_only_a_decided_transport_has_a_cost() -> None:
    """`auto` is no way in which a record was sent."""
    with pytest.raises(ValueError, match="auto"):
        cost(None, "auto", 1, 1)


def test_models_of_a_task(catalog: Catalog) -> None:
    """Each tier gets its model, in order."""
    found = check_models(task({"model": "nova-micro"}, {"model": HAIKU}), catalog, "us-east-1")
    assert [model.id for model in found] == [MICRO, HAIKU]


def test_unknown_models_are_refused_together(catalog: Catalog) -> None:
    """Each tier whose model is unknown is named."""
    found = refused(catalog, {"model": "nova-mikro"}, {"model": "x.y"}, {"model": "haiku"})
    assert [sentence.split(":")[0] for sentence in found] == ["tiers.0.model", "tiers.2.model"]


def test_a_budget_needs_prices(catalog: Catalog) -> None:
    """A budget over a model of unknown price is refused; without a budget the model is fine."""
    (sentence,) = refused(catalog, {"model": "nova-micro"}, {"model": "x.y"}, budget={"max_usd": 1})
    assert sentence.startswith("tiers.1.model: the on-demand price of x.y is unknown")
    assert check_models(task({"model": "x.y"}), catalog, "us-east-1") == (Model("x.y", "x.y"),)


def test_a_model_that_is_not_listed_for_batch(catalog: Catalog) -> None:
    """Such a model needs no batch price, but cannot be asked for in batch."""
    model = "us.anthropic.claude-haiku-5-5"
    (sentence,) = refused(catalog, {"model": model, "transport": "batch"}, budget={"max_usd": 1})
    assert "allowed: auto, on_demand" in sentence
    (found,) = check_models(task({"model": model}, budget={"max_usd": 1}), catalog, "us-east-1")
    assert not found.batch


def test_limits_of_a_model(catalog: Catalog) -> None:
    """An answer longer than the model writes, or a text longer than it reads, is refused."""
    assert "at most 10000" in refused(catalog, {"model": MICRO, "max_tokens": 10_001})[0]
    long = {"text": "t", "max_tokens": 127_900}
    assert "128000 tokens" in refused(catalog, {"model": MICRO}, input=long)[0]


def test_own_models_lie_over_the_built_in_ones(catalog: Catalog, tmp_path: Path) -> None:
    """A user's file changes single keys, adds models, and is named as a source."""
    own = tmp_path / "models.yaml"
    own.write_text(
        "date: 2027-01-31\nmodels:\n  nova-micro: {price: {on_demand: [1, 2]}}\n"
        "  mine: {id: acme.mine-v1:0, regions: [us-east-1], price: {on_demand: [1, 2], batch: [3, 4]}}\n"
    )
    laid = Catalog.of_project(tmp_path, {})
    assert laid == Catalog.of_project(tmp_path / "elsewhere", {"SLUICE_MODELS": str(own)})
    assert laid.resolve("nova-micro", "us-east-1") == Model(
        "nova-micro",
        MICRO,
        context_tokens=128_000,
        max_output_tokens=10_000,
        price=Price(None, None, 1, 2, cache_read=0.25, cache_write=1),
        cache_from_tokens=1000,
    )
    assert laid.resolve("nova-micro", "eu-west-1").price == Price(None, None, 1, 2, cache_read=0.25, cache_write=1)
    assert laid.resolve("mine", "us-east-1").id == "acme.mine-v1:0"
    assert (laid.date, laid.source) == ("2027-01-31", f"models.yaml, over: {catalog.source}")
    assert Catalog.of_project(tmp_path / "elsewhere", {}) == catalog


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("models: {x: {idd: y}}", "models.x.idd: no such field"),
        ("models: {x: {price: {batch: [1]}}}", "models.x.price.batch"),
        ("models: {x: {price: {batch: [-1, 1]}}}", "greater than or equal to 0"),
        ("models: {x: 5}", "models.x"),
        ("models: []", "mapping"),
        ("a: [", "line 1"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_catalogue_is_refused(tmp_path: Path, content: str | None, part: str) -> None:
    """A file of models that is missing or malformed is refused with its path and field."""
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadSetting, match=part) as caught:
        Catalog.load(path)
    assert "own.yaml" in str(caught.value)


def test_tokens_and_durations_can_be_laid_over(tmp_path: Path) -> None:
    """One's own measurement of a script or a model takes the place of the built-in one; the others stay."""
    own = tmp_path / "models.yaml"
    own.write_text("tokens: {source: counted, characters: {latin: 5}}\ndurations: {minutes: {nova-micro: [1, 2]}}\n")
    built_in, found = Catalog.load(), Catalog.load(own)
    assert found.tokens.source == "counted"
    assert found.tokens.characters == {**built_in.tokens.characters, "latin": 5}
    assert found.durations.job_minutes("nova-micro", 2400) == (1, 2)
    assert found.durations.minutes["nova-pro"] == built_in.durations.minutes["nova-pro"]
    assert found.entries == built_in.entries


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tokens: {characters: {latin: 0}}", "tokens.characters.latin: 0"),
        ("tokens: 4", "tokens: 4: should be a mapping"),
        ("durations: {calls: [1]}", "durations.calls.1: is required"),
        ("durations: {minute: {}}", "durations.minute: no such field; did you mean minutes?"),
    ],
)
def test_wrong_measurements_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    """The message names the field and what is allowed."""
    own = tmp_path / "models.yaml"
    own.write_text(text)
    with pytest.raises(BadSetting, match=re.escape(problem)):
        Catalog.load(own)


def test_every_script_with_a_figure_is_one(catalog: Catalog) -> None:
    """A misspelt script would be passed over in silence."""
    assert set(catalog.tokens.characters) == SCRIPTS


def test_a_larger_job_may_take_longer_but_need_not(catalog: Catalog) -> None:
    """The range of a job without any figure spans those of all models."""
    known = catalog.durations
    low, high = known.job_minutes("nova-micro", known.records)
    assert known.job_minutes("nova-micro", 10 * known.records) == (low, 10 * high)
    assert known.job_minutes("nova-micro", 10) == (low, high)
    widest = known.job_minutes("unheard-of", known.records)
    assert all(widest[0] <= low <= high <= widest[1] for low, high in known.minutes.values())
    assert (known.knows("nova-micro"), known.knows("unheard-of")) == (True, False)


@pytest.mark.parametrize(
    ("id_", "profile"),
    [
        (MICRO, "us"),
        ("amazon.nova-micro-v1:0", None),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "global"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-micro-v1:0", "eu"),
    ],
)
def test_a_profile_is_told_from_a_plain_id(id_: str, profile: str | None) -> None:
    """Only a profile's calls can leave the Region."""
    assert profile_of(id_) == profile


def test_texts_do_not_travel_where_they_may_not(tmp_path: Path) -> None:
    """A short name that means a profile of elsewhere is refused with what is allowed, and so is a full id."""
    catalog = Catalog.of_project(tmp_path, {"SLUICE_GEOGRAPHIES": "eu,jp"})
    assert catalog.resolve("nova-micro", "eu-central-1").id == "eu.amazon.nova-micro-v1:0"
    assert catalog.resolve("amazon.nova-micro-v1:0", "us-east-1").id == "amazon.nova-micro-v1:0"
    for model, region in (("claude-haiku-4-5", "us-east-1"), ("us.amazon.nova-pro-v1:0", "eu-central-1")):
        with pytest.raises(BadSetting, match="option geographies allows: eu, jp"):
            catalog.resolve(model, region)


OWN = {"openai": {"url": "http://localhost:8000/v1", "model": "qwen3:8b"}, "price": [0.5, 2]}


def test_a_model_of_ones_own_is_one_like_any_other(tmp_path: Path) -> None:
    """With a server in place of ids and Regions, and one price however it is asked."""
    own = tmp_path / "models.yaml"
    own.write_text(json.dumps({"models": {"my-qwen": OWN, "nova-micro": {**OWN, "price": {"on_demand": [1, 1]}}}}))
    catalog = Catalog.load(own)
    (model,) = check_models(task({"model": "my-qwen"}, budget={"max_usd": 1}), catalog, "eu-west-1", servers=True)
    assert (model.id, model.price) == ("own.my-qwen", Price(0.5, 2, 0.5, 2))
    assert model.server is not None
    assert (model.server.chat, model.server.place) == (
        "http://localhost:8000/v1/chat/completions",
        "http://localhost:8000/v1",
    )
    assert catalog.resolve("nova-micro", "us-east-1").price == Price(1, 1, 1, 1)


def test_a_deployment_asks_no_server_of_ones_own(tmp_path: Path) -> None:
    """The task is refused, with what to do, wherever a run on one's own machine is not meant."""
    own = tmp_path / "models.yaml"
    own.write_text(json.dumps({"models": {"my-qwen": OWN}}))
    with pytest.raises(
        BadTask, match=r"tiers.0.model: my-qwen has a server of its own .*; a deployment asks models of"
    ):
        check_models(task({"model": "my-qwen"}), Catalog.load(own), "us-east-1")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"url": "localhost:8000", "model": "q"}, "url.*should be the URL that its API begins with"),
        ({"url": "http://me:sk@h/v1", "model": "q"}, "url.*key_env"),
        ({"url": "http://h/v1"}, "model: is required"),
        ({"url": "http://h/v1", "model": "q", "concurency": 3}, "concurency: no such field; did you mean concurrency"),
        ({"url": "http://h/v1", "model": "q", "concurrency": 0}, "concurrency: 0"),
        ({"url": "http://h/v1", "model": "q", "response_format": "xml"}, "response_format"),
    ],
)
def test_a_server_that_cannot_be_one_is_refused(tmp_path: Path, entry: dict[str, object], said: str) -> None:
    """By the place in the file."""
    own = tmp_path / "models.yaml"
    own.write_text(json.dumps({"models": {"my": {"openai": entry}}}))
    with pytest.raises(BadSetting, match=rf"models\.my\.openai\.?{said}"):
        Catalog.load(own)
    own.write_text(json.dumps({"models": {"my": {**OWN, "regions": ["us-east-1"]}}}))
    with pytest.raises(BadSetting, match="regions is for models of Bedrock") as refused:
        Catalog.load(own)
    assert "localhost" not in str(refused.value)


@pytest.mark.parametrize("name", ["people", "learned"])
def test_no_model_is_called_as_results_call_something_else(name: str, tmp_path: Path, catalog: Catalog) -> None:
    """Its rows would be taken for rows that no model was asked about."""
    server = Server.model_validate({"url": "http://localhost:1/v1", "model": "m"})
    (tmp_path / "models.yaml").write_text(f"models: {{{name}: {{openai: {{url: 'http://localhost:1/v1', model: m}}}}}}")
    with pytest.raises(BadSetting, match=f"models.{name}: results call .* choose another name"):
        Catalog.load(tmp_path / "models.yaml")
    with pytest.raises(BadSetting, match="choose another name"):
        catalog.with_servers({name: server})
