"""A condition in SQL over the columns of results, as DuckDB understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from sluice.errors import BadRequest
from sluice.extras import Extra, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BATCH_ROWS = 10_000


def rows_where(
    condition: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], known: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows for which a condition holds, in their order; nothing but these rows can be read in it.

    Raises:
        BadRequest: DuckDB does not understand it; with what it says, and the columns that there are.
        NotInstalled: DuckDB is not there.

    """
    require(Extra.TABLES, "--where")
    import duckdb  # noqa: PLC0415 - an extra

    failed: list[Exception] = []

    def read() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            failed.append(error)  # DuckDB makes one of its own of it
            raise

    with duckdb.connect(config={"threads": 1, "enable_external_access": "false"}) as connection:
        try:
            reader = pa.RecordBatchReader.from_batches(schema, read())
            found = connection.from_arrow(reader).filter(condition).to_arrow_reader(BATCH_ROWS)
            for batch in found:
                yield pa.record_batch(batch.columns, schema=schema)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if failed:
                raise failed[0] from None
            said = str(error).partition("\n")[0].partition(": ")[2] or str(error)
            raise BadRequest(
                f"{condition!r} is no condition that DuckDB understands: {said.rstrip('!. ')}; "
                f"columns are: {', '.join(known)}",
                "where",
            ) from None
