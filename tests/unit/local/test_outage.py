"""A server that is away in the middle of a run: waited for, up to a limit, with nothing lost."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from sluice.errors import Stop
from sluice.local.looks import Looks
from sluice.local.requests import Request
from sluice.local.sources import outage as outages
from sluice.local.sources.openai import Endpoint, OpenAISource
from sluice.local.sources.outage import Outage
from sluice.local.sources.several import Sources
from sluice.local.sources.source import NoAnswer, Reply
from sluice.local.sources.tally import Tally
from tests.unit.local.test_runner import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flaky(BaseHTTPRequestHandler):
    """Answers as the test says: a status, or good words."""

    status = 200
    said: bytes = b""
    calls = 0

    def do_POST(self) -> None:
        type(self).calls += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        good = json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()
        answer = good if self.status == 200 else self.said
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(outages, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(outages, "LONGEST_PAUSE_SECONDS", 0.05)
    Flaky.status, Flaky.said, Flaky.calls = 200, b"", 0
    found = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def source(server: ThreadingHTTPServer, limit: float) -> OpenAISource:
    url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    return OpenAISource(Endpoint(url=url, model="q"), Tally(), Outage(limit), sleep=lambda _: None)


def request(number: int = 0) -> Request:
    body = {"messages": [{"role": "user", "content": [{"text": f"secret words {number}"}]}]}
    return Request("r", "own.q", "x", json.dumps(body).encode(), 5)


@pytest.mark.parametrize("away", ["unreachable", 502, 503])
def test_everybody_waits_until_the_server_is_back(server: ThreadingHTTPServer, away: str | int) -> None:
    """One call looks again now and then, the others follow it; each is answered once."""
    asked = source(server, 30)
    if away == "unreachable":
        address = server.server_address
        server.shutdown()
        server.server_close()
    else:
        Flaky.status = int(away)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(asked.answer, request(n)) for n in range(8)]
        deadline = time.monotonic() + 20
        while asked.outage.left is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 0 < (asked.outage.left or 0) <= 30
        assert not any(call.done() for call in waiting)
        if away == "unreachable":
            back = ThreadingHTTPServer(address, Flaky)
            threading.Thread(target=back.serve_forever, daemon=True).start()
        Flaky.status = 200
        assert {call.result(20).text for call in waiting} == {"yes"}
    assert (asked.outage.left, asked.outage.given_up) == (None, False)
    asked.pool.close()
    if away == "unreachable":
        assert Flaky.calls == 8
        back.shutdown()
        back.server_close()


def test_a_server_that_stays_away_ends_the_run(server: ThreadingHTTPServer) -> None:
    """After the limit nobody asks any longer, and whoever watches the run is told to stop it, without a row's words."""
    asked = source(server, 0.1)
    Flaky.status, Flaky.said = 503, b'{"error": {"message": "secret words 0 are too many"}}'
    sources = Sources({"": asked}, asked.tally, (asked.outage,))
    with pytest.raises(NoAnswer, match="answers 503"):
        asked.answer(request())
    calls = Flaky.calls
    waiting = sources.calls().waiting
    assert waiting is not None
    assert waiting.given_up
    with pytest.raises(NoAnswer):
        asked.answer(request())
    assert Flaky.calls <= calls + 6
    with pytest.raises(Stop, match=r"/v1/chat/completions answers 503, and was waited for in vain") as stopped:
        Looks(Bucket(), sources.calls, None)("r1")
    assert "secret words" not in str(stopped.value)
    asked.pool.close()


def test_a_run_that_is_cancelled_waits_for_nobody(server: ThreadingHTTPServer) -> None:
    """The calls that wait are sent away at once."""
    asked = source(server, 600)
    Flaky.status = 502
    sources = Sources({"": asked}, asked.tally, (asked.outage,))
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(asked.answer, request(n)) for n in range(3)]
        while asked.outage.left is None:
            time.sleep(0.01)
        sources.end()
        assert all(isinstance(call.exception(10), NoAnswer) for call in calls)
    asked.pool.close()


def test_one_bad_request_is_no_outage(server: ThreadingHTTPServer) -> None:
    """What the server refuses costs that record alone; its error is named by its word, never by what it quotes."""
    asked = source(server, 600)
    Flaky.status, Flaky.said = 400, b'{"error": {"message": "secret words 0 are too many", "code": "context_length"}}'
    with pytest.raises(NoAnswer, match=r"answered 400 \(context_length\)$"):
        asked.answer(request())
    Flaky.said = b'{"error": {"message": "x", "type": "secret words 0"}}'
    with pytest.raises(NoAnswer, match=r"answered 400$"):
        asked.answer(request())
    Flaky.status = 200
    assert asked.answer(request()) == Reply("yes")
    calls = asked.tally.calls()
    assert (calls.failed, calls.waiting) == ({"status 400": 2}, None)
    asked.pool.close()
