"""Inputs of a deployment without some of their rows: each other row keeps its line, and of plain lines its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from sluice.aws.versions import delete_version
from sluice.rows.containers import Container, Rows
from sluice.rows.containers.codecs import opened
from sluice.rows.containers.kinds import Codec
from sluice.rows.containers.lines import BOM, raw_lines
from sluice.rows.record import apart
from sluice.runs.document import read
from sluice.runs.inbox import Dropped, claim_key
from sluice.runs.keys import Keys
from sluice.runs.state import Inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from sluice.aws.s3 import Head, Store
    from sluice.forget.work import CleanInput

LONGEST = 2**31  # bytes of a line, and of a text: what a run could read is read here too
NOTHING = b"{}"  # a row that stands in a line with others, once it is taken out


def can_clean(container: str) -> bool:
    """Whether rows can be taken out of such an object; of others nobody but its owner knows how it was written."""
    return Container.parse(container).rows is Rows.LINES


def clean_input(stores: Mapping[str, Store], piece: CleanInput) -> None:
    """Write a version anew without rows, where it is the newest, and delete it.

    The new version belongs to the run that the old one belonged to, and the runs that had frozen the old one find the
    new one in its place.
    """
    (name, key), work = piece.at, stores[piece.work]
    store = stores[name]
    if store.head(key, piece.version) is None:
        return
    now = store.head(key)
    if piece.lines and piece.newest and now is not None and now.version == piece.version:
        _write_without(store, key, piece, now)
        after = store.head(key)
        if after is not None and after.version is not None:
            if (run := work.find(_claim(store, key, piece.version))) is not None:
                work.put_new(_claim(store, key, after.version), run)
            for run_id in piece.runs:
                _find_instead(work, run_id, store.uri(key), piece.version, after)
    delete_version(store, key, piece.version)


def _claim(store: Store, key: str, version: str) -> str:
    dropped = Dropped(bucket=store.bucket, key=key, version=version, etag="", bytes=0, at="")
    return claim_key(dropped.id)


def _write_without(store: Store, key: str, piece: CleanInput, now: Head) -> None:
    codec = Container.parse(piece.container).codec
    blocks = store.blocks(key, 0, now.size, piece.version)
    lines = set(piece.lines)
    with store.writer(key) as out:
        if codec is Codec.PLAIN:
            for data in without(blocks, lines):
                out.write(data)
            return
        with pa.CompressedOutputStream(pa.PythonFile(out, mode="w"), codec.value) as packed:
            for data in without(opened(codec, blocks, store.uri(key), LONGEST), lines):
                packed.write(data)


def without(blocks: Iterable[bytes], lines: AbstractSet[int]) -> Iterator[bytes]:
    """JSON Lines with blanks in the place of rows, given by their numbers: no other byte changes, nor moves."""
    number, last = 1, b""

    def seen() -> Iterator[bytes]:
        nonlocal last
        for block in blocks:
            last = block[-1:] or last
            yield block

    held: list[bytes] = []
    for found in raw_lines(seen(), LONGEST):
        for line in found:
            bare = line.removeprefix(BOM) if number == 1 else line
            rows = apart(bare.removesuffix(b"\r"))
            numbers = range(number, number + len(rows))
            number += len(rows)
            held.append(line if lines.isdisjoint(numbers) else _blank(line, rows, numbers, lines))
        if len(held) > 1:
            yield b"\n".join(held[:-1]) + b"\n"
            held = held[-1:]
    yield b"".join(held) + (b"\n" if last == b"\n" else b"")


def _blank(line: bytes, rows: list[bytes], numbers: range, lines: AbstractSet[int]) -> bytes:
    if len(rows) == 1:
        return b" " * len(line)
    left = [NOTHING if number in lines else row for number, row in zip(numbers, rows, strict=True)]
    return b" ".join(left).ljust(len(line))


def _find_instead(work: Store, run: str, uri: str, version: str, now: Head) -> None:
    """Let a run's frozen inputs name the new version, so that its other rows can be read as before."""
    key = Keys(run).inputs
    data = work.find(key)
    if data is None:
        return
    frozen = read(Inputs, data, key)
    inputs = [
        msgspec.structs.replace(item, version=now.version, etag=now.etag, bytes=now.size)
        if (item.uri, item.version) == (uri, version)
        else item
        for item in frozen.inputs
    ]
    work.put(key, msgspec.structs.replace(frozen, inputs=inputs).write())
