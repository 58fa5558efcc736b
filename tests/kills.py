"""`make kills`: kill a run that asks a server again and again, and count at the server what was asked twice.

    python -m tests.kills [--kills 30] [--rows 10000] [--seed 0]

One folder, one command, which is begun anew after each `kill -9` of its whole process group at a random moment. What
is asked a second time is at most what was under way at a kill: what the server had not answered, or had answered within
the last quarter of a second. At the end each row is there once, with its label.
"""

# ruff: noqa: T201 - what a command prints

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.flow.local import ROOT
from tests.flow.test_command import PROGRAM, surroundings

TASK = """
name: reviews
input: {text: text, id: id}
labels: [good, bad]
tiers: [{model: nova-micro}]
"""
SECONDS = (0.03, 0.12)  # that an answer takes
WRITTEN = 0.25  # seconds within which a reply has been written down, on a busy machine too
LIFE = (0.0, 2.5)  # seconds after a run's first call at which it is killed


class Server(ThreadingHTTPServer):
    """Says good to even texts; counts what it was asked, and what is under way."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.open = 0
        self.ended: list[float] = []

    def begun(self) -> int:
        return self.asked.total() - self.asked[""]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that is killed leaves connections behind, which is what this is about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = "".join(filter(str.isdigit, body["messages"][-1]["content"]))
        with self.server.lock:
            self.server.asked[number] += 1
            self.server.open += 1
        try:
            time.sleep(random.uniform(*SECONDS))
            said = json.dumps({"label": "bad" if number and int(number) % 2 else "good", "confidence": "certain"})
            answer: dict[str, Any] = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.open -= 1
                self.server.ended.append(time.monotonic())

    def log_message(self, *_: Any) -> None:
        pass


def kept_in(out: Path) -> int:
    journal = out / "replies.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a run again and again; no reply is asked for twice.")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    moments = random.Random(given.seed)
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        wrong = kill_and_count(Path(folder), server, moments, given.kills, given.rows)
    server.shutdown()
    return 1 if wrong else 0


def kill_and_count(folder: Path, server: Server, moments: random.Random, kills: int, rows: int) -> bool:
    (folder / "reviews.yaml").write_text(TASK)
    (folder / "in.jsonl").write_text("".join(f'{{"id": "{n}", "text": "review {n}"}}\n' for n in range(rows)))
    out = folder / "out"
    command = [*PROGRAM, "run", str(folder / "in.jsonl"), "--task", str(folder / "reviews.yaml"), "--out", str(out)]
    command += ["--answers", f"openai:http://127.0.0.1:{server.server_port}/v1#q"]
    under_way = 0
    for kill in range(1, kills + 1):
        with (folder / "log").open("ab") as log:
            running = subprocess.Popen(
                command, cwd=ROOT, env=surroundings(), stdout=log, stderr=log, start_new_session=True
            )
            before = server.begun()
            while server.begun() == before and running.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(*LIFE))
            alive = running.poll() is None
            with server.lock:  # no request begins or ends between the count and the kill
                begun, moment = server.begun(), time.monotonic()
                way = server.open + sum(ended > moment - WRITTEN for ended in server.ended)
                if alive:
                    os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        time.sleep(2 * SECONDS[1])
        way += server.begun() - begun  # which lay in the server's socket
        under_way += way if alive else 0
        print(f"  kill {kill:>2}: {begun:>6} asked so far, {kept_in(out):>6} kept, {way:>3} under way", flush=True)
        if not alive:
            break
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr)
        return True
    again = sum(count - 1 for number, count in server.asked.items() if number)
    found = [row for file in (out / "results").glob("**/*.parquet") for row in pq.read_table(file).to_pylist()]
    once = sorted(int(row["id"]) for row in found) == list(range(rows))
    right = all((int(row["id"]) % 2 == 1) == (row["label"] == "bad") for row in found)
    print(f"  {again} asked again, {under_way} under way at the kills; each row once: {once}, labels right: {right}")
    return again > under_way or not (once and right)


if __name__ == "__main__":
    sys.exit(main())
