"""What the steps are measured against: the least that a program has to do for the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sluice.answers.requests import RECORD, RequestWriter

if TYPE_CHECKING:
    from pathlib import Path

    from sluice.runs.state import FrozenTier
    from sluice.task.task import Task

BUFFER = 1024 * 1024


class _Row(msgspec.Struct, gc=False):
    text: str


class _Part(msgspec.Struct, gc=False):
    text: str


class _Message(msgspec.Struct, gc=False):
    content: list[_Part]


class _Output(msgspec.Struct, gc=False):
    message: _Message


class _ModelOutput(msgspec.Struct, gc=False):
    output: _Output


class _Line(msgspec.Struct, gc=False):
    recordId: str  # noqa: N815 - Bedrock's name
    modelOutput: _ModelOutput  # noqa: N815


class _Reply(msgspec.Struct, gc=False):
    label: str
    confidence: str


def splice(source: Path, target: Path, task: Task, tier: FrozenTier) -> int:
    """The plain loop: decode the text alone, splice it into the request, write the line. Returns the rows."""
    writer = RequestWriter(task, tier)
    head, tail = writer.head, writer.tail
    decode, encode, join = msgspec.json.Decoder(_Row).decode, msgspec.json.encode, b"".join
    number = 0
    with source.open("rb", BUFFER) as lines, target.open("wb", BUFFER) as out:
        write = out.write
        for number, line in enumerate(lines, 1):
            write(join((RECORD, b"%032d" % number, head, encode(decode(line).text)[1:-1], tail)))
    return number


def decode_twice(source: Path) -> int:
    """The bare decode of a job's output: each line, and the reply inside it. Returns the replies."""
    decode, reply = msgspec.json.Decoder(_Line).decode, msgspec.json.Decoder(_Reply).decode
    found = 0
    with source.open("rb", BUFFER) as lines:
        for line in lines:
            text = decode(line).modelOutput.output.message.content[0].text
            if text[0] == "`":
                text = text[8 : text.index("\n", 8)]
            reply(text)
            found += 1
    return found
