"""The tables of many tasks: in nested stacks, each task always in the same one, within CloudFormation's limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.test_lint import found

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ", ".join(f"customer_attribute_{number:02}: string" for number in range(60))
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_BYTES, MAX_RESOURCES = 1_000_000, 500


def _tasks(folder: Path, count: int, keep: str = "") -> Path:
    folder.mkdir()
    for number in range(count):
        text = f"name: mailbox-{number}\ninput: {{text: body, keep: {{{keep}}}}}\nlabels: [a, b]\n"
        trigger = "trigger: {schedule: rate(1 day)}\n"
        (folder / f"mailbox-{number}.yaml").write_text(text + trigger, encoding="utf-8")
    return folder


def _synthesized(out: Path, tasks: Path, **context: Any) -> dict[str, dict[str, Any]]:
    """Every template, by its file's name; the stack's own first."""
    from infra.app import build, check_templates

    build(outdir=str(out), tasks=str(tasks), bundle=False, **context).synth()
    check_templates(out)
    files = sorted(out.glob("*.template.json"), key=lambda file: (".nested." in file.name, file.name))
    return {file.name: json.loads(file.read_bytes()) for file in files}


def _tables(template: dict[str, Any]) -> set[str]:
    found = (r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Glue::Table")
    return {table["TableInput"]["Name"] for table in found}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Four tasks, the tables of which are nested since an option says so."""
    folder = tmp_path_factory.mktemp("few")
    return _synthesized(folder / "out", _tasks(folder / "tasks", 4), tables_in="nested")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was synthesized of a hundred tasks that keep sixty columns each."""
    folder = tmp_path_factory.mktemp("many")
    _synthesized(folder / "out", _tasks(folder / "tasks", 100, COLUMNS))
    return folder / "out"


def test_a_hundred_tasks_of_sixty_columns_fit(many: Path) -> None:
    """Each template stays within both limits, and no table of a task is missing or doubled."""
    templates = {file: json.loads(file.read_bytes()) for file in many.glob("*.template.json")}
    assert len(templates) == 1 + 8
    assert max(file.stat().st_size for file in templates) <= MAX_BYTES
    assert max(len(template["Resources"]) for template in templates.values()) <= MAX_RESOURCES
    names = [name for template in templates.values() for name in _tables(template)]
    wanted = {f"mailbox_{number}{suffix}" for number in range(100) for suffix in ("", "_current")}
    assert sorted(names) == sorted({*wanted, "runs", "results", "corrections", "corrected"})


def test_another_task_moves_no_table(many: Path, few: dict[str, dict[str, Any]]) -> None:
    """A table that came to lie in another stack would be made, under its name, before it is deleted."""
    places = {name: file.name for file in many.glob("*.nested.*") for name in _tables(json.loads(file.read_bytes()))}
    nested = {name: file for file, template in few.items() if ".nested." in file for name in _tables(template)}
    assert nested
    assert nested == {name: places[name] for name in nested}


def test_few_tasks_lie_in_the_stack_itself(tmp_path: Path) -> None:
    """A deployment that fits is what it was: one template, nothing to move."""
    [template] = _synthesized(tmp_path / "out", _tasks(tmp_path / "tasks", 2)).values()
    tasks = {"mailbox_0", "mailbox_0_current", "mailbox_1", "mailbox_1_current"}
    assert _tables(template) == {*tasks, "runs", "results", "corrections", "corrected"}


def test_between_two_places_the_tables_of_tasks_are_nowhere(tmp_path: Path) -> None:
    """One deployment takes them out and leaves the schedules, so that the next can make them elsewhere."""
    [template] = _synthesized(tmp_path / "out", _tasks(tmp_path / "tasks", 2), tables_in="nowhere").values()
    assert _tables(template) == {"runs"}
    kinds = [resource["Type"] for resource in template["Resources"].values()]
    assert kinds.count("AWS::Scheduler::Schedule") == 1 + 2
    assert "AWS::Athena::NamedQuery" not in kinds


def test_nested_templates_fit_the_schemas_of_every_region(few: dict[str, dict[str, Any]]) -> None:
    """What refers to the bucket of results comes in as a parameter, and nothing else does."""
    nested = [template for file, template in few.items() if ".nested." in file]
    for template in nested:
        assert found(template) == set()
    assert [len(template["Parameters"]) for template in nested] == [1] * len(nested)


def test_the_database_is_there_before_the_tables(few: dict[str, dict[str, Any]]) -> None:
    """A nested stack waits for it as a whole."""
    own = next(iter(few.values()))["Resources"]
    [database] = [id_ for id_, resource in own.items() if resource["Type"] == "AWS::Glue::Database"]
    stacks = [resource for resource in own.values() if resource["Type"] == "AWS::CloudFormation::Stack"]
    assert stacks
    assert all(stack["DependsOn"] == [database] for stack in stacks)
