"""The rows of a piece of a frozen input, whatever it is, as lines of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.rows.containers.codecs import opened
from sluice.rows.containers.kinds import Codec, Container, Rows
from sluice.rows.containers.lines import lines_of_range, split_lines, without_bom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store
    from sluice.runs.state import Input


class Limits(NamedTuple):
    """What may be held of one row, and what one worker may read of one object, as bytes of text."""

    row: int
    text: int


def lines_of_input(store: Store, key: str, item: Input, begin: int, end: int, limits: Limits) -> Iterator[list[bytes]]:
    """The lines of a piece of a frozen input, as lists in order; in CSV and Parquet a line stands for a row.

    Raises:
        BadInput: the object is damaged, was changed since the run began, or holds more text than one worker can read.

    """
    container = Container.parse(item.container)

    def blocks(first: int, last: int) -> Iterator[bytes]:
        return store.blocks(key, first, last, item.version, item.etag)

    if not container.whole:
        return lines_of_range(blocks, begin, end, item.bytes, limits.row)
    if container.rows is Rows.PARQUET:
        from sluice.rows.containers.columnar import parquet_rows  # noqa: PLC0415 - only this needs Arrow's Parquet

        return parquet_rows(lambda a, b: b"".join(blocks(a, b)), item.bytes, item.uri, limits.row, limits.text)
    content = blocks(0, item.bytes)
    if container.codec is not Codec.PLAIN:
        content = opened(container.codec, content, item.uri, limits.text)
    content = without_bom(content)
    if container.rows is Rows.LINES:
        return split_lines(content, limits.row)
    from sluice.rows.containers.delimited import csv_rows  # noqa: PLC0415 - most runs read no CSV

    return csv_rows(content, "\t" if container.rows is Rows.TSV else ",", item.uri, limits.row)
