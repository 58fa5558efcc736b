"""Doing what was found: each object is written anew whole, in the place of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.answers.reuse import ChunkWriter, read_chunks
from sluice.answers.reuse import take as take_chunk
from sluice.decoding import decode
from sluice.errors import Stop
from sluice.forget import work
from sluice.forget.cleaning import clean_input
from sluice.report.report import render
from sluice.results.published import parquet_at
from sluice.results.run_table import run_parquet
from sluice.rows.containers.lines import split_lines
from sluice.runs.settled import read_settled, write_settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sluice.aws.s3 import Store
    from sluice.forget.finding import Place

ROWS = 10_000  # of a row group, as merge writes them
LONGEST_LINE = 2**31  # of a journal, which nothing bounds but what a model can say


def begin(stores: Mapping[str, Store], home: Store, what: work.Work) -> str:
    """Write down what is to be done, do it, and keep the protocol; the key of it.

    Raises:
        Stop: another forgetting has begun here, or a store refuses; what is left is done by `go_on`.

    """
    if not home.put_new(work.UNFINISHED, msgspec.json.encode(what)):
        raise Stop(f"{home.uri(work.UNFINISHED)} is there: another `sluice forget` has begun, and goes on first")
    return finish(stores, home, what)


def unfinished(home: Store) -> work.Work | None:
    """What somebody has begun and not ended, if there is any."""
    data = home.find(work.UNFINISHED)
    if data is None:
        return None
    found = decode(data, work.Work)
    if found.format != work.FORMAT:
        raise Stop(f"{home.uri(work.UNFINISHED)} was written by another version: use that one to end it")
    return found


def finish(stores: Mapping[str, Store], home: Store, what: work.Work) -> str:
    """Do each piece, which may have been done before, and keep the protocol; the key of it."""
    for piece in what.pieces:
        _do(stores, piece)
    stamp = "".join(mark for mark in what.protocol.at if mark.isalnum())
    key = f"{work.PROTOCOLS}{stamp}.json"
    home.put(key, msgspec.json.format(msgspec.json.encode(what.protocol), indent=2))
    home.delete([work.UNFINISHED])
    return key


def _do(stores: Mapping[str, Store], piece: work.AnyPiece) -> None:
    match piece:
        case work.TakeRows(at=(store, key), rows=rows):
            take_rows(stores[store], key, {(source, line) for source, line in rows})
        case work.Retell():
            _retell(stores, piece)
        case work.Replace(at=(store, key), text=text):
            _write(stores[store], key, text.encode())
        case work.TakeLines(at=(store, key), lines=lines):
            _take_lines(stores[store], key, lines)
        case work.TakeReplies(at=(store, key), records=records):
            take_replies(stores[store], key, {record.encode() for record in records})
        case work.TakeSettled(at=(store, key), records=records):
            left = [record for record in read_settled(stores[store].get(key)) if record.record not in records]
            _write(stores[store], key, write_settled(left))
        case work.TakeJournal(at=(store, key), records=records):
            take_journal(stores[store], key, None if records is None else set(records))
        case work.Remove(store=store, keys=keys):
            stores[store].delete(keys)
        case work.CleanInput():
            clean_input(stores, piece)


def _write(store: Store, key: str, data: bytes) -> None:
    """Write an object whole: in a folder a file would else stand half written under its name."""
    with store.writer(key) as out:
        out.write(data)


def count_rows(store: Store, key: str, rows: Collection[Place]) -> int:
    """How many of some rows, given by source and line, a Parquet file has."""
    head = store.head(key)
    if head is None:
        return 0
    with parquet_at(store, key, head.size) as opened:
        batches = opened.iter_batches(ROWS, columns=["source", "line"], use_threads=False)
        return sum(_among(batch, rows).true_count for batch in batches)


def take_rows(store: Store, key: str, rows: Collection[Place]) -> None:
    """Rewrite a Parquet file without rows, given by source and line. All others stay as they were, in their order."""
    head = store.head(key)
    if head is None or not count_rows(store, key, rows):
        return
    with (
        parquet_at(store, key, head.size) as opened,
        store.writer(key) as out,
        pq.ParquetWriter(out, opened.schema_arrow, compression="zstd") as writer,
    ):
        for batch in opened.iter_batches(ROWS, use_threads=False):
            writer.write_batch(batch.filter(pc.invert(_among(batch, rows))), row_group_size=ROWS)


def _among(batch: pa.RecordBatch, rows: Collection[Place]) -> pa.BooleanArray:
    """Tell of each row whether it is one of some."""
    lines = pa.array(sorted({line for _, line in rows}), pa.int64())
    maybe = pc.indices_nonzero(pc.is_in(batch["line"], lines)).to_pylist()
    found = {n for n in maybe if (batch["source"][n].as_py(), batch["line"][n].as_py()) in rows}
    return pa.array([n in found for n in range(batch.num_rows)], pa.bool_())


def _retell(stores: Mapping[str, Store], piece: work.Retell) -> None:
    document: dict[str, Any] = msgspec.json.decode(piece.document)
    for store, key in piece.runs:
        _write(stores[store], key, bytes(piece.document))
    if piece.report is not None:
        _write(stores[piece.report[0]], piece.report[1], render(document).encode())
    if piece.table is not None:
        _write(stores[piece.table[0]], piece.table[1], run_parquet(document))


def _take_lines(store: Store, key: str, lines: Mapping[int, str]) -> None:
    """Rewrite a log with other lines in the place of some, so that all others keep their numbers."""
    found = store.get(key).splitlines()
    for number, text in lines.items():
        found[number - 1] = text.encode()
    _write(store, key, b"".join(line + b"\n" for line in found))


def take_replies(store: Store, key: str, records: Collection[bytes]) -> int:
    """Rewrite an object of kept replies without those to these records; how many it had."""
    gone = left = 0
    for chunk in read_chunks(store.blocks(key)) if store.head(key) else ():
        here = sum(record in records for record in chunk.keys)
        gone, left = gone + here, left + len(chunk.keys) - here
    if gone and not left:
        store.delete([key])
    if not gone or not left:
        return gone
    with store.writer(key) as out:
        writer = ChunkWriter(out.write)
        for chunk in read_chunks(store.blocks(key)):
            take_chunk(chunk, [record for record in chunk.keys if record not in records], out.write, writer)
        writer.close()
    return gone


class _Asked(msgspec.Struct):
    """Of a line of the journal, whose replies it holds; None in one of an earlier version."""

    of: list[str] | None = None


_asked = msgspec.json.Decoder(_Asked).decode


def count_journal(store: Store, key: str, records: Collection[str] | None) -> int:
    """How many lines of a journal `take_journal` would take out."""
    return sum(not _keeps(line, records) for line in _lines(store, key))


def take_journal(store: Store, key: str, records: Collection[str] | None) -> None:
    """Rewrite kept replies without those to these records, and without those of which nobody knows whose they are."""
    if not count_journal(store, key, records):
        return
    with store.writer(key) as out:
        for line in _lines(store, key):
            if _keeps(line, records):
                out.write(line + b"\n")


def _keeps(line: bytes, records: Collection[str] | None) -> bool:
    if records is None:
        return False
    try:
        of = _asked(line).of
    except (msgspec.MsgspecError, UnicodeError):
        return False
    return of is not None and not any(record in records for record in of)


def _lines(store: Store, key: str) -> Iterator[bytes]:
    if store.head(key) is None:
        return
    for lines in split_lines(store.blocks(key), LONGEST_LINE):
        yield from lines
