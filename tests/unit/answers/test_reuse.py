"""Kept replies come back as they were, from blocks of any size; damage is an error, never another reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.answers import reuse
from sluice.answers.reuse import ChunkWriter, Said, range_depth, read_chunks, take

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT = st.one_of(st.sampled_from(['{"label":"a"}', "", "é\0\u2028😀"]), st.text(max_size=30))
SAID = st.builds(Said, TEXT, st.none() | st.text(max_size=8), st.integers(0, 2**40), st.integers(0, 2**40))
KEPT = st.dictionaries(st.binary(min_size=16, max_size=16).map(lambda key: key.hex().encode()), SAID, max_size=40)


def written(kept: dict[bytes, Said]) -> bytes:
    out: list[bytes] = []
    writer = ChunkWriter(out.append)
    for key, said in kept.items():
        writer.add(key, said)
    writer.close()
    return b"".join(out)


def blocks(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 1 << 20) -> list[tuple[bytes, Said]]:
    return [pair for chunk in read_chunks(blocks(data, size)) for pair in zip(chunk.keys, chunk.replies(), strict=True)]


@settings(max_examples=80)
@given(kept=KEPT, chunk=st.integers(1, 9), size=st.integers(1, 200))
def test_replies_come_back_in_their_order(kept: dict[bytes, Said], chunk: int, size: int) -> None:
    """Whatever the texts and tokens, the chunks they lie in, and the blocks that they are read in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reuse, "CHUNK", chunk)
        data = written(kept)
    assert read(data, size) == list(kept.items())


@settings(max_examples=40)
@given(kept=KEPT.filter(len), left=st.integers(1, 60))
def test_an_object_that_is_cut_is_an_error(kept: dict[bytes, Said], left: int) -> None:
    """It never ends as if it had held less."""
    data = written(kept)
    with pytest.raises(ValueError, match="in the middle of a chunk"):
        read(data[: max(1, len(data) - left)])


@settings(max_examples=60)
@given(kept=KEPT.filter(len), data=st.data())
def test_what_is_taken_is_what_was_found(kept: dict[bytes, Said], data: st.DataObject) -> None:
    """Of each chunk the replies to some keys, each once, in a chunk of their own; all of it as it stands."""
    found = data.draw(st.sets(st.sampled_from(sorted(kept))))
    out: list[bytes] = []
    writer = ChunkWriter(out.append)
    packed = written(kept)
    for chunk in read_chunks([packed]):
        take(chunk, found & set(chunk.keys), out.append, writer)
    writer.close()
    assert read(b"".join(out)) == [(key, said) for key, said in kept.items() if key in found]
    if found == set(kept):
        assert b"".join(out) == packed


@pytest.mark.parametrize(("records", "depth"), [(1, 0), (65_535, 0), (65_536, 1), (1_048_576, 2), (10**12, 6)])
def test_a_range_is_cut_no_finer_than_its_replies_fill(records: int, depth: int) -> None:
    """At least 4,096 replies lie in a range of a run that spans all keys; six digits are the most."""
    assert range_depth("0" * 32, "f" * 32, records) == depth
