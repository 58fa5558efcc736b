"""Inputs of a deployment without some of their rows: each other row keeps its line, and of plain lines its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.aws.versions import delete_version, versions
from sluice.errors import BadInput
from sluice.forget.tables import csv_without, parquet_obstacle, parquet_without
from sluice.rows.containers import Container, Reading, Rows
from sluice.rows.containers.codecs import opened
from sluice.rows.containers.columnar import RangedFile
from sluice.rows.containers.kinds import Codec
from sluice.rows.containers.lines import BOM, raw_lines
from sluice.rows.record import apart
from sluice.runs.document import read
from sluice.runs.inbox import Dropped, claim_key
from sluice.runs.keys import Keys
from sluice.runs.settings import Settings
from sluice.runs.state import Inputs
from sluice.task.csv_form import CsvForm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from sluice.aws.s3 import Head, Store
    from sluice.aws.versions import Version
    from sluice.forget.work import CleanInput

LONGEST = 2**31  # bytes of a line, and of a text: what a run could read is read here too
SEPARATED = {Rows.CSV: ",", Rows.TSV: "\t"}
REPLACES = "sluice-replaces"  # metadata of a version that forgetting wrote: the version that it stands for
FORGOTTEN = b"forgotten"  # the claim of such a version that no run is known to have read, and that none shall read
NOTHING = b"{}"  # a row that stands in a line with others, once it is taken out


def obstacle(
    store: Store, key: str, version: Version, container: str, reading: Reading, lines: Collection[int]
) -> str | None:
    """Why rows cannot be taken out of an object; None where they can: it is written, but to nowhere."""
    form = Container.parse(container)
    if form.rows is Rows.JSON:
        return f"it is {container}, of which nobody but its owner knows how it was written"
    try:
        if form.rows is Rows.PARQUET:
            with _parquet(store, key, version.size, version.version) as file:
                return parquet_obstacle(file)
        if form.rows in SEPARATED:
            content = _content(store, key, version.size, version.version, form)
            for _ in _text_without(content, form, lines, key, reading):
                pass
    except (BadInput, pa.ArrowException) as error:
        return str(error) if isinstance(error, BadInput) else "it cannot be read as Parquet"
    return None


def clean_input(stores: Mapping[str, Store], piece: CleanInput) -> None:
    """Write a version anew without rows, where it is the newest, and delete it.

    The new version belongs to the run that the old one belonged to, or to none, so that no event of S3 makes a run of
    it; and the runs that had frozen the old one find the new one in its place. It is known by its metadata: whoever
    broke off in between goes on with it.
    """
    (name, key), work = piece.at, stores[piece.work]
    store = stores[name]
    if store.head(key, piece.version) is None:
        return
    if piece.lines and piece.newest:
        now = store.head(key)
        if now is not None and now.version == piece.version:
            _write_without(store, key, piece, now)
        for written, head in _written_for(store, key, piece.version):
            claim = work.find(claim_key(object_id(store, key, piece.version))) or _claim_of(piece)
            if claim is not None:
                work.put_new(claim_key(object_id(store, key, written)), claim)
            for run_id in piece.runs:
                _find_instead(work, run_id, store.uri(key), piece.version, head)
    delete_version(store, key, piece.version)


def object_id(store: Store, key: str, version: str) -> str:
    """By what the inbox knows a version of an object."""
    return Dropped(bucket=store.bucket, key=key, version=version, etag="", bytes=0, at="").id


def _claim_of(piece: CleanInput) -> bytes | None:
    """Whose a version is of which no claim is left; None where it waits to be run."""
    if piece.runs:
        return piece.runs[-1].encode()
    return None if piece.waits else FORGOTTEN


def _written_for(store: Store, key: str, version: str) -> Iterator[tuple[str, Head]]:
    """The version that forgetting has written in the place of one, which somebody else's may have followed since."""
    for item in versions(store, key):
        head = store.head(key, item.version) if item.key == key else None
        if head is not None and (head.metadata or {}).get(REPLACES) == version:
            yield item.version, head


def _write_without(store: Store, key: str, piece: CleanInput, now: Head) -> None:
    form, lines = Container.parse(piece.container), set(piece.lines)
    with store.writer(key, {REPLACES: piece.version}) as out:
        if form.rows is Rows.PARQUET:
            with _parquet(store, key, now.size, piece.version) as file:
                parquet_without(file, lines, out)
            return
        content = _content(store, key, now.size, piece.version, form)
        reading = Reading(piece.text, csv=None if piece.csv is None else CsvForm.model_validate(piece.csv))
        left = _text_without(content, form, lines, key, reading)
        if form.codec is Codec.PLAIN:
            for data in left:
                out.write(data)
            return
        with pa.CompressedOutputStream(pa.PythonFile(out, mode="w"), form.codec.value) as packed:
            for data in left:
                packed.write(data)


def _content(store: Store, key: str, size: int, version: str, form: Container) -> Iterator[bytes]:
    blocks = store.blocks(key, 0, size, version)
    return blocks if form.codec is Codec.PLAIN else opened(form.codec, blocks, store.uri(key), LONGEST)


def _text_without(
    content: Iterator[bytes], form: Container, lines: Collection[int], name: str, reading: Reading
) -> Iterator[bytes]:
    if form.rows in SEPARATED:
        return csv_without(content, set(lines), SEPARATED[form.rows], name, Settings().max_row_bytes, reading)
    return without(content, set(lines))


def _parquet(store: Store, key: str, size: int, version: str) -> pq.ParquetFile:
    def part(begin: int, end: int) -> bytes:
        return b"".join(store.blocks(key, begin, end, version))

    return pq.ParquetFile(pa.PythonFile(RangedFile(part, size), mode="r"), pre_buffer=False)


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
