from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import scaling
from infra import storage
from infra.functions import ROOMS
from infra.options import ROOT
from sluice.errors import BadSetting
from sluice.runs.settings import LONGEST_SWEEP, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Deployed

STEPS = ["start", "partition", "plan", "prepare", "submit", "poll", "infer", "check", "merge", "publish", "sweep"]
STEPS += ["answer", "learn", "score", "certify"]
EVERYWHERE = {
    "SLUICE_ENVIRONMENT",
    "SLUICE_WORK_BUCKET",
    "SLUICE_RESULTS_BUCKET",
    "POWERTOOLS_SERVICE_NAME",
    "LOG_LEVEL",
}
WITHOUT_ARROW = ("start", "prepare", "submit", "poll", "infer")
OWN = {
    "start": {
        "SLUICE_SETTINGS",
        "SLUICE_BEDROCK_ROLE_ARN",
        "SLUICE_STATE_MACHINE_ARN",
        "SLUICE_INCOMING_BUCKET",
    },
    "sweep": {"SLUICE_STATE_MACHINE_ARN"},
}
# One process forks for each step, so that every module is loaded anew without loading Arrow and boto3 anew.
IMPORT_ALL = """
import importlib, json, os, sys
import boto3, pyarrow, pydantic
for step, variables in json.load(sys.stdin).items():
    child = os.fork()
    if not child:
        os.environ.update(variables)
        handler = importlib.import_module(f"lambdas.{step}").handler
        runtime = importlib.import_module("lambdas.runtime")
        runtime.services(lambda: 1.0)
        if step == "start":
            runtime.deployment()
        os._exit(0 if callable(handler) else 1)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{step} cannot be loaded")
"""
# The same for what a handler's import loads.
LOADED = """
import importlib, json, os, sys
import boto3, pydantic, aws_lambda_powertools
for step in json.load(sys.stdin):
    child = os.fork()
    if not child:
        importlib.import_module(f"lambdas.{step}")
        print(f"{step}:", ",".join({"pyarrow", "jinja2"} & sys.modules.keys()) or "none", flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{step} cannot be loaded")
"""


def test_there_is_one_function_for_each_step(deployed: Deployed) -> None:
    """Fifteen functions, on the runtime and the processor that the locked packages are for."""
    assert sorted(deployed.functions) == sorted(STEPS)
    for function in deployed.functions.values():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]


def test_every_function_has_the_environment_of_the_architecture(deployed: Deployed) -> None:
    """docs/internals/architecture.md lists the variables; a step has no others."""
    for step, function in deployed.functions.items():
        assert set(function["Environment"]["Variables"]) == EVERYWHERE | OWN.get(step, set()), step


def test_start_gets_the_settings_of_cdk_json(deployed: Deployed) -> None:
    """The settings arrive whole, defaults included, so that a run freezes all of them."""
    variables = deployed.functions["start"]["Environment"]["Variables"]
    declared = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]["sluice"]
    assert Settings.model_validate_json(variables["SLUICE_SETTINGS"]) == Settings().override(declared)


def test_start_learns_of_a_customer_key(encrypted: Deployed) -> None:
    """Bedrock has to be told which key encrypts a job's output."""
    key, _ = encrypted.the("AWS::KMS::Key", "StorageKey")
    variables = encrypted.functions["start"]["Environment"]["Variables"]
    assert variables["SLUICE_KMS_KEY_ARN"] == {"Fn::GetAtt": [key, "Arn"]}


def test_start_learns_where_texts_may_travel(deployed: Deployed, enclosed: Deployed) -> None:
    """So that a task that would send them elsewhere is refused before anything is sent."""
    assert enclosed.functions["start"]["Environment"]["Variables"]["SLUICE_GEOGRAPHIES"] == "eu"
    assert "SLUICE_GEOGRAPHIES" not in deployed.functions["start"]["Environment"]["Variables"]


def test_a_changed_task_is_new_code_for_start_alone(deployed: Deployed) -> None:
    """The other functions read the run's own copy: nothing is published for them, and nothing of theirs uploaded."""
    codes = {step: json.dumps(function["Code"], sort_keys=True) for step, function in deployed.functions.items()}
    assert {step for step, code in codes.items() if code == codes["start"]} == {"start"}
    assert len(set(codes.values())) == 2


def test_the_functions_that_never_load_arrow_have_a_bundle_without_it(tasks: Path) -> None:
    """Four uploads for fifteen functions: the small ones start sooner."""
    from infra.app import synthesize
    from tests.infra.conftest import Deployed

    shipped = Deployed(synthesize(bundle=True, tasks=str(tasks))).functions
    codes = {step: json.dumps(function["Code"], sort_keys=True) for step, function in shipped.items()}
    assert len(set(codes.values())) == 4
    assert {step for step, code in codes.items() if code == codes["poll"]} == set(WITHOUT_ARROW) - {"start"}
    assert {step for step, code in codes.items() if code == codes["score"]} == {"answer", "learn", "score", "certify"}


def test_a_cold_start_loads_arrow_where_every_call_needs_it(deployed: Deployed) -> None:
    """Arrow and the report's templates take longer than all else: the other steps load them when they come to it."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=json.dumps(sorted(deployed.functions)),
        env={**os.environ, **dict.fromkeys(("AWS_REGION", *(EVERYWHERE - {"LOG_LEVEL"})), "any")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = dict(line.split(": ") for line in done.stdout.splitlines())
    assert {step for step, modules in loaded.items() if modules != "none"} == {"check", "merge", "publish", "score"}
    assert set(loaded.values()) == {"none", "pyarrow"}


def test_the_steps_without_arrow_do_their_work_without_it() -> None:
    """A run begins, its jobs are prepared, sent and looked at in a process that cannot import pyarrow."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.infra.without_arrow"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_function_asks_for_more_than_a_new_account_has(deployed: Deployed) -> None:
    """New accounts have 3,008 MB a function and little concurrency to reserve from."""
    for function in deployed.functions.values():
        assert function["MemorySize"] <= 3008
        assert function["Timeout"] <= 900
        assert "ReservedConcurrentExecutions" not in function


def test_logs_are_kept_for_a_while_and_written_to_by_their_function_alone(deployed: Deployed) -> None:
    """Each function has its own log group with a retention and may write to no other."""
    groups = deployed.of_type("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == 90 for group in groups.values())
    for step, function in deployed.functions.items():
        group = function["LoggingConfig"]["LogGroup"]["Ref"]
        assert deployed.allowed(step, "logs:PutLogEvents") == {f"<{group}.Arn>"}


@pytest.mark.parametrize("step", STEPS)
def test_every_handler_exists(deployed: Deployed, step: str) -> None:
    """The handler that the template names is a module of lambdas."""
    assert deployed.functions[step]["Handler"] == f"lambdas.{step}.handler"
    assert (ROOT / "lambdas" / f"{step}.py").is_file()


def test_every_handler_finds_what_it_needs_in_its_own_environment(deployed: Deployed) -> None:
    """A step's services need no variable that the template does not give."""
    environments = {
        step: {
            name: value if isinstance(value, str) else "arn:aws:any:eu-west-1:123456789012:any/any"
            for name, value in function["Environment"]["Variables"].items()
        }
        for step, function in deployed.functions.items()
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_", "POWERTOOLS"))}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps(environments),
        env={**kept, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_sweep_has_time_for_its_longest_pause(deployed: Deployed) -> None:
    """And a minute more, in which it stops jobs: else it would die with Bedrock's jobs going on."""
    assert deployed.functions["sweep"]["Timeout"] >= LONGEST_SWEEP + 60
    with pytest.raises(BadSetting, match="less than or equal to 240"):
        Settings().override({"sweep_seconds": LONGEST_SWEEP + 1})


@pytest.mark.parametrize("rows", [10**6, 10**7, 10**8])
def test_a_million_rows_take_less_than_ten_cents_apart_from_tokens(rows: int) -> None:
    """Work and storage as docs/internals/scaling.md computes them, with the room that each function has."""
    memory = {step: room.memory for step, room in ROOMS.items()}
    run = scaling.cut(rows, Settings())
    assert scaling.COLD_DAYS == storage.COLD_DAYS
    together = scaling.dollars(run, scaling.works(run), memory) + scaling.storage_dollars(run, Settings())
    assert 0.05 < together / rows * 1e6 < 0.10
