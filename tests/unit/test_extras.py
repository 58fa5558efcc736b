"""What is not installed is named with the command that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from sluice.errors import NotInstalled
from sluice.extras import DISTRIBUTION, MODULES, Extra, require

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[>=<]", requirement, maxsplit=1)[0].strip() for requirement in requirements}


@pytest.mark.parametrize("extra", Extra)
def test_a_missing_extra_is_named(extra: Extra, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of it there is nothing to say; without one of its modules, one sentence."""
    require(extra, "this")
    monkeypatch.setitem(sys.modules, MODULES[extra][0], None)
    monkeypatch.setattr("sluice.extras.find_spec", lambda name: None if name == MODULES[extra][0] else name)
    with pytest.raises(NotInstalled) as raised:
        require(extra, "this")
    assert str(raised.value).startswith(f"this needs the extra {extra}")
    assert str(raised.value).endswith(f"pip install '{DISTRIBUTION}[{extra}]'")


def test_the_distribution_has_these_extras() -> None:
    """What a message tells to install is what pyproject.toml declares; local runs need what deployments need."""
    assert PROJECT["project"]["name"] == DISTRIBUTION
    assert set(Extra) | {"dev"} == EXTRAS.keys()
    assert f"{DISTRIBUTION}[deploy]" in EXTRAS["local"]
    assert set(MODULES[Extra.DEPLOY]) < set(MODULES[Extra.LOCAL])


def test_functions_carry_what_they_are_meant_to() -> None:
    """The list that requirements-lambda.lock is made of; what else the library needs, only the command line needs."""
    functions = set(PROJECT["dependency-groups"]["functions"])
    base = _names(PROJECT["project"]["dependencies"])
    assert functions - base == {"aws-lambda-powertools"}
    assert base - functions == {"rich", "typer"}
    locked = {
        line.partition("==")[0]
        for line in (ROOT / "requirements-lambda.lock").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert functions < locked


def test_the_functions_run_the_versions_that_were_tested() -> None:
    """Each package of the functions' lock stands in the other one, in the same version."""
    functions, everything = (
        set(re.findall(r"^[\w.-]+==[\w.]+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements-lambda.lock", "requirements.lock")
    )
    assert functions <= everything
