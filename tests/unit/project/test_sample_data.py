from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluice.models.catalog import Catalog
from sluice.models.fitting import check_models
from sluice.task.file import load_task, task_names

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "sample_data"


def lines(name: str) -> list[bytes]:
    return (SAMPLES / name).read_bytes().split(b"\n")


def readable(name: str) -> list[dict[str, Any]]:
    """The rows whose line is a JSON object."""
    rows = []
    for line in lines(name):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", SAMPLES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tickets", "reviews"])
def test_the_files_are_what_the_generator_writes(generator: ModuleType, name: str) -> None:
    """Generating the samples anew gives the very bytes that lie there."""
    made = getattr(generator, name)(generator.phrases_of(name))
    assert made == (SAMPLES / f"{name}.jsonl").read_bytes()


def test_tickets_are_many_and_varied() -> None:
    """There are thousands of messages, mostly different, in several languages, and some texts repeat."""
    rows = readable("tickets.jsonl")
    texts = Counter((row.get("subject"), str(row.get("body"))) for row in rows)
    assert len(rows) >= 2_000
    assert len(texts) > 0.85 * len(rows)
    assert texts.most_common(1)[0][1] >= 10
    assert len({row["language"] for row in rows}) >= 7


def test_tickets_hold_every_kind_of_trouble() -> None:
    """The odd and broken lines that the README names are there."""
    raw = lines("tickets.jsonl")
    broken = [line for line in raw[:-1] if line.strip() and not line.strip().startswith(b'{"ticket_id"')]
    assert raw[-1] == b""
    assert sum(not line.strip() for line in raw[:-1]) == 2
    assert sum(line.endswith(b"\r") for line in raw) == 20
    assert {line[:1] for line in broken} == {b"[", b"n", b"{"}
    whole = b"\n".join(raw)
    assert "\u2028".encode() in whole
    assert "🙂".encode() in whole
    with pytest.raises(UnicodeDecodeError):
        whole.decode()


def test_the_tasks_fit_their_files() -> None:
    """Every gold label of a sample is a label of its task, and every label occurs."""
    teams = {row["team"] for row in readable("tickets.jsonl")}
    topics = {topic for row in readable("reviews.jsonl") for topic in row["topics"]}
    assert teams == set(load_task("tickets", ROOT / "tasks").labels)
    assert topics == set(load_task("reviews", ROOT / "tasks").labels)


def test_the_extracted_fields_of_reviews_fit() -> None:
    """The known seasons and verdicts of the reviews are values that the task's fields admit."""
    fields = load_task("reviews", ROOT / "tasks").answer.fields
    for row in readable("reviews.jsonl"):
        assert all(field.admits(row[name]) for name, field in fields.items())


@pytest.mark.parametrize("name", task_names(ROOT / "tasks"))
def test_every_task_can_run(name: str) -> None:
    """Each task that ships is valid and its models are known, with prices."""
    models = check_models(load_task(name, ROOT / "tasks"), Catalog.load(), "us-east-1")
    assert all(model.price for model in models)


def test_samples_stay_small() -> None:
    """The samples are part of every clone."""
    assert sum(path.stat().st_size for path in SAMPLES.glob("*.jsonl")) < 2_000_000
