"""What docs/internals/scaling.md says of storage is what a run leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import corpus, scaling
from sluice.runs.keys import REQUESTS, Keys
from sluice.runs.settings import Settings
from tests.harness.stage import BATCH, finish, stage

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 4000


def test_what_lasts_of_a_row_is_what_the_table_counts(tmp_path: Path) -> None:
    """Its compressed copy, and of each record its key, its attempt and its reply; the rest lies where it expires."""
    size = corpus.write_rows(tmp_path / "rows.jsonl", ROWS)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()]
    whole = {"text": "text", "id": "id", "keep_input": True}
    staged = stage(BATCH, rows=rows, settings={"max_records_per_job": 2000}, input=whole)
    finish(staged)
    keys = Keys(staged.run)
    sizes = dict(staged.machine.work.keys(f"{keys.root}/"))
    expires = dict(staged.machine.work.keys(f"{REQUESTS}/"))
    read = sum(len(json.dumps(row)) + 1 for row in rows)
    assert (expires[keys.rows(0)] - read) / ROWS == pytest.approx(scaling.STORED_BYTES - scaling.ROW_BYTES, abs=2)
    assert 90 < (sizes[keys.kept(0)] + sizes[keys.frames(0)]) / ROWS < scaling.KEPT_BYTES
    of_records = sum(size for key, size in sizes.items() if key.endswith((".arrow", "records.txt")))
    assert of_records / ROWS == pytest.approx(scaling.RECORD_BYTES, rel=0.15)
    assert sum(sizes.values()) - sizes[keys.index(0)] < size
    assert sum(expires.values()) > 5 * size


def test_storage_follows_the_days() -> None:
    """What expires within days is counted for these, and what lasts for the days of the run."""
    run = scaling.cut(1_000_000, Settings())
    short, long = (scaling.storage_dollars(run, Settings(keep_requests_days=days)) for days in (3, 90))
    lasts, expires = scaling.stored(run)
    assert long - short == pytest.approx(87 * expires / 30 / 1e9 * 0.023)
    assert lasts < 0.8 * 1_000_000 * scaling.ROW_BYTES < expires
    assert short < 0.05
