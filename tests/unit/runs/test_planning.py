from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.runs.planning import (
    HELD_KEYS,
    MARK_EVERY,
    MAX_ITEMS,
    SKETCH,
    SMALL,
    DistinctKeys,
    Limits,
    cut_parts,
    cut_shards,
    cut_spans,
    pack_pending,
    span_size,
)
from sluice.runs.state import Pending

ROOMY = 10**12
MINIMUM = 100  # records, below which Bedrock takes no job


def sums(counts: list[int], bounds: list[int]) -> list[int]:
    return [sum(counts[begin:end]) for begin, end in pairwise(bounds)]


def keys(count: int, seed: int) -> list[str]:
    """The smallest of `count` distinct keys, as partition keeps them."""
    draw = random.Random(seed)
    return sorted(f"{draw.getrandbits(4 * SMALL):012x}" for _ in range(count))[:SKETCH]


def pending(records: int, name: str = "a") -> Pending:
    marks = [100 * n for n in range(0, records, MARK_EVERY)]
    return Pending(key=name, tier=1, attempt=1, records=records, bytes=100 * records, marks=marks)


def test_a_little_too_many_records_become_two_halves() -> None:
    """120,001 records under a limit of 100,000 are two jobs of about 60,000, not one full and one tail."""
    counts = [30] * 4000 + [1]
    shards = sums(counts, cut_shards(counts, counts, Limits(100_000, ROOMY)))
    assert len(shards) == 2
    assert abs(shards[0] - shards[1]) <= 30


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=300),
    limit=st.integers(40, 400),
    weight=st.integers(1, 50),
    room=st.integers(2000, 20_000),
)
def test_shards_hold_each_bucket_once_within_the_limits(counts: list[int], limit: int, weight: int, room: int) -> None:
    """Bounds rise from the first bucket to the last, and no shard of several buckets is above a limit."""
    weights = [count * weight for count in counts]
    bounds = cut_shards(counts, weights, Limits(limit, room))
    assert bounds[0] == 0
    assert bounds[-1] == len(counts)
    assert bounds == sorted(set(bounds))
    for (begin, end), records, bytes_ in zip(
        pairwise(bounds), sums(counts, bounds), sums(weights, bounds), strict=True
    ):
        assert end - begin == 1 or (records <= limit and bytes_ <= room)


@pytest.mark.parametrize(
    ("records", "weights", "limits", "bounds"),
    [
        ([50, 1, 1, 5], [5000, 10, 100, 5], Limits(5, 1000), [0, 1, 3, 4]),
        ([1, 0, 1, 5], [10, 0, 100, 500], Limits(27, 100), [0, 1, 3, 4]),
        ([9, 2, 0, 1], [9, 20, 0, 1], Limits(16, 10), [0, 1, 2, 4]),
    ],
)
def test_what_is_above_a_limit_is_cut_in_its_own_middle(
    records: list[int], weights: list[int], limits: Limits, bounds: list[int]
) -> None:
    """Of the records between its ends: anywhere else there would be more shards, or less even ones."""
    assert cut_shards(records, weights, limits) == bounds


@pytest.mark.parametrize("buckets", [4096, 65_536])
def test_no_shape_of_the_buckets_is_too_deep(buckets: int) -> None:
    """Where each cut takes off one bucket alone there are as many cuts as buckets."""
    assert cut_shards([0] * buckets, [2] * buckets, Limits(1, 1)) == list(range(buckets + 1))


@settings(deadline=None)
@given(mean=st.integers(1, 30), buckets=st.integers(50, 400), seed=st.integers(0, 99), limit=st.integers(300, 5000))
def test_no_shard_falls_below_the_minimum_when_the_whole_is_above_it(
    mean: int, buckets: int, seed: int, limit: int
) -> None:
    """A tail would have to go on demand, at twice the price."""
    draw = random.Random(seed)
    counts = [draw.randint(0, 2 * mean) for _ in range(buckets)]
    shards = sums(counts, cut_shards(counts, [0] * buckets, Limits(limit, ROOMY)))
    assert min(shards) >= min(MINIMUM, sum(counts))


def test_a_bucket_above_the_limit_is_a_shard_of_its_own() -> None:
    """Prepare holds back what does not fit."""
    counts = [10, 10, 5000, 10, 10]
    shards = sums(counts, cut_shards(counts, counts, Limits(100, ROOMY)))
    assert max(shards) == 5000
    assert 5000 in shards


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=12), limit=st.integers(100, 1000))
def test_packs_hold_each_pending_record_once(sizes: list[int], limit: int) -> None:
    """Slices go on where the one before ended, within the limit, and jobs differ by one record at most."""
    found = [pending(records, f"{n:02d}") for n, records in enumerate(sizes)]
    packs = pack_pending(found, Limits(limit, ROOMY), 0)
    counts = [sum(part.count for part in pack) for pack in packs]
    assert sum(counts) == sum(sizes)
    assert max(counts) <= limit
    assert max(counts) - min(counts) <= 1
    assert len(packs) == -(-sum(sizes) // limit)
    taken = dict.fromkeys((item.key for item in found), 0)
    for part in (part for pack in packs for part in pack):
        assert part.first == taken[part.key]
        assert part.seek_first <= part.first < part.seek_first + MARK_EVERY
        assert part.seek == 100 * part.seek_first
        taken[part.key] += part.count
    assert list(taken.values()) == sizes


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=12), limit=st.integers(200, 1000))
def test_no_pack_falls_below_the_minimum_when_the_whole_is_above_it(sizes: list[int], limit: int) -> None:
    """Whatever is left behind by many jobs is spread over few."""
    counts = [sum(p.count for p in pack) for pack in pack_pending([pending(n) for n in sizes], Limits(limit, ROOMY), 0)]
    assert min(counts) >= min(MINIMUM, sum(sizes))


def test_packs_keep_to_the_bytes_of_a_file() -> None:
    """Requests of 1,000 bytes beside their texts: 900 records of 1,100 bytes in files of 100,000."""
    packs = pack_pending([pending(900)], Limits(50_000, 100_000), 1000)
    assert [sum(part.count for part in pack) for pack in packs] == [90] * 10


def test_nothing_pending_is_no_job() -> None:
    """A round without records is the end of the loop."""
    assert pack_pending([], Limits(100, 100), 0) == []


def test_few_distinct_keys_are_counted_exactly() -> None:
    """While no segment has more keys than a sketch holds, their union is all there are."""
    found = DistinctKeys()
    for segment in range(50):
        found.add(keys(200, seed=segment % 5))
    assert found.estimate(10_000) == 1000


@settings(deadline=None, max_examples=30)
@given(distinct=st.integers(3000, 12_000), segments=st.integers(2, 10), seed=st.integers(0, 99))
def test_many_distinct_keys_are_estimated_on_the_safe_side(distinct: int, segments: int, seed: int) -> None:
    """Three standard errors are added: at least as many as there are, and no more than a fifth above."""
    draw = random.Random(seed)
    universe = [f"{draw.getrandbits(4 * SMALL):012x}" for _ in range(distinct)]
    found, seen = DistinctKeys(), set[str]()
    for _ in range(segments):
        segment = draw.sample(universe, distinct // 2)
        seen.update(segment)
        found.add(sorted(segment)[:SKETCH])
    assert 0.95 * len(seen) <= found.estimate(ROOMY) <= 1.25 * len(seen)


def test_the_estimate_is_the_share_below_the_last_key_and_a_margin() -> None:
    """The smallest keys that there can be: the last is the 1,024th of all 16**12, and one less lies below it."""
    found = DistinctKeys()
    found.add([f"{key:012x}" for key in range(SKETCH)])
    assert found.estimate(16**SMALL * SKETCH) == pytest.approx(1.1 * (SKETCH - 1) * 16**SMALL / SKETCH, rel=1e-9)


def test_the_estimate_is_never_above_what_the_segments_have() -> None:
    """The margin does not invent keys."""
    found = DistinctKeys()
    found.add(keys(3000, seed=1))
    found.add(keys(3000, seed=2))
    assert found.estimate(6000) == 6000


def test_sketches_of_thousands_of_segments_are_not_all_held() -> None:
    """What is held stays flat, and the estimate holds."""
    found = DistinctKeys()
    for segment in range(200):
        found.add(keys(2000, seed=segment))
    assert len(found._smallest) <= HELD_KEYS
    assert 0.95 * 400_000 <= found.estimate(ROOMY) <= 1.25 * 400_000


def test_spans_of_many_small_files_stay_small_items() -> None:
    """50,000 files of 100 bytes: a span is an item of a map, so its pieces are limited."""
    spans = cut_spans([(100, False)] * 50_000, 48 * 1024**2)
    assert [len(span) for span in spans] == [1000] * 50


def test_of_nothing_there_is_no_span() -> None:
    """Without an object there is none, not an empty one."""
    assert cut_spans([], 60) == []


def test_an_object_that_is_read_whole_joins_no_span_in_which_it_has_no_room() -> None:
    """One that fits stays beside its neighbours; one that does not begins a span of its own."""
    assert cut_spans([(10, False), (50, True)], 60) == [[(0, 0, 10), (1, 0, 50)]]
    assert cut_spans([(10, False), (51, True)], 60) == [[(0, 0, 10)], [(1, 0, 51)]]


@settings(deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 500), st.booleans()), max_size=30),
    span_bytes=st.integers(1, 300),
    max_pieces=st.integers(1, 5),
)
def test_spans_cover_each_byte_once(sizes: list[tuple[int, bool]], span_bytes: int, max_pieces: int) -> None:
    """Pieces of an object go on where the one before ended; one that is read whole is one piece."""
    pieces = [piece for span in cut_spans(sizes, span_bytes, max_pieces) for piece in span]
    for number, (size, whole) in enumerate(sizes):
        own = [(begin, end) for n, begin, end in pieces if n == number]
        assert [begin for begin, _ in own] == [0, *(end for _, end in own)][: len(own)]
        assert sum(end - begin for begin, end in own) == size
        assert not whole or len(own) <= 1


def test_spans_grow_before_a_map_has_too_many_items() -> None:
    """10 TB are cut into spans of more than the usual size, each of several segments."""
    usual, total = 48 * 1024**2, 10 * 1024**4
    assert span_size(usual * 1000, usual) == usual
    assert len(cut_spans([(total // 1000, False)] * 1000, span_size(total, usual))) <= MAX_ITEMS


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 100), max_size=40), part=st.integers(1, 200))
def test_parts_hold_each_segment_once(sizes: list[int], part: int) -> None:
    """Parts go on where the one before ended, and only a single segment is above the size."""
    parts = cut_parts(sizes, part)
    assert [first for first, _ in parts] == [0, *(last for _, last in parts)][: len(parts)]
    assert not any(sizes[parts[-1][1] :])
    assert all(sum(sizes[first:last]) <= part or sum(map(bool, sizes[first:last])) == 1 for first, last in parts)
