"""merge: one part of the results: rows joined with the attempts at their records, as zstd Parquet, with its books."""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.merging import Attempts, Joined, Place, Records, join_attempts, join_rows, read_firsts
from sluice.reasons import Status
from sluice.state import End, PartBooks, read
from sluice.steps.selection import shard_rows
from sluice.steps.services import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.state import Part
    from sluice.steps.services import Services
    from sluice.store import ObjectWriter

BATCH_ROWS = 20_000  # rows joined and written at once: a row group
IDS_COUNTED = 2_000_000  # up to so many rows, doubled ids are counted exactly; beyond, in a share of them


def run(services: Services, part: Part) -> PartBooks:
    """Write `merged/<part>.parquet` and its books, which come last; a part with books is left alone."""
    opened = Run(services.work, part.run)
    keys = opened.keys
    done = services.work.find(keys.merged_books(part.part))
    if done is not None:
        return read(PartBooks, done, keys.merged_books(part.part))
    with services.work.writer(keys.merged(part.part)) as out:
        merge = _Merge(opened, part)
        merge.write(out)
    services.work.put(keys.merged_ids(part.part), merge.ids.tobytes())
    books = merge.books(out.size)
    services.work.put(keys.merged_books(part.part), books.write())
    return books


class _Merge:
    """One part on its way into a file, batch by batch."""

    def __init__(self, run: Run, part: Part) -> None:
        self.run, self.part = run, part
        end = read(End, run.store.get(run.keys.end), run.keys.end)
        self.end_reason = end.reason
        self.sources = [item.uri for item in run.inputs.inputs]
        self.records: Records = join_attempts(run.task, run.start, list(self._attempts()), end.reason)
        self.firsts = read_firsts(self._first_lines())
        self.modulus = max(1, run.plan.rows // IDS_COUNTED)
        self.ids = array("Q")
        self.ids_missing = 0
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.kept_invalid: Counter[str] = Counter()
        self.input_tokens = self.output_tokens = 0
        self.cost: float | None = 0.0

    def _attempts(self) -> Iterator[Attempts]:
        for key, _ in self.run.store.keys(self.run.keys.answers(self.part.shard)):
            with pa.ipc.open_stream(self.run.store.get(key)) as stream:
                about: dict[str, Any] = msgspec.json.decode(stream.schema.metadata[b"attempts"])
                yield Attempts(stream.read_all().replace_schema_metadata(None), **about)

    def _first_lines(self) -> list[bytes]:
        """The list of records of the shard's first job; none when it was never prepared."""
        job = next((n for n, shard in enumerate(self.run.first_shards) if shard == self.part.shard), None)
        data = None if job is None else self.run.store.find(self.run.keys.job(0, job).records)
        return [] if data is None else data.split(b"\n")[:-1]

    def write(self, out: ObjectWriter) -> None:
        """Join and write, a row group per batch."""
        writer: pq.ParquetWriter | None = None
        for places in self._batches():
            joined = join_rows(
                self.run.task, self.run.start, places, self.sources, self.records, self.firsts, self.end_reason
            )
            self._count(joined)
            if writer is None:
                writer = pq.ParquetWriter(out, joined.table.schema, compression="zstd", compression_level=1)
            writer.write_table(joined.table, row_group_size=len(joined.table))
        if writer is not None:
            writer.close()

    def _batches(self) -> Iterator[list[Place]]:
        """Stored rows in batches of about `BATCH_ROWS`."""
        batch: list[Place] = []
        rows = 0
        for found in shard_rows(self.run, self.part.shard, self.part.first, self.part.last):
            segment = found.segment
            for at in range(0, len(found.lines), BATCH_ROWS):
                lines = found.lines[at : at + BATCH_ROWS]
                batch.append(Place(lines, segment.first_source, segment.line_base))
                rows += len(lines)
                if rows >= BATCH_ROWS:
                    yield batch
                    batch, rows = [], 0
        if batch:
            yield batch

    def _count(self, joined: Joined) -> None:
        table = joined.table
        self.counts.update(_value_counts(table["status"]))
        self.counts["shared"] += pc.sum(table["shared"]).as_py() or 0
        self.reasons.update(_value_counts(table["reason"]))
        accepted = pc.equal(table["status"], Status.ACCEPTED.value)
        self.labels.update(_value_counts(pc.list_flatten(table["labels"].filter(accepted))))
        self.kept_invalid.update(joined.kept_invalid)
        self.input_tokens += pc.sum(table["input_tokens"]).as_py() or 0
        self.output_tokens += pc.sum(table["output_tokens"]).as_py() or 0
        if table["cost_usd"].null_count:
            self.cost = None
        elif self.cost is not None:
            self.cost += pc.sum(table["cost_usd"]).as_py() or 0.0
        if self.run.task.input.id is not None:
            self._count_ids(table["id"])

    def _count_ids(self, column: pa.ChunkedArray) -> None:
        """Keep a hash of each id, or of the ids in a share of the hash space when the run is large."""
        modulus, ids = self.modulus, self.ids
        for value in column.to_pylist():
            if value is None:
                self.ids_missing += 1
                continue
            data = value.encode()
            if modulus == 1 or zlib.crc32(data) % modulus == 0:
                ids.append(int.from_bytes(blake2b(data, digest_size=8).digest(), "little"))

    def books(self, size: int) -> PartBooks:
        """The part's books."""
        statuses = {status: self.counts[status.value] for status in Status}
        return PartBooks(
            part=self.part.part,
            rows=sum(statuses.values()),
            accepted=statuses[Status.ACCEPTED],
            unresolved=statuses[Status.UNRESOLVED],
            rejected=statuses[Status.REJECTED],
            shared=self.counts["shared"],
            reasons=dict(self.reasons),
            labels=dict(self.labels),
            ids_missing=self.ids_missing,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost,
            kept_invalid=dict(self.kept_invalid),
            bytes=size,
        )


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {
        item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist() if item["values"] is not None
    }
