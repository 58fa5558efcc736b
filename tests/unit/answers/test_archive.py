"""What came back is kept small, and reads as it was."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sluice.answers.archive import BATCH, UNKNOWN, UNREADABLE, Archive, Lines, archived
from sluice.answers.replies import Reply, read_line
from sluice.reasons import Reason

Line = tuple[int, Reply | None]

BLOCK = 700  # lines that come together
SENT = [f"{n:032x}" for n in range(5)]


class Sink:
    """What an object would hold."""

    closed = False

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None:
        pass


def written(lines: list[Line]) -> bytes:
    sink: Any = Sink()
    archive = Archive(sink)
    for at in range(0, len(lines), BLOCK):
        some = lines[at : at + BLOCK]
        archive.add(Lines([number for number, _ in some], [reply for _, reply in some]))
    archive.close()
    return bytes(sink.data)


def kept(lines: list[Line], block: int = 1000) -> list[Line]:
    data = written(lines)
    found = archived((data[at : at + block] for at in range(0, len(data), block)), SENT)
    return [line for lines in found for line in zip(*lines, strict=True)]


TOKENS = st.none() | st.integers(0, 10**9)
TEXTS = st.none() | st.text()
REPLIES = st.builds(
    lambda n, *rest: (n, Reply(SENT[n], *rest)),
    st.integers(0, 4),
    TEXTS,
    TEXTS,
    TOKENS,
    TOKENS,
    st.none() | st.sampled_from(Reason),
    TEXTS,
)


@given(st.lists(REPLIES | st.sampled_from([(UNREADABLE, None), (UNKNOWN, None)])), st.integers(1, 5000))
def test_what_is_kept_reads_as_it_came(lines: list[Line], block: int) -> None:
    """Answers, failures, doubles and lines about nothing, in their order, over however many reads."""
    assert kept(lines, block) == lines


def test_nothing_is_an_archive_too() -> None:
    """A job of which nothing came back has one that says so."""
    assert kept([]) == []


def test_an_answer_takes_a_few_bytes() -> None:
    """Bedrock's line of it takes thousands, since it echoes the request."""
    text = '{"label":"billing","confidence":"certain"}'
    lines: list[Line] = [(n % 5, Reply(SENT[n % 5], text, "end_turn", 1000 + n % 97, 12)) for n in range(50_000)]
    assert len(written(lines)) < 10 * len(lines)


def test_many_short_and_a_few_long_replies_are_written_in_pieces() -> None:
    """What waits is bounded by its bytes as by its number."""
    short: list[Line] = [(0, Reply(SENT[0], "x", None, 1, 1))] * (2 * BATCH + 1)
    long: list[Line] = [(1, Reply(SENT[1], "y" * 3_000_000, None, 1, 1))] * 4
    assert kept([*short, *long], 2**20) == [*short, *long]


def test_what_no_utf8_can_hold_is_replaced_before_it_is_kept() -> None:
    """A cut emoji in a message or a stop reason is no reason to lose the job's replies."""
    half = '"\\ud83d"'
    error = f'{{"recordId":"{SENT[0]}","error":{{"errorCode":500,"errorMessage":{half}}}}}'
    stop = f'{{"recordId":"{SENT[0]}","modelOutput":{{"output":{{"message":{{"content":[]}}}},"stopReason":{half}}}}}'
    for line in (error, stop):
        reply = read_line(line.encode())
        assert reply is not None
        assert kept([(0, reply)]) == [(0, reply)]
        msgspec.json.encode(reply)
