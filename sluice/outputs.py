"""Reading what Bedrock wrote for a job: one line per record in any order, or none, or twice, or broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sluice.containers import split_lines
from sluice.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.store import Store

MAX_LINE = 64 * 1024 * 1024  # a longer line is nobody's answer
MAX_TOKENS = 10**9  # a count beyond is no count


class _Text(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    content: list[_Text]


class _Output(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    inputTokens: int = 0  # noqa: N815 - Bedrock's names
    outputTokens: int = 0  # noqa: N815


class _ModelOutput(msgspec.Struct):
    output: _Output
    stopReason: str | None = None  # noqa: N815
    usage: _Usage | None = None


class _Error(msgspec.Struct):
    errorCode: int | str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815
    modelOutput: _ModelOutput | None = None  # noqa: N815
    error: _Error | None = None


class Reply(NamedTuple):
    """What came back for one record: a text, or the reason why there is none."""

    record: str
    text: str | None
    stop: str | None
    input_tokens: int
    output_tokens: int
    reason: Reason | None = None
    message: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read_line(line: bytes) -> Reply | None:
    """One line of output, None when not even its record can be told."""
    try:
        found = _decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_strange(line)
    model = found.modelOutput
    if model is None:
        return _failed(found.recordId, found.error)
    content = model.output.message.content
    text = content[0].text if len(content) == 1 else "".join(part.text or "" for part in content)
    usage = model.usage
    if usage is None:
        return Reply(found.recordId, text or "", model.stopReason, 0, 0)
    return Reply(found.recordId, text or "", model.stopReason, _count(usage.inputTokens), _count(usage.outputTokens))


def _failed(record: str, error: _Error | None) -> Reply:
    if error is None:
        return Reply(record, None, None, 0, 0, Reason.REPLY_UNREADABLE, "neither modelOutput nor error")
    message = f"{error.errorCode}: {error.errorMessage}"
    return Reply(record, None, None, 0, 0, _reason(str(error.errorCode)), message)


def _reason(code: str) -> Reason:
    """A code is a number or a name, as an int or a string."""
    lowered = code.lower()
    if lowered == "429" or "throttl" in lowered or "toomany" in lowered:
        return Reason.THROTTLED
    refused = (lowered.startswith("4") and lowered != "408") or "validation" in lowered or "accessdenied" in lowered
    return Reason.RECORD_REFUSED if refused else Reason.MODEL_ERROR


def _read_strange(line: bytes) -> Reply | None:
    """A line of another shape: tell at least whose it is."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    record = found.get("recordId") if isinstance(found, dict) else None
    if not isinstance(record, str):
        return None
    if isinstance(found.get("error"), dict) and "modelOutput" not in found:
        error = found["error"]
        return _failed(record, _Error(str(error.get("errorCode")), str(error.get("errorMessage"))))
    return Reply(record, None, None, 0, 0, Reason.REPLY_UNREADABLE, "modelOutput has an unknown shape")


def _count(tokens: int) -> int:
    return tokens if 0 <= tokens <= MAX_TOKENS else 0


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


def read_manifest(store: Store, prefix: str) -> Manifest | None:
    """A job's manifest, None when there is none or it cannot be read."""
    for key, _ in store.keys(prefix):
        if key.endswith("manifest.json.out"):
            try:
                return msgspec.json.decode(store.get(key), type=Manifest)
            except msgspec.MsgspecError:
                return None
    return None
