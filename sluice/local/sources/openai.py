"""Answers of any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp. Real models, no AWS."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import urllib3

from sluice.answers.objects import PART
from sluice.errors import Stop
from sluice.local.sources.pace import MOST, Pace
from sluice.local.sources.source import NoAnswer, Reply

if TYPE_CHECKING:
    from sluice.local.requests import Request

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_ASKED_SECONDS = 120.0  # of a server's own Retry-After
TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
TOO_MUCH = {429, 503}
FIRST_CALL = urllib3.Timeout(connect=5, read=8)  # a server that loads its model now may take longer, and may
ADVICE = {
    401: "answers 401: it wants a key that it knows, in the variable OPENAI_API_KEY",
    403: "answers 403: the key in the variable OPENAI_API_KEY may not use it",
    404: "answers 404: either the URL is not the one that its API begins with, as http://localhost:11434/v1 is for "
    "Ollama, or the server has no model {model}",
}
REFUSED = "content_filtered"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": REFUSED}


Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Piece(msgspec.Struct, frozen=True):
    """One part of what the model said; one that is no text has none."""

    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """What the model said, whole or in parts; or why it says nothing. What it thought before is no answer."""

    content: str | list[Piece] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """The text, its parts told apart as those of Bedrock's models are."""
        if isinstance(self.content, list):
            return PART.join(piece.text for piece in self.content if piece.text)
        return self.content or ""


class Choice(msgspec.Struct, frozen=True):
    """One of the answers; only the first counts."""

    message: Message
    finish_reason: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """The tokens, of a server that counts them."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None


class Completion(msgspec.Struct, frozen=True):
    """A chat completion, as far as it matters here."""

    choices: tuple[Choice, ...]
    usage: Usage | None = None


class OpenAISource:
    """Asks one model of one server, whatever the tier; `OPENAI_API_KEY` is sent when it is set."""

    name = "openai"
    concurrency = MOST

    def __init__(self, url: str, model: str) -> None:
        self.url = url.rstrip("/") + "/chat/completions"
        self.model = model
        self.pace = Pace()
        self.pool = urllib3.PoolManager(maxsize=MOST, retries=False, timeout=urllib3.Timeout(300))
        key = os.environ.get("OPENAI_API_KEY")
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def answer(self, request: Request, run: str | None = None) -> Reply:  # noqa: ARG002  the same in every run
        """Ask the server, again after a pause when it is busy: as long as it says, if it says.

        Raises:
            NoAnswer: it refuses, or is busy too often.
        """
        body = msgspec.json.encode(self.payload(request))
        wait = FIRST_WAIT_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            with self.pace.call():
                status, answer, asked = self._post(body)
            if status == 200:
                self.pace.answered()
                return read_completion(answer)
            if status in TOO_MUCH:
                self.pace.refused()
            if status not in TRY_AGAIN or attempt == ATTEMPTS:
                break
            time.sleep(asked or wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise NoAnswer(f"{self.url} answered {status}: {answer[:300].decode(errors='replace')}", code=status)

    def asked(self, request: Request) -> bytes:
        """What an answer depends on: the server, and the body of the call, which names the model."""
        return self.url.encode() + b"\n" + msgspec.json.encode(self.payload(request))

    def reach(self) -> None:
        """Make sure that the server is there and takes requests for the model, before a run begins.

        Raises:
            Stop: it is not there, or it refuses. Whatever else it says, and a slow answer, are left to the run.
        """
        body = {"model": self.model, "max_tokens": 1, "messages": [{"role": "user", "content": "Say yes."}]}
        try:
            status = self.pool.request(
                "POST", self.url, body=msgspec.json.encode(body), headers=self.headers, timeout=FIRST_CALL
            ).status
        except urllib3.exceptions.ReadTimeoutError:
            return
        except urllib3.exceptions.HTTPError as error:
            raise Stop(
                f"{self.url} cannot be reached; is the server running, and is this its address? {error}"
            ) from None
        if (advice := ADVICE.get(status)) is not None:
            raise Stop(f"{self.url} {advice.format(model=self.model)}")

    def payload(self, request: Request) -> dict[str, Any]:
        """The request's system prompt, messages and settings in OpenAI's form."""
        body = msgspec.json.decode(request.raw)
        config = body.get("inferenceConfig", {})
        system = "\n".join(block["text"] for block in body.get("system", []))
        turns = [{"role": turn["role"], "content": turn["content"][0]["text"]} for turn in body["messages"]]
        payload: dict[str, Any] = {"model": self.model, "max_tokens": request.max_tokens, "messages": turns}
        if system:
            payload["messages"] = [{"role": "system", "content": system}, *turns]
        for ours, theirs in (("temperature", "temperature"), ("topP", "top_p"), ("stopSequences", "stop")):
            if config.get(ours) is not None:
                payload[theirs] = config[ours]
        return payload

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        """Status and body of an answer, and the seconds after which the server wants to be asked again, or 0."""
        try:
            answer = self.pool.request("POST", self.url, body=body, headers=self.headers)
        except urllib3.exceptions.HTTPError as error:
            return 503, str(error).encode(), 0.0
        return answer.status, answer.data, seconds_of(answer.headers.get("Retry-After", ""))


def seconds_of(retry_after: str) -> float:
    """Seconds of a Retry-After header, within reason; 0 for one that says a date, or nothing."""
    return min(float(retry_after), LONGEST_ASKED_SECONDS) if retry_after.isdecimal() else 0.0


def read_completion(data: bytes) -> Reply:
    """A chat completion as a reply.

    Raises:
        NoAnswer: it is none.
    """
    try:
        completion = msgspec.json.decode(data, type=Completion)
        choice = completion.choices[0]
    except (ValueError, IndexError, RecursionError) as error:  # of msgspec
        raise NoAnswer(f"no chat completion: {error}", code=502) from None
    usage = completion.usage or Usage()
    stop = STOP_REASONS.get(choice.finish_reason or "", "end_turn")
    text = choice.message.text
    if not text and choice.message.refusal:
        text, stop = choice.message.refusal, REFUSED
    return Reply(text, stop, usage.prompt_tokens, usage.completion_tokens)
