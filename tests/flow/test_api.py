"""The examples of docs/api.md, and what a program may rely on: threads, interruptions, nothing left behind."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import sluice
from sluice.errors import Interrupted
from sluice.local.runner import Request, prepare
from sluice.task.file import load_task
from tests.flow.local import ROOT, TICKETS

if TYPE_CHECKING:
    from sluice.api.deployment import Deployment
    from sluice.runs.progress import Snapshot
    from tests.flow.local import Flow

ROWS = 150
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
HERE = [text for text in EXAMPLES if "Deployment" not in text]
DEPLOYED = [text for text in EXAMPLES if "Deployment" in text]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of somebody else: a task, and some of the sample's rows where the examples look for them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "sample_data").mkdir()
    lines = TICKETS.read_bytes().split(b"\n")[:ROWS]
    (tmp_path / "sample_data" / "tickets.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return tmp_path


def children() -> set[int]:
    """The processes that this one has started and that still live."""
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def called(code: str) -> dict[str, Any]:
    """What an example leaves in its names; what it prints itself is not looked at."""
    names: dict[str, Any] = {"print": lambda *_words: None}
    exec(compile(code, "docs/api.md", "exec"), names)
    return names


def test_the_examples_run_in_a_thread_one_after_the_other(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As a scheduler's worker would run them: several runs in one process, none in its main thread."""
    before = children()
    with ThreadPoolExecutor(1) as worker:
        left = list(worker.map(called, HERE))
    plan, run, again = left
    assert (plan["plan"].rows, run["run"].status, again["run"].status) == (ROWS, "succeeded", "succeeded")
    assert run["run"].summary["rows"]["in"] == ROWS
    assert run["run"].report.is_file()
    assert isinstance(run["table"], pa.Table)
    assert run["table"].num_rows == run["run"].summary["rows"]["unresolved"]
    assert run["batch"].num_rows <= run["run"].summary["rows"]["accepted"]
    assert again["seen"]
    assert run["run"].run_id != again["run"].run_id
    assert children() == before
    assert capfd.readouterr() == ("", "")


class Once:
    """Raises an error at the first sight of a round, as Ctrl-C or a scheduler's time-out would."""

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def __call__(self, now: Snapshot) -> None:
        if now.rounds and self.error is not None:
            error, self.error = self.error, None
            raise error


def test_ctrl_c_cancels_the_run_and_comes_out(folder: Path) -> None:
    """Every row is in the results, and no process is left."""
    before, patient = children(), {"poll_seconds": 3600, "poll_seconds_max": 3600}
    with pytest.raises(Interrupted) as stopped:
        sluice.run(
            "sample_data/tickets.jsonl", "tickets", out="out", settings=patient, on_progress=Once(KeyboardInterrupt())
        )
    assert stopped.value.document["status"] == "cancelled"
    run = sluice.open_run("out")
    assert (run.status, run.table().num_rows) == ("cancelled", ROWS)
    assert children() == before


def test_an_error_of_the_caller_leaves_nothing_behind(folder: Path) -> None:
    """A time-out that is raised in the middle of a run comes out as it is, and ends the processes."""
    before = children()
    with pytest.raises(TimeoutError, match="enough"):
        sluice.run("sample_data/tickets.jsonl", "tickets", out="out", on_progress=Once(TimeoutError("enough")))
    assert children() == before


def test_the_example_of_a_deployment_runs(
    deployment: Deployment,
    flow: Flow,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Against the synthesized workflow: submitted, waited for, read, fetched and listed."""
    prepare(flow.cloud, Request([], load_task("tickets"), folder / "cloud"))
    monkeypatch.setattr("sluice.api.deployment.open_session", lambda _region, _profile: deployment.stack.session)
    monkeypatch.setattr("sluice.deployment.following.LOOK_SECONDS", 0.2)
    (code,) = DEPLOYED
    left = called(code)
    run, local = left["run"], left["local"]
    assert left["table"].num_rows == run.summary["rows"]["accepted"] > 0
    assert (local.run_id, local.table().num_rows) == (run.run_id, ROWS)
    assert left["earlier"].run_id
    assert left["prod"].submit("sample_data/tickets.jsonl", "tickets").run_id == run.run_id
