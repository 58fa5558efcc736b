"""The commands on a deployed stack, against the synthesized workflow: the real functions answer their calls."""

from __future__ import annotations

import json
from time import sleep
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from sluice.cli.choices import Shape
from sluice.cli.control import approve_run, cancel_run, rejudge_run, resume_run
from sluice.cli.exits import ExitCode, concluded
from sluice.cli.fetch import fetch_report, fetch_results
from sluice.cli.info import show_info
from sluice.cli.results import Asked, hand_out
from sluice.cli.runs import list_runs, watch_run
from sluice.cli.submit import Submission, submit
from sluice.deployment.standing import WAITING
from sluice.errors import SluiceError
from sluice.local.runner import Request, prepare
from sluice.runs.keys import Keys
from sluice.task.file import load_task
from tests.flow.local import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.api.deployment import Deployment
    from tests.flow.local import Flow

QUICK = ["sweep_seconds=1"]  # a handler's own pause, which the local clock does not shorten


@pytest.fixture
def tickets(flow: Flow, tmp_path: Path) -> Path:
    """A file of 150 tickets, and a stand-in that answers them."""
    prepare(flow.cloud, Request([], load_task("tickets"), tmp_path / "cloud"))
    lines = (SAMPLES / "tickets.jsonl").read_bytes().split(b"\n")[:150]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines))
    return tmp_path / "some.jsonl"


def started(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], *inputs: str, settings: list[str], again: bool
) -> str:
    capsys.readouterr()
    asked = Submission(list(inputs), "tickets", settings, again, json=True)
    assert submit(deployment, asked) == ExitCode.SUCCEEDED
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    return str(run)


def watched(deployment: Deployment, run: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = watch_run(deployment, run, as_json=True, pause=lambda _seconds: sleep(0.2))
    return code, msgspec.json.decode(capsys.readouterr().out)


def test_a_file_is_started_watched_and_fetched(
    deployment: Deployment, tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file here to Parquet here; submitting the same file again is the same run."""
    run = started(deployment, capsys, str(tickets), settings=[], again=False)
    code, document = watched(deployment, run, capsys)
    assert (code, document["rows"]["in"]) == (ExitCode.SUCCEEDED, 150)
    assert fetch_results(deployment, run, tmp_path / "out", as_json=True) == ExitCode.SUCCEEDED
    assert pq.read_table(tmp_path / "out" / "results" / "tickets").num_rows == 150
    again = Asked(statuses=("accepted",), limit=3, shape=Shape.INPUT, out=tmp_path / "again.jsonl")
    assert hand_out(deployment.run(run).published(), again) == ExitCode.SUCCEEDED
    lines = (tmp_path / "again.jsonl").read_bytes().splitlines()
    assert len(lines) == 3
    assert set(lines) < set(tickets.read_bytes().splitlines())
    assert fetch_report(deployment, run, tmp_path / "r.html", show_it=False) == ExitCode.SUCCEEDED
    assert (tmp_path / "r.html").read_text() == (tmp_path / "out" / "report.html").read_text()
    assert started(deployment, capsys, str(tickets), settings=[], again=False) == run


def test_a_run_is_cancelled_resumed_and_judged_again(
    deployment: Deployment, tickets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command does what it says to one run: closed with what there was, completed, and judged for nothing."""
    deployment.stack.incoming.put("tickets/cancelled.jsonl", tickets.read_bytes())
    uri = deployment.stack.incoming.uri("tickets/cancelled.jsonl")
    run = started(deployment, capsys, uri, settings=QUICK, again=True)
    assert cancel_run(deployment, run) == ExitCode.SUCCEEDED
    code, document = watched(deployment, run, capsys)
    assert (code, document["status"]) == (ExitCode.CANCELLED, "cancelled"), document
    assert document["rows"]["in"] == 150

    assert resume_run(deployment, run, max_usd=5.0) == ExitCode.SUCCEEDED
    code, document = watched(deployment, run, capsys)
    assert (code, document["status"]) == (ExitCode.SUCCEEDED, "succeeded")

    assert rejudge_run(deployment, run, "tickets") == ExitCode.SUCCEEDED
    again = capsys.readouterr().out.splitlines()[-1]
    code, judged = watched(deployment, again, capsys)
    assert (code, judged["labels"], judged["cost_usd"]) == (ExitCode.SUCCEEDED, document["labels"], 0)
    list_runs(deployment, 20, "tickets", as_json=True)
    listed = {item["run_id"]: item["status"] for item in json.loads(capsys.readouterr().out)}
    assert (listed[run], listed[again]) == ("succeeded", "succeeded")


def test_a_run_waits_for_its_approval(
    deployment: Deployment, tickets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Above the limit nothing is sent until somebody agrees; then it goes on, or, not agreed to, it is closed."""
    deployment.stack.incoming.put("tickets/dear.jsonl", tickets.read_bytes())
    uri = deployment.stack.incoming.uri("tickets/dear.jsonl")
    dear = [*QUICK, "approve_above_usd=0.01"]
    run, other = (started(deployment, capsys, uri, settings=dear, again=True) for _ in range(2))
    code, waiting = watched(deployment, run, capsys)
    assert (code, waiting["status"], waiting["approval"]["approve_above_usd"]) == (
        ExitCode.WAITING,
        "waiting_for_approval",
        0.01,
    )
    assert not list(deployment.stack.work.keys(f"{Keys(run).root}/round-0/"))
    assert approve_run(deployment, run, as_json=True) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == {"run_id": run, "execution": f"{run}-1"}
    code, document = watched(deployment, run, capsys)
    assert (code, document["rows"]["in"], document["rows"]["accepted"] > 100) == (ExitCode.SUCCEEDED, 150, True)

    known = deployment.run(run).info()
    assert (known["status"], known["task"]["name"], known["settings"]["approve_above_usd"]) == (
        "succeeded",
        "tickets",
        0.01,
    )
    assert [(item["status"], item["why"]) for item in known["executions"]] == [
        ("succeeded", "started"),
        ("succeeded", "approved"),
    ]
    assert 0 < known["cost_usd"] < known["ceiling_usd"]
    assert [item["uri"] for item in known["inputs"]] == [uri]
    assert list(
        deployment.stack.results.keys(
            known["places"]["results"].removeprefix(f"s3://{deployment.stack.results.bucket}/")
        )
    )
    capsys.readouterr()
    assert show_info(deployment, run, as_json=False) == ExitCode.SUCCEEDED
    said = capsys.readouterr().out
    for word in ("approved", "approve_above_usd=0.01", uri, "nova-micro", "batch"):
        assert word in said

    assert watched(deployment, other, capsys)[0] == ExitCode.WAITING
    assert cancel_run(deployment, other) == ExitCode.SUCCEEDED
    while deployment.run(other).status == WAITING:  # the function is called without waiting for it
        sleep(0.1)
    code, document = watched(deployment, other, capsys)
    assert (code, document["rows"]["unresolved"], document["cost_usd"]) == (ExitCode.CANCELLED, 149, 0)
    with pytest.raises(SluiceError, match="does not wait for an approval"):
        approve_run(deployment, other)


def test_what_a_function_refuses_is_wrong_usage(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's error arrives with its name and its sentence."""
    asked = Submission([deployment.stack.incoming.uri("tickets/nothing.jsonl")], "tickets", [], again=False, json=False)
    assert concluded(lambda: submit(deployment, asked)) == ExitCode.USAGE
    assert "nothing.jsonl does not exist" in capsys.readouterr().err
    with pytest.raises(SluiceError, match="there is no run r9"):
        deployment.stack.start({"resume": {"run": "r9"}})
