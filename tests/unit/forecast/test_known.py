"""Replies that a folder keeps: a plan counts as known what the next run will not ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from sluice.budget.costs import ESCALATED
from sluice.errors import BadRequest
from sluice.forecast.estimate import Asked
from sluice.forecast.forecast import forecast
from sluice.forecast.known import check_kept, known_in_words
from sluice.models.catalog import Catalog
from sluice.runs.keys import REPLIES
from sluice.runs.settings import Settings
from tests.unit.steps.test_reuse import ROWS, later, machine_of, run, task_of

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.aws.s3 import Store


def nowhere(_bucket: str) -> Store:
    raise AssertionError


def quiet(_what: str, _number: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("pack", [1, 5])
def test_what_is_counted_as_known_is_what_the_next_run_reuses(tmp_path: Path, pack: int) -> None:
    """Of both tiers, for the same rows with ten that are new; another prompt knows nothing."""
    machine = machine_of()
    first = run(machine, task_of(pack))
    for key, _ in machine.work.keys(f"{REPLIES}/"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(machine.work.get(key))
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(first))
    rows = ROWS + b"".join(b'\n{"text": "new %d", "id": "n%d"}' % (n, n) for n in range(10))
    (file := tmp_path / "in.jsonl").write_bytes(rows)
    settings = Settings().override({"min_records_per_job": 1})
    asked = Asked([str(file)], task_of(pack), settings, Catalog.load(), "us-east-1", ESCALATED, tmp_path)

    said = forecast(asked, nowhere, quiet)
    second = run(later(machine, 0), task_of(pack), rows)
    reused = [tier["reused"] for tier in second["tiers"]]
    assert said.known is not None
    assert said.known["records"] == reused
    assert said.known["asked"] == [70 - reused[0], max(0, said.tiers[1].records - reused[1])]
    assert said.expected_usd is not None
    assert 0 < said.known["expected_usd"] < 0.5 * said.expected_usd
    assert f"keeps replies to {reused[0]} of the records" in known_in_words(said.known)

    other = replace(asked, task=task_of(pack, description="Another prompt."))
    found = forecast(other, nowhere, quiet)
    assert found.known is not None
    assert (found.known["records"], found.known["expected_usd"]) == ([0, 0], found.expected_usd)
    assert forecast(replace(asked, kept=None), nowhere, quiet).known is None


def test_a_folder_that_no_run_would_use_is_refused(tmp_path: Path) -> None:
    """One without a run, and any for a task without `reuse`: a plan that says 0 known would be read as a fact."""
    check_kept(None, reuses=False)
    with pytest.raises(BadRequest, match="out is of no use: the task has no `reuse`"):
        check_kept(tmp_path, reuses=False)
    with pytest.raises(BadRequest, match="holds no run"):
        check_kept(tmp_path, reuses=True)
