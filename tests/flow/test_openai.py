"""Real labels on this machine: a server with the flaws of real ones, a run that is killed, the same command again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from tests.flow.local import ROOT
from tests.flow.test_command import PROGRAM, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 300
TASK = """
name: reviews
input: {text: text, id: id}
labels: [good, bad]
tiers: [{model: nova-micro, attempts: 2}]
limits: {unresolved: 1.0}
"""


class Flawed(BaseHTTPRequestHandler):
    """Says good to even texts; every 7th call is throttled or fails first, some have no usage or several parts."""

    protocol_version = "HTTP/1.1"
    asked: Counter[str]
    answered: Counter[str]
    calls = 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        number = "".join(filter(str.isdigit, text))
        with self.lock:
            type(self).calls += 1
            flaw = self.calls % 7
        if number and flaw in (0, 3):
            self._send(429 if flaw else 500, b"{}", {"Retry-After": "0"} if flaw else {})
            return
        time.sleep(0.02)
        said = json.dumps({"label": "bad" if number and int(number) % 2 else "good", "confidence": "certain"})
        answer: dict[str, Any] = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
        if flaw % 2:
            answer["usage"] = {"prompt_tokens": 10, "completion_tokens": 5}
        with self.lock:
            self.asked[number] += 1
        if self._send(200, json.dumps(answer).encode(), {}):
            with self.lock:
                self.answered[number] += 1

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> bool:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            return True
        return False

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Flawed.asked, Flawed.answered, Flawed.calls = Counter(), Counter(), 0
    found = ThreadingHTTPServer(("127.0.0.1", 0), Flawed)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_run_that_was_killed_goes_on_without_asking_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """What is asked a second time is at most what was under way at the kill; each row is there once, with its label."""
    (tmp_path / "reviews.yaml").write_text(TASK)
    rows = [{"id": str(n), "text": f"review {n}"} for n in range(ROWS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, key = tmp_path / "out", "sk-nobody-may-see-this"
    command = [*PROGRAM, "run", str(tmp_path / "in.jsonl"), "--task", str(tmp_path / "reviews.yaml"), "--out", str(out)]
    command += ["--answers", f"openai:http://127.0.0.1:{server.server_port}/v1#q"]
    variables = {**surroundings(), "OPENAI_API_KEY": key}
    broken = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while sum(Flawed.answered.values()) < ROWS // 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.communicate()
    time.sleep(0.2)
    kept = (out / "replies.jsonl").read_bytes().count(b"\n")
    assert ROWS // 3 - 10 <= kept < ROWS
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{kept} replies are kept" in done.stderr
    twice = {number for number, count in Flawed.asked.items() if number and count > 1}
    assert len(twice) <= 256
    assert sum(Flawed.asked.values()) - Flawed.asked[""] <= ROWS + len(twice)
    assert kept + len(twice) >= len(Flawed.asked) - 1 - (ROWS - kept)
    found = [row for file in (out / "results").glob("**/*.parquet") for row in pq.read_table(file).to_pylist()]
    assert sorted(int(row["id"]) for row in found) == list(range(ROWS))
    assert {(int(row["id"]) % 2, row["label"]) for row in found} == {(0, "good"), (1, "bad")}
    for file in out.glob("**/*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file
