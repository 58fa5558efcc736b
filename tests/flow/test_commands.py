"""The commands on a deployed stack, against the synthesized workflow: the real functions answer their calls."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pyarrow.parquet as pq
import pytest

from sluice.cli.choices import Shape
from sluice.cli.cloud import Cloud, FunctionFailed, concluded
from sluice.cli.control import approve_run, cancel_run, rejudge_run, resume_run
from sluice.cli.exits import ExitCode
from sluice.cli.fetch import fetch_report, fetch_results, published
from sluice.cli.info import info, show_info
from sluice.cli.results import Asked, hand_out
from sluice.cli.runs import list_runs, watch_run
from sluice.cli.standing import WAITING, standing
from sluice.cli.submit import Submission, submit
from sluice.local.runner import Request, prepare
from sluice.local.server import INVOKE
from sluice.runs.keys import Keys
from sluice.task.file import load_task
from tests.flow.local import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sluice.local.cloud import LocalCloud
    from tests.flow.local import Flow

QUICK = ["sweep_seconds=1"]  # a handler's own pause, which the local clock does not shorten


def lambda_server(cloud: LocalCloud) -> ThreadingHTTPServer:
    """Serve Lambda's Invoke, synchronous and not, with the functions of a local cloud."""

    class Invoke(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            step = self.path.split("/")[3]
            event = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("X-Amz-Invocation-Type") == "Event":
                threading.Thread(target=cloud._post, args=(INVOKE + step, event), daemon=True).start()
                self.answer(202, b"", ok=True)
            else:
                ok, said = cloud._post(INVOKE + step, event)
                self.answer(200, said, ok=ok)

        def answer(self, status: int, body: bytes, *, ok: bool) -> None:
            self.send_response(status)
            if not ok:
                self.send_header("X-Amz-Function-Error", "Unhandled")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Invoke)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Session(boto3.Session):
    """Leads every service to the local cloud, and Lambda to its functions."""

    def __init__(self, cloud: LocalCloud, functions: str) -> None:
        super().__init__(cloud.secret, cloud.secret, region_name=cloud.region)
        self.cloud = cloud
        self.functions = functions

    def client(self, service_name: str, *args: Any, **more: Any) -> Any:
        if service_name == "lambda":
            return super().client(service_name, *args, endpoint_url=self.functions, **more)  # type: ignore[call-overload]
        return self.cloud._client(service_name)


@pytest.fixture(scope="module")
def stack(flow: Flow) -> Iterator[Cloud]:
    """The local cloud as a stack whose outputs the commands look up."""
    cloud = flow.cloud
    outputs = {
        f"{name}Bucket": cloud.bucket(f"SLUICE_{name.upper()}_BUCKET") for name in ("Incoming", "Work", "Results")
    }
    outputs |= {"StateMachineArn": cloud.workflow.arn, "StartFunction": "start", "SweepFunction": "sweep"}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},  # a stack cannot be empty
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloud._client("cloudformation").create_stack(StackName="Sluice", TemplateBody=json.dumps(template))
    server = lambda_server(cloud)
    yield Cloud(Session(cloud, f"http://127.0.0.1:{server.server_port}"), "Sluice")
    server.shutdown()
    server.server_close()


@pytest.fixture
def tickets(flow: Flow, tmp_path: Path) -> Path:
    """A file of 150 tickets, and a stand-in that answers them."""
    prepare(flow.cloud, Request([], load_task("tickets"), tmp_path / "cloud"))
    lines = (SAMPLES / "tickets.jsonl").read_bytes().split(b"\n")[:150]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines))
    return tmp_path / "some.jsonl"


def started(stack: Cloud, capsys: pytest.CaptureFixture[str], *inputs: str, settings: list[str], again: bool) -> str:
    capsys.readouterr()
    asked = Submission(list(inputs), "tickets", settings, again, json=True)
    assert submit(stack, asked) == ExitCode.SUCCEEDED
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    return str(run)


def watched(stack: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = watch_run(stack, run, as_json=True, pause=lambda _seconds: sleep(0.2))
    return code, msgspec.json.decode(capsys.readouterr().out)


def test_a_file_is_started_watched_and_fetched(
    stack: Cloud, tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file here to Parquet here; submitting the same file again is the same run."""
    run = started(stack, capsys, str(tickets), settings=[], again=False)
    code, document = watched(stack, run, capsys)
    assert (code, document["rows"]["in"]) == (ExitCode.SUCCEEDED, 150)
    assert fetch_results(stack, run, tmp_path / "out", as_json=True) == ExitCode.SUCCEEDED
    assert pq.read_table(tmp_path / "out" / "results" / "tickets").num_rows == 150
    again = Asked(statuses=("accepted",), limit=3, shape=Shape.INPUT, out=tmp_path / "again.jsonl")
    assert hand_out(published(stack, run), again) == ExitCode.SUCCEEDED
    lines = (tmp_path / "again.jsonl").read_bytes().splitlines()
    assert len(lines) == 3
    assert set(lines) < set(tickets.read_bytes().splitlines())
    assert fetch_report(stack, run, tmp_path / "r.html", show_it=False) == ExitCode.SUCCEEDED
    assert (tmp_path / "r.html").read_text() == (tmp_path / "out" / "report.html").read_text()
    assert started(stack, capsys, str(tickets), settings=[], again=False) == run


def test_a_run_is_cancelled_resumed_and_judged_again(
    stack: Cloud, tickets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command does what it says to one run: closed with what there was, completed, and judged for nothing."""
    stack.incoming.put("tickets/cancelled.jsonl", tickets.read_bytes())
    uri = stack.incoming.uri("tickets/cancelled.jsonl")
    run = started(stack, capsys, uri, settings=QUICK, again=True)
    assert cancel_run(stack, run) == ExitCode.SUCCEEDED
    code, document = watched(stack, run, capsys)
    assert (code, document["status"]) == (ExitCode.CANCELLED, "cancelled"), document
    assert document["rows"]["in"] == 150

    assert resume_run(stack, run, max_usd=5.0) == ExitCode.SUCCEEDED
    code, document = watched(stack, run, capsys)
    assert (code, document["status"]) == (ExitCode.SUCCEEDED, "succeeded")

    assert rejudge_run(stack, run, "tickets") == ExitCode.SUCCEEDED
    again = capsys.readouterr().out.splitlines()[-1]
    code, judged = watched(stack, again, capsys)
    assert (code, judged["labels"], judged["cost_usd"]) == (ExitCode.SUCCEEDED, document["labels"], 0)
    list_runs(stack, 20, "tickets", as_json=True)
    listed = {item["run_id"]: item["status"] for item in json.loads(capsys.readouterr().out)}
    assert (listed[run], listed[again]) == ("succeeded", "succeeded")


def test_a_run_waits_for_its_approval(stack: Cloud, tickets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Above the limit nothing is sent until somebody agrees; then it goes on, or, not agreed to, it is closed."""
    stack.incoming.put("tickets/dear.jsonl", tickets.read_bytes())
    uri = stack.incoming.uri("tickets/dear.jsonl")
    dear = [*QUICK, "approve_above_usd=0.01"]
    run, other = (started(stack, capsys, uri, settings=dear, again=True) for _ in range(2))
    code, waiting = watched(stack, run, capsys)
    assert (code, waiting["status"], waiting["approval"]["approve_above_usd"]) == (
        ExitCode.WAITING,
        "waiting_for_approval",
        0.01,
    )
    assert not list(stack.work.keys(f"{Keys(run).root}/round-0/"))
    assert approve_run(stack, run, as_json=True) == ExitCode.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == {"run_id": run, "execution": f"{run}-1"}
    code, document = watched(stack, run, capsys)
    assert (code, document["rows"]["in"], document["rows"]["accepted"] > 100) == (ExitCode.SUCCEEDED, 150, True)

    known = info(stack, run)
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
    assert list(stack.results.keys(known["places"]["results"].removeprefix(f"s3://{stack.results.bucket}/")))
    capsys.readouterr()
    assert show_info(stack, run, as_json=False) == ExitCode.SUCCEEDED
    said = capsys.readouterr().out
    for word in ("approved", "approve_above_usd=0.01", uri, "nova-micro", "batch"):
        assert word in said

    assert watched(stack, other, capsys)[0] == ExitCode.WAITING
    assert cancel_run(stack, other) == ExitCode.SUCCEEDED
    while standing(stack, other).status == WAITING:  # the function is called without waiting for it
        sleep(0.1)
    code, document = watched(stack, other, capsys)
    assert (code, document["rows"]["unresolved"], document["cost_usd"]) == (ExitCode.CANCELLED, 149, 0)
    with pytest.raises(FunctionFailed, match="does not wait for an approval"):
        approve_run(stack, other)


def test_what_a_function_refuses_is_wrong_usage(stack: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's error arrives with its name and its sentence."""
    asked = Submission([stack.incoming.uri("tickets/nothing.jsonl")], "tickets", [], again=False, json=False)
    assert concluded(lambda: submit(stack, asked)) == ExitCode.USAGE
    assert "nothing.jsonl does not exist" in capsys.readouterr().err
    with pytest.raises(FunctionFailed, match="there is no run r9"):
        stack.start({"resume": {"run": "r9"}})
