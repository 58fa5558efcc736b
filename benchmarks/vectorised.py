"""What merge is measured against: rows and answers joined, and written, by pyarrow alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from benchmarks.services import services_of
from benchmarks.steps import run_of
from sluice.results.table import schema
from sluice.rows.record import KEY, PLACE, RAW, SOURCE
from sluice.runs.state import Part
from sluice.steps.selection import shard_rows
from sluice.steps.services import Run

if TYPE_CHECKING:
    from pathlib import Path


def join(directory: Path, number: int) -> int:
    """The rows of a part in the order in which they lie, with the attempts of round 0; returns their number."""
    run = Run(services_of(directory).work, run_of(directory).run)
    part = msgspec.json.decode(run.store.get(run.keys.parts), type=list[Part])[number]
    stored = [line for found in shard_rows(run, part.shard, part.first, part.last) for line in found.lines]
    with pa.ipc.open_stream(run.store.get(run.keys.answer(part.shard, 0, part.shard))) as stream:
        attempts = stream.read_all()
    return join_and_write(stored, attempts, schema(run.task), directory / "joined.parquet")


def join_and_write(stored: list[bytes], attempts: pa.Table, schema: pa.Schema, target: Path) -> int:
    """A vectorised join: pyarrow's JSON reader, `index_in` and `take`, all columns as one zstd Parquet file."""
    lines = pa.array(stored, pa.binary())
    raws = [line[RAW:] for line in stored]
    fields = [("id", pa.string()), ("customer", pa.string()), ("amount", pa.float64())]
    options = pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore")
    rows = pj.read_json(pa.BufferReader(b"\n".join(raws)), parse_options=options)
    keys = pc.binary_slice(lines, 0, KEY).cast(pa.string())
    at = pc.index_in(keys, value_set=attempts["key"].combine_chunks())
    found: dict[str, Any] = {name: attempts[name].take(at) for name in ("outcome", "reason", "labels", "confidence")}
    found |= {name: attempts[name].take(at) for name in ("detail", "input_tokens", "output_tokens")}
    found |= {name: rows[name] for name, _ in fields}
    found["line"] = pc.binary_slice(lines, SOURCE, PLACE).cast(pa.string()).cast(pa.int64())
    found |= {"record": keys, "status": found["outcome"], "input": pa.array(raws, pa.binary()).cast(pa.string())}
    found["label"] = pc.list_element(found["labels"], 0)
    found["source"] = pa.repeat(pa.scalar("s3://incoming/bench/rows.jsonl"), len(stored))
    found["trail"] = pa.ListArray.from_arrays(
        pa.array(range(len(stored) + 1), pa.int32()), _attempt(schema, found, len(stored))
    )
    columns = [found[f.name] if f.name in found else _same(f, len(stored)) for f in schema]
    pq.write_table(pa.table(columns, schema=schema), target, compression="zstd")
    return len(stored)


def _attempt(schema: pa.Schema, found: dict[str, Any], rows: int) -> pa.StructArray:
    members = list(schema.field("trail").type.value_type)
    values = [found[f.name].combine_chunks() if f.name in found else _same(f, rows) for f in members]
    return pa.StructArray.from_arrays(values, fields=members)


def _same(field: pa.Field, rows: int) -> pa.Array:
    """A column whose value is the same in every row."""
    values = {"string": "bench-20261120t120000", "bool": False}
    return pa.repeat(pa.scalar(values.get(str(field.type), 1), field.type), rows)
