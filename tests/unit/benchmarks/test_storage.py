"""What docs/internals/scaling.md says of storage is what a run leaves."""

from __future__ import annotations

import json

import pytest

from benchmarks import scaling
from sluice.runs.keys import REQUESTS, Keys
from sluice.runs.settings import Settings
from tests.harness.stage import BATCH, finish, stage

ROWS = 4000
TEXT = "the parcel came late and the box was open, so I want my money back please " * 3


def test_what_lasts_of_a_row_is_what_the_table_counts() -> None:
    """Stored rows, and of each record its key, its attempt and its reply; the rest lies where it expires."""
    rows = [{"id": f"T-{n:06d}", "text": f"{TEXT[:200]} {n:06d}"} for n in range(ROWS)]
    staged = stage(BATCH, rows=rows, settings={"max_records_per_job": 2000})
    finish(staged)
    sizes = dict(staged.machine.work.keys(f"{Keys(staged.run).root}/"))
    line = len(json.dumps(rows[0])) + 1
    stored = sum(size for key, size in sizes.items() if "/rows/" in key and not key.endswith(".index"))
    kept = sum(size for key, size in sizes.items() if key.endswith((".arrow", "records.txt")))
    assert stored / ROWS - line == pytest.approx(scaling.STORED_BYTES - scaling.ROW_BYTES, abs=2)
    assert kept / ROWS == pytest.approx(scaling.RECORD_BYTES, rel=0.15)
    expires = sum(size for _, size in staged.machine.work.keys(f"{REQUESTS}/"))
    assert expires > 3 * sum(sizes.values()) - 10**6


def test_storage_follows_the_days() -> None:
    """What expires within days is counted for these, and what lasts for the days of the run."""
    run = scaling.cut(1_000_000, Settings())
    short, long = (scaling.storage_dollars(run, Settings(keep_requests_days=days)) for days in (3, 90))
    lasts, expires = scaling.stored(run)
    assert long - short == pytest.approx(87 * expires / 30 / 1e9 * 0.023)
    assert lasts < 1.6 * 1_000_000 * scaling.ROW_BYTES < expires
    assert short < 0.05
