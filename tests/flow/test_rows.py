"""Rows of every kind through the whole workflow: each in the results once, as it came, and no neighbour lost."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.flow.local import PLAIN, Outcome, jsonl, numbered
from tests.flow.nasty import STRINGS

if TYPE_CHECKING:
    from tests.flow.local import Flow

# Labels as people name them: each must come out exactly as it is written here, and nothing beside them.
STEMS = [
    "card",
    "transfer",
    "Top_up",
    "PIN",
    "refund_not_shown?",
    "éxchange rate",
    "cash-back",
    "Visa/Master",
    "fee (%)",
]
ENDINGS = ["", "_pending", " Declined", ".wrong", "?", "!", ": other", " 2"]
SPELLED = [stem + ending for stem in STEMS for ending in ENDINGS][:70]
SPELLED += ["yes", "null", "3.0", "a, b", 'the "quoted" one', "日本", "x" * 200]

TWELVE = numbered(12)
HALF = TWELVE.index(b'{"id": "n6"')


def beside(line: bytes) -> bytes:
    """A line between good rows."""
    return TWELVE[:HALF] + line + b"\n" + TWELVE[HALF:]


def text(value: str) -> bytes:
    """A row whose text is the raw JSON given."""
    return b'{"id": "odd", "text": ' + value.encode() + b"}"


# Files of 12 good rows in odd containers.
CONTAINERS = {
    "mark.jsonl": b"\xef\xbb\xbf" + TWELVE,
    "crlf.jsonl": TWELVE.replace(b"\n", b"\r\n"),
    "gaps.jsonl": b"\n \n" + TWELVE.replace(b"\n", b"\n\t\n\n"),
    "unended.jsonl": TWELVE.removesuffix(b"\n"),
    "packed.jsonl.gz": gzip.compress(TWELVE[:HALF]) + gzip.compress(TWELVE[HALF:]),
    "same-again.jsonl": TWELVE,
}
# A line beside 12 good rows, and the reason for which it is rejected; None: it is as good as they are.
LINES: dict[str, tuple[bytes, str | None]] = {
    "latin": (b'{"id": "odd", "text": "caf\xe9"}', "row_not_utf8"),
    "half-a-character": (b'{"id": "odd", "text": "\xf0\x9f\x98"}', "row_not_utf8"),
    "cut": (b'{"id": "odd", "text": "cut', "row_not_json"),
    "a-brace-too-many": (text('"a"') + b"}", "row_not_json"),
    "raw-nul": (b'{"id": "odd", "text": "a\x00b"}', "row_not_json"),
    "all-nul": (b"\x00" * 100, "row_not_json"),
    "array": (b'[{"id": "odd", "text": "a"}]', "row_not_object"),
    "number": (b"7", "row_not_object"),
    "null": (b"null", "row_not_object"),
    "brackets": (b"[" * 100_000, "row_too_deep"),
    "no-text": (b'{"id": "odd"}', "text_missing"),
    "null-text": (text("null"), "text_missing"),
    "number-text": (text("5"), "text_not_string"),
    "list-text": (text('["a"]'), "text_not_string"),
    "empty-text": (text('""'), "text_empty"),
    "blank-text": (text('" \\n\\t"'), "text_empty"),
    "ten-megabytes": (text(json.dumps("x" * 10_000_000)), "text_too_long"),
    "escaped-nul": (text('"a\\u0000b"'), None),
    "lone-surrogate": (text('"\\ud83d cut emoji"'), None),
    "nan-beside": (b'{"id": "odd", "text": "a", "score": NaN}', None),
    "huge-beside": (b'{"id": "odd", "text": "a", "n": ' + b"9" * 30 + b"}", None),
    "doubled-key": (b'{"id": "odd", "text": "first", "text": "second"}', None),
    "numeric-id": (b'{"id": 12345678901234567890, "text": "a"}', None),
    "doubled-id": (b'{"id": "n1", "text": "the id of another"}', None),
    "no-id": (b'{"text": "nameless"}', None),
    "object-as-id": (b'{"id": {"a": [1]}, "text": "a"}', None),
}


@pytest.fixture(scope="module")
def odd(flow: Flow) -> Outcome:
    """One run over every container and every line, two empty files among them."""
    lines = {f"{name}.jsonl": beside(line) for name, (line, _) in LINES.items()}
    empty = {"empty.jsonl": b"", "blank.jsonl": b"\n\r\n \n"}
    return flow.classify({**CONTAINERS, **lines, **empty})


def place(data: bytes, id_: str) -> int:
    """The number, from 1, of the line that holds an id."""
    return next(n for n, line in enumerate(data.split(b"\n"), 1) if f'"{id_}"'.encode() in line)


def asked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that a model has been asked about. What it said is chance: a stand-in can be unsure."""
    return [row for row in rows if row["trail"] and row["status"] in {"accepted", "unresolved"}]


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_hold_the_same_rows(odd: Outcome, name: str) -> None:
    """Twelve rows in, twelve labels out, each under its own line."""
    rows = odd.of(name)
    data = gzip.decompress(CONTAINERS[name]) if name.endswith(".gz") else CONTAINERS[name]
    assert [row["id"] for row in rows] == [f"n{number}" for number in range(12)]
    assert [row["line"] for row in rows] == [place(data, row["id"]) for row in rows]
    assert asked(rows) == rows


@pytest.mark.parametrize("name", LINES)
def test_an_odd_line_is_one_row_and_costs_no_neighbour(odd: Outcome, name: str) -> None:
    """It is asked about, or rejected with its reason, in its own place; the twelve beside it are asked about."""
    rows = odd.of(f"{name}.jsonl")
    assert [row["line"] for row in rows] == list(range(1, 14))
    strange = rows.pop(6)
    assert (None if strange["trail"] else strange["reason"]) == LINES[name][1]
    assert [row["id"] for row in rows] == [f"n{number}" for number in range(12)]
    assert asked(rows) == rows


def test_files_without_rows_have_none(odd: Outcome) -> None:
    """They stand among the inputs, with 0 rows, and disturb no other file."""
    rows = {source["uri"].rsplit("/", 1)[-1]: source["rows"] for source in odd.run["inputs"]}
    assert (rows["empty.jsonl"], rows["blank.jsonl"], rows["mark.jsonl"]) == (0, 0, 12)
    assert odd.run["rows"]["in"] == 12 * len(CONTAINERS) + 13 * len(LINES)


def test_ids_are_copied_as_text_and_counted(odd: Outcome) -> None:
    """An id may be missing, occur again or be any JSON value; none of that costs a row."""
    ids = {name: odd.of(f"{name}.jsonl")[6]["id"] for name in LINES}
    assert (ids["numeric-id"], ids["no-id"], ids["doubled-id"]) == ("12345678901234567890", None, "n1")
    assert odd.run["ids"]["missing"] >= 1
    assert odd.run["ids"]["duplicate"] > 0


def test_one_json_array_instead_of_lines_holds_its_rows(flow: Flow) -> None:
    """A whole document on one line is read as the rows that it is, each with its place among them."""
    outcome = flow.classify(json.dumps([{"id": n, "text": f"a {n}"} for n in range(200)]).encode())
    assert [(row["id"], row["line"]) for row in outcome.rows] == [(str(n), n + 1) for n in range(200)]
    assert asked(outcome.rows) == outcome.rows


def test_rows_without_line_ends_are_rows(flow: Flow) -> None:
    """Two objects on one line among others are two rows, both answered."""
    outcome = flow.classify(beside(text('"glued"') + text('"together"')))
    assert len(outcome.rows) == 14
    assert asked(outcome.rows) == outcome.rows


def test_every_string_comes_out_as_it_went_in(flow: Flow) -> None:
    """`input` is the very line that was read, and `id` the string in it, whatever stands in them."""
    rows: list[dict[str, Any]] = [{"id": string, "text": string, string: [string]} for string in STRINGS]
    data = jsonl(rows) + b"".join(json.dumps({**row, "again": True}).encode() + b"\n" for row in rows)
    outcome = flow.classify(data)
    lines = data.decode().split("\n")
    assert len(outcome.rows) == 2 * len(STRINGS)
    assert [row["input"] for row in outcome.rows] == lines[:-1]
    assert [row["id"] for row in outcome.rows] == 2 * STRINGS
    rejected = {row["id"] for row in outcome.rows if row["status"] == "rejected"}
    assert rejected == {string for string in STRINGS if not string.strip()}


def test_labels_come_out_exactly_as_the_task_spells_them(flow: Flow) -> None:
    """Of 77 labels with capitals, accents, spaces, quotes and marks, each is answered, and nothing beside them."""
    assert len(set(SPELLED)) == 77
    answers = {f"n{n}": {"nova-micro": json.dumps({"label": label})} for n, label in enumerate(SPELLED)}
    # As many near misses: another case, a stem, a space, a mark less.
    near = {
        f"n{n}": {"nova-micro": json.dumps({"label": wrong}), "claude-haiku-4-5": json.dumps({"label": label})}
        for n, label in enumerate(SPELLED, 77)
        for wrong in [label.swapcase() if label.swapcase() not in SPELLED else f"{label} "]
    }
    task = {**PLAIN, "labels": SPELLED, "answer": {"confidence": False}}
    outcome = flow.classify(numbered(154), task, answers=answers | near)
    assert [row["label"] for row in outcome.rows] == SPELLED + SPELLED
    assert [row["tier"] for row in outcome.rows] == [0] * 77 + [1] * 77
    assert outcome.run["labels"] == dict.fromkeys(SPELLED, 2)
