"""Answers of any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp. Real models, no AWS."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
import urllib3

from sluice.local.requests import SEVERAL_AT
from sluice.local.sources.completions import kind_of_error, read_completion
from sluice.local.sources.outage import Outage
from sluice.local.sources.pace import MOST, Pace
from sluice.local.sources.source import Call, NoAnswer, Reply
from sluice.local.sources.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluice.local.requests import Request

ATTEMPTS = 6
STALLS = 2  # so often a call may run into its time-out: each has taken minutes
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_ASKED_SECONDS = 120.0  # of a server's own Retry-After
CONNECT_SECONDS = 10.0
NO_CONNECTION, STALLED = 0, 408  # what stands in place of a status where there is none
TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
TOO_MUCH = {429, 503}
AWAY = {429, 502, 503, 504}  # what comes from in front of a server that is not there, when nobody is answered
SETTINGS = (("temperature", "temperature"), ("topP", "top_p"), ("stopSequences", "stop"))


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How one model of one server is asked, its key among the headers: between processes it takes a pipe.

    `formats`: the form of the answer to another question than the task, by its instructions.
    """

    url: str
    model: str
    headers: dict[str, str] = {}
    extra_body: dict[str, Any] = {}
    response_format: dict[str, Any] | None = None
    formats: dict[str, dict[str, Any]] = {}
    timeout_seconds: float = 300
    concurrency: int | None = None


class OpenAISource:
    """Asks one model of one server."""

    name = "openai"

    def __init__(
        self,
        endpoint: Endpoint,
        tally: Tally | None = None,
        outage: Outage | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.tally = tally or Tally()
        self.outage = outage or Outage(0)
        self.sleep = sleep
        self.concurrency = endpoint.concurrency or MOST
        self.pace = Pace(endpoint.concurrency)
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=endpoint.timeout_seconds)
        # The pool of one host: a manager would find it anew for each call, at a tenth of what the call takes here.
        self.pool = urllib3.connection_from_url(endpoint.url, maxsize=self.concurrency, retries=False, timeout=timeout)
        self.target = urllib3.util.parse_url(endpoint.url).request_uri
        self.headers = {"Content-Type": "application/json", **endpoint.headers}
        self.answered_at = 0.0

    def answer(self, request: Request, run: str | None = None) -> Reply:
        """Ask the server.

        Raises:
            NoAnswer: as `send` does.
        """
        return self.send(self.call(request), run)

    def call(self, request: Request) -> Call:
        """The call for a request; its body names the model."""
        return Call(request, self.endpoint.url.encode(), msgspec.json.encode(self.payload(request)))

    def send(self, call: Call, run: str | None = None) -> Reply:  # noqa: ARG002  the same in every run
        """Ask the server, again after a pause when it is busy: as long as it says; wait while it is away.

        Raises:
            NoAnswer: it refuses, is busy too often, or was away for too long.
        """
        came_back = False
        while True:
            began = time.monotonic()
            status, answer = self._insist(call.body)
            if status == 200:
                return read_completion(answer)
            if status in AWAY and self.answered_at >= began and not came_back:
                came_back = True  # while this call insisted, perhaps behind its last attempt: once more
                continue
            if not (status == NO_CONNECTION or (status in AWAY and self.answered_at < began)):
                self.outage.leave()
                raise NoAnswer(f"{self._place} answered {status}{kind_of_error(answer)}", code=status)
            why = "cannot be reached" if status == NO_CONNECTION else f"answers {status}"
            if not self.outage.wait(f"{self._place} {why}"):
                raise NoAnswer(f"{self._place} {why}", code=status or 503)

    def _insist(self, body: bytes) -> tuple[int, bytes]:
        """The last of several attempts; none follows a refusal, and none is made where nobody is."""
        wait, stalls = FIRST_WAIT_SECONDS, 0
        for attempt in range(1, ATTEMPTS + 1):
            with self.pace.call():
                status, answer, asked = self._post(body)
            if status != NO_CONNECTION and status not in AWAY:
                self.outage.over()
            if status == 200:
                self.pace.answered()
                self.answered_at = time.monotonic()
                break
            self.tally.failed(status)
            if status in TOO_MUCH:
                self.pace.refused()
            stalls += status == STALLED
            if status not in TRY_AGAIN or stalls == STALLS or attempt == ATTEMPTS:
                break
            self.tally.repeated()
            self.sleep(asked or wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        return status, answer

    def payload(self, request: Request) -> dict[str, Any]:
        """The request's system prompt, messages and settings in OpenAI's form."""
        body = msgspec.json.decode(request.raw)
        config = body.get("inferenceConfig", {})
        system = "\n".join(block["text"] for block in body.get("system", []))
        turns = [{"role": turn["role"], "content": turn["content"][0]["text"]} for turn in body["messages"]]
        payload: dict[str, Any] = {"model": self.endpoint.model, "max_tokens": request.max_tokens, "messages": turns}
        if system:
            payload["messages"] = [{"role": "system", "content": system}, *turns]
        for ours, theirs in SETTINGS:
            if config.get(ours) is not None:
                payload[theirs] = config[ours]
        if self.endpoint.response_format is not None and not request.text.startswith(SEVERAL_AT):
            payload["response_format"] = self.endpoint.formats.get(system, self.endpoint.response_format)
        laid_over = {**payload, **(body.get("additionalModelRequestFields") or {}), **self.endpoint.extra_body}
        return {name: value for name, value in laid_over.items() if value is not None}

    @property
    def _place(self) -> str:
        return self.endpoint.url.partition("?")[0]

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        """Status and body of an answer, and the seconds after which the server wants to be asked again, or 0."""
        try:
            answer = self.pool.urlopen("POST", self.target, body=body, headers=self.headers, redirect=False)
        except urllib3.exceptions.ReadTimeoutError:
            return STALLED, b"", 0.0
        except urllib3.exceptions.HTTPError:
            return NO_CONNECTION, b"", 0.0
        return answer.status, answer.data, seconds_of(answer.headers.get("Retry-After", ""))


def seconds_of(retry_after: str) -> float:
    """Seconds of a Retry-After header, within reason; 0 for one that says a date, or nothing."""
    return min(float(retry_after), LONGEST_ASKED_SECONDS) if retry_after.isdecimal() else 0.0
