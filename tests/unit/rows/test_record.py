"""What becomes of each kind of row, good and bad, and how rows are grouped."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.reasons import REJECTIONS, Reason
from sluice.rows.record import (
    BYTES_PER_TOKEN,
    FLAGS,
    KEY,
    MAX_DIGITS,
    OVERSIZE,
    PLACE,
    RAW,
    REASONS,
    BrokenRow,
    Buckets,
    Row,
    RowReader,
    apart,
    integer,
)
from sluice.task.file import parse_task
from sluice.task.task import Task


def make_task(**input_: Any) -> Task:
    written = {
        "name": "t",
        "input": {"text": "text", **input_},
        "labels": ["a", "b"],
        "tiers": [{"model": "nova-micro"}],
    }
    return parse_task(written, "test")


def outcome(raw: bytes, **input_: Any) -> str | Reason | None:
    """The text under which a row is kept, why it is rejected, or None where it is no row; as partition stores it."""
    reader = RowReader(make_task(**input_))
    buckets = Buckets(reader, 3)
    rows = buckets.add([b'{"text":"before"}', raw, b'{"text":"behind"}'], 7, 41)
    stored = [row for _, group, _ in buckets.drain() for row in group]
    assert rows == len(stored)
    by_line = {int(row[41:53]): row[1:] for row in stored}
    assert {41, 43} <= set(by_line)
    assert rows == 2 + (42 in by_line)
    if 42 not in by_line:
        return None
    row = by_line[42]
    assert int(row[KEY : KEY + 8]) == 7
    if row[PLACE] in REASONS:
        return REASONS[row[PLACE]]
    text = reader.text(row[RAW:])
    assert row[:KEY].decode() == blake2b(text.encode(), digest_size=16).hexdigest()
    return ("~" if row[PLACE] == ord("~") else "") + text


GOOD = [
    (b'{"text":"plain"}', "plain"),
    (b' \t{"text":"blanks around"} \t', "blanks around"),
    ('{"text":"line\u2028sep \u0085 \u2029"}'.encode(), "line\u2028sep \u0085 \u2029"),
    (b'{"text":"a\\u0000b"}', "a\0b"),
    (b'{"text":"\\ud800 lone"}', "\ufffd lone"),
    (b'{"text":"pair \\ud83d\\ude00"}', "pair \U0001f600"),
    (b'{"text":"x","n":NaN,"m":-Infinity}', "x"),
    (b'{"text":"x","n":123456789012345678901234567890}', "x"),
    (b'{"text":"x","n":' + b"9" * 5000 + b"}", "x"),
    (b'{"text":"first","text":"last"}', "last"),
    (b'{"other":"\\ud800","text":"x"}', "x"),
    (b'{"text":"<text>&amp;</text>"}', "<text>&amp;</text>"),
    (b'{"text":"oversize"}', "oversize"),
]
BAD = [
    (b'{"text":"caf\xe9"}', Reason.ROW_NOT_UTF8),
    (b'{"text":"x","other":"caf\xe9"}', Reason.ROW_NOT_UTF8),
    (b"\xff\xfe{\x00}\x00", Reason.ROW_NOT_UTF8),
    (bytes(OVERSIZE), Reason.ROW_TOO_LARGE),
    (b"\0\0\0", Reason.ROW_NOT_JSON),
    (b'{"text":"a\0b"}', Reason.ROW_NOT_JSON),
    (b'{"text":"cut', Reason.ROW_NOT_JSON),
    (b'{"text":"x"} "y"', Reason.ROW_NOT_JSON),
    (b'{"text":"x"},', Reason.ROW_NOT_JSON),
    (b"[", Reason.ROW_NOT_JSON),
    (b"\x0c", Reason.ROW_NOT_JSON),
    (b'[{"text":"x"}]', Reason.ROW_NOT_OBJECT),
    (b"null", Reason.ROW_NOT_OBJECT),
    (b"42", Reason.ROW_NOT_OBJECT),
    (b'"text"', Reason.ROW_NOT_OBJECT),
    (b"[" * 100_000, Reason.ROW_TOO_DEEP),
    (b'{"text":' * 100_000, Reason.ROW_TOO_DEEP),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"text":"x"}', Reason.ROW_TOO_DEEP),
    (b"{}", Reason.TEXT_MISSING),
    (b'{"text":null}', Reason.TEXT_MISSING),
    (b'{"text":["a"]}', Reason.TEXT_NOT_STRING),
    (b'{"text":5}', Reason.TEXT_NOT_STRING),
    (b'{"text":""}', Reason.TEXT_EMPTY),
    (b'{"text":" \\n\\t\\u00a0"}', Reason.TEXT_EMPTY),
    (b'{"text":"' + b"x" * 10_000_000 + b'"}', Reason.TEXT_TOO_LONG),
    (OVERSIZE, Reason.ROW_TOO_LARGE),
    (BrokenRow.of(b'{"text":"x"}'), Reason.ROW_NOT_CSV),
]


@pytest.mark.parametrize(("raw", "text"), GOOD, ids=[repr(raw[:24]) for raw, _ in GOOD])
def test_odd_rows_are_rows(raw: bytes, text: str) -> None:
    """Whatever a lenient JSON reader takes is a row, under the text that a model can be given."""
    assert outcome(raw) == text


@pytest.mark.parametrize(("raw", "reason"), BAD, ids=[f"{reason}-{n}" for n, (_, reason) in enumerate(BAD)])
def test_bad_rows_have_a_reason_and_their_neighbours_stay(raw: bytes, reason: Reason) -> None:
    """Each kind of bad row is one rejected row with its reason."""
    assert outcome(raw) == reason


@pytest.mark.parametrize("raw", [b"", b" ", b"\t \r"])
def test_blank_lines_are_no_rows(raw: bytes) -> None:
    """White space between two lines is nothing."""
    assert outcome(raw) is None


def test_a_long_text_is_cut_where_the_task_says_so() -> None:
    """The row is marked, and its key is that of the whole text."""
    raw = json.dumps({"text": "x" * 5000}).encode()
    assert outcome(raw, max_tokens=1000) == Reason.TEXT_TOO_LONG
    assert outcome(raw, max_tokens=1000, when_longer="cut") == "~" + "x" * 5000


@pytest.mark.parametrize("end", ["xxx", "\ud800"], ids=["quick", "slow"])
def test_a_text_of_just_the_limit_is_whole(end: str) -> None:
    """So it is on the quick way to a text and on the slow one, which half a character takes: one of three bytes."""
    most = "x" * (1000 * BYTES_PER_TOKEN - 3) + end
    read = outcome(json.dumps({"text": most}).encode(), max_tokens=1000, when_longer="cut")
    assert read == most.replace("\ud800", "\ufffd")
    assert outcome(json.dumps({"text": "x" + most}).encode(), max_tokens=1000) == Reason.TEXT_TOO_LONG


def test_fields_whose_names_have_dots_are_found_either_way() -> None:
    """As the name of a column, and as the way into an object; in one row both may occur."""
    fields = {"text": ["a.b", "c.d"]}
    assert outcome(b'{"a.b":"x","c":{"d":"y"}}', **fields) == "a.b: x\nc.d: y"
    assert outcome(b'{"a":{"b":"x"},"c.d":"y"}', **fields) == "a.b: x\nc.d: y"


def test_several_fields_and_paths_make_one_text() -> None:
    """Fields stand below each other with their names; one of them may be missing, not all."""
    fields = {"text": ["subject", "mail.body"]}
    assert outcome(b'{"subject":"s","mail":{"body":"b"}}', **fields) == "subject: s\nmail.body: b"
    assert outcome(b'{"subject":"s"}', **fields) == "subject: s"
    assert outcome(b'{"mail":{"body":"b"},"subject":""}', **fields) == "mail.body: b"
    assert outcome(b'{"mail":"b"}', **fields) == Reason.TEXT_MISSING
    assert outcome(b'{"subject":" ","mail":{"body":""}}', **fields) == Reason.TEXT_EMPTY


def test_every_reason_of_a_row_has_its_letter() -> None:
    """Stored rows know all rejections, each under one letter that is no mark of a good row."""
    assert set(FLAGS) == set(REJECTIONS)
    assert len(set(FLAGS.values()) - {" ", "~"}) == len(REJECTIONS)


ROWS = st.lists(
    st.one_of(
        st.sampled_from([raw for raw, _ in (*GOOD, *BAD) if len(raw) < 100 and b"\n" not in raw]),
        st.integers(0, 5).map(lambda n: b'{"text":"t%d"}' % n),
        st.binary(max_size=6).map(lambda raw: raw.translate(None, b"\r\n")),
        st.just(b""),
    ),
    max_size=60,
)


@given(ROWS, st.integers(1, 10**11), st.integers(1, 20), st.integers(1, 4))
def test_every_line_is_stored_once_in_order(lines: list[bytes], first: int, size: int, depth: int) -> None:
    """Rows come out of the buckets once, under their own number, in order within a bucket."""
    buckets = Buckets(RowReader(make_task()), depth)
    added = sum(buckets.add(lines[at : at + size], 3, first + at) for at in range(0, len(lines), size))
    assert added == buckets.rows
    found: dict[int, bytes] = {}
    for bucket, group, keys in buckets.drain():
        stored = b"".join(group).split(b"\n")[1:]
        assert len(stored) == len(group)
        numbers = [int(row[KEY + 8 : PLACE]) for row in stored]
        assert numbers == sorted(numbers)
        assert all(int(row[:depth], 16) == bucket for row in stored)
        assert keys == {row[:KEY] for row in stored if row[PLACE] not in REASONS}
        found |= {number: row[RAW:] for number, row in zip(numbers, stored, strict=True)}
    wanted = {n: raw for n, raw in enumerate(lines, first) if raw.strip(b" \t\r") or raw is OVERSIZE}
    assert found == {
        n: b"" if raw is OVERSIZE else raw.text if isinstance(raw, BrokenRow) else raw for n, raw in wanted.items()
    }
    assert buckets.rows == 0


def test_numbers_run_on_over_thousands() -> None:
    """The last digits are written apart from the others; the number is whole again."""
    buckets = Buckets(RowReader(make_task()), 1)
    buckets.add([b'{"text":"x"}'] * 2500, 0, 998)
    ((_, group, _),) = buckets.drain()
    assert [int(row[41:53]) for row in group] == list(range(998, 998 + 2500))


def test_no_text_has_the_key_of_a_rejected_row() -> None:
    """A text that reads like the place of a rejected row, however one writes places, is another record."""
    places = ["0:1", "0:0:1", "0 1", "0", "1", "rejected row", ""]
    texts = [json.dumps({"text": text}).encode() for text in places]
    buckets = Buckets(RowReader(make_task()), 1)
    buckets.add([b"{", *texts], 0, 1)
    stored = [row for _, group, _ in buckets.drain() for row in group]
    keys = {row[1 : KEY + 1] for row in stored}
    assert len(keys) == len(stored) == 1 + len(places)


def test_each_rejected_row_of_an_object_has_a_key_of_its_own() -> None:
    """The line counts within a piece of the object: two pieces have the same lines, and not the same rows."""
    keys = set()
    for source, begin in ((0, 0), (0, 500), (0, 1000), (1, 0), (1, 500)):
        buckets = Buckets(RowReader(make_task()), 1)
        buckets.add([b"{", b"}"], source, 1, begin)
        keys |= {row[1 : KEY + 1] for _, group, _ in buckets.drain() for row in group}
    assert len(keys) == 10


def test_with_rules_the_whole_row_is_the_key() -> None:
    """Where a rule looks at the row, equal texts in different rows are different records."""
    rule = {"name": "r", "schema": {"properties": {"row": {"required": ["n"]}}}}
    task = parse_task(
        {
            "name": "t",
            "input": {"text": "text"},
            "labels": ["a", "b"],
            "gates": {"rules": [rule]},
            "tiers": [{"model": "nova-micro"}],
        },
        "test",
    )
    buckets = Buckets(RowReader(task), 1)
    buckets.add([b'{"text":"x","n":1}', b'{"text":"x","n":2}', b'{"text":"x","n":1}'], 0, 1)
    assert sum(len(keys) for _, _, keys in buckets.drain()) == 2


def test_reading_a_row_again_gives_the_same_text() -> None:
    """Prepare reads what partition has judged, by the fast way or the slow one."""
    reader = RowReader(make_task())
    for raw, text in GOOD:
        assert reader.text(raw) == text
        assert reader.read(raw) == Row(text, cut=False)


def test_rejected_rows_of_several_objects_are_none_of_the_distinct_texts() -> None:
    """Objects are grouped one by one and taken together; what each rejected is no record."""
    reader = RowReader(make_task())
    whole = Buckets(reader, 3)
    for source in range(3):
        own = Buckets(reader, 3)
        own.add([b'{"text":"a"}', b"no JSON", b'{"text":""}'], source, 1)
        whole.take(own)
    found = list(whole.drain())
    assert sum(len(group) for _, group, _ in found) == 9
    assert sum(len(keys) for _, _, keys in found) == 1


def test_an_integer_is_exact_for_as_long_as_python_reads_it() -> None:
    """Beyond that it is a number about as large."""
    assert integer("9" * MAX_DIGITS) == int("9" * MAX_DIGITS)
    assert isinstance(integer("0" * MAX_DIGITS + "1"), float)


@pytest.mark.parametrize("line", [b'{"a": 1}\r', b'{"a": 1}\r\r', b'\r{"a": 1} \r', b'{"a": "b} {c"}'])
def test_a_line_of_one_row_stays_as_it_is(line: bytes) -> None:
    """Line ends around it, blank ones too, make no rows of their own."""
    assert apart(line) == [line]


def test_rows_of_a_route_are_counted_over_all_pieces() -> None:
    """Rows and bytes of each, however many pieces meet in a segment."""
    routed = Buckets(RowReader(make_task()), 3, route_of=lambda line: len(line) % 2)
    lines = [[b'{"text":"a"}', b'{"text":"ab"}'], [b'{"text":"c"}'], [b'{"text":"de"}', b'{"text":"f"}']]
    for number, piece in enumerate(lines):
        other = Buckets(RowReader(make_task()), 3, route_of=lambda line: len(line) % 2)
        other.add(piece, number, 1)
        routed.take(other)
    assert routed.routed == {0: (3, 3 * 12), 1: (2, 2 * 13)}
