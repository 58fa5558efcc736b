"""What docs/howto.md shows is what works: readers of the results, policies, orchestrators."""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import sluice
from tests.flow.local import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flow.local import Outcome

PAGE = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "docs" / "examples"
ORCHESTRATORS = sorted((EXAMPLES / "orchestrators").glob("*_labels.py"))
POLICIES = sorted((EXAMPLES / "policies").glob("*.json"))


def shown(language: str, outcome: Outcome) -> list[str]:
    """The blocks of a language, over the run at hand."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [block.replace("out/demo", str(outcome.out)) for block in blocks]


def test_the_readers_in_python_read_a_run(tickets: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block runs as it stands, over the folder of a run."""
    for block in shown("python", tickets):
        exec(compile(block, "docs/howto.md", "exec"), {})
    assert "billing" in capsys.readouterr().out


def test_the_queries_count_every_row(tickets: Outcome) -> None:
    """The rows of a query of all rows are those of the input."""
    for block in shown("sql", tickets):
        counted = duckdb.connect().execute(block).fetchall()
        assert sum(row[-1] for row in counted) == tickets.run["rows"]["in"]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_policies_are_documents_of_iam(policy: Path) -> None:
    """Statements with effect, actions of a service and named resources; none allows everything anywhere."""
    document: dict[str, Any] = json.loads(policy.read_text(encoding="utf-8"))
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(re.fullmatch(r"[a-z0-9]+:[A-Z][A-Za-z]+", action) for action in statement["Action"])
        assert all(resource.startswith(("arn:aws:", "<")) for resource in statement["Resource"])
    assert f"examples/policies/{policy.name}" in PAGE


@pytest.mark.parametrize("example", ORCHESTRATORS, ids=lambda path: path.stem)
def test_orchestrators_call_what_the_api_has(example: Path) -> None:
    """Each call of `sluice` in an example is one that takes these arguments; each is on the page."""
    assert f"examples/orchestrators/{example.name}" in PAGE
    calls = [node for node in ast.walk(ast.parse(example.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func).startswith("sluice.")]
    assert named
    for call in named:
        name = ast.unparse(call.func)
        if re.fullmatch(r"sluice\.\w+", name):
            keywords = {word.arg: None for word in call.keywords if word.arg}
            inspect.signature(getattr(sluice, name.removeprefix("sluice."))).bind(*call.args, **keywords)
