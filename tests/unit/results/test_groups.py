"""Labels by kept column and over time: right where there is room, bounded where there is none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.results.groups import CELLS, LEAST, PERIODS, VALUES, GroupsCount, GroupTable, add_groups, tell_groups
from sluice.runs.books import Group
from sluice.task.file import parse_task

KEEP = {"product": "string", "created": "date", "at": "timestamp", "stars": "int", "urgent": "bool"}
ARROW = {"product": pa.string(), "created": pa.date32(), "at": pa.timestamp("us", tz="UTC")}
ARROW |= {"stars": pa.int64(), "urgent": pa.bool_()}
DAY = 86_400


def count(*batches: list[dict[str, Any]], labels: int = 3, examples: bool = True) -> list[Group]:
    """What is counted of rows that came in batches."""
    task = parse_task(
        {
            "name": "t",
            "input": {"text": "t", "keep": KEEP},
            "labels": [f"l{n}" for n in range(labels)],
            "report": {"examples": examples},
        },
        "t",
    )
    found = GroupsCount(task)
    for batch in batches:
        columns = {"status": pa.string(), "labels": pa.list_(pa.string()), **ARROW}
        found.add(pa.table({name: pa.array([row.get(name) for row in batch], kind) for name, kind in columns.items()}))
    return found.groups()


def summed(parts: list[list[Group]]) -> list[Group]:
    """What publish makes of the books of parts, which lie in S3 in between."""
    tables: dict[str, GroupTable] = {}
    for part in parts:
        add_groups(tables, msgspec.json.decode(msgspec.json.encode(part), type=list[Group]))
    return [table.group() for table in tables.values()]


ROWS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["accepted", "unresolved", "rejected"]),
        "labels": st.none() | st.lists(st.sampled_from(["l0", "l1", "l2"]), unique=True),
        "product": st.none() | st.sampled_from(["", "box", "lamp"]),
        "created": st.none() | st.integers(20_000, 20_003),
        "at": st.none() | st.integers(20_000 * DAY * 10**6, 20_002 * DAY * 10**6),
        "stars": st.none() | st.integers(1, 5),
        "urgent": st.none() | st.booleans(),
    }
)


@settings(max_examples=25)
@given(parts=st.lists(st.lists(st.lists(ROWS, max_size=6), max_size=3), max_size=3))
def test_groups_are_those_that_counting_the_rows_gives(parts: list[list[list[dict[str, Any]]]]) -> None:
    """However rows come in batches and parts; a row without a label stands once, and rejected ones nowhere."""
    found = {group.column: group for group in summed([count(*part) for part in parts])}
    rows = [row for part in parts for batch in part for row in batch if row["status"] != "rejected"]
    for column, word in (("product", str), ("stars", str), ("urgent", lambda value: str(value).lower())):
        if column not in found:
            continue
        values = [(None if row[column] is None else word(row[column]), row["labels"]) for row in rows]
        assert dict(found[column].rows) == Counter(value for value, _ in values)
        cells = Counter((value, label) for value, labels in values for label in _labels(labels))
        assert {cell[:2]: cell[2] for cell in found[column].cells} == cells


def _labels(labels: list[str] | None) -> list[str | None]:
    return [None] if labels is None else [*labels] or [""]


def test_a_column_of_names_takes_no_room_and_is_not_told() -> None:
    """Values that stand once name rows; however many come, their books stay small, and run.json has none of them."""
    batches = [
        [{"status": "accepted", "labels": ["l0"], "product": f"mail-{n}-{m}"} for n in range(900)] for m in "abc"
    ]
    groups = summed([count(batch, batch, labels=200) for batch in batches])
    product = next(group for group in groups if group.column == "product")
    assert len(product.rows) == LEAST
    assert product.others + sum(count for _, count in product.rows) == 3 * 2 * 900
    assert tell_groups(groups) == []


def test_cells_are_bounded_and_the_rest_is_counted() -> None:
    """Many labels of many values: the cells that find no place are counted by value, and no row is lost."""
    batch = [{"status": "accepted", "labels": [f"l{n % 190}"], "stars": n // 190} for n in range(40 * 190)]
    [stars] = [group for group in count(batch, labels=190) if group.column == "stars"]
    assert len(stars.cells) == CELLS
    assert sum(count for *_, count in stars.cells) + sum(count for _, count in stars.beyond) == 40 * 190
    [told] = tell_groups([stars])
    assert len(told["values"]) == VALUES
    assert [sum(row) + other for row, other in zip(told["cells"], told["other_labels"], strict=True)] == [190] * VALUES
    assert told["other_values"] == 20 * 190


def test_days_become_months_and_months_years() -> None:
    """A table over time has at most so many periods, without gaps where it has room for them."""

    def told(days: list[int]) -> list[str]:
        batch = [{"status": "accepted", "labels": ["l0"], "created": day} for day in days for _ in range(2)]
        [found] = tell_groups([group for group in count(batch) if group.column == "created"])
        assert sum(found["rows"]) + found["other_values"] == len(batch)
        return list(found["values"])

    assert told([20_000, 20_003]) == ["2024-10-04", "2024-10-05", "2024-10-06", "2024-10-07"]
    assert told([*range(20_000, 20_000 + 40), 20_160])[:3] == ["2024-10", "2024-11", "2024-12"]
    assert told([20_000, 20_095]) == ["2024-10-04", "2025-01-07"]
    long = told(list(range(0, 20_000, 3)))
    assert len(long) <= PERIODS
    assert len(long[0]) == 4


def test_no_text_is_told_where_the_task_keeps_it_out() -> None:
    """Dates and truth values stay; texts, and numbers, which may be anybody's, do not."""
    columns = {group.column for group in count([], examples=False)}
    assert columns == {"created", "at", "urgent"}
