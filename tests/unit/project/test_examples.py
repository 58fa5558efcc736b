"""The example of a pipeline, as far as it can be looked at without one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PIPELINE = ROOT / "docs" / "examples" / "deploy.yml"


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_pipeline_runs_what_the_project_has(jobs: dict[str, Any]) -> None:
    """Its commands are targets of make and the gate of CI."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in (command for job in jobs.values() for command in commands(job)):
        words = command.split()
        assert (ROOT / words[0]).is_file() or (words[0] == "make" and words[1] in targets), command


def test_nothing_is_deployed_untested(jobs: dict[str, Any]) -> None:
    """Each environment waits for the one before, and the first for the tests."""
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("test", "dev")
    for name in ("dev", "prod"):
        assert jobs[name]["environment"] == name
        assert f"make deploy ENV={name} " in commands(jobs[name])[0]


def test_the_pipeline_holds_no_secret(jobs: dict[str, Any]) -> None:
    """Credentials come for a signed token, in the jobs alone that need them."""
    text = PIPELINE.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "AKIA" not in text
    assert {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})} == {"dev", "prod"}
