from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from sluice.quality.draws import Draws, Ranked, Ranks, draw, seed_of
from sluice.runs.state import Input

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = "00112233445566778899aabbccddeeff"
INPUT = Input(uri="s3://b/a.jsonl", version="v1", etag="e1", bytes=10, container="jsonl")


def ranked(ranks: Ranks, rows: int, source: str = "s3://b/a") -> list[Ranked[int]]:
    return [Ranked(ranks.of(source, line), source, line, line) for line in range(1, rows + 1)]


def test_a_rank_is_a_keyed_hash_of_source_and_line() -> None:
    """It can be computed anew from what is written here, and by whoever wants to check a draw."""
    told = b"\0\0\0\0\0\0\x01\0s3://b/\xc3\xa4\n000000000007"
    expected = blake2b(told, key=bytes.fromhex(SEED), digest_size=8).digest()
    assert Ranks(SEED).of("s3://b/ä", 7, begin=256) == int.from_bytes(expected, "big")
    assert Ranks(SEED).piece("s3://b/ä", 256)(b"000000000007") == expected


def test_ranks_depend_on_seed_source_and_line() -> None:
    """Each alone changes the draw; nothing else does."""
    places = [Ranks(seed).of(source, line) for seed in (SEED, SEED[::-1]) for source in "ab" for line in (1, 2)]
    assert len(set(places)) == 8
    assert Ranks(SEED).of("a", 1) == Ranks(SEED).of("a", 1)


def test_a_source_that_ends_in_digits_is_another_row() -> None:
    """Source and line cannot run into each other."""
    assert Ranks(SEED).of("part-1", 12) != Ranks(SEED).of("part-11", 2)
    assert Ranks(SEED).of("\ud800", 1) != Ranks(SEED).of("?", 1)  # an odd file name is a name too


@pytest.mark.parametrize(
    "other",
    [
        seed_of("task2", [INPUT]),
        seed_of("task1", [INPUT, INPUT]),
        seed_of("task1", [INPUT], b"settled"),
        seed_of("task1", [Input(uri="s3://b/b.jsonl", version="v1", etag="e1", bytes=10, container="jsonl")]),
        seed_of("task1", [Input(uri="s3://b/a.jsonl", version="v1", etag="e1", bytes=11, container="jsonl")]),
        seed_of("task1", [Input(uri="s3://b/a.jsonl", version="v1", etag="e2", bytes=10, container="jsonl")]),
    ],
)
def test_the_seed_is_that_of_task_and_inputs(other: str) -> None:
    """The same task over the same bytes draws the same rows, uploaded again or not; anything else draws others."""
    again = Input(uri="s3://b/a.jsonl", version="v2", etag="e1", bytes=10, container="jsonl")
    assert seed_of("task1", [INPUT]) == seed_of("task1", [again])
    assert seed_of("task1", [INPUT]) == seed_of("task1", [INPUT])
    assert len(bytes.fromhex(other)) == 16
    assert other != seed_of("task1", [INPUT])


def test_the_sample_comes_first_and_the_train_rows_next() -> None:
    """Draws of parts are those of the whole, however the rows were cut."""
    ranks = Ranks(SEED)
    rows = ranked(ranks, 1_000)
    parts = [rows[n::3] for n in range(3)]
    kept = [sorted(part)[:50] for part in parts]
    in_order = sorted(rows)
    assert draw(kept, 20, 30) == Draws(in_order[:20], in_order[20:50])


def test_reads_no_more_of_a_stream_than_is_drawn() -> None:
    """Streams without an end are as good as short ones."""

    def endless() -> Iterator[Ranked[None]]:
        for rank in range(10**9):
            yield Ranked(rank, "s", rank, None)

    found = draw([endless(), islice(endless(), 3)], 4, 2)
    assert [row.rank for row in (*found.sample, *found.train)] == [0, 0, 1, 1, 2, 2]


def test_a_population_smaller_than_the_draws_is_drawn_whole() -> None:
    """The sample is served first."""
    assert draw([ranked(Ranks(SEED), 3)], 5, 5).train == []


def test_every_row_is_drawn_equally_often() -> None:
    """Over many seeds no line is preferred: each of 50 is among the 10 smallest in a fifth of 2,000 draws."""
    drawn: Counter[int] = Counter()
    for n in range(2_000):
        ranks = Ranks(f"{n:032x}")
        drawn.update(row.line for row in draw([sorted(ranked(ranks, 50))], 10, 0).sample)
    assert all(abs(count - 400) < 4.5 * (2_000 * 0.2 * 0.8) ** 0.5 for count in drawn.values())
    assert len(drawn) == 50
