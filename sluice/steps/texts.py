"""The texts of records, as they stood in the rows: of those that were drawn, and of those of a shard."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from sluice.answers.requests import cut_middle
from sluice.decoding import decode
from sluice.rows.record import CUTS, KEY, PLACE, RAW, SENT, UNDECODED, RowReader
from sluice.steps.selection import shard_blocks

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Container, Iterator

    from sluice.steps.services import Run


def drawn_texts(opened: Run) -> Iterator[tuple[str, str]]:
    """The drawn records with their texts, as they were before they were escaped for a request."""
    for line in opened.store.get(opened.keys.drawn_records).split(b"\n")[:-1]:
        yield line[:KEY].decode(), html.unescape(decode(b'"' + line[KEY + 1 :] + b'"', str))


def first_sights(opened: Run, shard: int, wanted: Container[str], rows: Counter[str]) -> Iterator[tuple[str, str]]:
    """The wanted records of a shard, each with its text; counts the rows of every record."""
    reader = RowReader(opened.task)
    for found in shard_blocks(opened, shard):
        for line in found.lines:
            if line[PLACE] not in SENT:
                continue
            key = line[:KEY].decode()
            rows[key] += 1
            if rows[key] > 1 or key not in wanted:
                continue
            raw = line[RAW:]
            try:
                text = reader.text_of(reader.decode(raw))
                text.encode()
            except UNDECODED:
                text = reader.text(raw)
            yield key, cut_middle(text, reader.max_bytes) if line[PLACE] in CUTS else text
