"""The rows of a piece of a frozen input, whatever it is, as lines of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluice.rows.containers.codecs import opened
from sluice.rows.containers.documents import json_rows
from sluice.rows.containers.foreign import refuse_foreign
from sluice.rows.containers.kinds import Codec, Container, Rows, rows_inside
from sluice.rows.containers.layouts import MOST_HEAD_BYTES
from sluice.rows.containers.lines import lines_of_range, split_lines, without_bom
from sluice.rows.containers.texts import peeked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.aws.s3 import Store
    from sluice.rows.containers.reading import Reading
    from sluice.runs.state import Input


class Limits(NamedTuple):
    """What may be held of one row, and what one worker may read of one object, as bytes of text."""

    row: int
    text: int


def lines_of_input(
    store: Store, key: str, item: Input, begin: int, end: int, limits: Limits, reading: Reading
) -> Iterator[list[bytes]]:
    """The lines of a piece of a frozen input, as lists in order; in CSV and Parquet a line stands for a row.

    Raises:
        BadInput: the object is damaged, lacks a column, was changed since the run began, or holds more text than one
            worker can read.

    """
    container = Container.parse(item.container)

    def blocks(first: int, last: int) -> Iterator[bytes]:
        return store.blocks(key, first, last, item.version, item.etag)

    if not container.whole:
        return lines_of_range(blocks, begin, end, item.bytes, limits.row)
    if container.rows is Rows.PARQUET:
        from sluice.rows.containers.columnar import parquet_rows  # noqa: PLC0415 - only this needs Arrow's Parquet

        return parquet_rows(lambda a, b: b"".join(blocks(a, b)), item.bytes, item.uri, limits.row, limits.text, reading)
    packed = container.codec is not Codec.PLAIN
    content = opened(container.codec, blocks(0, item.bytes), item.uri, limits.text) if packed else blocks(0, item.bytes)
    return _streamed(content, container, item.uri, limits, reading)


def _streamed(
    content: Iterator[bytes], container: Container, name: str, limits: Limits, reading: Reading
) -> Iterator[list[bytes]]:
    """The rows of a text that is read from its beginning; only here can be told what stands in a compressed one."""
    rows, packed = container.rows, container.codec is not Codec.PLAIN
    head, content = peeked(content, MOST_HEAD_BYTES)
    if rows in (Rows.CSV, Rows.TSV):
        from sluice.rows.containers.delimited import csv_rows  # noqa: PLC0415 - most runs read no CSV

        if packed:
            refuse_foreign(head, name, inside=True)
        yield from csv_rows(content, "\t" if rows is Rows.TSV else ",", name, limits.row, reading)
        return
    if packed:
        rows = rows_inside(head, name, complete=len(head) < MOST_HEAD_BYTES)
    content = without_bom(content)
    yield from (
        json_rows(content, name, limits.row, reading) if rows is Rows.JSON else split_lines(content, limits.row)
    )
