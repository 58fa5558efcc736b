"""`import sluice`: quick, and of no weight for who does not ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sluice

ROOT = Path(__file__).resolve().parents[3]


def loaded(code: str) -> set[str]:
    """The modules that a fresh process has after this code."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True)
    return set(said.stdout.split())


def test_import_alone_loads_nothing() -> None:
    """Neither a module of ours nor one of anybody else's beyond the interpreter's own."""
    more = loaded("import sluice") - loaded("import __future__, typing")
    assert more == {"sluice"}


def test_every_name_is_there_when_it_is_asked_for() -> None:
    """The names of `__all__`, and no others; an editor lists them."""
    for name in sluice.__all__:
        assert getattr(sluice, name) is not None
    assert set(sluice.__all__) <= set(dir(sluice))
    with pytest.raises(AttributeError, match="has no attribute 'forecast_all'"):
        sluice.forecast_all  # noqa: B018


def test_no_step_loads_what_serves_one_machine() -> None:
    """A function of the deployment has neither the local runner nor what calls it, and does not miss them."""
    code = (
        "import importlib, pkgutil, sluice.steps\n"
        "for step in pkgutil.iter_modules(sluice.steps.__path__): importlib.import_module(f'sluice.steps.{step.name}')"
    )
    ours = {name for name in loaded(code) if name.startswith("sluice.")}
    rooms = {".".join(name.split(".")[:2]) for name in ours}
    assert "sluice.steps" in rooms
    assert not rooms & {f"sluice.{room}" for room in ("api", "cli", "local", "forecast", "deployment")}


def test_a_deployment_is_looked_at_without_the_local_runner() -> None:
    """A scheduler's worker that submits has no moto, no CDK and no terminal's library."""
    assert not loaded("import sluice; sluice.Deployment") & {"moto", "aws_cdk", "rich", "typer", "sluice.local.runner"}


def test_the_package_is_a_command() -> None:
    """`python -m sluice` is `sluice`."""
    said = subprocess.run([sys.executable, "-m", "sluice", "--version"], capture_output=True, check=True, text=True)
    assert said.stdout.startswith("sluice ")
