"""`sluice run` as a user calls it: a process with two streams and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sluice.cli import main
from sluice.local.asking import models_beside
from sluice.local.synthesis import synthesized
from sluice.models.catalog import Catalog
from sluice.task.file import parse_task
from tests.flow.local import FIRST, PLAIN, ROOT, SECOND, Outcome, hold, numbered, read_rows, record, reply, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sluice.local.cloud import LocalCloud
    from tests.flow.local import Flow

PROGRAM = [sys.executable, "-c", "from sluice.cli import main; main()"]


class Place:
    """A folder with a task, an input and a recording, from which commands are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.rows = write(folder / "in.jsonl", numbered(120))
        self.task()
        replies = {f"n{n}": {FIRST: reply("other", "unsure") if n < 40 else reply("billing")} for n in range(120)}
        for n in range(40):
            replies[f"n{n}"][SECOND] = reply("technical") if n < 20 else ""
        self.answers = record(folder / "answers.jsonl", replies)

    def task(self, **changes: Any) -> None:
        """Write the task with some of its fields changed."""
        write(self.folder / "task.yaml", yaml.safe_dump({**PLAIN, **changes}).encode())

    @property
    def command(self) -> list[str]:
        """The command that runs the input."""
        files = [str(self.rows), "--task", str(self.folder / "task.yaml"), "--out", str(self.out)]
        return [*PROGRAM, "run", *files]

    @property
    def recorded(self) -> list[str]:
        """Where its answers come from, unless a test says otherwise: more than one for all tiers is refused."""
        return ["--answers", f"replay:{self.answers}"]

    def call(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the input to the end."""
        return subprocess.run(
            [*self.command, *([] if "--answers" in more else self.recorded), *more],
            cwd=ROOT,
            env=surroundings(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def outcome(self, run: Mapping[str, Any]) -> Outcome:
        """What lies in the folder, held to its books."""
        task = parse_task(yaml.safe_load((self.folder / "task.yaml").read_text()), "the test's task")
        outcome = Outcome(task, self.out, dict(run), read_rows(self.out, run))
        hold(outcome)
        return outcome


def surroundings() -> dict[str, str]:
    """The environment without anything of AWS: none of it may be needed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@dataclass(frozen=True)
class Done:
    """How a command ended in this process."""

    returncode: object
    stdout: str
    stderr: str


@pytest.fixture
def here(
    flow: Flow, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the input by a command of this process, on the cloud that all tests share: seconds less than by its own."""

    @contextmanager
    def shared(*_args: Any, **_more: Any) -> Iterator[LocalCloud]:
        yield flow.cloud

    def call(*more: str) -> Done:
        monkeypatch.setattr("sluice.local.runner.LocalCloud", shared)
        monkeypatch.setattr(sys, "argv", ["sluice", *place.command[len(PROGRAM) :], *place.recorded, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(ended.value.code, said.out, said.err)

    return call


def test_success_is_0_and_json_is_all_of_standard_output(place: Place) -> None:
    """What is printed is run.json to the byte; progress goes to standard error in plain lines."""
    done = place.call("--json")
    assert done.returncode == 0
    printed = json.loads(done.stdout)
    assert printed == json.loads((place.out / "run.json").read_bytes())
    assert printed["status"] == "succeeded"
    assert f"run {printed['run_id']}" in done.stderr.splitlines()
    assert "\x1b" not in done.stderr
    assert place.outcome(printed).run["rows"] == {"in": 120, "accepted": 100, "unresolved": 20, "rejected": 0}


def test_a_task_may_name_any_model(place: Place) -> None:
    """Also one that no task of the project names: the local deployment allows the models of the run's own task."""
    tiers = [
        {"model": "nova-lite"},
        {"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "transport": "on_demand"},
    ]
    place.task(tiers=tiers)
    done = place.call("--answers", "standin", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert place.outcome(run).run["rows"]["accepted"] > 100
    assert run["tiers"][1]["sent"] > 0


def test_over_a_limit_is_4_and_the_results_are_there(place: Place, here: Callable[..., Done]) -> None:
    """Above the unresolved share that the task allows the run says so, and still publishes every row."""
    place.task(limits={"unresolved": 0.1})
    done = here()
    assert done.returncode == 4
    run = json.loads((place.out / "run.json").read_bytes())
    assert run["status"] == "over_limit"
    assert "over a limit" in done.stdout
    assert len(place.outcome(run).rows) == 120


def test_a_run_that_fails_is_1_and_says_why(place: Place, here: Callable[..., Done]) -> None:
    """A first tier that refuses every record for a lasting reason stops the run before the dear one is asked."""
    plan = {
        "records": [
            {
                "fate": "error",
                "tier": 0,
                "code": 403,
                "message": "You don't have access to the model",
            }
        ]
    }
    faults = write(place.folder / "faults.yaml", yaml.safe_dump(plan).encode())
    done = here("--json", "--faults", str(faults))
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)
    assert run["status"] == "failed"
    assert "You don't have access to the model" in run["error"]
    assert run["rows"]["in"] == 120


def test_a_run_that_is_stopped_is_3_and_tells_the_truth(place: Place) -> None:
    """Ctrl-C in the first round: run.json says cancelled, and every row is in the results with its reason."""
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # `make test &` ignores it
    program = [sys.executable, "-c", heeding + PROGRAM[-1], *place.command[len(PROGRAM) :], *place.recorded]
    process = subprocess.Popen(
        [*program, "--json", "--set", "poll_seconds=3600", "--set", "poll_seconds_max=3600"],
        cwd=ROOT, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        assert any(line.startswith("round 0") for line in process.stderr)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    run = json.loads(stdout)
    assert run["status"] == "cancelled"
    rows = place.outcome(run).rows
    assert len(rows) == 120
    assert {row["reason"] for row in rows if row["status"] == "unresolved"} <= {"cancelled", "job_stopped"}
    assert run["rows"]["accepted"] < 120


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "misspelt field": ({"lables": ["a", "b"]}, (), "lables: no such field; did you mean labels?"),
    "misspelt inside": ({"input": {"text": "text", "keep_inputs": True}}, (), "did you mean keep_input?"),
    "unknown model": ({"tiers": [{"model": "nova-mikro"}]}, (), "did you mean nova-micro?"),
    "budget without a price": (
        {"tiers": [{"model": "vendor.unheard-of-v1:0"}], "budget": {"max_usd": 1}},
        (),
        "the on-demand price of vendor.unheard-of-v1:0 is unknown",
    ),
    "unknown setting": ({}, ("--set", "max_record=5"), "max_record is not a setting"),
    "setting out of bounds": ({}, ("--set", "poll_seconds=-1"), "poll_seconds = '-1' is not allowed"),
    "no such input": ({}, ("missing.jsonl",), "missing.jsonl does not exist"),
    "no such source": ({}, ("--answers", "oracle"), "--answers oracle is not known"),
    "no such option": ({}, ("--outt", "x"), "No such option: --outt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_run_is_2_before_anything_starts(place: Place, case: str) -> None:
    """The mistake is named on standard error; standard output stays empty and no folder is made."""
    changes, options, message = REFUSED[case]
    place.task(**changes)
    done = place.call("--json", *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert not place.out.exists()


def test_what_stayed_open_goes_back_as_it_came(place: Place, here: Callable[..., Done]) -> None:
    """A run that does not keep its rows gives back the lines of the file that it read, byte by byte."""
    place.task(input={"id": "id", "text": "text"})
    assert here().returncode == 0
    command = [*PROGRAM, "results", str(place.out), "--as", "input"]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, timeout=120, check=True)
    assert done.stdout.splitlines() == place.rows.read_bytes().splitlines()[20:40]
    assert done.stderr == b""


def test_a_run_that_nobody_approves_sends_nothing(place: Place, here: Callable[..., Done]) -> None:
    """Where nobody can be asked: the sentence, results that account for every row, and the code of a cancelled run."""
    done = here("--set", "approve_above_usd=0.00001", "--json")
    assert done.returncode == 3
    assert "and approve_above_usd is $0.00001: nothing is sent" in done.stderr
    document = json.loads(done.stdout)
    assert (document["status"], document["records"]["sent"], document["cost_usd"]) == ("cancelled", 0, 0)
    assert place.outcome(document).run["rows"] == {"in": 120, "accepted": 0, "unresolved": 120, "rejected": 0}


def test_a_disk_without_room_ends_in_one_line_and_leaves_no_result(place: Place) -> None:
    """Files may have 40,000 bytes here, as if no more were left: the report has more."""
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000));"
        "from sluice.cli import main; main()"
    )
    synthesized(models=models_beside(parse_task(PLAIN, "plain"), Catalog.load(), "us-east-1"))
    command = [sys.executable, "-c", limited, *place.command[len(PROGRAM) :], *place.recorded]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"sluice: {place.out / '.arriving' / 'report.html'}: File too large"
    assert (done.stderr.count("sluice: "), "Traceback" in done.stderr) == (1, False)
    assert {path.name for path in place.out.iterdir()} == {"logs", ".lock"}
