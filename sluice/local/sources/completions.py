"""Chat completions in OpenAI's form, as far as they matter here, and what many servers make of them."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from sluice.answers.objects import PART
from sluice.decoding import decode
from sluice.local.sources.source import NoAnswer, Reply

REFUSED = "content_filtered"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": REFUSED}
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
SAID = 200  # characters of what a server says


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


def read_completion(data: bytes) -> Reply:
    """A chat completion as a reply.

    Raises:
        NoAnswer: it is none.
    """
    try:
        completion = decode(data, Completion)
        choice = completion.choices[0]
    except (ValueError, IndexError, RecursionError) as error:  # of msgspec
        raise NoAnswer(f"no chat completion: {error}", code=502) from None
    usage = completion.usage or Usage()
    stop = STOP_REASONS.get(choice.finish_reason or "", "end_turn")
    text = choice.message.text
    if not text and choice.message.refusal:
        text, stop = choice.message.refusal, REFUSED
    return Reply(text, stop, usage.prompt_tokens, usage.completion_tokens)


def kind_of_error(data: bytes) -> str:
    """The word by which a server names its error, with a space in front; the rest may quote a row."""
    try:
        error: Any = msgspec.json.decode(data)["error"]
        named = next(name for name in (error.get("code"), error.get("type")) if isinstance(name, str))
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        return ""
    return f" ({named})" if WORD.fullmatch(named) else ""


def said_by(data: bytes) -> str:
    """What a server says of an error in one short line; only for requests that hold no row."""
    text = data[:2000].decode(errors="replace")
    try:
        error: Any = msgspec.json.decode(data)
        error = error.get("error", error.get("detail", error.get("message", "")))
        text = str(error.get("message", "") if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        if text.lstrip().startswith("<"):
            return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= SAID else f"{line[:SAID]}…"
