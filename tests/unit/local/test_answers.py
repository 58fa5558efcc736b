"""Who answers which tier of a run on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluice.errors import BadRequest
from sluice.local.answers import arranged
from sluice.local.asking import endpoint_of, models_file, who_answers
from sluice.local.rules import check_request
from sluice.local.sources.schema import answer_schema
from sluice.models.catalog import Catalog
from sluice.models.servers import is_own, own_id
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from sluice.local.answers import Arrangement
    from sluice.task.task import Task

URL = "http://localhost:8000/v1"
OWN = {
    "small": {"openai": {"url": URL, "model": "qwen-3b"}, "price": [0, 0]},
    "same": {"openai": {"url": f"{URL}/", "model": "qwen-3b", "concurrency": 4}},
    "thinking": {"openai": {"url": URL, "model": "qwen-3b", "extra_body": {"think": True}}},
    "secret": {
        "openai": {
            "url": f"{URL}?k=in-the-url",
            "model": "q",
            "key_env": "MY_KEY",
            "headers": {"x-more": "$MORE", "x-plain": "in-the-file"},
        }
    },
}


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "SLUICE_MODELS", "MY_KEY", "MORE"):
        monkeypatch.delenv(name, raising=False)
    Path("models.yaml").write_text(json.dumps({"models": OWN}))
    return Catalog.load(Path("models.yaml"))


def task(*tiers: str | dict[str, Any], **others: Any) -> Task:
    listed = [{"model": tier} if isinstance(tier, str) else tier for tier in tiers]
    return parse_task({"name": "t", "input": {"text": "text"}, "labels": ["a", "b"], "tiers": listed, **others}, "t")


def asked(found: Arrangement) -> list[tuple[str, str | None]]:
    """Each tier with the model and server that it asks."""
    servers = found.answers.servers
    return [(tier.model, servers[tier.model].chat if tier.model in servers else None) for tier in found.task.tiers]


CHAT = f"{URL}/chat/completions"


def test_tiers_name_models_of_ones_own_like_any_other(catalog: Catalog) -> None:
    """Without a word about answers they ask their servers; a task without any has the stand-in."""
    found = arranged(task("small", "thinking"), None, catalog)
    assert asked(found) == [("small", CHAT), ("thinking", CHAT)]
    assert (found.answers.said, found.notes) == (f"openai:{URL}#qwen-3b", ())
    assert arranged(task("nova-micro"), None, catalog).answers.said == "standin"


def test_one_source_stands_for_all_tiers_and_several_for_one_each(catalog: Catalog) -> None:
    """A ladder of two servers, of a server and Bedrock; what models.yaml does not know goes by its own name."""
    two = arranged(task("nova-micro", "claude-haiku-4-5"), [f"0=openai:{URL}#a", "1=openai:http://b/v1#a"], catalog)
    assert asked(two) == [("a", CHAT), ("a@b", "http://b/v1/chat/completions")]
    assert two.answers.said == f"0=openai:{URL}#a 1=openai:http://b/v1#a"
    mixed = arranged(task("small", "claude-haiku-4-5"), "bedrock", catalog)
    assert asked(mixed) == [("small", CHAT), ("claude-haiku-4-5", None)]
    assert (mixed.answers.kinds, mixed.answers.others) == ({"openai", "bedrock"}, {"claude-haiku-4-5": "bedrock"})
    rehearsed = arranged(task("small", "thinking"), "standin", catalog)
    assert (rehearsed.answers.kinds, rehearsed.answers.servers) == ({"standin"}, {})


def test_a_judge_is_answered_like_a_tier_and_is_no_rung(catalog: Catalog) -> None:
    """By the source for all, or one of its own; whoever names sources for the tiers alone has forgotten it."""
    judged = task("nova-micro", "claude-haiku-4-5", gates={"judge": {"model": "nova-lite"}})
    alone = arranged(judged, f"openai:{URL}#q", catalog)
    assert (len(alone.task.tiers), alone.task.gates.judge and alone.task.gates.judge.model) == (1, "q")
    other = arranged(judged, ["standin", f"judge=openai:{URL}#q"], catalog)
    assert other.answers.said == f"0=standin 1=standin judge=openai:{URL}#q"
    assert [tier.model for tier in other.task.answerers] == ["nova-micro", "claude-haiku-4-5", "q"]
    with pytest.raises(BadRequest, match=r"the judge \(nova-lite\) are missing: say who answers, as judge=standin"):
        arranged(judged, [f"0=openai:{URL}#q", f"1=openai:{URL}#q"], catalog)
    with pytest.raises(BadRequest, match=r"judge=standin: .* it has no gates.judge"):
        arranged(task("nova-micro"), "judge=standin", catalog)


@pytest.mark.parametrize(
    ("tiers", "answers", "left"),
    [
        (("nova-micro", "claude-haiku-4-5"), f"openai:{URL}#q", ["q"]),
        (("small", "same"), None, ["small"]),
        (("small", "nova-micro", "same"), ["1=standin"], ["small", "nova-micro"]),
        (({"model": "small", "attempts": 1}, {"model": "small", "attempts": 3}), None, ["small"]),
        (("small", "thinking"), None, ["small", "thinking"]),
        (("small", {"model": "small", "max_tokens": 900}), None, ["small", "small"]),
    ],
)
def test_rungs_that_ask_the_same_are_one(catalog: Catalog, tiers: Any, answers: Any, left: list[str]) -> None:
    """A second answer of the same model to the same question would be the first again, and that is said."""
    found = arranged(task(*tiers), answers, catalog)
    assert [tier.model for tier in found.task.tiers] == left
    assert any("one rung" in note for note in found.notes) == (len(left) < len(tiers))


@pytest.mark.parametrize(
    ("tiers", "answers", "said"),
    [
        (("small", "nova-micro"), None, r"for tier 1 \(nova-micro\) are missing: say who answers, as 1=standin"),
        (("nova-micro", "claude-haiku-4-5"), ["0=standin"], r"tier 1 \(claude-haiku-4-5\) are missing"),
        (("nova-micro",), ["1=standin"], "tiers are 0 to 0"),
        (("nova-micro",), ["0=standin", "0=bedrock"], "answered by standin already"),
        (("nova-micro",), ["standin", "bedrock"], "standin is for all tiers already"),
        (("nova-micro",), ["0=magic"], "magic is not known"),
        (("nova-micro",), "openai:ftp://x#m", "should be the URL that its API begins with"),
        (("nova-micro",), "openai:http://me:key@x/v1#m", "key_env"),
        (("secret",), None, "takes its key from the variable MORE, which is not set"),
    ],
)
def test_tiers_that_nobody_can_answer_are_refused(catalog: Catalog, tiers: Any, answers: Any, said: str) -> None:
    """Before anything is started, with what to write."""
    with pytest.raises(BadRequest, match=said):
        arranged(task(*tiers), answers, catalog)


def test_a_budget_needs_a_price(catalog: Catalog) -> None:
    """A model that only the command line knows has none, so that the budget is left out, and that is said."""
    found = arranged(task("nova-micro", budget={"max_usd": 1}), f"openai:{URL}#q", catalog)
    assert found.task.budget.max_usd is None
    assert "budget.max_usd is not kept: no price of q is known" in found.notes[0]
    assert arranged(task("small", budget={"max_usd": 1}), None, catalog).task.budget.max_usd == 1


def test_nobody_answers_for_a_learned_tier(catalog: Catalog) -> None:
    """A server that is named for all tiers is asked by the models behind it; the run teaches itself the first one."""
    given = task({"kind": "learned", "min_score": 0.9}, "nova-micro", "claude-haiku-4-5", train=200)
    found = arranged(given, f"openai:{URL}#q", catalog)
    assert asked(found) == [("learned", None), ("q", CHAT)]
    assert found.answers.said == f"openai:{URL}#q"
    assert arranged(given, None, catalog).answers.said == "standin"


def test_a_certificate_takes_two_models(catalog: Catalog) -> None:
    """One rung has nobody to be compared with."""
    certified = task("small", "same", quality={"agree": 0.9})
    with pytest.raises(BadRequest, match="quality compares two"):
        arranged(certified, None, catalog)


def test_keys_reach_the_one_process_that_sends_them(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its standard input; the functions' copy of the models has none, nor what else may be secret."""
    monkeypatch.setenv("MY_KEY", "sk-1")
    monkeypatch.setenv("MORE", "more-1")
    found = arranged(task("secret"), None, catalog)
    (server,) = found.answers.servers.values()
    endpoint = endpoint_of(server, found.task)
    assert endpoint.headers == {"Authorization": "Bearer sk-1", "x-more": "more-1", "x-plain": "in-the-file"}
    assert {"MY_KEY", "MORE", "OPENAI_API_KEY"} == found.answers.secret_variables
    assert "in-the-url" not in found.answers.said
    written = models_file(found.answers, Path("logs"))
    assert written is not None
    assert not any(secret in written.read_text() for secret in ("in-the-url", "in-the-file", "sk-1", "more-1"))
    assert Catalog.load(written).resolve("secret", "us-east-1").id == own_id("secret")
    told = who_answers(found.answers, found.task, catalog, "us-east-1")
    assert (list(told["servers"]), told["answers"]) == ([own_id("secret")], {})


def test_a_model_that_only_the_command_line_knows_is_known_to_the_functions(catalog: Catalog) -> None:
    """Its name may be any; its id is one that AWS's own rules let through."""
    found = arranged(task("nova-micro"), f"openai:{URL}#Qwen/Qwen3_8B:q4", catalog)
    written = models_file(found.answers, Path("logs"))
    assert written is not None
    model = Catalog.load(written).resolve("Qwen/Qwen3_8B:q4", "us-east-1")
    assert is_own(model.id)
    assert model.id.startswith("own.qwen3-8b-q4-")
    assert catalog.with_servers(found.answers.servers).resolve("Qwen/Qwen3_8B:q4", "x").id == model.id


def test_the_form_of_an_answer_is_a_json_schema() -> None:
    """With every member that the instructions ask for, and nothing else."""
    fields = {"amount": {"type": ["number", "null"]}, "tags": {"type": "array", "items": {"type": "string"}}}
    found = answer_schema(task("x.y", answer={"fields": fields, "evidence": True}))
    assert found["properties"]["label"] == {"type": "string", "enum": ["a", "b"]}
    assert found["properties"]["amount"] == {"type": ["number", "null"]}
    assert found["required"] == ["label", "confidence", "evidence", "amount", "tags"]
    assert found["additionalProperties"] is False
    many = answer_schema(task("x.y", choose="many", answer={"confidence": False}))
    assert many["properties"] == {"labels": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}}


@pytest.mark.parametrize("name", ["q", "my-qwen", "Qwen/Qwen3-8B-FP8:latest", "模型", "a" * 300, "-", "."])
def test_any_name_becomes_an_id_that_the_api_takes(name: str) -> None:
    """By AWS's own pattern, which a job's model has to fit; no two names share one."""
    request = {
        "jobName": "j",
        "roleArn": "arn:aws:iam::123456789012:role/Bedrock",
        "modelId": own_id(name),
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
    }
    check_request("bedrock", "CreateModelInvocationJob", request)
    assert own_id(name) != own_id(f"{name}_")
