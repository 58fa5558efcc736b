"""How fast a run here asks a server of one's own: `python -m benchmarks.asking`.

A server on this machine answers everything after 50 ms, and notes when. A whole run, with its journal, its checks and
its progress, is held against a bare client, which sends the same bodies from as many threads and does nothing else. The
rate is that of the server's answers, from its first to its last: what a run does before and behind them is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import urllib3
import yaml

import sluice
from benchmarks import corpus, report
from sluice.task.file import parse_task

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 0.05  # of an answer
AT_ONCE = (8, 64, 256)
ADAPTIVE = 0  # in place of a number: as many as the run finds out
ASKED = {8: "at least 0.9 of the bare client", 64: "at least 0.9 of the bare client", 256: "at least 1,000 a second"}
LASTS = 12  # seconds that a measurement is to take, if the server is the limit
MOST_ROWS = 20_000
REPLY = msgspec.json.encode(
    {
        "choices": [
            {"message": {"content": '{"label": "billing", "confidence": "certain"}'}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 17},
    }
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(REPLY), REPLY)


class Speed(NamedTuple):
    """Answers a second of a run and of the bare client, with so many calls at once."""

    at_once: int
    rows: int
    run: float
    bare: float


class Answering(asyncio.Protocol):
    """One connection: whatever is asked is answered after a while."""

    def __init__(self, answered: list[float]) -> None:
        self.answered = answered
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer, once a request is whole."""
        self.data += data
        head, ended, body = self.data.partition(b"\r\n\r\n")
        if ended and len(body) >= _length(head):
            self.data = b""
            asyncio.get_running_loop().call_later(SECONDS, self._answer)

    def _answer(self) -> None:
        self.answered.append(time.monotonic())
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


def _length(head: bytes) -> int:
    found = head.lower().partition(b"content-length:")[2]
    return int(found.split(b"\r\n", 1)[0] or 0)


def serve(pipe: Connection) -> None:
    """Tell the port; whenever somebody asks, tell the times of all answers so far, and begin anew."""
    answered: list[float] = []

    def tell() -> None:
        try:
            pipe.recv()
        except EOFError:
            asyncio.get_running_loop().stop()
            return
        pipe.send(answered)
        answered.clear()

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(answered), "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        loop.add_reader(pipe.fileno(), tell)
        await server.serve_forever()

    asyncio.run(listen())


class Server:
    """The server's process, and how it is asked for its times."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}/v1"

    def rate(self, rows: int) -> float:
        """Answers a second since the last time; whoever asked has asked once for each row, and perhaps once before."""
        self.pipe.send(None)
        times: list[float] = sorted(self.pipe.recv())[-rows:]
        assert len(times) == rows, f"{len(times)} answers for {rows} rows"
        return (rows - 1) / (times[-1] - times[0])

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.join()


def ask_bare(url: str, rows: int, at_once: int) -> None:
    """What the least of clients does: so many threads, one pool of connections, the same body again and again."""
    pool = urllib3.PoolManager(maxsize=at_once, retries=False)
    message = {"role": "user", "content": "x" * 300}
    system = {"role": "system", "content": "y" * 1300}
    body = msgspec.json.encode({"model": "m", "max_tokens": 100, "messages": [system, message]})
    turns = iter(range(rows))

    def loop() -> None:
        while next(turns, None) is not None:
            pool.request("POST", f"{url}/chat/completions", body=body, headers={"Content-Type": "application/json"})

    threads = [threading.Thread(target=loop) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask_by_run(url: str, rows: int, at_once: int, directory: Path) -> None:
    """A whole run of so many rows against the server."""
    source, name = directory / f"{at_once}.jsonl", f"bench-{at_once}"
    corpus.write_rows(source, rows)
    server = {"url": url, "model": "m", **({"concurrency": at_once} if at_once else {})}
    models = directory / "models.yaml"
    models.write_text(yaml.safe_dump({"models": {name: {"openai": server}}}), encoding="utf-8")
    os.environ["SLUICE_MODELS"] = str(models)
    document = corpus.bench_task().model_dump(mode="json", exclude_unset=True, by_alias=True)
    task = parse_task(document | {"tiers": [{"model": name, "max_tokens": 100}]}, "the bench's task")
    try:
        run = sluice.run(source, task, out=directory / f"out-{at_once}").raise_for_status()
    finally:
        del os.environ["SLUICE_MODELS"]
    assert run.summary["rows"]["accepted"] == rows, run.summary["rows"]


def measure(at_once: int, turns: int) -> Speed:
    """A run and the bare client by turns; the fastest of each counts."""
    asked = at_once or max(AT_ONCE)
    rows = min(MOST_ROWS, round(asked / SECONDS * LASTS))
    server = Server()
    try:
        found: dict[str, list[float]] = {"run": [], "bare": []}
        for _ in range(turns):
            with tempfile.TemporaryDirectory(prefix="sluice-asking-") as directory:
                ask_by_run(server.url, rows, at_once, Path(directory))
            found["run"].append(server.rate(rows))
            ask_bare(server.url, rows, asked)
            found["bare"].append(server.rate(rows))
    finally:
        server.end()
    return Speed(at_once, rows, max(found["run"]), max(found["bare"]))


def table(speeds: list[Speed]) -> str:
    """A line for each number of calls at once."""
    lines = [
        "| calls at once | rows | the server's own limit | bare client | a run | ratio | goal |",
        "|--:|--:|--:|--:|--:|--:|---|",
        *(
            f"| {speed.at_once or 'adaptive'} | {speed.rows:,} | {(speed.at_once or max(AT_ONCE)) / SECONDS:,.0f} "
            f"| {speed.bare:,.0f} | {speed.run:,.0f} | {speed.run / speed.bare:.2f} | {ASKED.get(speed.at_once, '')} |"
            for speed in speeds
        ),
    ]
    return "\n".join(lines)


def write(turns: int, *, dry: bool = False) -> None:
    """Measure, print, and write the table into docs/internals/performance.md."""
    speeds = [measure(at_once, turns) for at_once in (*AT_ONCE, ADAPTIVE)]
    found = table(speeds)
    print(found, flush=True)
    if not dry:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        head = f"Measured on {today}: {report.machine()}, other work beside it; answers a second, the best of {turns}."
        report.replace(report.PAGE, "asking", f"{head}\n\n{found}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking")
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured")
    parser.add_argument("--dry", action="store_true", help="leave docs/internals/performance.md as it is")
    given = parser.parse_args()
    write(given.turns, dry=given.dry)


if __name__ == "__main__":
    main()
