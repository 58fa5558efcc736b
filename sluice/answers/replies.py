"""Reading what Bedrock wrote for a job: one line per record in any order, or none, or twice, or broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.answers.objects import PART
from sluice.decoding import decode
from sluice.reasons import Reason
from sluice.rows.containers import split_lines
from sluice.rows.record import printable, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store

MAX_LINE = 64 * 1024 * 1024  # a longer line is nobody's answer
MAX_TOKENS = 10**9  # a count beyond is no count
MAX_MESSAGE = 500  # characters of an error that are kept
NEITHER = "neither modelOutput nor error"
UNKNOWN_SHAPE = "modelOutput has an unknown shape"


# Without gc: they hold no cycles, and there is one of each per record.
class _Text(msgspec.Struct, gc=False):
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Text]


class _Output(msgspec.Struct, gc=False):
    message: _Message


class _Usage(msgspec.Struct, gc=False):
    inputTokens: int | None = None  # noqa: N815 - Bedrock's names
    outputTokens: int | None = None  # noqa: N815
    cacheReadInputTokens: int | None = None  # noqa: N815
    cacheWriteInputTokens: int | None = None  # noqa: N815
    cacheReadInputTokenCount: int | None = None  # noqa: N815
    cacheWriteInputTokenCount: int | None = None  # noqa: N815


class _ModelOutput(msgspec.Struct, gc=False):
    output: _Output
    stopReason: str | None = None  # noqa: N815
    usage: _Usage | None = None


class _Error(msgspec.Struct, gc=False):
    errorCode: int | str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815


class _Line(msgspec.Struct, gc=False):
    recordId: str  # noqa: N815
    modelOutput: _ModelOutput | None = None  # noqa: N815
    error: _Error | None = None


NO_USAGE = _Usage()


class Reply(msgspec.Struct, gc=False):
    """What came back for one record: a text, or the reason why there is none.

    The parts of a text stand with `PART` between them. Tokens are None where the reply does not tell them. `cached` are
    those of the input tokens that were read from a cache, and that were written to one.
    """

    record: str
    text: str | None
    stop: str | None
    input_tokens: int | None
    output_tokens: int | None
    reason: Reason | None = None
    message: str | None = None
    cached: tuple[int, int] = (0, 0)


_decode = msgspec.json.Decoder(_Line).decode


def read_line(line: bytes) -> Reply | None:
    """One line of output, None when not even its record can be told.

    A part of the content without a text, such as a model's reasoning, is passed over.
    """
    try:
        found = _decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_strange(line)
    model = found.modelOutput
    if model is None:
        if found.error is None:
            return Reply(found.recordId, None, None, 0, 0, Reason.REPLY_UNREADABLE, NEITHER)
        return _failed(found.recordId, found.error.errorCode, found.error.errorMessage)
    content = model.output.message.content
    text = content[0].text if len(content) == 1 else PART.join([part.text for part in content if part.text])
    usage = model.usage or NO_USAGE
    tokens_in, tokens_out = usage.inputTokens, usage.outputTokens
    plain = tokens_in is not None and tokens_out is not None and 0 <= tokens_in <= MAX_TOKENS >= tokens_out >= 0
    read = usage.cacheReadInputTokens or usage.cacheReadInputTokenCount
    if plain and not (read or usage.cacheWriteInputTokens or usage.cacheWriteInputTokenCount):
        return Reply(found.recordId, text or "", model.stopReason, tokens_in, tokens_out)
    told = msgspec.structs.asdict(usage)
    return Reply(found.recordId, text or "", model.stopReason, *tokens_of(told), cached=cached_of(told))


def tokens_of(usage: Any) -> tuple[int | None, int | None]:
    """Input and output tokens of a `usage`; None where it does not tell them.

    What was read from a cache or written to one was input too, and Bedrock counts it apart.
    """
    told = _count(walk(usage, ("inputTokens",)))
    return None if told is None else told + sum(cached_of(usage)), _count(walk(usage, ("outputTokens",)))


def cached_of(usage: Any) -> tuple[int, int]:
    """Input tokens of a `usage` that were read from a cache and written to one, which stand under one name or both."""
    read, written = (
        max(_count(walk(usage, (f"cache{way}Input{count}",))) or 0 for count in ("Tokens", "TokenCount"))
        for way in ("Read", "Write")
    )
    return read, written


def _failed(record: str, code: object, message: object) -> Reply:
    return Reply(record, None, None, 0, 0, _reason(str(code)), printable(f"{code}: {message}"[:MAX_MESSAGE]))


def _reason(code: str) -> Reason:
    """A code is a number or a name, as an int or a string."""
    lowered = code.lower()
    if lowered == "429" or any(word in lowered for word in _WAIT):
        return Reason.THROTTLED
    refused = (lowered.startswith("4") and lowered != "408") or any(word in lowered for word in _REFUSED)
    return Reason.RECORD_REFUSED if refused else Reason.MODEL_ERROR


_WAIT = ("throttl", "toomany", "quota")
_REFUSED = ("validation", "accessdenied", "notfound")


def _read_strange(line: bytes) -> Reply | None:
    """A line of another shape, or with values that the strict reader refuses: what of it can be told.

    Its tokens are read even where its text is not, since they are billed.
    """
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    record = found.get("recordId") if isinstance(found, dict) else None
    if not isinstance(record, str):
        return None
    model, error = found.get("modelOutput"), found.get("error")
    if model is None and error is not None:
        return _failed(record, walk(error, ("errorCode",)), walk(error, ("errorMessage",)))
    usage = walk(model, ("usage",)) if model is not None else {"inputTokens": 0, "outputTokens": 0}
    (tokens_in, tokens_out), cached = tokens_of(usage), cached_of(usage)
    content, stop = walk(model, ("output", "message", "content")), walk(model, ("stopReason",))
    if not isinstance(content, list):
        message = NEITHER if model is None else UNKNOWN_SHAPE
        return Reply(record, None, None, tokens_in, tokens_out, Reason.REPLY_UNREADABLE, message, cached)
    texts = [text for part in content if isinstance(text := walk(part, ("text",)), str)]
    text, stop = printable(PART.join(filter(None, texts))), printable(stop) if isinstance(stop, str) else None
    return Reply(record, text, stop, tokens_in, tokens_out, cached=cached)


def _count(tokens: Any) -> int | None:
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKENS else None


def output_lines(store: Store, prefix: str) -> Iterator[list[bytes]]:
    """The lines of all output files under a job's prefix, whatever Bedrock called the folder; a list per block."""
    for key, _ in store.keys(prefix):
        if not key.endswith(".jsonl.out"):
            continue
        yield from split_lines(store.blocks(key), MAX_LINE)


class Manifest(msgspec.Struct):
    """`manifest.json.out`; every count may be missing."""

    totalRecordCount: int | None = None  # noqa: N815
    processedRecordCount: int | None = None  # noqa: N815
    successRecordCount: int | None = None  # noqa: N815
    errorRecordCount: int | None = None  # noqa: N815
    inputTokenCount: int | None = None  # noqa: N815
    outputTokenCount: int | None = None  # noqa: N815
    cacheReadInputTokenCount: int | None = None  # noqa: N815
    cacheWriteInputTokenCount: int | None = None  # noqa: N815

    @property
    def tokens(self) -> tuple[int | None, int | None]:
        """Input tokens, those of a cache among them, and output tokens."""
        told = self.inputTokenCount
        cached = (self.cacheReadInputTokenCount or 0) + (self.cacheWriteInputTokenCount or 0)
        return None if told is None else told + cached, self.outputTokenCount


def read_manifest(store: Store, prefix: str) -> Manifest | None:
    """A job's manifest, None when there is none or it cannot be read."""
    for key, _ in store.keys(prefix):
        if key.endswith("manifest.json.out"):
            try:
                return decode(store.get(key), Manifest)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                return None
    return None
