"""What records took beyond their own attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from sluice.results.merging import SUMMED, Records

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_more(records: Records, took: Mapping[str, tuple[int, int, float | None]]) -> Records:
    """Records with more input and output tokens and dollars, by key; an unknown price makes the sum unknown."""
    at = pc.index_in(pa.array(list(took), pa.string()), value_set=records.keys).to_pylist() if took else []
    if all(number is None for number in at):
        return records
    columns = dict(records.columns)
    for place, name in enumerate(SUMMED):
        more: list[float | None] = [0] * len(columns[name])
        for number, each in zip(at, took.values(), strict=True):
            if number is not None:
                more[number] = each[place]
        columns[name] = pc.add(columns[name], pa.array(more, columns[name].type))
    return records._replace(columns=columns)
